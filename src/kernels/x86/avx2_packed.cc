// SPDX-License-Identifier: Apache-2.0
// Products with packed weights on AVX2 with FMA: 6 rows by 2 vectors of 8 lanes make 12 sums beside
// 2 vectors of w, one of x and one product, all 16 registers.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "kernels/tables.h"

namespace ingot {
namespace {

#include "kernels/x86/simd_packed.h"
// Build on simd_packed.h.
#include "kernels/x86/avx2_packed.h"
#include "kernels/x86/simd_packed_float.h"

constexpr size_t kColumns = 16;

// int8 with vpmaddwd: weights lie in memory as bytes, pairs of k of one output side by side, and are
// widened to 16 bits when loaded; x is widened when it is packed. Two products of 15 bits are added
// in 32 bits, so the sums are exact (vpmaddubsw, twice as wide, would saturate).
struct Int8Packed {
  using Acc = U32x8;
  using W = __m256i;
  using Epilogue = Int8Epilogue;
  static constexpr size_t kLanes = 8, kColumnVectors = 2, kMaxRows = 6, kPanelsOfOne = 1;
  static constexpr size_t kXBytes = 4, kVectorBytes = 16, kSteps = 1;
  static inline Acc Zero() { return Acc{}; }
  static inline W LoadW(const std::byte* p, size_t) {
    return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static inline __m256i LoadX(const std::byte* p, size_t) {
    int32_t group;
    __builtin_memcpy(&group, p, 4);
    return _mm256_set1_epi32(group);
  }
  static inline void Pin(__m256i& v) { asm("" : "+x"(v)); }
  static inline Acc MulAdd(Acc acc, __m256i x, W w) { return acc + (Acc)_mm256_madd_epi16(x, w); }
};

void PackPanelI8(const void* w, size_t n_out, size_t k_size, std::byte* panel, int32_t*) {
  PackPanel<int8_t, kColumns, 2>(w, n_out, k_size, panel);
}
void PackRowI8(const void* x, size_t k_size, size_t stride, std::byte* out) {
  const int8_t* from = static_cast<const int8_t*>(x);
  for (size_t k = 0; k < k_size; k += 2, out += stride) {
    const int8_t second = k + 1 < k_size ? from[k + 1] : int8_t{0};
    const int16_t pair[2] = {from[k], second};
    __builtin_memcpy(out, pair, sizeof(pair));
  }
}

// bfloat16 as float32: a pair of k is one element of w; each half is widened in the loop. Four rows, as
// many sums as two multiply-adds a cycle of latency 4 need: with six, gcc 12 spills sums.
struct Bf16Packed {
  using Acc = __m256;
  using W = __m256;
  using Epilogue = FloatEpilogue;
  static constexpr size_t kLanes = 8, kColumnVectors = 2, kMaxRows = 4, kPanelsOfOne = 2;
  static constexpr size_t kXBytes = 8, kVectorBytes = 32, kSteps = 2;
  static inline Acc Zero() { return _mm256_setzero_ps(); }
  static inline W LoadW(const std::byte* p, size_t step) {
    const __m256i pairs = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm256_castsi256_ps(
        step == 0 ? _mm256_slli_epi32(pairs, 16)
                  : _mm256_and_si256(pairs, _mm256_set1_epi32(static_cast<int>(0xffff0000u))));
  }
  static inline __m256 LoadX(const std::byte* p, size_t step) {
    return _mm256_broadcast_ss(reinterpret_cast<const float*>(p) + step);
  }
  static inline void Pin(__m256& v) { asm("" : "+x"(v)); }
  static inline Acc MulAdd(Acc acc, __m256 x, W w) { return _mm256_fmadd_ps(x, w, acc); }
};

void PackPanelBf16(const void* w, size_t n_out, size_t k_size, std::byte* panel, int32_t*) {
  PackPanel<uint16_t, kColumns, 2>(w, n_out, k_size, panel);
}

}  // namespace

void AddAvx2PackedKernels(KernelTable* table) {
  static const PackedKernels int8 = {.columns = kColumns,
                                     .group = 2,
                                     .rows = Int8Packed::kMaxRows,
                                     .w_bytes = 1,
                                     .x_bytes = Int8Packed::kXBytes,
                                     .panels_of_one = Int8Packed::kPanelsOfOne,
                                     .pack_panel = PackPanelI8,
                                     .pack_row = PackRowI8,
                                     .tile = RunPackedTile<Int8Packed>};
  static const PackedKernels bf16 = {.columns = kColumns,
                                     .group = 2,
                                     .rows = Bf16Packed::kMaxRows,
                                     .w_bytes = sizeof(uint16_t),
                                     .x_bytes = Bf16Packed::kXBytes,
                                     .panels_of_one = Bf16Packed::kPanelsOfOne,
                                     .pack_panel = PackPanelBf16,
                                     .pack_row = PackRowAsFloats,
                                     .tile = RunPackedTile<Bf16Packed>};
  table->packed_i8 = &int8;
  table->packed_bf16 = &bf16;
}

}  // namespace ingot
