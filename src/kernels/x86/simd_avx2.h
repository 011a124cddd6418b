// SPDX-License-Identifier: Apache-2.0
// The vector type of AVX2 with FMA and F16C: 8 float lanes, 16 registers, tails through small buffers
// or lane masks. Included inside an anonymous namespace.

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
