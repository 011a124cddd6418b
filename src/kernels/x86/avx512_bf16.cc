// SPDX-License-Identifier: Apache-2.0
// bfloat16 products with AVX512_BF16: two products per lane and instruction, float32 sums
// (denormals count as zero).
#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "kernels/tables.h"

namespace ingot {
namespace {

#include "kernels/x86/simd_matmul.h"
#include "kernels/x86/simd_packed.h"
// Uses nothing of them, but belongs behind them.
#include "kernels/x86/avx512_packed.h"

struct Bf16Dot {
  using X = uint16_t;
  using W = uint16_t;
  using Y = float;
  using Vec = __m512bh;
  using Acc = __m512;
  static constexpr size_t kStep = 32, kBlockK = 1024;
  static inline Acc Zero() { return _mm512_setzero_ps(); }
  static inline __mmask32 First(size_t n) { return (1u << n) - 1u; }  // n < 32
  static inline Vec LoadX(const X* p) { return (Vec)_mm512_loadu_si512(p); }
  static inline Vec LoadXN(const X* p, size_t n) {
    return (Vec)_mm512_maskz_loadu_epi16(First(n), p);
  }
  static inline Vec LoadW(const W* p) { return LoadX(p); }
  static inline Vec LoadWN(const W* p, size_t n) { return LoadXN(p, n); }
  static inline Acc MulAdd(Vec x, Vec w, Acc acc) { return _mm512_dpbf16_ps(acc, x, w); }
  static inline void Pin(Vec& v) { asm("" : "+v"(v)); }
  // As V::Reduce8 of avx512.cc.
  static inline void Reduce8(Acc a, Acc b, Acc c, Acc d, Acc e, Acc f, Acc g, Acc h, float* out) {
    const Acc low = Quad(Pair(a, b), Pair(c, d)), high = Quad(Pair(e, f), Pair(g, h));
    const Acc halves =
        _mm512_add_ps(_mm512_shuffle_f32x4(low, high, 0x88), _mm512_shuffle_f32x4(low, high, 0xdd));
    const Acc sums = _mm512_add_ps(_mm512_shuffle_f32x4(halves, halves, 0x08),
                                   _mm512_shuffle_f32x4(halves, halves, 0x0d));
    _mm256_storeu_ps(out, _mm512_castps512_ps256(sums));
  }
  static inline void WidenRow(const W* w, size_t n, W* out) {
    __builtin_memcpy(out, w, n * sizeof(W));
  }

 private:
  static inline Acc Pair(Acc a, Acc b) {
    return _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
  }
  static inline Acc Quad(Acc a, Acc b) {
    const __m512d x = _mm512_castps_pd(a), y = _mm512_castps_pd(b);
    return _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(x, y)),
                         _mm512_castpd_ps(_mm512_unpackhi_pd(x, y)));
  }
};

void MatmulBf16(const uint16_t* x, size_t ldx, size_t rows, const uint16_t* w, size_t n_out,
                size_t k_size, const float* bias, float* y, size_t ldy) {
  MatmulAny<Bf16Dot, Bf16Dot, 3, 8>(x, ldx, rows, w, n_out, k_size, bias, y, ldy);
}

struct Bf16Packed {
  using Acc = __m512;
  using W = __m512i;
  using Epilogue = FloatEpilogue;
  static constexpr size_t kLanes = 16, kColumnVectors = 2, kMaxRows = 12, kPanelsOfOne = 1;
  static constexpr size_t kXBytes = 4, kVectorBytes = 64, kSteps = 1;
  static inline Acc Zero() { return _mm512_setzero_ps(); }
  static inline W LoadW(const std::byte* p, size_t) { return _mm512_loadu_si512(p); }
  static inline __m512i LoadX(const std::byte* p, size_t) {
    int32_t group;
    __builtin_memcpy(&group, p, 4);
    return _mm512_set1_epi32(group);
  }
  static inline void Pin(__m512i& v) { asm("" : "+v"(v)); }
  static inline Acc MulAdd(Acc acc, __m512i x, W w) {
    return _mm512_dpbf16_ps(acc, (__m512bh)x, (__m512bh)w);
  }
};

void PackPanelBf16(const void* w, size_t n_out, size_t k_size, std::byte* panel, int32_t*) {
  PackPanel32(w, n_out, k_size * sizeof(uint16_t), panel, /*whole_lines=*/false);
}

void PackRowsBf16(const void* x, size_t n_rows, size_t k_size, std::byte* tile) {
  PackTileRows(x, n_rows, k_size * sizeof(uint16_t), 0, tile);
}

}  // namespace

void AddAvx512Bf16Kernels(KernelTable* table) {
  static const PackedKernels packed = {.columns = 32,
                                       .group = 2,
                                       .rows = Bf16Packed::kMaxRows,
                                       .w_bytes = sizeof(uint16_t),
                                       .x_bytes = Bf16Packed::kXBytes,
                                       .pack_panel = PackPanelBf16,
                                       .pack_rows = PackRowsBf16,
                                       .tile = RunPackedTile<Bf16Packed>};
  table->matmul_bf16 = MatmulBf16;
  table->packed_bf16 = &packed;
}

}  // namespace ingot
