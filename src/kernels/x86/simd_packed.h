// SPDX-License-Identifier: Apache-2.0
// Products with packed weights (PackedKernels in kernels/kernels.h), written once over a policy D.
// Included inside an anonymous namespace of each vector table's file.
//
// A tile keeps rows * kVectors sums in registers over the whole of k: per group of k one load for
// each weight vector and one broadcast for each row. 12 rows by 2 vectors of 16 lanes make 24 sums
// against 14 loads; weights come from the L2 cache at 128 bytes per 24 multiply-adds, x at 48, so no
// blocking of k is needed and the sums are finished (scales, bias) in their registers.
// Source of the shape: measured; tall tiles move the fewest bytes per product.
//
// D provides: Acc, W, kLanes, kColumnVectors (vectors of a panel), kMaxRows, kPanelsOfOne (as
// PackedKernels::panels_of_one), kXBytes (of x per group and row), kVectorBytes (of w per vector and
// group), kSteps (multiply-adds per group), Zero, LoadW(p, step), LoadX(p, step), Pin (a vector stays
// in its register), MulAdd(acc, x, w), and Epilogue(tile, column, count) with Store(acc, row) and, for whole
// vectors that are not added to y, StoreWhole.

template <typename D, size_t kRows, size_t kPanels, size_t... M, size_t... V, size_t... I>
[[gnu::always_inline]] inline void PackedTileImpl(std::index_sequence<M...>,
                                                  std::index_sequence<V...>,
                                                  std::index_sequence<I...>,
                                                  const PackedTile& tile) {
  constexpr size_t kVectors = D::kColumnVectors * kPanels;
  constexpr size_t kGroupBytes = D::kColumnVectors * D::kVectorBytes;
  // Only indexed by constants: an array that a loop walks through would live in memory.
  typename D::Acc acc[kRows * kVectors] = {((void)I, D::Zero())...};
  const std::byte* x = static_cast<const std::byte*>(tile.x);
  const std::byte* w = tile.w;
  const std::byte *prefetch = tile.prefetch, *second = prefetch + tile.prefetch_second;
  // y is written at the end: by then its lines are here.
  const auto fetch_y = [&](size_t m) __attribute__((always_inline)) {
    __builtin_prefetch(tile.y + m * tile.ldy, 1);
    __builtin_prefetch(tile.y + m * tile.ldy + D::kLanes, 1);
  };
  (fetch_y(M), ...);
  const size_t prefetch_step = tile.prefetch_step, panel_bytes = tile.groups * kGroupBytes;
  const auto multiply = [&](auto step_constant) __attribute__((always_inline)) {
    constexpr size_t kStep = decltype(step_constant)::value;
    typename D::W wv[kVectors] = {D::LoadW(w + (V / D::kColumnVectors) * panel_bytes +
                                               (V % D::kColumnVectors) * D::kVectorBytes,
                                           kStep)...};
    (D::Pin(wv[V]), ...);
    const auto row = [&](auto m_constant) __attribute__((always_inline)) {
      constexpr size_t m = decltype(m_constant)::value;
      auto xv = D::LoadX(x + m * D::kXBytes, kStep);
      D::Pin(xv);  // one broadcast, not one per multiply-add
      ((acc[m * kVectors + V] = D::MulAdd(acc[m * kVectors + V], xv, wv[V])), ...);
    };
    (row(std::integral_constant<size_t, M>{}), ...);
  };
  for (size_t g = 0; g < tile.groups; ++g) {
    multiply(std::integral_constant<size_t, 0>{});
    if constexpr (D::kSteps == 2) multiply(std::integral_constant<size_t, 1>{});
    __builtin_prefetch(prefetch, 0, 2);
    __builtin_prefetch(second, 0, 2);
    prefetch += prefetch_step;
    second += prefetch_step;
    x += kRows * D::kXBytes;
    w += kGroupBytes;
  }
  const auto finish = [&](auto v_constant) __attribute__((always_inline)) {
    constexpr size_t v = decltype(v_constant)::value;
    const size_t column = v * D::kLanes;
    if (column >= tile.n_out) return;
    const size_t count = tile.n_out - column < D::kLanes ? tile.n_out - column : D::kLanes;
    const typename D::Epilogue epilogue(tile, column, count);
    if (count == D::kLanes && !tile.add) {  // without a branch per row
      (epilogue.StoreWhole(acc[M * kVectors + v], M), ...);
    } else {
      (epilogue.Store(acc[M * kVectors + v], M), ...);
    }
  };
  (finish(std::integral_constant<size_t, V>{}), ...);
}

template <typename D, size_t kRows, size_t kPanels>
void PackedTileOf(const PackedTile& tile) {
  constexpr size_t kVectors = D::kColumnVectors * kPanels;
  PackedTileImpl<D, kRows, kPanels>(std::make_index_sequence<kRows>{},
                                    std::make_index_sequence<kVectors>{},
                                    std::make_index_sequence<kRows * kVectors>{}, tile);
}

template <typename D, size_t kRows>
void PackedTileRows(const PackedTile& tile) {
  if constexpr (kRows > 1) {
    if (tile.rows < kRows) return PackedTileRows<D, kRows - 1>(tile);
  }
  if constexpr (PackedKernels::MaxPanels(kRows, D::kPanelsOfOne) >= 4) {
    if (tile.panels == 4) return PackedTileOf<D, kRows, 4>(tile);
  }
  if constexpr (PackedKernels::MaxPanels(kRows, D::kPanelsOfOne) >= 2) {
    if (tile.panels == 2) return PackedTileOf<D, kRows, 2>(tile);
  }
  PackedTileOf<D, kRows, 1>(tile);
}

template <typename D>
void RunPackedTile(const PackedTile& tile) {
  PackedTileRows<D, D::kMaxRows>(tile);
}

// Weights of element type T, kGroup of one output side by side. Blocks of groups are moved for all
// columns before the next, so that both sides are touched a cache line at a time.
template <typename T, size_t kColumns, size_t kGroup>
void PackPanel(const void* w, size_t n_out, size_t k_size, std::byte* panel) {
  using Group = std::conditional_t<sizeof(T) * kGroup == 4, uint32_t, uint16_t>;
  static_assert(sizeof(Group) == sizeof(T) * kGroup);
  const T* from = static_cast<const T*>(w);
  const size_t whole = k_size / kGroup, groups = (k_size + kGroup - 1) / kGroup;
  constexpr size_t kBlock = 64 / sizeof(Group);
  for (size_t g0 = 0; g0 < groups; g0 += kBlock) {
    const size_t g1 = g0 + kBlock < groups ? g0 + kBlock : groups;
    for (size_t n = 0; n < kColumns; ++n) {
      const T* row = from + n * k_size;
      for (size_t g = g0; g < g1; ++g) {
        Group value = 0;
        if (n < n_out && g < whole) {
          __builtin_memcpy(&value, row + g * kGroup, sizeof(Group));
        } else if (n < n_out) {
          T tail[kGroup] = {};
          for (size_t i = 0; g * kGroup + i < k_size; ++i) tail[i] = row[g * kGroup + i];
          __builtin_memcpy(&value, tail, sizeof(Group));
        }
        __builtin_memcpy(panel + (g * kColumns + n) * sizeof(Group), &value, sizeof(Group));
      }
    }
  }
}
