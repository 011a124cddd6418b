// SPDX-License-Identifier: Apache-2.0
// int8 products with packed weights on AVX-VNNI (vpdpbusd on 8 lanes, VEX encoded: Alder Lake,
// Sierra Forest, Zen 5). As avx512_packed.cc: x goes in as x + 128, 128 * sum(w) is taken off each
// sum. 6 rows by 2 vectors make 12 sums beside 2 vectors of w and one of x.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "kernels/tables.h"

// The test of this file runs it with the same instruction as AVX-512 VL encodes it
// (avxvnni_evex.cc), which more CPUs have.
#ifndef INGOT_DPBUSD
#define INGOT_DPBUSD _mm256_dpbusd_avx_epi32
#endif

namespace ingot {
namespace {

#include "kernels/x86/simd_packed.h"
// Builds on simd_packed.h.
#include "kernels/x86/avx2_packed.h"

constexpr size_t kColumns = 16;

struct Int8Packed {
  using Acc = U32x8;
  using W = __m256i;
  using Epilogue = Int8Epilogue;
  static constexpr size_t kLanes = 8, kColumnVectors = 2, kMaxRows = 6, kPanelsOfOne = 1;
  static constexpr size_t kXBytes = 4, kVectorBytes = 32, kSteps = 1;
  static inline Acc Zero() { return Acc{}; }
  static inline W LoadW(const std::byte* p, size_t) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  static inline __m256i LoadX(const std::byte* p, size_t) {
    int32_t group;
    __builtin_memcpy(&group, p, 4);
    return _mm256_set1_epi32(group);
  }
  static inline void Pin(__m256i& v) { asm("" : "+x"(v)); }
  static inline Acc MulAdd(Acc acc, __m256i x, W w) {
    return (Acc)INGOT_DPBUSD((__m256i)acc, x, w);
  }
};

void PackPanelI8(const void* w, size_t n_out, size_t k_size, std::byte* panel,
                 int32_t* column_sums) {
  PackPanel<int8_t, kColumns, 4>(w, n_out, k_size, panel);
  const int8_t* from = static_cast<const int8_t*>(w);
  for (size_t n = 0; n < n_out; ++n) {
    int32_t sum = 0;
    for (size_t k = 0; k < k_size; ++k) sum += from[n * k_size + k];
    column_sums[n] =
        static_cast<int32_t>(static_cast<uint32_t>(sum) * static_cast<uint32_t>(-128));
  }
}

void PackRowI8(const void* x, size_t k_size, size_t stride, std::byte* out) {
  const int8_t* from = static_cast<const int8_t*>(x);
  for (size_t k = 0; k < k_size; k += 4, out += stride) {
    uint32_t group = 0;
    if (k + 4 <= k_size) {
      __builtin_memcpy(&group, from + k, 4);
    } else {
      for (size_t i = 0; k + i < k_size; ++i)
        group |= static_cast<uint32_t>(static_cast<uint8_t>(from[k + i])) << (8 * i);
    }
    group ^= 0x80808080u;
    __builtin_memcpy(out, &group, 4);
  }
}

}  // namespace

void AddAvxVnniPackedKernels(KernelTable* table) {
  static const PackedKernels kernels = {.columns = kColumns,
                                        .group = 4,
                                        .rows = Int8Packed::kMaxRows,
                                        .w_bytes = 1,
                                        .x_bytes = Int8Packed::kXBytes,
                                        .panels_of_one = Int8Packed::kPanelsOfOne,
                                        .pack_panel = PackPanelI8,
                                        .pack_row = PackRowI8,
                                        .tile = RunPackedTile<Int8Packed>};
  table->packed_i8 = &kernels;
}

}  // namespace ingot
