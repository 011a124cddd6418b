// SPDX-License-Identifier: Apache-2.0
// Kernels for AVX-512 (F, BW, DQ, VL, VNNI): 16 float lanes, 32 registers, masked tails, int8 dot
// products.
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

inline __mmask16 FirstLanes(size_t n) { return static_cast<__mmask16>((1u << n) - 1u); }  // n <= 16

struct V {
  using F = __m512;
  static constexpr size_t kLanes = 16;
  static constexpr int kTileM = 3, kTileN = 8;                  // 24 sums + 3 x + 1 w registers
  static constexpr size_t kScoreBlocks = 4, kValueVectors = 4;  // 6 x 4 sums + 4 + 1 registers
  static inline F Zero() { return _mm512_setzero_ps(); }
  static inline F Set1(float v) { return _mm512_set1_ps(v); }
  static inline F Load(const float* p) { return _mm512_loadu_ps(p); }
  static inline F LoadN(const float* p, size_t n) {
    return _mm512_maskz_loadu_ps(FirstLanes(n), p);
  }
  static inline F FromBf16(__m256i bits) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
  }
  static inline F LoadBf16(const uint16_t* p) {
    return FromBf16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static inline F LoadBf16N(const uint16_t* p, size_t n) {
    return FromBf16(_mm256_maskz_loadu_epi16(FirstLanes(n), p));
  }
  // The lower and the upper bfloat16 of pairs.
  static inline F LoadLowHalves(const uint32_t* p) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_loadu_si512(p), 16));
  }
  static inline F LoadHighHalves(const uint32_t* p) {
    return _mm512_castsi512_ps(
        _mm512_and_si512(_mm512_loadu_si512(p), _mm512_set1_epi32(static_cast<int>(0xffff0000u))));
  }
  static inline F LoadF16(const uint16_t* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static inline F LoadF16N(const uint16_t* p, size_t n) {
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(FirstLanes(n), p));
  }
  static inline void Store(float* p, F v) { _mm512_storeu_ps(p, v); }
  static inline void StoreN(float* p, F v, size_t n) { _mm512_mask_storeu_ps(p, FirstLanes(n), v); }
  // Integer-valued lanes of magnitude up to 640, held at -128 and 127.
  static inline void StoreInt8N(int8_t* p, F v, size_t n) {
    const __m128i codes = _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(v));
    if (n == 16) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(p), codes);
    } else {
      _mm_mask_storeu_epi8(p, FirstLanes(n), codes);
    }
  }
  static inline bool AllBelow(F a, F bound) {  // false when one is NaN
    return _mm512_cmp_ps_mask(a, bound, _CMP_NLT_UQ) == 0;
  }
  // The first n lanes of a, the others of b.
  static inline F Select(size_t n, F a, F b) { return _mm512_mask_mov_ps(b, FirstLanes(n), a); }
  static inline F Add(F a, F b) { return _mm512_add_ps(a, b); }
  static inline F Sub(F a, F b) { return _mm512_sub_ps(a, b); }
  static inline F Mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static inline F Div(F a, F b) { return _mm512_div_ps(a, b); }
  static inline F Fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  static inline F Min(F a, F b) { return _mm512_min_ps(a, b); }  // b when one is NaN
  static inline F Max(F a, F b) { return _mm512_max_ps(a, b); }  // b when one is NaN
  static inline F Abs(F a) { return _mm512_abs_ps(a); }
  static inline F Round(F a) {
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  static inline F TimesPow2(F a, F n) { return _mm512_scalef_ps(a, n); }
  static inline float HMax(F a) { return _mm512_reduce_max_ps(a); }
  static inline void Pin(F& v) { asm("" : "+v"(v)); }
  static inline float HSum(F a) {
    alignas(32) float out[8];
    const F zero = Zero();
    Reduce8(a, zero, zero, zero, zero, zero, zero, zero, out);
    return out[0];
  }
  // out[i] = sum of the lanes of the i-th vector: pairs of vectors are interleaved and added until
  // each lane is one sum.
  static inline void Reduce8(F a, F b, F c, F d, F e, F f, F g, F h, float* out) {
    const F low = Quad(Pair(a, b), Pair(c, d)), high = Quad(Pair(e, f), Pair(g, h));
    const F halves =
        _mm512_add_ps(_mm512_shuffle_f32x4(low, high, 0x88), _mm512_shuffle_f32x4(low, high, 0xdd));
    const F sums = _mm512_add_ps(_mm512_shuffle_f32x4(halves, halves, 0x08),
                                 _mm512_shuffle_f32x4(halves, halves, 0x0d));
    _mm256_storeu_ps(out, _mm512_castps512_ps256(sums));
  }

 private:
  static inline F Pair(F a, F b) {
    return _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
  }
  static inline F Quad(F a, F b) {
    const __m512d x = _mm512_castps_pd(a), y = _mm512_castps_pd(b);
    return _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(x, y)),
                         _mm512_castpd_ps(_mm512_unpackhi_pd(x, y)));
  }
};

// int8: vpdpbusd multiplies unsigned by signed bytes, so w goes in as w + 128 (sign bit flipped)
// and 128 * sum(x) is taken off at the end. Four products are added in 32 bits without saturation,
// so the sums are exact.
// Sums are typed as int32 lanes throughout: with __m512i (int64 lanes) gcc 12 copies and spills.
using I32x16 = int32_t __attribute__((vector_size(64)));

struct Int8Dot {
  using X = int8_t;
  using W = int8_t;
  using Y = int32_t;
  using Vec = __m512i;
  using Acc = I32x16;
  static constexpr size_t kStep = 64, kBlockK = 2048;
  static inline Acc Zero() { return Acc{}; }
  static inline __mmask64 First(size_t n) { return (1ull << n) - 1ull; }  // n < 64
  static inline Vec LoadX(const X* p) { return _mm512_loadu_si512(p); }
  static inline Vec LoadXN(const X* p, size_t n) { return _mm512_maskz_loadu_epi8(First(n), p); }
  static inline Vec Flip(Vec w) {
    return _mm512_xor_si512(w, _mm512_set1_epi8(static_cast<char>(0x80)));
  }
  static inline Vec LoadW(const W* p) { return Flip(_mm512_loadu_si512(p)); }
  static inline Vec LoadWN(const W* p, size_t n) {
    return Flip(_mm512_maskz_loadu_epi8(First(n), p));
  }
  static inline Acc MulAdd(Vec x, Vec w, Acc acc) {
    return (Acc)_mm512_dpbusd_epi32((__m512i)acc, w, x);
  }
  static inline void Pin(Vec& v) { asm("" : "+v"(v)); }
  static inline __m512i Pair(Acc a, Acc b) {
    return _mm512_add_epi32(_mm512_unpacklo_epi32((__m512i)a, (__m512i)b),
                            _mm512_unpackhi_epi32((__m512i)a, (__m512i)b));
  }
  static inline __m512i Quad(__m512i a, __m512i b) {
    return _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
  }
  static inline void Reduce8(Acc a, Acc b, Acc c, Acc d, Acc e, Acc f, Acc g, Acc h, int32_t* out) {
    const __m512i low = Quad(Pair(a, b), Pair(c, d)), high = Quad(Pair(e, f), Pair(g, h));
    const __m512i halves = _mm512_add_epi32(_mm512_shuffle_i32x4(low, high, 0x88),
                                            _mm512_shuffle_i32x4(low, high, 0xdd));
    const __m512i sums = _mm512_add_epi32(_mm512_shuffle_i32x4(halves, halves, 0x08),
                                          _mm512_shuffle_i32x4(halves, halves, 0x0d));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm512_castsi512_si256(sums));
  }
  static inline void WidenRow(const W* w, size_t n, W* out) { __builtin_memcpy(out, w, n); }
};

int32_t SumRow(const int8_t* x, size_t n) {
  const __m512i ones = _mm512_set1_epi8(1);
  __m512i sum = _mm512_setzero_si512();
  size_t k = 0;
  for (; k + 64 <= n; k += 64) sum = _mm512_dpbusd_epi32(sum, ones, Int8Dot::LoadX(x + k));
  if (k < n) sum = _mm512_dpbusd_epi32(sum, ones, Int8Dot::LoadXN(x + k, n - k));
  return _mm512_reduce_add_epi32(sum);
}

void MatmulI8(const int8_t* x, size_t ldx, size_t rows, const int8_t* w, size_t n_out,
              size_t k_size, const float*, int32_t* y, size_t ldy) {
  MatmulAny<Int8Dot, Int8Dot, 3, 8>(x, ldx, rows, w, n_out, k_size, nullptr, y, ldy);
  for (size_t m = 0; m < rows; ++m) {
    const uint32_t excess = static_cast<uint32_t>(SumRow(x + m * ldx, k_size)) * 128u;
    int32_t* row = y + m * ldy;
    for (size_t n = 0; n < n_out; ++n)
      row[n] = static_cast<int32_t>(static_cast<uint32_t>(row[n]) - excess);
  }
}

// Int8 attention with vpdpbusd: keys and weights are the unsigned operand.
struct I8Dot {
  using V = ingot::V;
  using I = I32x16;
  using Bytes = __m512i;
  static constexpr int kSums = 2;  // high bytes, low bytes
  static constexpr int kRows = 3, kKeyVectors = 4, kValueVectors = 4;  // 24 sums + 4 + 1 registers
  static constexpr int32_t kKeyBias = 128;
  static inline I ZeroInt() { return I{}; }
  static inline I ToInt(__m512 v) { return (I)_mm512_cvtps_epi32(v); }
  static inline __m512 ToFloat(I v) { return _mm512_cvtepi32_ps((__m512i)v); }
  static inline I Minus(I v, int32_t n) { return v - n; }
  static inline I Total(const I* sums) {
    return (I)_mm512_add_epi32(_mm512_slli_epi32((__m512i)sums[0], 8), (__m512i)sums[1]);
  }
  static inline Bytes LoadKeys(const uint32_t* p) {
    Bytes v = _mm512_loadu_si512(p);
    asm("" : "+v"(v));  // loaded once, not once a row
    return v;
  }
  static inline Bytes LoadValues(const uint32_t* p) { return LoadKeys(p); }
  static inline __m512i Word(const int32_t* p) { return _mm512_set1_epi32(*p); }
  template <int kWord>
  static inline void AddKeys(I* sums, Bytes keys, __m512i q) {
    sums[kWord] = (I)_mm512_dpbusd_epi32((__m512i)sums[kWord], keys, q);
  }
  template <int kWord>
  static inline void AddValues(I* sums, Bytes values, __m512i weights) {
    sums[kWord] = (I)_mm512_dpbusd_epi32((__m512i)sums[kWord], weights, values);
  }
  // Signed bytes: 256 * high + low; q - 256 * high is its own low byte.
  static inline void SplitQuery(I q, int32_t* words) {
    Split(_mm512_srai_epi32(_mm512_add_epi32((__m512i)q, _mm512_set1_epi32(128)), 8), q, words);
  }
  static inline void SplitWeights(I w, int32_t* words) {  // unsigned bytes
    Split(_mm512_srli_epi32((__m512i)w, 8), w, words);
  }

 private:
  static inline void Split(__m512i high, I low, int32_t* words) {
    const __m128i a = _mm512_cvtepi32_epi8(high), b = _mm512_cvtepi32_epi8((__m512i)low);
    auto* to = reinterpret_cast<__m128i*>(words);
    _mm_storeu_si128(to, _mm_unpacklo_epi32(a, b));
    _mm_storeu_si128(to + 1, _mm_unpackhi_epi32(a, b));
  }
};

}  // namespace

const KernelTable& Avx512Kernels() {
  static const KernelTable table = {
      .name = "avx512",
      .matmul_f32 = MatmulF32<V>,
      .matmul_f32_bf16 = MatmulF32Bf16<V>,
      .matmul_f32_f16 = MatmulF32F16<V>,
      .matmul_bf16 = MatmulBf16<V>,
      .matmul_i8 = MatmulI8,
      .attention_f32 = Attention<V, float>,
      .attention_bf16 = Attention<V, Bf16>,
      .attention_i8 = AttentionI8<I8Dot>,
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
