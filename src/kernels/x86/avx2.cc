// SPDX-License-Identifier: Apache-2.0
// Kernels for AVX2 with FMA and F16C: 8 float lanes, 16 registers; tails through small buffers or
// lane masks.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "kernels/tables.h"

namespace ingot {
namespace {

#include "kernels/elementwise.h"
#include "kernels/x86/simd_matmul.h"
// Builds on simd_matmul.h.
#include "kernels/x86/simd_float.h"
// Build on simd_float.h.
#include "kernels/x86/simd_attention.h"
// (int8)
#include "kernels/x86/simd_attention_i8.h"
// The vector type.
#include "kernels/x86/simd_avx2.h"

// int8 widened to int16: vpmaddwd adds two exact products in 32 bits (the byte instruction
// vpmaddubsw would saturate).
// Sums are typed as 32-bit lanes throughout: with __m256i (64-bit lanes) gcc 12 copies and spills.
// Unsigned, because they wrap.
using U32x8 = uint32_t __attribute__((vector_size(32)));

template <typename WT>
struct Int8Dot {
  using X = int8_t;
  using W = WT;  // int8_t, or int16_t when widened before
  using Y = int32_t;
  using Vec = __m256i;
  using Acc = U32x8;
  static constexpr size_t kStep = 16, kBlockK = 1024;
  static inline Acc Zero() { return Acc{}; }
  static inline Vec Load(const int8_t* p) {
    return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static inline Vec Load(const int16_t* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  template <typename T>
  static inline Vec LoadN(const T* p, size_t n) {
    alignas(32) T buffer[16] = {};
    for (size_t i = 0; i < n; ++i) buffer[i] = p[i];
    return Load(buffer);
  }
  static inline Vec LoadX(const X* p) { return Load(p); }
  static inline Vec LoadXN(const X* p, size_t n) { return LoadN(p, n); }
  static inline Vec LoadW(const W* p) { return Load(p); }
  static inline Vec LoadWN(const W* p, size_t n) { return LoadN(p, n); }
  static inline Acc MulAdd(Vec x, Vec w, Acc acc) { return acc + (Acc)_mm256_madd_epi16(x, w); }
  static inline void Pin(Vec& v) { asm("" : "+x"(v)); }
  static inline __m256i Pair(Acc a, Acc b) {
    return _mm256_add_epi32(_mm256_unpacklo_epi32((__m256i)a, (__m256i)b),
                            _mm256_unpackhi_epi32((__m256i)a, (__m256i)b));
  }
  static inline __m256i Quad(__m256i a, __m256i b) {
    return _mm256_add_epi32(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
  }
  static inline void Reduce8(Acc a, Acc b, Acc c, Acc d, Acc e, Acc f, Acc g, Acc h, int32_t* out) {
    const __m256i low = Quad(Pair(a, b), Pair(c, d)), high = Quad(Pair(e, f), Pair(g, h));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out),
                        _mm256_add_epi32(_mm256_permute2x128_si256(low, high, 0x20),
                                         _mm256_permute2x128_si256(low, high, 0x31)));
  }
  static inline void WidenRow(const int8_t* w, size_t n, int16_t* out) {
    for (size_t i = 0; i < n; ++i) out[i] = w[i];
  }
};

void MatmulI8(const int8_t* x, size_t ldx, size_t rows, const int8_t* w, size_t n_out,
              size_t k_size, const float*, int32_t* y, size_t ldy) {
  MatmulAny<Int8Dot<int8_t>, Int8Dot<int16_t>, 3, 4>(x, ldx, rows, w, n_out, k_size, nullptr, y,
                                                     ldy);
}

// Int8 attention: keys and values widened to 16 bits, vpmaddwd. Its word of q is the pair of 16-bit
// values that belong to the even, or to the odd bytes.
struct I8Pairs {
  using V = ingot::V;
  using I = __m256i;
  struct Bytes {
    __m256i part[2];
  };
  static constexpr int kSums = 1, kRows = 3, kKeyVectors = 2, kValueVectors = 2;
  static constexpr int32_t kKeyBias = 128;
  static inline I ZeroInt() { return _mm256_setzero_si256(); }
  static inline I ToInt(__m256 v) { return _mm256_cvtps_epi32(v); }
  static inline __m256 ToFloat(I v) { return _mm256_cvtepi32_ps(v); }
  static inline I Minus(I v, int32_t n) { return _mm256_sub_epi32(v, _mm256_set1_epi32(n)); }
  static inline I Total(const I* sums) { return sums[0]; }
  static inline Bytes LoadKeys(const uint32_t* p) {
    const __m256i v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return {{_mm256_and_si256(v, _mm256_set1_epi16(0xff)), _mm256_srli_epi16(v, 8)}};
  }
  static inline Bytes LoadValues(const uint32_t* p) {
    const __m256i v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return {{_mm256_srai_epi16(_mm256_slli_epi16(v, 8), 8), _mm256_srai_epi16(v, 8)}};
  }
  static inline __m256i Word(const int32_t* p) { return _mm256_set1_epi32(*p); }
  template <int kWord>
  static inline void AddKeys(I* sums, const Bytes& keys, __m256i q) {
    sums[0] = _mm256_add_epi32(sums[0], _mm256_madd_epi16(keys.part[kWord], q));
  }
  template <int kWord>
  static inline void AddValues(I* sums, const Bytes& values, __m256i weights) {
    AddKeys<kWord>(sums, values, weights);
  }
  static inline void SplitQuery(I q, int32_t* words) {
    const __m256i later = _mm256_slli_epi32(_mm256_shuffle_epi32(q, _MM_SHUFFLE(3, 2, 3, 2)), 16);
    const __m256i pairs = _mm256_blend_epi16(q, later, 0xaa);
    _mm_storel_epi64(reinterpret_cast<__m128i*>(words), _mm256_castsi256_si128(pairs));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(words + 2), _mm256_extracti128_si256(pairs, 1));
  }
  static inline void SplitWeights(I w, int32_t* words) { SplitQuery(w, words); }
};

}  // namespace

const KernelTable& Avx2Kernels() {
  static const KernelTable table = {
      .name = "avx2",
      .matmul_f32 = MatmulF32<V>,
      .matmul_f32_bf16 = MatmulF32Bf16<V>,
      .matmul_f32_f16 = MatmulF32F16<V>,
      .matmul_bf16 = MatmulBf16<V>,
      .matmul_i8 = MatmulI8,
      .attention_f32 = Attention<V, float>,
      .attention_bf16 = Attention<V, Bf16>,
      .attention_i8 = AttentionI8<I8Pairs>,
      .rms_norm = RmsNorm<V>,
      .layer_norm = LayerNorm<V>,
      .softmax = Softmax<V>,
      .silu_mul = SiluMul<V>,
      .gelu_tanh = GeluTanh<V>,
      .gelu_erf = GeluErf<V>,
      .rope = RopeHeads,
      .add = AddTo,
      .to_bf16 = ToBf16,
      .round_bf16 = RoundBf16,
      .abs_max = AbsMax<V>,
      .quantize_i8 = QuantizeCodes<V>,
      .dequantize_i32 = DequantizeI32,
  };
  return table;
}

}  // namespace ingot
