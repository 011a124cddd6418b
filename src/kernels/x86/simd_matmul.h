// SPDX-License-Identifier: Apache-2.0
// Matrix products, written once over a "dot" policy D (operand types, vector loads, multiply-add).
// Included inside an anonymous namespace of each vector table; uses nothing of the standard library
// that could be emitted out of line.
//
// A tile is kM rows of x times kN rows of w with all kM * kN sums in registers, each sum a vector
// over k. Per vector step it costs kM + kN loads for kM * kN multiply-adds, so the multiply-add
// ports are the limit. k is cut into blocks of kBlockK, so that the (widened) w tile and the x tile
// stay in the L1 cache; a block's vector sums are added up across lanes (Reduce8) and then to y.
// This order depends on k alone: for one row or many the same bits.
//
// D provides: X, W (element types), Y (float or int32_t), Vec, Acc, kStep (elements of k in a Vec),
// kBlockK, Zero, LoadX, LoadXN, LoadW, LoadWN (N: the first n elements, the rest zero), MulAdd,
// Reduce8 (8 Acc to 8 Y in a fixed tree), Pin (a vector stays in its register), WidenRow (a row of
// stored weights to W).

// out[kM * kN, padded to 8] = sums over [0, n) of the tile whose rows start at x + m * ldx and w +
// j * ldw.
template <typename D, int kM, int kN, size_t... M, size_t... I>
[[gnu::always_inline]] inline void TileImpl(std::index_sequence<M...>, std::index_sequence<I...>,
                                            const typename D::X* x, size_t ldx,
                                            const typename D::W* w, size_t ldw, size_t n,
                                            typename D::Y* out) {
  constexpr size_t kPadded = (sizeof...(I) + 7) / 8 * 8;
  // Only indexed by constants (folds, no loops): an array that a loop walks through would live in
  // memory.
  typename D::Acc acc[kPadded] = {((void)I, D::Zero())...};
  const auto clear = [&]<size_t... P>(std::index_sequence<P...>) __attribute__((always_inline)) {
    ((acc[sizeof...(I) + P] = D::Zero()), ...);
  };
  clear(std::make_index_sequence<kPadded - sizeof...(I)>{});
  // Column j of the tile: one w vector against all x vectors. Pin keeps the compiler from loading
  // it once per multiply-add instead of once.
  const auto column = [&](auto j_constant, const typename D::Vec* xv, typename D::Vec wv)
                          __attribute__((always_inline)) {
                            constexpr size_t j = decltype(j_constant)::value;
                            D::Pin(wv);
                            ((acc[M * kN + j] = D::MulAdd(xv[M], wv, acc[M * kN + j])), ...);
                          };
  const auto columns = [&]<size_t... J>(std::index_sequence<J...>, const typename D::Vec* xv,
                                        auto load) __attribute__((always_inline)) {
    (column(std::integral_constant<size_t, J>{}, xv, load(w + J * ldw)), ...);
  };
  size_t k = 0;
  for (; k + D::kStep <= n; k += D::kStep) {
    const typename D::Vec xv[kM] = {D::LoadX(x + M * ldx + k)...};
    columns(std::make_index_sequence<kN>{}, xv,
            [&](const typename D::W* row) { return D::LoadW(row + k); });
  }
  if (k < n) {
    const typename D::Vec xv[kM] = {D::LoadXN(x + M * ldx + k, n - k)...};
    columns(std::make_index_sequence<kN>{}, xv,
            [&](const typename D::W* row) { return D::LoadWN(row + k, n - k); });
  }
  const auto reduce = [&]<size_t... G>(std::index_sequence<G...>) __attribute__((always_inline)) {
    (D::Reduce8(acc[8 * G], acc[8 * G + 1], acc[8 * G + 2], acc[8 * G + 3], acc[8 * G + 4],
                acc[8 * G + 5], acc[8 * G + 6], acc[8 * G + 7], out + 8 * G),
     ...);
  };
  reduce(std::make_index_sequence<kPadded / 8>{});
}

// The same into y: stored for the first block of k, added for the others.
template <typename D, int kM, int kN>
void Tile(const typename D::X* x, size_t ldx, const typename D::W* w, size_t ldw, size_t n,
          bool first, typename D::Y* y, size_t ldy) {
  alignas(64) typename D::Y out[(kM * kN + 7) / 8 * 8];
  TileImpl<D, kM, kN>(std::make_index_sequence<kM>{}, std::make_index_sequence<kM * kN>{}, x, ldx,
                      w, ldw, n, out);
  for (int m = 0; m < kM; ++m) {
    typename D::Y* row = y + static_cast<size_t>(m) * ldy;
    if (first) {
      for (int j = 0; j < kN; ++j) row[j] = out[m * kN + j];
    } else {
      for (int j = 0; j < kN; ++j) row[j] += out[m * kN + j];
    }
  }
}

// The tile of `rows` <= kMaxM rows.
template <typename D, int kMaxM, int kN>
inline void TileRows(size_t rows, const typename D::X* x, size_t ldx, const typename D::W* w,
                     size_t ldw, size_t n, bool first, typename D::Y* y, size_t ldy) {
  if constexpr (kMaxM > 1) {
    if (rows < kMaxM) return TileRows<D, kMaxM - 1, kN>(rows, x, ldx, w, ldw, n, first, y, ldy);
  }
  Tile<D, kMaxM, kN>(x, ldx, w, ldw, n, first, y, ldy);
}

template <typename Y>
inline void AddBias(const float* bias, size_t rows, size_t n_out, Y* y, size_t ldy) {
  for (size_t m = 0; m < rows; ++m) {
    for (size_t n = 0; n < n_out; ++n) y[m * ldy + n] += static_cast<Y>(bias[n]);
  }
}

// Few rows: the limit is reading w, which is used as it is stored and widened in registers.
template <typename D, int kM, int kN>
void MatmulFewRows(const typename D::X* x, size_t ldx, size_t rows, const typename D::W* w,
                   size_t n_out, size_t k_size, typename D::Y* y, size_t ldy) {
  for (size_t n = 0, width; n < n_out; n += width) {
    width = n + kN <= n_out ? kN : 1;
    const auto tile_rows = width == kN ? TileRows<D, kM, kN> : TileRows<D, kM, 1>;
    for (size_t k = 0; k < k_size || k == 0; k += D::kBlockK) {
      const size_t count = k_size - k < D::kBlockK ? k_size - k : D::kBlockK;
      for (size_t m = 0; m < rows; m += kM) {
        const size_t height = rows - m < kM ? rows - m : kM;
        tile_rows(height, x + m * ldx + k, ldx, w + n * k_size + k, k_size, count, k == 0,
                  y + m * ldy + n, ldy);
      }
    }
  }
}

// Many rows. A tile of w is copied first (and widened to Wide's type): rows of w lie a power of two
// apart often enough to fall on the same cache sets. Loops: 128 rows of x (a k block of them stays
// in L2), 48 outputs, k blocks, tiles of w, of x.
template <typename D, typename Wide, int kM, int kN>
void MatmulManyRows(const typename D::X* x, size_t ldx, size_t rows, const typename D::W* w,
                    size_t n_out, size_t k_size, typename D::Y* y, size_t ldy) {
  constexpr size_t kRowBlock = 128, kOutBlock = 48, kBlockK = Wide::kBlockK;
  alignas(64) typename Wide::W buffer[kN * kBlockK];
  const auto tile = [&](size_t m0, size_t m1, size_t n, size_t width, size_t k) {
    const size_t count = k_size - k < kBlockK ? k_size - k : kBlockK;
    for (size_t j = 0; j < width; ++j)
      Wide::WidenRow(w + (n + j) * k_size + k, count, buffer + j * kBlockK);
    const auto tile_rows = width == kN ? TileRows<Wide, kM, kN> : TileRows<Wide, kM, 1>;
    for (size_t m = m0; m < m1; m += kM) {
      const size_t height = m1 - m < kM ? m1 - m : kM;
      tile_rows(height, x + m * ldx + k, ldx, buffer, kBlockK, count, k == 0, y + m * ldy + n, ldy);
    }
  };
  for (size_t m = 0; m < rows; m += kRowBlock) {
    const size_t m1 = rows - m < kRowBlock ? rows : m + kRowBlock;
    for (size_t n = 0; n < n_out; n += kOutBlock) {
      const size_t n1 = n_out - n < kOutBlock ? n_out : n + kOutBlock;
      for (size_t k = 0; k < k_size || k == 0; k += kBlockK) {
        for (size_t j = n, width; j < n1; j += width) {
          width = j + kN <= n1 ? kN : 1;
          tile(m, m1, j, width, k);
        }
      }
    }
  }
}

// kM x kN is the tile that fills the registers.
template <typename D, typename Wide, int kM, int kN>
void MatmulAny(const typename D::X* x, size_t ldx, size_t rows, const typename D::W* w,
               size_t n_out, size_t k_size, const float* bias, typename D::Y* y, size_t ldy) {
  static_assert(D::kBlockK == Wide::kBlockK && D::kStep == Wide::kStep);
  constexpr size_t kFewRows = 12;  // from here on, widening a tile of w once pays
  if (rows == 1) {
    MatmulFewRows<D, 1, 8>(x, ldx, rows, w, n_out, k_size, y, ldy);
  } else if (rows <= kFewRows) {
    MatmulFewRows<D, kM, kN>(x, ldx, rows, w, n_out, k_size, y, ldy);
  } else {
    MatmulManyRows<D, Wide, kM, kN>(x, ldx, rows, w, n_out, k_size, y, ldy);
  }
  if (bias != nullptr) AddBias(bias, rows, n_out, y, ldy);
}
