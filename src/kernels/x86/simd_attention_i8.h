// SPDX-License-Identifier: Apache-2.0
// Attention over int8 pages (AttentionArgs) for a policy P of integer products on top of a float
// vector type P::V; arm/ uses it, too. Included inside an anonymous namespace after simd_float.h.
//
// q is rounded to 16 bits (15 and sign), so both products are of integers: q of 16 bits and keys of 8,
// weights of 16 bits and values of 8. Their sums fit 32 bits (32512 * 255 * 256 keys, head sizes up
// to 256), so they are exact, and the same on every CPU. A product of 16 by 8 bits is two
// instructions of the 8-bit dot product, high and low byte, or one of pairs of 16 bits; either way
// four neighbouring positions of q (or of the weights) are two 32-bit words, which P lays out.
//
// The softmax is the online one as in avx512_bf16_attention.cc: tiles of kAttentionTile keys from
// key 0 on, a maximum and a sum for each row; a row's bits depend on its query and its number of keys
// alone. Scores are in units of log2.

inline constexpr size_t kI8TilePages = kAttentionTile / kAttentionPage;
inline constexpr size_t kI8ScoreStride = kAttentionTile + 16;
inline constexpr float kI8Largest = 32512.0f;  // 127 * 256: its high byte is at most 127

template <typename P>
struct I8Rows {
  size_t count, dim, width, quads;  // width = AttentionWidth(dim), quads = AttentionQuads(dim)
  int32_t* q;                       // [count][width / 4][2] words
  float* scores;                    // [count][kI8ScoreStride]; then weights, as words, at its begin
  float* sums;                      // [count][width], of weights times values
  float q_unit[kAttentionRows];     // a score is q_unit * scale of the key * the integer sum
  int32_t q_bias[kAttentionRows];   // what the code + 128 of keys puts on top of the integer sum
  float top[kAttentionRows];        // largest score so far
  float shrink[kAttentionRows];     // what the tile's larger maximum makes of earlier sums
  float unit[kAttentionRows];       // of the tile's integer weights
  size_t visible[kAttentionRows];   // keys of the tile in work
  typename P::V::F weight[kAttentionRows];  // sums of weights, lane by lane
};

struct I8Page {
  const uint32_t* elements;
  const float* scales;
};
struct I8Pages {  // of a tile
  I8Page page[kI8TilePages];
  size_t count;  // those that some row sees
};
inline constexpr size_t kI8FewRows = 8;

// 2^x to 4e-6 of its value for x <= 0 (as in avx512_bf16_attention.cc), about 0 below -125. NaN
// passes through.
template <typename V>
[[gnu::always_inline]] inline typename V::F Exp2(typename V::F x) {
  x = V::Max(V::Set1(-125.0f), x);
  const auto n = V::Round(x);
  const auto r = V::Sub(x, n);
  auto p = V::Set1(9.666368515388303e-3f);
  p = V::Fma(p, r, V::Set1(5.592197584225635e-2f));
  p = V::Fma(p, r, V::Set1(2.4022349038020302e-1f));
  p = V::Fma(p, r, V::Set1(6.93121045203427e-1f));
  p = V::Fma(p, r, V::Set1(1.0f));
  return V::TimesPow2(p, n);
}

// x * factor as an integer of at most kI8Largest.
template <typename V>
[[gnu::always_inline]] inline typename V::F I8Round(typename V::F x, typename V::F factor) {
  return V::Round(V::Min(V::Max(V::Mul(x, factor), V::Set1(-kI8Largest)), V::Set1(kI8Largest)));
}
// The factor for values up to `largest`; 0 for what is as good as nothing.
inline float I8Factor(float largest) {
  return largest > 0x1p-100f && largest < 0x1p120f ? kI8Largest / largest : 0.0f;
}

template <typename P>
void I8Query(I8Rows<P>& rows, size_t row, const float* q, float scale) {
  using V = typename P::V;
  auto top = V::Zero(), poison = V::Zero();  // NaN when something is not finite
  ForVectors<V>(rows.dim, [&](size_t d, size_t part) {
    const auto x = LoadPart<V>(q + d, part);
    top = V::Max(V::Abs(x), top);
    poison = V::Fma(x, V::Zero(), poison);
  });
  const float largest = V::HMax(top);
  const auto factor = V::Set1(I8Factor(largest));
  auto sum = V::Zero();  // exact: integers below 2^24
  int32_t* to = rows.q + row * rows.width / 2;
  size_t d = 0;
  ForVectors<V>(rows.dim, [&](size_t at, size_t part) {
    const auto code = I8Round<V>(V::Select(part, LoadPart<V>(q + at, part), V::Zero()), factor);
    sum = V::Add(sum, code);
    P::SplitQuery(P::ToInt(code), to + at / 2);
    d = at + V::kLanes;
  });
  for (; d < rows.width; d += V::kLanes) P::SplitQuery(P::ToInt(V::Zero()), to + d / 2);
  rows.q_unit[row] = largest / kI8Largest * scale + V::HSum(poison);
  rows.q_bias[row] = P::kKeyBias * static_cast<int32_t>(V::HSum(sum));
}

// With few rows, keys and values come from memory at the pace of reading: while one is worked on, what
// comes next is asked for, at the same offset of the page `ahead`: a page's part is hardly longer than
// what hardware prefetchers need to get going.
template <int kVectors, size_t kLanes>
[[gnu::always_inline]] inline void I8Ask(const uint32_t* ahead, size_t offset) {
#pragma GCC unroll 8
  for (size_t at = 0; at < kVectors * kLanes; at += 16) __builtin_prefetch(ahead + offset + at, 0, 2);
}

template <typename P, int kRows, int kVectors, bool kAsk>
[[gnu::noinline]] void I8ScoreTile(const I8Rows<P>& rows, size_t row, const uint32_t* keys,
                                   const float* key_scales, float* scores,
                                   const uint32_t* ahead) {
  using V = typename P::V;
  const size_t q_stride = rows.width / 2;
  const int32_t* q = rows.q + row * q_stride;
  typename P::I acc[kRows][kVectors][P::kSums];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
#pragma GCC unroll 2
      for (int s = 0; s < P::kSums; ++s) acc[r][v][s] = P::ZeroInt();
    }
  }
  for (size_t j = 0; j < rows.quads; ++j) {
    if constexpr (kAsk) I8Ask<kVectors, V::kLanes>(ahead, j * kAttentionPage);
    typename P::Bytes k[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v)
      k[v] = P::LoadKeys(keys + j * kAttentionPage + static_cast<size_t>(v) * V::kLanes);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const int32_t* words = q + static_cast<size_t>(r) * q_stride + 2 * j;
      const auto low = P::Word(words);
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) P::template AddKeys<0>(acc[r][v], k[v], low);
      const auto high = P::Word(words + 1);
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) P::template AddKeys<1>(acc[r][v], k[v], high);
    }
  }
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) {
    const auto scale = V::Load(key_scales + static_cast<size_t>(v) * V::kLanes);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const size_t at = row + static_cast<size_t>(r);
      const auto sum = P::ToFloat(P::Minus(P::Total(acc[r][v]), rows.q_bias[at]));
      V::Store(scores + static_cast<size_t>(r) * kI8ScoreStride +
                   static_cast<size_t>(v) * V::kLanes,
               V::Mul(V::Mul(sum, V::Set1(rows.q_unit[at])), scale));
    }
  }
}

// sums[row..][at..] = sums * shrink + weights * values for `quads` quads of keys.
template <typename P, int kRows, int kVectors, bool kAsk>
[[gnu::noinline]] void I8ValueTile(const I8Rows<P>& rows, size_t row, const I8Pages& pages,
                                   size_t quads, size_t at, bool first, const I8Pages& ahead) {
  using V = typename P::V;
  constexpr size_t kPageQuads = kAttentionPage / 4;
  const auto* weights = reinterpret_cast<const int32_t*>(rows.scores + row * kI8ScoreStride);
  typename P::I acc[kRows][kVectors][P::kSums];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
#pragma GCC unroll 2
      for (int s = 0; s < P::kSums; ++s) acc[r][v][s] = P::ZeroInt();
    }
  }
  for (size_t begin = 0; begin < quads; begin += kPageQuads) {
    const uint32_t* values = pages.page[begin / kPageQuads].elements + at;
    const size_t count = quads - begin < kPageQuads ? quads - begin : kPageQuads;
    const uint32_t* next = ahead.page[begin / kPageQuads].elements + at;
    for (size_t j = 0; j < count; ++j) {
      if constexpr (kAsk) I8Ask<kVectors, V::kLanes>(next, j * rows.width);
      typename P::Bytes value[kVectors];
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v)
        value[v] = P::LoadValues(values + j * rows.width + static_cast<size_t>(v) * V::kLanes);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        const int32_t* words =
            weights + static_cast<size_t>(r) * kI8ScoreStride + 2 * (begin + j);
        const auto low = P::Word(words);
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) P::template AddValues<0>(acc[r][v], value[v], low);
        const auto high = P::Word(words + 1);
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) P::template AddValues<1>(acc[r][v], value[v], high);
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    const size_t of = row + static_cast<size_t>(r);
    const auto shrink = V::Set1(rows.shrink[of]), unit = V::Set1(rows.unit[of]);
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      float* sums = rows.sums + of * rows.width + at + static_cast<size_t>(v) * V::kLanes;
      const auto before = first ? V::Zero() : V::Mul(V::Load(sums), shrink);
      V::Store(sums, V::Fma(P::ToFloat(P::Total(acc[r][v])), unit, before));
    }
  }
}

// Calls body.operator()<n>(...) with n = 1 .. kMost.
template <int kMost, typename Body>
[[gnu::always_inline]] inline void I8WithCount(size_t n, Body body) {
  if constexpr (kMost > 1) {
    if (n < static_cast<size_t>(kMost)) return I8WithCount<kMost - 1>(n, body);
  }
  body.template operator()<kMost>();
}

// Calls body.operator()<n>(first row) on tiles of up to kMost rows, of nearly equal height.
template <int kMost, typename Body>
[[gnu::always_inline]] inline void I8RowTiles(size_t count, Body body) {
  const size_t tiles = (count + kMost - 1) / kMost;
  for (size_t tile = 0; tile < tiles; ++tile) {
    const size_t row = count * tile / tiles, end = count * (tile + 1) / tiles;
    I8WithCount<kMost>(end - row, [&]<int kRows>() { body.template operator()<kRows>(row); });
  }
}

template <typename P>
size_t I8MostVisible(const I8Rows<P>& rows, size_t begin, size_t end) {
  size_t most = 0;
  for (size_t row = begin; row < end; ++row)
    most = rows.visible[row] > most ? rows.visible[row] : most;
  return most;
}

// body.operator()<whether>().
template <typename Body>
[[gnu::always_inline]] inline void I8Whether(bool yes, Body body) {
  if (yes) return body.template operator()<true>();
  body.template operator()<false>();
}

template <typename P>
void I8ScoreTiles(const I8Rows<P>& rows, const I8Pages& pages, const I8Pages& values) {
  constexpr size_t kLanes = P::V::kLanes, kWide = P::kKeyVectors * kLanes;
  for (size_t page = 0; page < pages.count; ++page) {
    const size_t key = page * kAttentionPage;
    I8RowTiles<P::kRows>(rows.count, [&]<int kRows>(size_t row) {
      const size_t most = I8MostVisible(rows, row, row + kRows);
      if (most <= key) return;
      const size_t count = most - key < kAttentionPage ? most - key : kAttentionPage;
      for (size_t at = 0; at < count; at += kWide) {
        const size_t left = (count - at + kLanes - 1) / kLanes;
        float* scores = rows.scores + row * kI8ScoreStride + key + at;
        const I8Page& part = pages.page[page];
        I8WithCount<P::kKeyVectors>(left, [&]<int kVectors>() {
          I8Whether(row == 0 && rows.count <= kI8FewRows, [&]<bool kAsk>() {
            I8ScoreTile<P, kRows, kVectors, kAsk>(rows, row, part.elements + at, part.scales + at,
                                                  scores, values.page[page].elements + at);
          });
        });
      }
    });
  }
}

// Scores of a tile -> weights 2^(score - top) times the values' scales, in place; their largest.
// Maximum and sum of the row are brought up to date.
template <typename P>
float I8Weigh(I8Rows<P>& rows, size_t row, const I8Pages& values, bool first) {
  using V = typename P::V;
  float* scores = rows.scores + row * kI8ScoreStride;
  const size_t count = rows.visible[row];
  rows.shrink[row] = 1.0f;
  if (count == 0) return 0.0f;
  auto most = V::Set1(-__builtin_inff());
  ForVectors<V>(count, [&](size_t i, size_t part) {
    most = V::Max(V::Select(part, V::Load(scores + i), most), most);
  });
  const float top = V::HMax(most), before = rows.top[row];
  if (first) {
    rows.top[row] = top;
  } else if (!(top <= before)) {
    rows.top[row] = top;
    alignas(64) float lanes[V::kLanes];
    V::Store(lanes, Exp2<V>(V::Set1(before - top)));
    rows.shrink[row] = lanes[0];
  }
  const auto largest = V::Set1(rows.top[row]);
  auto sum = first ? V::Zero() : V::Mul(rows.weight[row], V::Set1(rows.shrink[row]));
  auto heaviest = V::Zero(), poison = V::Zero();
  ForVectors<V>(count, [&](size_t i, size_t part) {
    const float* scale = values.page[i / kAttentionPage].scales + i % kAttentionPage;
    const auto e = Exp2<V>(V::Sub(V::Load(scores + i), largest));
    const auto weight = V::Select(part, V::Mul(e, V::Load(scale)), V::Zero());
    sum = V::Add(sum, V::Select(part, e, V::Zero()));
    heaviest = V::Max(weight, heaviest);
    poison = V::Fma(weight, V::Zero(), poison);
    V::Store(scores + i, weight);
  });
  rows.weight[row] = sum;
  return V::HMax(heaviest) + V::HSum(poison);
}

// Weights of a tile -> words, in place; zeros behind the visible ones.
template <typename P>
void I8RoundWeights(I8Rows<P>& rows, size_t row, float heaviest, size_t padded) {
  using V = typename P::V;
  float* scores = rows.scores + row * kI8ScoreStride;
  auto* words = reinterpret_cast<int32_t*>(scores);
  const size_t count = rows.visible[row];
  const float factor = I8Factor(heaviest);
  rows.unit[row] = factor > 0 || heaviest != heaviest ? heaviest / kI8Largest : 0.0f;
  size_t i = 0;
  for (; i < count; i += V::kLanes)
    P::SplitWeights(P::ToInt(I8Round<V>(V::Load(scores + i), V::Set1(factor))), words + i / 2);
  for (; i < padded; i += V::kLanes) P::SplitWeights(P::ToInt(V::Zero()), words + i / 2);
}

template <typename P>
void I8ValueTiles(const I8Rows<P>& rows, const I8Pages& values, bool first,
                  const I8Pages& next_keys) {
  constexpr size_t kLanes = P::V::kLanes, kWide = P::kValueVectors * kLanes;
  for (size_t at = 0; at < rows.width; at += kWide) {
    const size_t left = (rows.width - at) / kLanes;
    I8RowTiles<P::kRows>(rows.count, [&]<int kRows>(size_t row) {
      const size_t quads = (I8MostVisible(rows, row, row + kRows) + 3) / 4;
      if (quads == 0) return;
      I8WithCount<P::kValueVectors>(left, [&]<int kVectors>() {
        I8Whether(row == 0 && rows.count <= kI8FewRows, [&]<bool kAsk>() {
          I8ValueTile<P, kRows, kVectors, kAsk>(rows, row, values, quads, at, first, next_keys);
        });
      });
    });
  }
}

// The pages of the tile that begins at `key`; where no row sees it, those of `other`.
inline I8Pages I8PagesAt(const AttentionArgs& args, size_t key, size_t most, size_t offset,
                         size_t elements, const I8Pages& other) {
  I8Pages pages = other;
  pages.count = 0;
  for (; pages.count < kI8TilePages && key + pages.count * kAttentionPage < most; ++pages.count) {
    const auto* part = reinterpret_cast<const uint32_t*>(
        args.pages[key / kAttentionPage + pages.count] + offset);
    pages.page[pages.count] = {part, reinterpret_cast<const float*>(part + elements)};
  }
  return pages;
}

template <typename P>
void I8WriteRow(const I8Rows<P>& rows, size_t row, const AttentionArgs& args) {
  using V = typename P::V;
  constexpr float kLn2 = 0.693147180559945309f;
  const float total = V::HSum(rows.weight[row]);
  if (args.sums != nullptr) args.sums[row] = {rows.top[row] * kLn2, total};
  const auto inverse = V::Set1(1.0f / total);
  ForVectors<V>(rows.dim, [&](size_t d, size_t part) {
    const auto sum = V::Load(rows.sums + row * rows.width + d);
    StorePart<V>(args.out[row] + d, V::Mul(sum, inverse), part);
  });
}

template <typename P>
void AttentionI8(const AttentionArgs& args) {
  I8Rows<P> rows;
  rows.count = args.n_rows;
  rows.dim = args.head_dim;
  rows.width = AttentionWidth(args.head_dim);
  rows.quads = AttentionQuads(args.head_dim);
  rows.scores = args.scratch;
  rows.sums = rows.scores + rows.count * kI8ScoreStride;
  rows.q = reinterpret_cast<int32_t*>(rows.sums + rows.count * rows.width);
  const float scale = args.scale * 1.44269504088896341f;
  size_t most = 0;
  for (size_t row = 0; row < rows.count; ++row) {
    I8Query(rows, row, args.q[row], scale);
    const size_t n_keys = static_cast<size_t>(args.n_keys[row]);
    most = n_keys > most ? n_keys : most;
  }
  const size_t key_elements = rows.quads * kAttentionPage,
               value_elements = kAttentionPage / 4 * rows.width;
  I8Pages keys = I8PagesAt(args, 0, most, args.key_offset, key_elements, {});
  for (size_t key = 0; key < most; key += kAttentionTile) {
    const I8Pages values = I8PagesAt(args, key, most, args.value_offset, value_elements, keys);
    const I8Pages next_keys =
        I8PagesAt(args, key + kAttentionTile, most, args.key_offset, key_elements, values);
    for (size_t row = 0; row < rows.count; ++row) {
      const size_t n_keys = static_cast<size_t>(args.n_keys[row]),
                   left = n_keys > key ? n_keys - key : 0;
      rows.visible[row] = left < kAttentionTile ? left : kAttentionTile;
    }
    I8ScoreTiles(rows, keys, values);
    const size_t padded = (I8MostVisible(rows, 0, rows.count) + 15) / 16 * 16;
    for (size_t row = 0; row < rows.count; ++row)
      I8RoundWeights(rows, row, I8Weigh(rows, row, values, key == 0), padded);
    I8ValueTiles(rows, values, key == 0, next_keys);
    keys = next_keys;
  }
  for (size_t row = 0; row < rows.count; ++row) I8WriteRow(rows, row, args);
}
