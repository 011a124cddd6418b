// SPDX-License-Identifier: Apache-2.0
// Int8 attention with vpdpbusd on 8 lanes (AVX-VNNI). As I8Dot of avx512.cc.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "kernels/tables.h"

// The test runs it with the same instruction as AVX-512 VL encodes it (avxvnni_attention_evex.cc).
#ifndef INGOT_DPBUSD
#define INGOT_DPBUSD _mm256_dpbusd_avx_epi32
#endif

namespace ingot {
namespace {

#include "kernels/x86/simd_matmul.h"
// Builds on simd_matmul.h.
#include "kernels/x86/simd_float.h"
// Builds on simd_float.h.
#include "kernels/x86/simd_attention_i8.h"
// The vector type.
#include "kernels/x86/simd_avx2.h"

struct I8Dot {
  using V = ingot::V;
  using I = __m256i;
  using Bytes = __m256i;
  static constexpr int kSums = 2;  // high bytes, low bytes
  static constexpr int kRows = 3, kKeyVectors = 2, kValueVectors = 2;  // 12 sums + 2 + 1 registers
  static constexpr int32_t kKeyBias = 128;
  static inline I ZeroInt() { return _mm256_setzero_si256(); }
  static inline I ToInt(__m256 v) { return _mm256_cvtps_epi32(v); }
  static inline __m256 ToFloat(I v) { return _mm256_cvtepi32_ps(v); }
  static inline I Minus(I v, int32_t n) { return _mm256_sub_epi32(v, _mm256_set1_epi32(n)); }
  static inline I Total(const I* sums) {
    return _mm256_add_epi32(_mm256_slli_epi32(sums[0], 8), sums[1]);
  }
  static inline Bytes LoadKeys(const uint32_t* p) {
    Bytes v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    asm("" : "+x"(v));  // loaded once, not once a row
    return v;
  }
  static inline Bytes LoadValues(const uint32_t* p) { return LoadKeys(p); }
  static inline __m256i Word(const int32_t* p) { return _mm256_set1_epi32(*p); }
  template <int kWord>
  static inline void AddKeys(I* sums, Bytes keys, __m256i q) {
    sums[kWord] = INGOT_DPBUSD(sums[kWord], keys, q);
  }
  template <int kWord>
  static inline void AddValues(I* sums, Bytes values, __m256i weights) {
    sums[kWord] = INGOT_DPBUSD(sums[kWord], weights, values);
  }
  static inline void SplitQuery(I q, int32_t* words) {
    Split(_mm256_srai_epi32(_mm256_add_epi32(q, _mm256_set1_epi32(128)), 8), q, words);
  }
  static inline void SplitWeights(I w, int32_t* words) { Split(_mm256_srli_epi32(w, 8), w, words); }

 private:
  // The low bytes of four lanes of `high`, then of `low`.
  static inline void Split(I high, I low, int32_t* words) {
    const __m256i bytes = _mm256_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
                                           -1, 0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
                                           -1, -1);
    const __m256i pairs =
        _mm256_unpacklo_epi32(_mm256_shuffle_epi8(high, bytes), _mm256_shuffle_epi8(low, bytes));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(words), _mm256_castsi256_si128(pairs));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(words + 2), _mm256_extracti128_si256(pairs, 1));
  }
};

}  // namespace

void AddAvxVnniAttention(KernelTable* table) { table->attention_i8 = AttentionI8<I8Dot>; }

}  // namespace ingot
