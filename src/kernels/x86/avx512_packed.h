// SPDX-License-Identifier: Apache-2.0
// What the AVX-512 policies of simd_packed.h share: the transposition of weights, the placing of a
// row, and how sums are finished. Included inside an anonymous namespace.

inline __mmask16 LaneMask(size_t n) { return static_cast<__mmask16>((1u << n) - 1u); }  // n <= 16

// 16 x 16 32-bit elements: rows `stride` bytes apart (`mask`: the elements that exist, zeros else)
// to rows of 64 bytes, out_stride bytes apart, xor `flips`. Rows are stored in ascending order.
inline void Transpose16(const std::byte* from, size_t stride, size_t n_rows, __mmask64 bytes,
                        __m512i flips, size_t n_out, std::byte* to, size_t out_stride) {
  __m512i r[16], t[16];
  for (size_t i = 0; i < 16; ++i) {
    r[i] = i < n_rows ? _mm512_maskz_loadu_epi8(bytes, from + i * stride) : _mm512_setzero_si512();
  }
  for (size_t i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (size_t i = 0; i < 16; i += 4) {  // r[i + j]: element 4 q + j of rows i .. i + 3, quarter q
    r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  for (size_t j = 0; j < 4; ++j) {
    const __m512i a = _mm512_shuffle_i32x4(r[j], r[4 + j], 0x88),
                  b = _mm512_shuffle_i32x4(r[j], r[4 + j], 0xdd),
                  c = _mm512_shuffle_i32x4(r[8 + j], r[12 + j], 0x88),
                  d = _mm512_shuffle_i32x4(r[8 + j], r[12 + j], 0xdd);
    t[j] = _mm512_shuffle_i32x4(a, c, 0x88);
    t[8 + j] = _mm512_shuffle_i32x4(a, c, 0xdd);
    t[4 + j] = _mm512_shuffle_i32x4(b, d, 0x88);
    t[12 + j] = _mm512_shuffle_i32x4(b, d, 0xdd);
  }
  for (size_t i = 0; i < 16; ++i) {
    if (i < n_out) _mm512_storeu_si512(to + i * out_stride, _mm512_xor_si512(t[i], flips));
  }
}

// One panel of 32 outputs from rows of row_bytes bytes; groups of k are 4 bytes. `whole_lines`: the
// last 64 bytes of k are filled up with zeros.
inline void PackPanel32(const void* w, size_t n_out, size_t row_bytes, std::byte* panel,
                        bool whole_lines) {
  const std::byte* from = static_cast<const std::byte*>(w);
  for (size_t at = 0; at < row_bytes; at += 64) {
    const size_t count = row_bytes - at < 64 ? row_bytes - at : 64;
    const __mmask64 bytes = count == 64 ? ~0ull : (1ull << count) - 1ull;
    for (size_t half = 0; half < 2; ++half) {
      const size_t first = 16 * half, rows = n_out < first ? 0 : n_out - first;
      Transpose16(from + (rows == 0 ? 0 : first * row_bytes) + at, row_bytes, rows < 16 ? rows : 16,
                  bytes, _mm512_setzero_si512(), whole_lines ? 16 : (count + 3) / 4,
                  panel + at / 4 * 128 + half * 64, 128);
    }
  }
}

// A tile of n_rows <= 16 rows: [groups of 4 bytes][n_rows], each byte xor `flip`. Vectors of 16 rows
// are stored in ascending order, so that what one writes beyond its n_rows is overwritten by the next;
// the last ones are masked.
inline void PackTileRows(const void* x, size_t n_rows, size_t row_bytes, char flip,
                         std::byte* tile) {
  const std::byte* from = static_cast<const std::byte*>(x);
  const __m512i flips = _mm512_set1_epi8(flip);
  alignas(64) std::byte block[16 * 64];
  const size_t groups = (row_bytes + 3) / 4, stride = n_rows * 4;
  const size_t overlapping = groups > 16 ? groups - 16 : 0;  // there stores may reach 64 bytes
  for (size_t g = 0; g < groups; g += 16) {
    const size_t count = row_bytes - g * 4 < 64 ? row_bytes - g * 4 : 64;
    const __mmask64 bytes = count == 64 ? ~0ull : (1ull << count) - 1ull;
    if (n_rows == 1) {  // nothing to transpose
      const __m512i v = _mm512_xor_si512(_mm512_maskz_loadu_epi8(bytes, from + g * 4), flips);
      _mm512_mask_storeu_epi32(tile + g * 4, LaneMask(groups - g < 16 ? groups - g : 16), v);
      continue;
    }
    if (g + 16 <= overlapping) {
      Transpose16(from + g * 4, row_bytes, n_rows, bytes, flips, 16, tile + g * stride, stride);
      continue;
    }
    Transpose16(from + g * 4, row_bytes, n_rows, bytes, flips, 16, block, 64);
    const size_t end = g + 16 < groups ? g + 16 : groups;
    for (size_t i = g; i < end; ++i) {
      const __mmask16 mask = i < overlapping ? LaneMask(16) : LaneMask(n_rows);
      _mm512_mask_storeu_epi32(tile + i * stride, mask,
                               _mm512_load_si512(block + (i - g) * 64));
    }
  }
}

// 16 columns of y, or the first of them.
struct OutputPlace {
  OutputPlace(const PackedTile& tile, size_t column, size_t count)
      : mask(LaneMask(count)), sum(tile.add), ldy(tile.ldy), y(tile.y + column) {}
  inline void StoreWhole(__m512 value, size_t m) const { _mm512_storeu_ps(y + m * ldy, value); }
  inline void Store(__m512 value, size_t m) const {
    float* at = y + m * ldy;
    if (sum) value = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, at), value);
    _mm512_mask_storeu_ps(at, mask, value);
  }
  __mmask16 mask;
  bool sum;
  size_t ldy;
  float* y;
};

// What is added when there is no bias: -0 changes no bit of any value (+0 would of -0).
inline __m512 BiasOf(const PackedTile& tile, size_t column, __mmask16 mask) {
  return tile.bias == nullptr ? _mm512_set1_ps(-0.0f)
                              : _mm512_maskz_loadu_ps(mask, tile.bias + column);
}
alignas(64) inline constexpr float kOnes[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};

// Sums are typed as int32 lanes: with __m512i (int64 lanes) gcc 12 copies and spills.
using I32x16 = int32_t __attribute__((vector_size(64)));

// The order of operations is that of DequantizeI32 (elementwise.h): the same bits. `row_stride` is 0
// when there are no scales of rows: then each row reads the same 1.
struct Int8Epilogue {
  Int8Epilogue(const PackedTile& tile, size_t column, size_t count)
      : place(tile, column, count),
        row_scales(tile.row_scales == nullptr ? kOnes : tile.row_scales),
        row_stride(tile.row_scales == nullptr ? 0 : 1),
        add(_mm512_maskz_loadu_epi32(place.mask, tile.column_sums + column)),
        deq(_mm512_maskz_loadu_ps(place.mask, tile.deq + column)),
        bias(BiasOf(tile, column, place.mask)) {
    if (tile.quant_bias != nullptr)
      add = _mm512_add_epi32(add, _mm512_maskz_loadu_epi32(place.mask, tile.quant_bias + column));
  }
  inline __m512 Finish(I32x16 acc, size_t m) const {
    const __m512 value = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_add_epi32((__m512i)acc, add)), deq);
    return _mm512_add_ps(_mm512_mul_ps(value, _mm512_set1_ps(row_scales[m * row_stride])), bias);
  }
  inline void StoreWhole(I32x16 acc, size_t m) const { place.StoreWhole(Finish(acc, m), m); }
  inline void Store(I32x16 acc, size_t m) const { place.Store(Finish(acc, m), m); }
  OutputPlace place;
  const float* row_scales;
  size_t row_stride;
  __m512i add;
  __m512 deq, bias;
};

struct FloatEpilogue {
  FloatEpilogue(const PackedTile& tile, size_t column, size_t count)
      : place(tile, column, count), bias(BiasOf(tile, column, place.mask)) {}
  inline void StoreWhole(__m512 acc, size_t m) const {
    place.StoreWhole(_mm512_add_ps(acc, bias), m);
  }
  inline void Store(__m512 acc, size_t m) const { place.Store(_mm512_add_ps(acc, bias), m); }
  OutputPlace place;
  __m512 bias;
};
