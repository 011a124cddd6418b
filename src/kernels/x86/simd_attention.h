// SPDX-License-Identifier: Apache-2.0
// Attention of up to kAttentionRows query rows against one key/value head, over a vector type V.
// Included inside an anonymous namespace after simd_float.h.
//
// Keys come in blocks of 16, transposed ([head_dim][16]): a score vector holds 16 (or 2 x 8)
// neighbouring keys, each summed over head_dim in order. Values are summed over chunks of 64 keys,
// then chunk by chunk. A row's result depends on its own query and number of keys alone. Rows go
// through in tiles of kRows, so that a chunk of keys in L1 serves all of them.

inline constexpr size_t kChunk = 64;  // keys

template <typename V, typename T, int kRows, int kBlocks, size_t... I>
[[gnu::always_inline]] inline void ScoreTile(std::index_sequence<I...>, const float* const* q,
                                             const T* keys, size_t dim, typename V::F scale,
                                             float* scores, size_t stride) {
  constexpr size_t kVectors = kAttentionKeyBlock / V::kLanes,
                   kWide = kBlocks * kVectors;  // I = row * kWide + vector
  typename V::F acc[sizeof...(I)] = {((void)I, V::Zero())...};
  for (size_t d = 0; d < dim; ++d) {
    const auto step = [&]<size_t... W>(std::index_sequence<W...>) __attribute__((always_inline)) {
      const typename V::F k[kWide] = {LoadAs<V>(
          keys + (W / kVectors * dim + d) * kAttentionKeyBlock + W % kVectors * V::kLanes)...};
      ((acc[I] = V::Fma(V::Set1(q[I / kWide][d]), k[I % kWide], acc[I])), ...);
    };
    step(std::make_index_sequence<kWide>{});
  }
  (V::Store(scores + I / kWide * stride + I % kWide * V::kLanes, V::Mul(acc[I], scale)), ...);
}

template <typename V, typename T, int kRows, int kBlocks>
void Scores(const float* const* q, const T* keys, size_t dim, float scale, float* scores,
            size_t stride) {
  constexpr size_t kCount = kRows * kBlocks * (kAttentionKeyBlock / V::kLanes);
  ScoreTile<V, T, kRows, kBlocks>(std::make_index_sequence<kCount>{}, q, keys, dim, V::Set1(scale),
                                  scores, stride);
}

// Blocks [0, n_blocks) of a chunk for kRows rows.
template <typename V, typename T, int kRows>
void ScoreChunk(const float* const* q, const T* keys, size_t n_blocks, size_t dim, float scale,
                float* scores, size_t stride) {
  constexpr size_t kWide = V::kScoreBlocks;
  size_t block = 0;
  for (; block + kWide <= n_blocks; block += kWide) {
    Scores<V, T, kRows, kWide>(q, keys + block * dim * kAttentionKeyBlock, dim, scale,
                               scores + block * kAttentionKeyBlock, stride);
  }
  for (; block < n_blocks; ++block) {
    Scores<V, T, kRows, 1>(q, keys + block * dim * kAttentionKeyBlock, dim, scale,
                           scores + block * kAttentionKeyBlock, stride);
  }
}

// out[row][d..] (+)= sum over n_keys of p[row][key] * v[key][d..], for kVectors vectors of d (the
// last of `part` elements).
template <typename V, typename T, int kRows, int kVectors, size_t... I>
[[gnu::always_inline]] inline void ValueTile(std::index_sequence<I...>, const float* p,
                                             size_t stride, const T* v, size_t dim, size_t n_keys,
                                             bool first, size_t part, float* const* out, size_t d) {
  typename V::F acc[sizeof...(I)] = {((void)I, V::Zero())...};
  for (size_t key = 0; key < n_keys; ++key) {
    const auto step = [&]<size_t... W>(std::index_sequence<W...>) __attribute__((always_inline)) {
      const T* row = v + key * dim + d;
      const typename V::F value[kVectors] = {(part == V::kLanes
                                                  ? LoadAs<V>(row + W * V::kLanes)
                                                  : LoadAsN<V>(row + W * V::kLanes, part))...};
      ((acc[I] = V::Fma(V::Set1(p[I / kVectors * stride + key]), value[I % kVectors], acc[I])),
       ...);
    };
    step(std::make_index_sequence<kVectors>{});
  }
  const auto put = [&](size_t row, size_t vector, typename V::F sum) {
    float* to = out[row] + d + vector * V::kLanes;
    StorePart<V>(to, first ? sum : V::Add(LoadPart<V>(to, part), sum), part);
  };
  (put(I / kVectors, I % kVectors, acc[I]), ...);
}

template <typename V, typename T, int kRows>
void ValueChunk(const float* p, size_t stride, const T* v, size_t dim, size_t n_keys, bool first,
                float* const* out) {
  constexpr size_t kWide = V::kValueVectors;
  size_t d = 0;
  for (; d + kWide * V::kLanes <= dim; d += kWide * V::kLanes) {
    ValueTile<V, T, kRows, kWide>(std::make_index_sequence<kRows * kWide>{}, p, stride, v, dim,
                                  n_keys, first, V::kLanes, out, d);
  }
  for (; d < dim; d += V::kLanes) {
    const size_t part = dim - d < V::kLanes ? dim - d : V::kLanes;
    ValueTile<V, T, kRows, 1>(std::make_index_sequence<kRows>{}, p, stride, v, dim, n_keys, first,
                              part, out, d);
  }
}

inline size_t MostKeys(const int32_t* n_keys, size_t rows) {
  int32_t most = 0;
  for (size_t row = 0; row < rows; ++row) most = n_keys[row] > most ? n_keys[row] : most;
  return static_cast<size_t>(most);
}

// Calls body.template operator()<kRows>(first row) on tiles of 6, 3 and 1 rows.
template <typename Body>
[[gnu::always_inline]] inline void ForRowTiles(size_t rows, Body body) {
  size_t row = 0;
  for (; row + 6 <= rows; row += 6) body.template operator()<6>(row);
  for (; row + 3 <= rows; row += 3) body.template operator()<3>(row);
  for (; row < rows; ++row) body.template operator()<1>(row);
}

template <typename V, typename T>
void Attention(const AttentionArgs& args) {
  const T* keys = static_cast<const T*>(args.keys);
  const T* values = static_cast<const T*>(args.values);
  const size_t dim = args.head_dim, most = MostKeys(args.n_keys, args.n_rows),
               stride = AttentionScratchStride(most);
  for (size_t key = 0; key < most; key += kChunk) {
    ForRowTiles(args.n_rows, [&]<int kRows>(size_t row) {
      const size_t tile_keys = MostKeys(args.n_keys + row, kRows);
      if (tile_keys <= key) return;
      const size_t count = tile_keys - key < kChunk ? tile_keys - key : kChunk;
      ScoreChunk<V, T, kRows>(args.q + row, keys + key * dim,
                              (count + kAttentionKeyBlock - 1) / kAttentionKeyBlock, dim,
                              args.scale, args.scratch + row * stride + key, stride);
    });
  }
  float inverse[kAttentionRows];
  for (size_t row = 0; row < args.n_rows; ++row) {
    const size_t n_keys = static_cast<size_t>(args.n_keys[row]);
    inverse[row] = 1.0f / ExpSum<V>(args.scratch + row * stride, n_keys);
    for (size_t key = n_keys; key < most; ++key)
      args.scratch[row * stride + key] = 0.0f;  // masked keys of the tile
  }
  for (size_t key = 0; key < most; key += kChunk) {
    ForRowTiles(args.n_rows, [&]<int kRows>(size_t row) {
      const size_t tile_keys = MostKeys(args.n_keys + row, kRows);
      if (tile_keys <= key) return;
      const size_t count = tile_keys - key < kChunk ? tile_keys - key : kChunk;
      ValueChunk<V, T, kRows>(args.scratch + row * stride + key, stride, values + key * dim, dim,
                              count, key == 0, args.out + row);
    });
  }
  for (size_t row = 0; row < args.n_rows; ++row) {
    const auto scale = V::Set1(inverse[row]);
    ForVectors<V>(dim, [&](size_t d, size_t part) {
      StorePart<V>(args.out[row] + d, V::Mul(LoadPart<V>(args.out[row] + d, part), scale), part);
    });
  }
}
