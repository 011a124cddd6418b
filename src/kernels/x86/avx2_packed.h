// SPDX-License-Identifier: Apache-2.0
// How the packed products on 8 lanes (AVX2, AVX-VNNI) finish their sums. Included inside an anonymous
// namespace, behind simd_packed.h.

// Sums are typed as lanes of 32 bits: with __m256i (64-bit lanes) gcc 12 copies and spills. Unsigned,
// because they wrap.
using U32x8 = uint32_t __attribute__((vector_size(32)));

// Lanes [0, n) all ones, n <= 8.
inline __m256i LaneMask(size_t n) {
  const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), lanes);
}

// 8 columns of y, or the first of them.
struct OutputPlace {
  OutputPlace(const PackedTile& tile, size_t column, size_t count)
      : mask(LaneMask(count)), sum(tile.add), ldy(tile.ldy), y(tile.y + column) {}
  inline void StoreWhole(__m256 value, size_t m) const { _mm256_storeu_ps(y + m * ldy, value); }
  inline void Store(__m256 value, size_t m) const {
    float* at = y + m * ldy;
    if (sum) value = _mm256_add_ps(_mm256_maskload_ps(at, mask), value);
    _mm256_maskstore_ps(at, mask, value);
  }
  __m256i mask;
  bool sum;
  size_t ldy;
  float* y;
};

// What is added when there is no bias: -0 changes no bit of any value (+0 would of -0).
inline __m256 BiasOf(const PackedTile& tile, size_t column, __m256i mask) {
  return tile.bias == nullptr ? _mm256_set1_ps(-0.0f)
                              : _mm256_maskload_ps(tile.bias + column, mask);
}

// The order of operations is that of DequantizeI32 (elementwise.h): the same bits.
struct Int8Epilogue {
  Int8Epilogue(const PackedTile& tile, size_t column, size_t count)
      : place(tile, column, count),
        row_scales(tile.row_scales),
        deq(_mm256_maskload_ps(tile.deq + column, place.mask)),
        bias(BiasOf(tile, column, place.mask)) {
    const auto ints = [&](const int32_t* p) {
      return p == nullptr ? _mm256_setzero_si256() : _mm256_maskload_epi32(p + column, place.mask);
    };
    add = (U32x8)ints(tile.column_sums) + (U32x8)ints(tile.quant_bias);
  }
  inline __m256 Finish(U32x8 acc, size_t m) const {
    __m256 value = _mm256_mul_ps(_mm256_cvtepi32_ps((__m256i)(acc + add)), deq);
    if (row_scales != nullptr) value = _mm256_mul_ps(value, _mm256_set1_ps(row_scales[m]));
    return _mm256_add_ps(value, bias);
  }
  inline void StoreWhole(U32x8 acc, size_t m) const { place.StoreWhole(Finish(acc, m), m); }
  inline void Store(U32x8 acc, size_t m) const { place.Store(Finish(acc, m), m); }
  OutputPlace place;
  const float* row_scales;
  U32x8 add;
  __m256 deq, bias;
};

struct FloatEpilogue {
  FloatEpilogue(const PackedTile& tile, size_t column, size_t count)
      : place(tile, column, count), bias(BiasOf(tile, column, place.mask)) {}
  inline void StoreWhole(__m256 acc, size_t m) const {
    place.StoreWhole(_mm256_add_ps(acc, bias), m);
  }
  inline void Store(__m256 acc, size_t m) const { place.Store(_mm256_add_ps(acc, bias), m); }
  OutputPlace place;
  __m256 bias;
};
