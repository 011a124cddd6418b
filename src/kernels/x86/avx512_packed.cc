// SPDX-License-Identifier: Apache-2.0
// int8 products with packed weights on AVX-512 VNNI, and bfloat16 ones for CPUs without bfloat16
// instructions. vpdpbusd multiplies unsigned by signed bytes:
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
// Use nothing of it, but belong behind it.
#include "kernels/x86/avx512_packed.h"
#include "kernels/x86/simd_packed_float.h"

struct Int8Packed {
  using Acc = I32x16;
  using W = __m512i;
  using Epilogue = Int8Epilogue;
  static constexpr size_t kLanes = 16, kColumnVectors = 2, kMaxRows = 12, kPanelsOfOne = 1;
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
  PackPanel32(w, n_out, k_size, panel, /*whole_lines=*/false);
  ColumnSums(static_cast<const int8_t*>(w), n_out, k_size, column_sums);
}

void PackRowsI8(const void* x, size_t n_rows, size_t k_size, std::byte* tile) {
  PackTileRows(x, n_rows, k_size, static_cast<char>(0x80), tile);
}

// bfloat16 as float32: a pair of k is one element of w; each half is widened in the loop.
struct FloatPacked {
  using Acc = __m512;
  using W = __m512;
  using Epilogue = FloatEpilogue;
  static constexpr size_t kLanes = 16, kColumnVectors = 2, kMaxRows = 12, kPanelsOfOne = 2;
  static constexpr size_t kXBytes = 8, kVectorBytes = 64, kSteps = 2;
  static inline Acc Zero() { return _mm512_setzero_ps(); }
  static inline W LoadW(const std::byte* p, size_t step) {
    const __m512i pairs = _mm512_loadu_si512(p);
    return _mm512_castsi512_ps(
        step == 0 ? _mm512_slli_epi32(pairs, 16)
                  : _mm512_and_si512(pairs, _mm512_set1_epi32(static_cast<int>(0xffff0000u))));
  }
  static inline __m512 LoadX(const std::byte* p, size_t step) {
    return _mm512_set1_ps(reinterpret_cast<const float*>(p)[step]);
  }
  static inline void Pin(__m512& v) { asm("" : "+v"(v)); }
  static inline Acc MulAdd(Acc acc, __m512 x, W w) { return _mm512_fmadd_ps(x, w, acc); }
};

void PackPanelBf16(const void* w, size_t n_out, size_t k_size, std::byte* panel, int32_t*) {
  PackPanel32(w, n_out, k_size * sizeof(uint16_t), panel, /*whole_lines=*/false);
}

}  // namespace

void AddAvx512PackedKernels(KernelTable* table) {
  static const PackedKernels bf16 = {.columns = 32,
                                     .group = 2,
                                     .rows = FloatPacked::kMaxRows,
                                     .w_bytes = sizeof(uint16_t),
                                     .x_bytes = FloatPacked::kXBytes,
                                     .panels_of_one = FloatPacked::kPanelsOfOne,
                                     .pack_panel = PackPanelBf16,
                                     .pack_row = PackRowAsFloats,
                                     .tile = RunPackedTile<FloatPacked>};
  static const PackedKernels kernels = {.columns = 32,
                                        .group = 4,
                                        .rows = Int8Packed::kMaxRows,
                                        .w_bytes = 1,
                                        .x_bytes = Int8Packed::kXBytes,
                                        .pack_panel = PackPanelI8,
                                        .pack_rows = PackRowsI8,
                                        .tile = RunPackedTile<Int8Packed>};
  table->packed_i8 = &kernels;
  table->packed_bf16 = &bf16;
}

}  // namespace ingot
