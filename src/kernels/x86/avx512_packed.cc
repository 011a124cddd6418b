// SPDX-License-Identifier: Apache-2.0
// int8 products with packed weights on AVX-512 VNNI. vpdpbusd multiplies unsigned by signed bytes:
// x goes in as x + 128 and 128 * sum(w), known when the weights are packed, is taken off each sum.
// Four products are added in 32 bits without saturation, so the sums are exact.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "kernels/tables.h"

namespace ingot {
namespace {

#include "kernels/x86/simd_packed.h"
// Uses nothing of it, but belongs behind it.
#include "kernels/x86/avx512_packed.h"

// Sums are typed as int32 lanes: with __m512i (int64 lanes) gcc 12 copies and spills.
using I32x16 = int32_t __attribute__((vector_size(64)));

// The order of operations is that of DequantizeI32 (elementwise.h): the same bits.
struct Int8Epilogue {
  Int8Epilogue(const PackedTile& tile, size_t column, size_t count)
      : mask(LaneMask(count)),
        ldy(tile.ldy),
        y(tile.y + column),
        row_scales(tile.row_scales),
        add(_mm512_maskz_loadu_epi32(mask, tile.column_sums + column)),
        deq(_mm512_maskz_loadu_ps(mask, tile.deq + column)),
        bias(tile.bias == nullptr ? _mm512_setzero_ps()
                                  : _mm512_maskz_loadu_ps(mask, tile.bias + column)),
        has_bias(tile.bias != nullptr) {
    if (tile.quant_bias != nullptr)
      add = _mm512_add_epi32(add, _mm512_maskz_loadu_epi32(mask, tile.quant_bias + column));
  }
  inline void Store(I32x16 acc, size_t m) const {
    __m512 value = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_add_epi32((__m512i)acc, add)), deq);
    if (row_scales != nullptr) value = _mm512_mul_ps(value, _mm512_set1_ps(row_scales[m]));
    if (has_bias) value = _mm512_add_ps(value, bias);
    _mm512_mask_storeu_ps(y + m * ldy, mask, value);
  }
  __mmask16 mask;
  size_t ldy;
  float* y;
  const float* row_scales;
  __m512i add;
  __m512 deq, bias;
  bool has_bias;
};

struct Int8Packed {
  using Acc = I32x16;
  using W = __m512i;
  using Epilogue = Int8Epilogue;
  static constexpr size_t kLanes = 16, kColumnVectors = 2, kMaxRows = 12;
  static constexpr size_t kXBytes = 4, kVectorBytes = 64, kSteps = 1;
  static inline Acc Zero() { return Acc{}; }
  static inline W LoadW(const std::byte* p, size_t) { return _mm512_loadu_si512(p); }
  static inline __m512i LoadX(const std::byte* p, size_t) {
    int32_t group;
    __builtin_memcpy(&group, p, 4);
    return _mm512_set1_epi32(group);
  }
  static inline void Pin(__m512i& v) { asm("" : "+v"(v)); }
  static inline Acc MulAdd(Acc acc, __m512i x, W w) {
    return (Acc)_mm512_dpbusd_epi32((__m512i)acc, x, w);
  }
};

// -128 * (the sum of each row of w), wrapping.
void ColumnSums(const int8_t* w, size_t n_out, size_t k_size, int32_t* sums) {
  const __m512i ones = _mm512_set1_epi8(1);
  for (size_t n = 0; n < 32; ++n) {
    __m512i sum = _mm512_setzero_si512();
    for (size_t k = 0; n < n_out && k < k_size; k += 64) {
      const size_t count = k_size - k < 64 ? k_size - k : 64;
      const __mmask64 bytes = count == 64 ? ~0ull : (1ull << count) - 1ull;
      sum = _mm512_dpbusd_epi32(sum, ones, _mm512_maskz_loadu_epi8(bytes, w + n * k_size + k));
    }
    sums[n] = static_cast<int32_t>(static_cast<uint32_t>(_mm512_reduce_add_epi32(sum)) *
                                   static_cast<uint32_t>(-128));
  }
}

void PackPanelI8(const void* w, size_t n_out, size_t k_size, std::byte* panel,
                 int32_t* column_sums) {
  PackPanel32(w, n_out, k_size, panel);
  ColumnSums(static_cast<const int8_t*>(w), n_out, k_size, column_sums);
}

void PackRowsI8(const void* x, size_t n_rows, size_t k_size, std::byte* tile) {
  PackTileRows(x, n_rows, k_size, static_cast<char>(0x80), tile);
}

}  // namespace

void AddAvx512PackedKernels(KernelTable* table) {
  static const PackedKernels kernels = {.columns = 32,
                                        .group = 4,
                                        .rows = Int8Packed::kMaxRows,
                                        .w_bytes = 1,
                                        .x_bytes = Int8Packed::kXBytes,
                                        .pack_panel = PackPanelI8,
                                        .pack_rows = PackRowsI8,
                                        .tile = RunPackedTile<Int8Packed>};
  table->packed_i8 = &kernels;
}

}  // namespace ingot
