// SPDX-License-Identifier: Apache-2.0
// Attention with AVX512_BF16: both products take pairs of bfloat16 into float32 sums. The softmax
// is the online one (running maximum and sum: Milakov and Gimelshein, 2018; tiled as in Dao et al.,
// FlashAttention, 2022), so memory does not grow with the number of keys.
//
// The tile of keys is kAttentionTile of them (four pages) from key 0 on, whatever the rows of the call, each row keeps its own
// maximum and sum, and keys that a row does not see add exact zeros: a row's bits depend on its
// query and its number of keys alone.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/tables.h"

namespace ingot {
namespace {

// A register tile of scores: 6 rows x 4 vectors of keys (24 sums, 4 keys, 1 query), a block; of
// values: 6 x 4 vectors of head_dim, 5 x 5 for head sizes of 65 to 80, and for a few rows whole
// keys, which are read once from memory in one stream.
constexpr size_t kTileRows = 6, kTileVectors = 4;
constexpr size_t kFewRows = 8;
static_assert(kAttentionPage == 16 * kTileVectors);
constexpr size_t kTilePages = kAttentionTile / kAttentionPage;
// Floats from one row of scores to the next: a tile, and a cache line so that rows do not share the
// sets of L1.
constexpr size_t kScoreStride = kAttentionTile + 16;

[[gnu::always_inline]] inline __m512 MulAdd(__m512 sum, __m512i a, __m512i b) {
  return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b);
}
[[gnu::always_inline]] inline __m512i Broadcast(const uint32_t* pair) {
  return _mm512_set1_epi32(static_cast<int>(*pair));
}
inline __mmask16 FirstLanes(size_t n) {
  return n >= 16 ? __mmask16{0xffff} : static_cast<__mmask16>((1u << n) - 1u);
}

// 2^x to 4e-6 of its value (Chebyshev interpolation of degree 4 on [-1/2, 1/2], exact at 0).
[[gnu::always_inline]] inline __m512 Exp2(__m512 x) {
  const __m512 n = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512 r = _mm512_sub_ps(x, n);
  __m512 p = _mm512_set1_ps(9.666368515388303e-3f);
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(5.592197584225635e-2f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(2.4022349038020302e-1f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(6.93121045203427e-1f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
  return _mm512_scalef_ps(p, n);
}

// Everything that a call keeps per row. Pairs of bfloat16 are uint32_t.
struct Rows {
  size_t count, dim, width;        // width = AttentionWidth(dim)
  const uint32_t* q;               // [count][dim / 2]
  float* scores;                   // [count][kScoreStride]; then weights, as pairs, at its begin
  float* sums;                     // [count][width], of weights times values
  float top[kAttentionRows];       // largest score so far, not scaled
  float shrink[kAttentionRows];    // what the tile's larger maximum makes of earlier sums
  size_t visible[kAttentionRows];  // keys of the tile in work
  __m512 weight[kAttentionRows];   // sums of weights, lane by lane
};

// As in simd_attention_i8.h: with few rows, what comes next is asked for while a page is worked on.
template <int kVectors>
[[gnu::always_inline]] inline void Ask(const uint32_t* ahead, size_t offset) {
#pragma GCC unroll 8
  for (size_t v = 0; v < kVectors; ++v) __builtin_prefetch(ahead + offset + 16 * v, 0, 2);
}

template <int kRows, int kVectors, bool kAsk>
[[gnu::noinline]] void ScoreTile(const Rows& rows, size_t row, const uint32_t* keys, float* scores,
                                 const uint32_t* ahead) {
  const size_t pairs = rows.dim / 2;
  const uint32_t* q = rows.q + row * pairs;
  __m512 acc[kRows][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int b = 0; b < kVectors; ++b) acc[r][b] = _mm512_setzero_ps();
  }
  for (size_t j = 0; j < pairs; ++j) {
    if constexpr (kAsk) Ask<kVectors>(ahead, j * kAttentionPage);
    __m512i k[kVectors];
#pragma GCC unroll 8
    for (int b = 0; b < kVectors; ++b) {
      k[b] = _mm512_loadu_si512(keys + j * kAttentionPage + static_cast<size_t>(b) * 16);
      asm("" : "+v"(k[b]));  // loaded once, not once a row
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const __m512i x = Broadcast(q + static_cast<size_t>(r) * pairs + j);
#pragma GCC unroll 8
      for (int b = 0; b < kVectors; ++b) acc[r][b] = MulAdd(acc[r][b], k[b], x);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int b = 0; b < kVectors; ++b) {
      _mm512_storeu_ps(scores + static_cast<size_t>(r) * kScoreStride + static_cast<size_t>(b) * 16,
                       acc[r][b]);
    }
  }
}

// The pages of a tile, one head's part of each.
struct TilePages {
  const uint32_t* page[kTilePages];
  size_t count;  // those that some row sees
};

// sums[row..][at..] = sums * shrink + weights * values for `pairs` pairs of keys.
template <int kRows, int kVectors, bool kAsk>
[[gnu::noinline]] void ValueTile(const Rows& rows, size_t row, const TilePages& pages, size_t pairs,
                                 size_t at, bool first, const TilePages& ahead) {
  constexpr size_t kPagePairs = kAttentionPage / 2;
  const uint32_t* weights = reinterpret_cast<const uint32_t*>(rows.scores + row * kScoreStride);
  float* sums = rows.sums + row * rows.width + at;
  __m512 acc[kRows][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    const __m512 shrink = _mm512_set1_ps(rows.shrink[row + static_cast<size_t>(r)]);
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      acc[r][v] =
          first ? _mm512_setzero_ps()
                : _mm512_mul_ps(shrink, _mm512_loadu_ps(sums + static_cast<size_t>(r) * rows.width +
                                                        static_cast<size_t>(v) * 16));
    }
  }
  for (size_t begin = 0; begin < pairs; begin += kPagePairs) {
    const uint32_t* values = pages.page[begin / kPagePairs] + at;
    const uint32_t* next = ahead.page[begin / kPagePairs] + at;
    const size_t count = pairs - begin < kPagePairs ? pairs - begin : kPagePairs;
    for (size_t j = 0; j < count; ++j) {
      if constexpr (kAsk) Ask<kVectors>(next, j * rows.width);
      __m512i value[kVectors];
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        value[v] = _mm512_loadu_si512(values + j * rows.width + static_cast<size_t>(v) * 16);
        asm("" : "+v"(value[v]));
      }
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        const __m512i x = Broadcast(weights + static_cast<size_t>(r) * kScoreStride + begin + j);
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) acc[r][v] = MulAdd(acc[r][v], value[v], x);
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      _mm512_storeu_ps(sums + static_cast<size_t>(r) * rows.width + static_cast<size_t>(v) * 16,
                       acc[r][v]);
    }
  }
}

// body.operator()<n>(...) for n = 1 .. kMost.
template <int kMost, typename Body>
[[gnu::always_inline]] inline void WithCount(size_t n, Body body) {
  if constexpr (kMost > 1) {
    if (n < static_cast<size_t>(kMost)) return WithCount<kMost - 1>(n, body);
  }
  body.template operator()<kMost>();
}

inline size_t MostVisible(const Rows& rows, size_t begin, size_t end) {
  size_t most = 0;
  for (size_t row = begin; row < end; ++row)
    most = rows.visible[row] > most ? rows.visible[row] : most;
  return most;
}

// Calls body.operator()<n>(first row) on tiles of up to kMost rows.
template <int kMost, typename Body>
[[gnu::always_inline]] inline void ForRowTiles(size_t count, Body body) {
  for (size_t row = 0; row < count; row += kMost) {
    WithCount<kMost>(count - row < kMost ? count - row : kMost,
                     [&]<int kRows>() { body.template operator()<kRows>(row); });
  }
}

// body.operator()<kAsk>().
template <typename Body>
[[gnu::always_inline]] inline void WithAsk(const Rows& rows, size_t row, Body body) {
  if (row == 0 && rows.count <= kFewRows) return body.template operator()<true>();
  body.template operator()<false>();
}

void ScoreTiles(const Rows& rows, const TilePages& pages, const TilePages& values) {
  for (size_t page = 0; page < pages.count; ++page) {
    const uint32_t* block = pages.page[page];
    const size_t key = page * kAttentionPage;
    ForRowTiles<kTileRows>(rows.count, [&]<int kRows>(size_t row) {
      const size_t most = MostVisible(rows, row, row + kRows);
      if (most <= key) return;
      float* scores = rows.scores + row * kScoreStride + key;
      const size_t vectors = most - key < kAttentionPage ? (most - key + 15) / 16 : 4;
      WithCount<4>(vectors, [&]<int kVectors>() {
        WithAsk(rows, row, [&]<bool kAsk>() {
          ScoreTile<kRows, kVectors, kAsk>(rows, row, block, scores, values.page[page]);
        });
      });
    });
  }
}

// Scores of a tile -> weights 2^((score - top) scale) as pairs of bfloat16, zeros behind the
// visible ones up to `padded` (even); maximum and sums of the row brought up to date.
void WeighRow(Rows& rows, size_t row, size_t padded, float scale, bool first) {
  float* scores = rows.scores + row * kScoreStride;
  const size_t count = rows.visible[row];
  __m512 most = _mm512_set1_ps(-__builtin_inff());
  for (size_t i = 0; i < count; i += 16) {
    const __mmask16 lanes = FirstLanes(count - i);
    most = _mm512_mask_max_ps(most, lanes, most, _mm512_loadu_ps(scores + i));
  }
  rows.shrink[row] = 1.0f;
  if (count > 0) {
    const float top = _mm512_reduce_max_ps(most), before = rows.top[row];
    if (first) {
      rows.top[row] = top;
    } else if (!(top <= before)) {
      rows.top[row] = top;
      rows.shrink[row] = _mm512_cvtss_f32(Exp2(_mm512_set1_ps((before - top) * scale)));
    }
  }
  __m512 sum = first ? _mm512_setzero_ps()
                     : _mm512_mul_ps(rows.weight[row], _mm512_set1_ps(rows.shrink[row]));
  const __m512 factor = _mm512_set1_ps(scale), top = _mm512_set1_ps(rows.top[row]);
  const auto weigh = [&](__m512 score) __attribute__((always_inline)) {
    return Exp2(_mm512_mul_ps(_mm512_sub_ps(score, top), factor));  // exactly 1 at the maximum
  };
  uint16_t* weights = reinterpret_cast<uint16_t*>(scores);
  size_t i = 0;
  for (; i + 32 <= count; i += 32) {
    const __m512 a = weigh(_mm512_loadu_ps(scores + i));
    const __m512 b = weigh(_mm512_loadu_ps(scores + i + 16));
    sum = _mm512_add_ps(_mm512_add_ps(sum, a), b);
    _mm512_storeu_si512(weights + i, (__m512i)_mm512_cvtne2ps_pbh(b, a));
  }
  for (; i < padded; i += 32) {
    const size_t left = count > i ? count - i : 0;
    const __mmask16 low = FirstLanes(left), high = FirstLanes(left > 16 ? left - 16 : 0);
    const __m512 a = _mm512_maskz_mov_ps(low, weigh(_mm512_maskz_loadu_ps(low, scores + i)));
    const __m512 b = _mm512_maskz_mov_ps(high, weigh(_mm512_maskz_loadu_ps(high, scores + i + 16)));
    sum = _mm512_add_ps(_mm512_add_ps(sum, a), b);
    _mm512_storeu_si512(weights + i, (__m512i)_mm512_cvtne2ps_pbh(b, a));
  }
  rows.weight[row] = sum;
}

void ValueTiles(const Rows& rows, const TilePages& values, bool first,
                const TilePages& next_keys) {
  const auto run = [&]<int kMost, int kVectors>(size_t at) {
    ForRowTiles<kMost>(rows.count, [&]<int kRows>(size_t row) {
      const size_t pairs = (MostVisible(rows, row, row + kRows) + 1) / 2;
      if (pairs == 0) return;
      WithAsk(rows, row, [&]<bool kAsk>() {
        ValueTile<kRows, kVectors, kAsk>(rows, row, values, pairs, at, first, next_keys);
      });
    });
  };
  if (rows.width == 80) return run.template operator()<5, 5>(0);
  if (rows.width == 128 && rows.count <= kFewRows) return run.template operator()<2, 8>(0);
  size_t at = 0;
  for (; at + 16 * kTileVectors <= rows.width; at += 16 * kTileVectors)
    run.template operator()<kTileRows, kTileVectors>(at);
  if (at < rows.width) {
    WithCount<kTileVectors - 1>((rows.width - at) / 16, [&]<int kVectors>() {
      run.template operator()<kTileRows, kVectors>(at);
    });
  }
}

void RoundQueries(const AttentionArgs& args, uint32_t* q) {
  for (size_t row = 0; row < args.n_rows; ++row) {
    uint16_t* to = reinterpret_cast<uint16_t*>(q + row * (args.head_dim / 2));
    for (size_t d = 0; d < args.head_dim; d += 16) {
      const __mmask16 lanes = FirstLanes(args.head_dim - d);
      const __m256bh bits = _mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(lanes, args.q[row] + d));
      _mm256_mask_storeu_epi16(to + d, lanes, (__m256i)bits);
    }
  }
}

void WriteRow(const Rows& rows, size_t row, const AttentionArgs& args) {
  const float total = _mm512_reduce_add_ps(rows.weight[row]);
  if (args.sums != nullptr) args.sums[row] = {rows.top[row] * args.scale, total};
  float* out = args.out[row];
  const __m512 inverse = _mm512_set1_ps(1.0f / total);
  for (size_t d = 0; d < rows.dim; d += 16) {
    const __m512 sum = _mm512_loadu_ps(rows.sums + row * rows.width + d);
    _mm512_mask_storeu_ps(out + d, FirstLanes(rows.dim - d), _mm512_mul_ps(sum, inverse));
  }
}

// The pages of the tile that begins at `key`; where no row sees it, those of `other`.
TilePages PagesAt(const AttentionArgs& args, size_t key, size_t most, size_t offset,
                  const TilePages& other) {
  TilePages pages = other;
  pages.count = 0;
  for (; pages.count < kTilePages && key + pages.count * kAttentionPage < most; ++pages.count) {
    pages.page[pages.count] = reinterpret_cast<const uint32_t*>(
        args.pages[key / kAttentionPage + pages.count] + offset);
  }
  return pages;
}

void AttentionBf16(const AttentionArgs& args) {
  Rows rows;
  rows.count = args.n_rows;
  rows.dim = args.head_dim;
  rows.width = AttentionWidth(args.head_dim);
  rows.scores = args.scratch;
  rows.sums = rows.scores + rows.count * kScoreStride;
  uint32_t* q = reinterpret_cast<uint32_t*>(rows.sums + rows.count * rows.width);
  RoundQueries(args, q);
  rows.q = q;
  size_t most = 0;
  for (size_t row = 0; row < rows.count; ++row) {
    const size_t n_keys = static_cast<size_t>(args.n_keys[row]);
    most = n_keys > most ? n_keys : most;
  }
  const float scale = args.scale * 1.44269504088896341f;  // of the power of 2
  TilePages keys = PagesAt(args, 0, most, args.key_offset, {});
  for (size_t key = 0; key < most; key += kAttentionTile) {
    const TilePages values = PagesAt(args, key, most, args.value_offset, keys);
    const TilePages next_keys = PagesAt(args, key + kAttentionTile, most, args.key_offset, values);
    for (size_t row = 0; row < rows.count; ++row) {
      const size_t n_keys = static_cast<size_t>(args.n_keys[row]),
                   left = n_keys > key ? n_keys - key : 0;
      rows.visible[row] = left < kAttentionTile ? left : kAttentionTile;
    }
    ScoreTiles(rows, keys, values);
    const size_t padded = MostVisible(rows, 0, rows.count);
    for (size_t row = 0; row < rows.count; ++row) WeighRow(rows, row, padded, scale, key == 0);
    ValueTiles(rows, values, key == 0, next_keys);
    keys = next_keys;
  }
  for (size_t row = 0; row < rows.count; ++row) WriteRow(rows, row, args);
}

}  // namespace

void AddAvx512Bf16Attention(KernelTable* table) { table->attention_bf16 = AttentionBf16; }

}  // namespace ingot
