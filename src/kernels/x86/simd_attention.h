// SPDX-License-Identifier: Apache-2.0
// Attention of up to kAttentionRows query rows against one key/value head, over a vector type V and
// T = float or Bf16 (pairs). Included inside an anonymous namespace after simd_float.h.
//
// Keys come in transposed pages of 64: a score vector holds neighbouring keys, each summed over
// head_dim in order. Values are summed over chunks of 64 keys, then chunk by chunk. A row's result
// depends on its own query and number of keys alone. Rows go through in tiles of kRows, so that a
// chunk of keys in L1 serves all of them.

inline constexpr size_t kChunk = kAttentionPage;  // keys
inline constexpr size_t kUnit = 16;                   // keys; tiles are multiples of it

// The 32-bit elements of a page (AttentionArgs): kStep neighbouring positions in one.
template <typename T>
struct PageOf {
  using Element = float;
  static constexpr size_t kStep = 1;
};
template <>
struct PageOf<Bf16> {
  using Element = uint32_t;
  static constexpr size_t kStep = 2;
};

// Position kHalf of a vector of elements.
template <typename V, size_t kHalf>
[[gnu::always_inline]] inline typename V::F LoadHalf(const float* p) {
  return V::Load(p);
}
template <typename V, size_t kHalf>
[[gnu::always_inline]] inline typename V::F LoadHalf(const uint32_t* p) {
  if constexpr (requires { V::LoadLowHalves(p); }) {
    return kHalf == 0 ? V::LoadLowHalves(p) : V::LoadHighHalves(p);
  } else {
    float widened[V::kLanes];
    for (size_t i = 0; i < V::kLanes; ++i)
      widened[i] = __builtin_bit_cast(float, kHalf == 0 ? p[i] << 16 : p[i] & 0xffff0000u);
    return V::Load(widened);
  }
}

template <typename Element>
inline const Element* PageAt(const AttentionArgs& args, size_t key, size_t offset) {
  return reinterpret_cast<const Element*>(args.pages[key / kAttentionPage] + offset);
}

template <typename V, typename T, int kRows, int kUnits, size_t... I>
[[gnu::always_inline]] inline void ScoreTile(std::index_sequence<I...>, const float* const* q,
                                             const typename PageOf<T>::Element* keys, size_t dim,
                                             typename V::F scale, float* scores, size_t stride) {
  constexpr size_t kStep = PageOf<T>::kStep,
                   kWide = kUnits * kUnit / V::kLanes;  // I = row * kWide + vector
  typename V::F acc[sizeof...(I)] = {((void)I, V::Zero())...};
  const size_t steps = dim / kStep;
  for (size_t step = 0; step < steps; ++step) {
    const auto half = [&]<size_t kHalf, size_t... W>(std::index_sequence<W...>)
        __attribute__((always_inline)) {
      const typename V::F k[kWide] = {LoadHalf<V, kHalf>(keys + step * kChunk + W * V::kLanes)...};
      ((acc[I] = V::Fma(V::Set1(q[I / kWide][step * kStep + kHalf]), k[I % kWide], acc[I])), ...);
    };
    half.template operator()<0>(std::make_index_sequence<kWide>{});
    if constexpr (kStep == 2) half.template operator()<1>(std::make_index_sequence<kWide>{});
  }
  (V::Store(scores + I / kWide * stride + I % kWide * V::kLanes, V::Mul(acc[I], scale)), ...);
}

template <typename V, typename T, int kRows, int kUnits>
void Scores(const float* const* q, const typename PageOf<T>::Element* keys, size_t dim, float scale,
            float* scores, size_t stride) {
  constexpr size_t kCount = kRows * kUnits * (kUnit / V::kLanes);
  ScoreTile<V, T, kRows, kUnits>(std::make_index_sequence<kCount>{}, q, keys, dim, V::Set1(scale),
                                 scores, stride);
}

// The first n_units units of a chunk for kRows rows.
template <typename V, typename T, int kRows>
void ScoreChunk(const float* const* q, const typename PageOf<T>::Element* keys, size_t n_units,
                size_t dim, float scale, float* scores, size_t stride) {
  if constexpr (kRows == 6 && PageOf<T>::kStep == 2 && V::kLanes == 4) {
    // Six rows of four short vectors and both halves of the pairs do not fit 32 registers.
    ScoreChunk<V, T, 3>(q, keys, n_units, dim, scale, scores, stride);
    ScoreChunk<V, T, 3>(q + 3, keys, n_units, dim, scale, scores + 3 * stride, stride);
    return;
  }
  constexpr size_t kWide = V::kScoreBlocks;
  size_t unit = 0;
  for (; unit + kWide <= n_units; unit += kWide)
    Scores<V, T, kRows, kWide>(q, keys + unit * kUnit, dim, scale, scores + unit * kUnit, stride);
  for (; unit < n_units; ++unit)
    Scores<V, T, kRows, 1>(q, keys + unit * kUnit, dim, scale, scores + unit * kUnit, stride);
}

// out[row][d..] (+)= sum over n_keys of p[row][key] * v[key][d..], for kVectors vectors of d (the
// last of `part` elements). p of the key behind an odd number is 0.
template <typename V, typename T, int kRows, int kVectors, size_t... I>
[[gnu::always_inline]] inline void ValueTile(std::index_sequence<I...>, const float* p,
                                             size_t stride, const typename PageOf<T>::Element* v,
                                             size_t dim, size_t n_keys, bool first, size_t part,
                                             float* const* out, size_t d) {
  constexpr size_t kStep = PageOf<T>::kStep;
  const size_t width = AttentionWidth(dim), steps = (n_keys + kStep - 1) / kStep;
  typename V::F acc[sizeof...(I)] = {((void)I, V::Zero())...};
  for (size_t step = 0; step < steps; ++step) {
    const auto half = [&]<size_t kHalf, size_t... W>(std::index_sequence<W...>)
        __attribute__((always_inline)) {
      const typename V::F value[kVectors] = {
          LoadHalf<V, kHalf>(v + step * width + d + W * V::kLanes)...};
      ((acc[I] = V::Fma(V::Set1(p[I / kVectors * stride + step * kStep + kHalf]),
                        value[I % kVectors], acc[I])),
       ...);
    };
    half.template operator()<0>(std::make_index_sequence<kVectors>{});
    if constexpr (kStep == 2) half.template operator()<1>(std::make_index_sequence<kVectors>{});
  }
  const auto put = [&](size_t row, size_t vector, typename V::F sum) {
    float* to = out[row] + d + vector * V::kLanes;
    StorePart<V>(to, first ? sum : V::Add(LoadPart<V>(to, part), sum), part);
  };
  (put(I / kVectors, I % kVectors, acc[I]), ...);
}

template <typename V, typename T, int kRows>
void ValueChunk(const float* p, size_t stride, const typename PageOf<T>::Element* v, size_t dim,
                size_t n_keys, bool first, float* const* out) {
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
  using Element = typename PageOf<T>::Element;
  const size_t dim = args.head_dim, most = MostKeys(args.n_keys, args.n_rows),
               stride = AttentionScratch(most, dim);
  for (size_t key = 0; key < most; key += kChunk) {
    const Element* keys = PageAt<Element>(args, key, args.key_offset);
    ForRowTiles(args.n_rows, [&]<int kRows>(size_t row) {
      const size_t tile_keys = MostKeys(args.n_keys + row, kRows);
      if (tile_keys <= key) return;
      const size_t count = tile_keys - key < kChunk ? tile_keys - key : kChunk;
      ScoreChunk<V, T, kRows>(args.q + row, keys, (count + kUnit - 1) / kUnit, dim, args.scale,
                              args.scratch + row * stride + key, stride);
    });
  }
  float inverse[kAttentionRows];
  for (size_t row = 0; row < args.n_rows; ++row) {
    const size_t n_keys = static_cast<size_t>(args.n_keys[row]);
    const AttentionSums sums = ExpSums<V>(args.scratch + row * stride, n_keys);
    if (args.sums != nullptr) args.sums[row] = sums;
    inverse[row] = 1.0f / sums.total;
    for (size_t key = n_keys; key < most + most % 2; ++key)
      args.scratch[row * stride + key] = 0.0f;  // masked keys of the tile, and a pair's other half
  }
  for (size_t key = 0; key < most; key += kChunk) {
    const Element* values = PageAt<Element>(args, key, args.value_offset);
    ForRowTiles(args.n_rows, [&]<int kRows>(size_t row) {
      const size_t tile_keys = MostKeys(args.n_keys + row, kRows);
      if (tile_keys <= key) return;
      const size_t count = tile_keys - key < kChunk ? tile_keys - key : kChunk;
      ValueChunk<V, T, kRows>(args.scratch + row * stride + key, stride, values, dim, count,
                              key == 0, args.out + row);
    });
  }
  for (size_t row = 0; row < args.n_rows; ++row) {
    const auto scale = V::Set1(inverse[row]);
    ForVectors<V>(dim, [&](size_t d, size_t part) {
      StorePart<V>(args.out[row] + d, V::Mul(LoadPart<V>(args.out[row] + d, part), scale), part);
    });
  }
}
