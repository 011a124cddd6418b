// SPDX-License-Identifier: Apache-2.0
// Matrix products with the 2 x 2 block instructions SMMLA and BFMMLA. Included inside an anonymous
// namespace.
//
// An instruction takes 8 bytes of k ("group") of two rows of x and of two rows of w in one register
// each and adds the four sums over that group to the lanes (x0 w0, x0 w1, x1 w0, x1 w1). So a sum is
// one chain over the groups of a k block, then over the blocks: the order depends on k alone, and
// one row (paired with zeros) gets the same bits as many. k is padded with zeros to whole 16 bytes.
//
// Panels: rows in pairs, [group][pair][2 rows x 8 bytes].
//
// D provides: X (= W, the element), Y, Acc, Zero, MulAdd(acc, x pair, w pair), Store (the four
// lanes).

inline constexpr size_t kPairBytes = 16, kBlockBytes = 1024;  // of k
inline constexpr size_t kTilePairs = 4, kTileColumnPairs = 6;

constexpr size_t Groups(size_t bytes) { return (bytes + 15) / 16 * 2; }

// Two rows of 16 bytes -> two groups of the pair.
inline void PackStep(uint8x16_t a, uint8x16_t b, size_t stride, uint8_t* to) {
  const uint64x2_t low = vreinterpretq_u64_u8(a), high = vreinterpretq_u64_u8(b);
  vst1q_u8(to, vreinterpretq_u8_u64(vzip1q_u64(low, high)));
  vst1q_u8(to + stride, vreinterpretq_u8_u64(vzip2q_u64(low, high)));
}
inline uint8x16_t LoadBytesN(const uint8_t* p, size_t n) {
  uint8_t buffer[16] = {};
  for (size_t i = 0; i < n; ++i) buffer[i] = p[i];
  return vld1q_u8(buffer);
}

// `rows` rows of `bytes` bytes, `ld` bytes apart -> a panel of kPairs pairs; missing rows are zero.
template <size_t kPairs>
void PackPanel(const uint8_t* from, size_t ld, size_t rows, size_t bytes, uint8_t* panel) {
  constexpr size_t kStride = kPairs * kPairBytes;
  const uint8x16_t zero = vdupq_n_u8(0);
  for (size_t pair = 0; pair < kPairs; ++pair) {
    const bool has_a = 2 * pair < rows, has_b = 2 * pair + 1 < rows;
    const uint8_t* a = from + 2 * pair * ld;
    const uint8_t* b = a + ld;
    uint8_t* to = panel + pair * kPairBytes;
    size_t k = 0;
    for (; k + 16 <= bytes; k += 16, to += 2 * kStride)
      PackStep(has_a ? vld1q_u8(a + k) : zero, has_b ? vld1q_u8(b + k) : zero, kStride, to);
    if (k < bytes) {
      PackStep(has_a ? LoadBytesN(a + k, bytes - k) : zero,
               has_b ? LoadBytesN(b + k, bytes - k) : zero, kStride, to);
    }
  }
}

// out[2 kP][2 kC] = the tile of two panels; all sums in registers (folds over constants).
template <typename D, size_t kP, size_t kC, size_t... P, size_t... C, size_t... I>
[[gnu::always_inline]] inline void PanelTileImpl(std::index_sequence<P...>,
                                                 std::index_sequence<C...>,
                                                 std::index_sequence<I...>, const uint8_t* x,
                                                 const uint8_t* w, size_t groups,
                                                 typename D::Y* out) {
  typename D::Acc acc[kP * kC] = {((void)I, D::Zero())...};
  const auto column = [&](auto c_constant, const uint8x16_t* xv, uint8x16_t wv)
                          __attribute__((always_inline)) {
                            constexpr size_t c = decltype(c_constant)::value;
                            asm("" : "+w"(wv));  // loaded once
                            ((acc[P * kC + c] = D::MulAdd(acc[P * kC + c], xv[P], wv)), ...);
                          };
  for (size_t g = 0; g < groups; ++g, x += kP * kPairBytes, w += kC * kPairBytes) {
    const uint8x16_t xv[kP] = {vld1q_u8(x + P * kPairBytes)...};
    (column(std::integral_constant<size_t, C>{}, xv, vld1q_u8(w + C * kPairBytes)), ...);
  }
  (D::Store(acc[I], out + I / kC * 4 * kC + I % kC * 2, 2 * kC), ...);
}

// y = or += the first rows x columns of out.
template <typename Y>
inline void PutTile(const Y* out, size_t ld_out, size_t rows, size_t columns, bool first, Y* y,
                    size_t ldy) {
  for (size_t m = 0; m < rows; ++m) {
    for (size_t n = 0; n < columns; ++n)
      y[m * ldy + n] = first ? out[m * ld_out + n] : y[m * ldy + n] + out[m * ld_out + n];
  }
}

inline size_t Least(size_t a, size_t b) { return a < b ? a : b; }

// Many rows: 96 outputs of a k block are packed (96 KiB, the L2 cache), then the rows eight by eight
// (8 KiB). 24 sums: two block instructions a cycle of latency 3 to 5 need 10; 10 loads for 24
// instructions.
template <typename D>
void MmlaManyRows(const typename D::X* x, size_t ldx, size_t rows, const typename D::X* w,
                  size_t n_out, size_t k_size, typename D::Y* y, size_t ldy) {
  constexpr size_t kM = 2 * kTilePairs, kN = 2 * kTileColumnPairs, kOutTiles = 8;
  constexpr size_t kElement = sizeof(typename D::X), kBlockK = kBlockBytes / kElement;
  constexpr size_t kTileBytes = kN * kBlockBytes;
  alignas(64) uint8_t w_panels[kOutTiles * kTileBytes];
  alignas(64) uint8_t x_panel[kM * kBlockBytes];
  alignas(64) typename D::Y out[kM * kN];
  const auto bytes_of = [](const typename D::X* p) { return reinterpret_cast<const uint8_t*>(p); };
  for (size_t n = 0; n < n_out; n += kOutTiles * kN) {
    const size_t n1 = Least(n_out, n + kOutTiles * kN);
    for (size_t k = 0; k < k_size || k == 0; k += kBlockK) {
      const size_t bytes = Least(k_size - k, kBlockK) * kElement;
      for (size_t j = n; j < n1; j += kN) {
        PackPanel<kTileColumnPairs>(bytes_of(w + j * k_size + k), k_size * kElement, n1 - j, bytes,
                                    w_panels + (j - n) / kN * kTileBytes);
      }
      for (size_t m = 0; m < rows; m += kM) {
        PackPanel<kTilePairs>(bytes_of(x + m * ldx + k), ldx * kElement, rows - m, bytes, x_panel);
        for (size_t j = n; j < n1; j += kN) {
          PanelTileImpl<D, kTilePairs, kTileColumnPairs>(
              std::make_index_sequence<kTilePairs>{}, std::make_index_sequence<kTileColumnPairs>{},
              std::make_index_sequence<kTilePairs * kTileColumnPairs>{}, x_panel,
              w_panels + (j - n) / kN * kTileBytes, Groups(bytes), out);
          PutTile(out, kN, Least(rows - m, kM), Least(n1 - j, kN), k == 0, y + m * ldy + j, ldy);
        }
      }
    }
  }
}

// out[2 kP][2 kC] against w as it is stored: `bytes` of 2 kC rows, `ld` bytes apart.
template <typename D, size_t kP, size_t kC, size_t... P, size_t... C, size_t... I>
[[gnu::always_inline]] inline void RowsTileImpl(std::index_sequence<P...>,
                                                std::index_sequence<C...>,
                                                std::index_sequence<I...>, const uint8_t* x,
                                                const uint8_t* w, size_t ld, size_t bytes,
                                                typename D::Y* out) {
  typename D::Acc acc[kP * kC] = {((void)I, D::Zero())...};
  const auto column = [&](auto c_constant, const uint8x16_t* xv, uint8x16_t a, uint8x16_t b)
                          __attribute__((always_inline)) {
                            constexpr size_t c = decltype(c_constant)::value;
                            const uint64x2_t low = vreinterpretq_u64_u8(a);
                            const uint64x2_t high = vreinterpretq_u64_u8(b);
                            const uint8x16_t w0 = vreinterpretq_u8_u64(vzip1q_u64(low, high));
                            const uint8x16_t w1 = vreinterpretq_u8_u64(vzip2q_u64(low, high));
                            ((acc[P * kC + c] = D::MulAdd(acc[P * kC + c], xv[P], w0)), ...);
                            ((acc[P * kC + c] = D::MulAdd(acc[P * kC + c], xv[kP + P], w1)), ...);
                          };
  const auto step = [&](auto load) __attribute__((always_inline)) {
    const uint8x16_t xv[2 * kP] = {vld1q_u8(x + P * kPairBytes)...,
                                   vld1q_u8(x + (kP + P) * kPairBytes)...};
    (column(std::integral_constant<size_t, C>{}, xv, load(w + 2 * C * ld),
            load(w + (2 * C + 1) * ld)),
     ...);
    x += 2 * kP * kPairBytes;
  };
  size_t k = 0;
  for (; k + 16 <= bytes; k += 16) step([&](const uint8_t* row) { return vld1q_u8(row + k); });
  if (k < bytes) step([&](const uint8_t* row) { return LoadBytesN(row + k, bytes - k); });
  (D::Store(acc[I], out + I / kC * 4 * kC + I % kC * 2, 2 * kC), ...);
}

// Few rows, at most 2 kP: the limit is reading w, which is used as it is stored.
template <typename D, size_t kP>
void MmlaFewRows(const typename D::X* x, size_t ldx, size_t rows, const typename D::X* w,
                 size_t n_out, size_t k_size, typename D::Y* y, size_t ldy) {
  constexpr size_t kC = 4, kN = 2 * kC;
  constexpr size_t kElement = sizeof(typename D::X), kBlockK = kBlockBytes / kElement;
  alignas(64) uint8_t x_panel[2 * kP * kBlockBytes];
  alignas(64) uint8_t w_rows[kN * kBlockBytes];  // the last outputs, padded with zero rows
  alignas(64) typename D::Y out[2 * kP * kN];
  for (size_t k = 0; k < k_size || k == 0; k += kBlockK) {
    const size_t bytes = Least(k_size - k, kBlockK) * kElement;
    PackPanel<kP>(reinterpret_cast<const uint8_t*>(x + k), ldx * kElement, rows, bytes, x_panel);
    for (size_t n = 0; n < n_out; n += kN) {
      const size_t columns = Least(n_out - n, kN);
      const auto* from = reinterpret_cast<const uint8_t*>(w + n * k_size + k);
      size_t ld = k_size * kElement;
      if (columns < kN) {
        __builtin_memset(w_rows, 0, sizeof(w_rows));
        for (size_t j = 0; j < columns; ++j)
          __builtin_memcpy(w_rows + j * kBlockBytes, from + j * ld, bytes);
        from = w_rows, ld = kBlockBytes;
      }
      RowsTileImpl<D, kP, kC>(std::make_index_sequence<kP>{}, std::make_index_sequence<kC>{},
                              std::make_index_sequence<kP * kC>{}, x_panel, from, ld, bytes, out);
      PutTile(out, kN, rows, columns, k == 0, y + n, ldy);
    }
  }
}

template <typename D>
void MatmulMmla(const typename D::X* x, size_t ldx, size_t rows, const typename D::X* w,
                size_t n_out, size_t k_size, typename D::Y* y, size_t ldy) {
  if (rows <= 2) {
    MmlaFewRows<D, 1>(x, ldx, rows, w, n_out, k_size, y, ldy);
  } else if (rows <= 4) {
    MmlaFewRows<D, 2>(x, ldx, rows, w, n_out, k_size, y, ldy);
  } else if (rows <= 8) {
    MmlaFewRows<D, 4>(x, ldx, rows, w, n_out, k_size, y, ldy);
  } else {
    MmlaManyRows<D>(x, ldx, rows, w, n_out, k_size, y, ldy);
  }
}
