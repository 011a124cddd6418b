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
// Builds on simd_float.h.
#include "kernels/x86/simd_attention.h"

// Lanes [0, n) all ones, n <= 8.
inline __m256i FirstLanes(size_t n) {
  const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), lanes);
}

// The first n 16-bit elements, the rest zero.
inline __m128i LoadHalvesN(const uint16_t* p, size_t n) {
  alignas(16) uint16_t buffer[8] = {};
  for (size_t i = 0; i < n; ++i) buffer[i] = p[i];
  return _mm_load_si128(reinterpret_cast<const __m128i*>(buffer));
}

struct V {
  using F = __m256;
  static constexpr size_t kLanes = 8;
  static constexpr int kTileM = 3, kTileN = 4;                  // 12 sums + 3 x + 1 w registers
  static constexpr size_t kScoreBlocks = 1, kValueVectors = 2;  // 6 x 2 sums + 2 + 1 registers
  static inline F Zero() { return _mm256_setzero_ps(); }
  static inline F Set1(float v) { return _mm256_set1_ps(v); }
  static inline F Load(const float* p) { return _mm256_loadu_ps(p); }
  static inline F LoadN(const float* p, size_t n) { return _mm256_maskload_ps(p, FirstLanes(n)); }
  static inline F FromBf16(__m128i bits) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
  }
  static inline F LoadBf16(const uint16_t* p) {
    return FromBf16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static inline F LoadBf16N(const uint16_t* p, size_t n) { return FromBf16(LoadHalvesN(p, n)); }
  // The lower and the upper bfloat16 of pairs.
  static inline F LoadLowHalves(const uint32_t* p) {
    const __m256i pairs = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16));
  }
  static inline F LoadHighHalves(const uint32_t* p) {
    const __m256i pairs = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm256_castsi256_ps(
        _mm256_and_si256(pairs, _mm256_set1_epi32(static_cast<int>(0xffff0000u))));
  }
  static inline F LoadF16(const uint16_t* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static inline F LoadF16N(const uint16_t* p, size_t n) {
    return _mm256_cvtph_ps(LoadHalvesN(p, n));
  }
  static inline void Store(float* p, F v) { _mm256_storeu_ps(p, v); }
  static inline void StoreN(float* p, F v, size_t n) { _mm256_maskstore_ps(p, FirstLanes(n), v); }
  // Integer-valued lanes of magnitude up to 640, held at -128 and 127.
  static inline void StoreInt8N(int8_t* p, F v, size_t n) {
    const __m256i wide = _mm256_cvtps_epi32(v);
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(wide),
                                          _mm256_extracti128_si256(wide, 1));
    alignas(16) int8_t codes[16];
    _mm_store_si128(reinterpret_cast<__m128i*>(codes), _mm_packs_epi16(words, words));
    if (n == 8) {
      __builtin_memcpy(p, codes, 8);
    } else {
      for (size_t i = 0; i < n; ++i) p[i] = codes[i];
    }
  }
  static inline bool AllBelow(F a, F bound) {  // false when one is NaN
    return _mm256_movemask_ps(_mm256_cmp_ps(a, bound, _CMP_NLT_UQ)) == 0;
  }
  // The first n lanes of a, the others of b.
  static inline F Select(size_t n, F a, F b) {
    return _mm256_blendv_ps(b, a, _mm256_castsi256_ps(FirstLanes(n)));
  }
  static inline F Add(F a, F b) { return _mm256_add_ps(a, b); }
  static inline F Sub(F a, F b) { return _mm256_sub_ps(a, b); }
  static inline F Mul(F a, F b) { return _mm256_mul_ps(a, b); }
  static inline F Div(F a, F b) { return _mm256_div_ps(a, b); }
  static inline F Fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
  static inline F Min(F a, F b) { return _mm256_min_ps(a, b); }  // b when one is NaN
  static inline F Max(F a, F b) { return _mm256_max_ps(a, b); }  // b when one is NaN
  static inline F Abs(F a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
  static inline F Round(F a) {
    return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  // n is integer-valued; a * 2^n must be a normal number (Exp sees to it).
  static inline F TimesPow2(F a, F n) {
    return _mm256_castsi256_ps(
        _mm256_add_epi32(_mm256_castps_si256(a), _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23)));
  }
  static inline float HMax(F a) {
    alignas(32) float lanes[8];
    _mm256_store_ps(lanes, a);
    float top = lanes[0];
    for (int i = 1; i < 8; ++i) top = lanes[i] > top ? lanes[i] : top;
    return top;
  }
  static inline void Pin(F& v) { asm("" : "+x"(v)); }
  static inline float HSum(F a) {
    alignas(32) float out[8];
    const F zero = Zero();
    Reduce8(a, zero, zero, zero, zero, zero, zero, zero, out);
    return out[0];
  }
  // out[i] = sum of the lanes of the i-th vector.
  static inline void Reduce8(F a, F b, F c, F d, F e, F f, F g, F h, float* out) {
    const F low = Quad(Pair(a, b), Pair(c, d)), high = Quad(Pair(e, f), Pair(g, h));
    _mm256_storeu_ps(out, _mm256_add_ps(_mm256_permute2f128_ps(low, high, 0x20),
                                        _mm256_permute2f128_ps(low, high, 0x31)));
  }

 private:
  static inline F Pair(F a, F b) {
    return _mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
  }
  static inline F Quad(F a, F b) {
    const __m256d x = _mm256_castps_pd(a), y = _mm256_castps_pd(b);
    return _mm256_add_ps(_mm256_castpd_ps(_mm256_unpacklo_pd(x, y)),
                         _mm256_castpd_ps(_mm256_unpackhi_pd(x, y)));
  }
};

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
