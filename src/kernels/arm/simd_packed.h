// SPDX-License-Identifier: Apache-2.0
// Products with packed weights (PackedKernels in kernels/kernels.h) on NEON. Included inside an
// anonymous namespace.
//
// Panels of 12 outputs, tiles of 8 rows: 24 sums of 4 lanes, 3 (lane kernels) or 6 (block kernels)
// vectors of w and 2 or 4 of x in each group of k, so 5 or 10 loads for 24 multiply-adds and 29
// registers. Two multiply-adds a cycle of latency up to 5 (Neoverse N1, Kunpeng 920) need 10 sums;
// w comes from the L2 cache at 48 or 96 bytes per 12 cycles. One or two rows run over 4 panels, up
// to four rows over 2, which again makes up to 24 sums.

inline constexpr size_t kPanelColumns = 12, kPackedRows = 8, kPanelsOfOne = 4;

// Rows of row_bytes bytes -> [groups][12][sizeof(Group)]; blocks of groups go through for all outputs
// before the next, so that both sides are touched a cache line at a time.
template <typename Group>
void PackPanelBytes(const void* w, size_t n_out, size_t row_bytes, std::byte* panel) {
  constexpr size_t kSize = sizeof(Group), kBlock = 64 / kSize;
  const auto* from = static_cast<const std::byte*>(w);
  const size_t whole = row_bytes / kSize, groups = (row_bytes + kSize - 1) / kSize;
  for (size_t g0 = 0; g0 < groups; g0 += kBlock) {
    const size_t g1 = g0 + kBlock < groups ? g0 + kBlock : groups;
    for (size_t n = 0; n < kPanelColumns; ++n) {
      const std::byte* row = from + n * row_bytes;
      for (size_t g = g0; g < g1; ++g) {
        Group value = 0;
        if (n < n_out)
          __builtin_memcpy(&value, row + g * kSize, g < whole ? kSize : row_bytes - g * kSize);
        __builtin_memcpy(panel + (g * kPanelColumns + n) * kSize, &value, kSize);
      }
    }
  }
}

// Groups of one row, each `stride` bytes behind the last.
template <typename Group>
void PlaceRow(const void* x, size_t row_bytes, size_t stride, std::byte* out) {
  constexpr size_t kSize = sizeof(Group);
  const auto* from = static_cast<const std::byte*>(x);
  for (size_t at = 0; at < row_bytes; at += kSize, out += stride) {
    Group group = 0;
    __builtin_memcpy(&group, from + at, row_bytes - at < kSize ? row_bytes - at : kSize);
    __builtin_memcpy(out, &group, kSize);
  }
}

// The first count <= 4 elements, the rest zero. By lanes: a loop could become a call of memcpy, and
// sums that live across a call live in memory.
inline float32x4_t LoadFloats(const float* p, size_t count) {
  if (count == 4) return vld1q_f32(p);
  float32x4_t v = vdupq_n_f32(0.0f);
  if (count > 0) v = vld1q_lane_f32(p, v, 0);
  if (count > 1) v = vld1q_lane_f32(p + 1, v, 1);
  if (count > 2) v = vld1q_lane_f32(p + 2, v, 2);
  return v;
}
inline int32x4_t LoadInts(const int32_t* p, size_t count) {
  if (count == 4) return vld1q_s32(p);
  int32x4_t v = vdupq_n_s32(0);
  if (count > 0) v = vld1q_lane_s32(p, v, 0);
  if (count > 1) v = vld1q_lane_s32(p + 1, v, 1);
  if (count > 2) v = vld1q_lane_s32(p + 2, v, 2);
  return v;
}
inline void StoreFloats(float* p, float32x4_t v, size_t count) {
  if (count == 4) return vst1q_f32(p, v);
  if (count > 0) vst1q_lane_f32(p, v, 0);
  if (count > 1) vst1q_lane_f32(p + 1, v, 1);
  if (count > 2) vst1q_lane_f32(p + 2, v, 2);
}

// How the sums of 4 columns are finished. The order of operations is that of DequantizeI32
// (elementwise.h): the same bits.
struct Epilogue {
  Epilogue(const PackedTile& t, size_t at) : tile(t), column(at) {
    count = tile.n_out - column < 4 ? tile.n_out - column : 4;
    add = vdupq_n_s32(0);
    if (tile.column_sums != nullptr) add = LoadInts(tile.column_sums + column, count);
    if (tile.quant_bias != nullptr)
      add = vaddq_s32(add, LoadInts(tile.quant_bias + column, count));
    deq = tile.deq == nullptr ? vdupq_n_f32(1.0f) : LoadFloats(tile.deq + column, count);
    bias = tile.bias == nullptr ? vdupq_n_f32(0.0f) : LoadFloats(tile.bias + column, count);
  }
  inline void Store(int32x4_t sum, size_t m) const {
    float32x4_t value = vmulq_f32(vcvtq_f32_s32(vaddq_s32(sum, add)), deq);
    if (tile.row_scales != nullptr) value = vmulq_n_f32(value, tile.row_scales[m]);
    Store(value, m);
  }
  inline void Store(float32x4_t value, size_t m) const {
    float* y = tile.y + m * tile.ldy + column;
    if (tile.bias != nullptr) value = vaddq_f32(value, bias);
    if (tile.add) value = vaddq_f32(LoadFloats(y, count), value);
    StoreFloats(y, value, count);
  }
  const PackedTile& tile;
  size_t column, count;
  int32x4_t add;
  float32x4_t deq, bias;
};

// Vectors of 4 elements of 32 bits from the rows of a group; nothing is read behind the last.
template <size_t kCount>
inline uint32x4_t LoadRows(const std::byte* p) {
  const auto* from = reinterpret_cast<const uint32_t*>(p);
  if constexpr (kCount >= 4) return vld1q_u32(from);
  if constexpr (kCount == 3)
    return vld1q_lane_u32(from + 2, vcombine_u32(vld1_u32(from), vdup_n_u32(0)), 2);
  if constexpr (kCount == 2) return vcombine_u32(vld1_u32(from), vdup_n_u32(0));
  return vld1q_dup_u32(from);
}

// Lane kernels: a vector of w holds one group of 4 outputs, a lane of x one group of a row. D
// provides: Acc, kVectorBytes (of w), Zero, LoadW, MulAdd<lane>(acc, w, x).
template <typename D, size_t kRows, size_t kPanels, size_t... V, size_t... I, size_t... Q>
[[gnu::always_inline]] inline void LaneTileImpl(std::index_sequence<V...>,
                                                std::index_sequence<I...>,
                                                std::index_sequence<Q...>,
                                                const PackedTile& tile) {
  constexpr size_t kVectors = 3 * kPanels, kPanelStep = 3 * D::kVectorBytes;
  typename D::Acc acc[kRows * kVectors] = {((void)I, D::Zero())...};  // indexed by constants only
  const auto* x = static_cast<const std::byte*>(tile.x);
  const std::byte* w = tile.w;
  const std::byte* prefetch = tile.prefetch;
  const size_t panel_bytes = tile.groups * kPanelStep;
  const auto vector = [&](auto v_constant, auto wv, const uint32x4_t* xv)
                          __attribute__((always_inline)) {
                            constexpr size_t v = decltype(v_constant)::value;
                            asm("" : "+w"(wv));  // loaded once
                            const auto rows = [&]<size_t... M>(std::index_sequence<M...>)
                                                  __attribute__((always_inline)) {
                              ((acc[M * kVectors + v] = D::template MulAdd<M % 4>(
                                    acc[M * kVectors + v], wv, xv[M / 4])),
                               ...);
                            };
                            rows(std::make_index_sequence<kRows>{});
                          };
  for (size_t g = 0; g < tile.groups; ++g) {
    uint32x4_t xv[] = {LoadRows<kRows - 4 * Q>(x + 16 * Q)...};
    const auto pin = [](uint32x4_t& v) { asm("" : "+w"(v)); };  // no loads of single lanes
    (pin(xv[Q]), ...);
    (vector(std::integral_constant<size_t, V>{},
            D::LoadW(w + V / 3 * panel_bytes + V % 3 * D::kVectorBytes), xv),
     ...);
    __builtin_prefetch(prefetch, 0, 2);
    __builtin_prefetch(prefetch + tile.prefetch_second, 0, 2);
    prefetch += tile.prefetch_step;
    x += 4 * kRows;
    w += kPanelStep;
  }
  const auto finish = [&](auto v_constant) __attribute__((always_inline)) {
    constexpr size_t v = decltype(v_constant)::value;
    if (4 * v >= tile.n_out) return;
    const Epilogue epilogue(tile, 4 * v);
    const auto rows = [&]<size_t... M>(std::index_sequence<M...>) __attribute__((always_inline)) {
      (epilogue.Store(acc[M * kVectors + v], M), ...);
    };
    rows(std::make_index_sequence<kRows>{});
  };
  (finish(std::integral_constant<size_t, V>{}), ...);
}
template <typename D>
struct LaneTile {
  template <size_t kRows, size_t kPanels>
  static void Run(const PackedTile& tile) {
    LaneTileImpl<D, kRows, kPanels>(std::make_index_sequence<3 * kPanels>{},
                                    std::make_index_sequence<3 * kPanels * kRows>{},
                                    std::make_index_sequence<(kRows + 3) / 4>{}, tile);
  }
};

// Block kernels (SMMLA, BFMMLA): a vector holds 8 bytes of k of two outputs, or of two rows (a last
// single row is paired with zeros). D provides: Acc, Zero, MulAdd(acc, x, w), Low, High (two columns
// of the first and of the second row, from two sums).
template <typename D, size_t kRows, size_t kPanels, size_t... C, size_t... P, size_t... I>
[[gnu::always_inline]] inline void BlockTileImpl(std::index_sequence<C...>,
                                                 std::index_sequence<P...>,
                                                 std::index_sequence<I...>,
                                                 const PackedTile& tile) {
  constexpr size_t kWide = 6 * kPanels, kPanelStep = 6 * 16;
  typename D::Acc acc[sizeof...(I)] = {((void)I, D::Zero())...};  // indexed by constants only
  const auto* x = static_cast<const uint8_t*>(tile.x);
  const auto* w = reinterpret_cast<const uint8_t*>(tile.w);
  const std::byte* prefetch = tile.prefetch;
  const size_t panel_bytes = tile.groups * kPanelStep;
  const auto load_pair = [](const uint8_t* p, bool whole) __attribute__((always_inline)) {
    return whole ? vld1q_u8(p) : vcombine_u8(vld1_u8(p), vdup_n_u8(0));
  };
  const auto column = [&](auto c_constant, uint8x16_t wv, const uint8x16_t* xv)
                          __attribute__((always_inline)) {
                            constexpr size_t c = decltype(c_constant)::value;
                            asm("" : "+w"(wv));  // loaded once
                            ((acc[P * kWide + c] = D::MulAdd(acc[P * kWide + c], xv[P], wv)), ...);
                          };
  for (size_t g = 0; g < tile.groups; ++g) {
    const uint8x16_t xv[] = {load_pair(x + 16 * P, 2 * P + 2 <= kRows)...};
    (column(std::integral_constant<size_t, C>{}, vld1q_u8(w + C / 6 * panel_bytes + C % 6 * 16),
            xv),
     ...);
    __builtin_prefetch(prefetch, 0, 2);
    __builtin_prefetch(prefetch + tile.prefetch_second, 0, 2);
    prefetch += tile.prefetch_step;
    x += 8 * kRows;
    w += kPanelStep;
  }
  const auto finish = [&](auto v_constant) __attribute__((always_inline)) {
    constexpr size_t v = decltype(v_constant)::value;
    if (4 * v >= tile.n_out) return;
    const Epilogue epilogue(tile, 4 * v);
    const auto row = [&](size_t m, typename D::Acc a, typename D::Acc b)
                         __attribute__((always_inline)) {
                           epilogue.Store(m % 2 == 0 ? D::Low(a, b) : D::High(a, b), m);
                         };
    const auto rows = [&]<size_t... M>(std::index_sequence<M...>) __attribute__((always_inline)) {
      (row(M, acc[M / 2 * kWide + 2 * v], acc[M / 2 * kWide + 2 * v + 1]), ...);
    };
    rows(std::make_index_sequence<kRows>{});
  };
  const auto all = [&]<size_t... V>(std::index_sequence<V...>) __attribute__((always_inline)) {
    (finish(std::integral_constant<size_t, V>{}), ...);
  };
  all(std::make_index_sequence<3 * kPanels>{});
}
template <typename D>
struct BlockTile {
  template <size_t kRows, size_t kPanels>
  static void Run(const PackedTile& tile) {
    constexpr size_t kPairs = (kRows + 1) / 2;
    BlockTileImpl<D, kRows, kPanels>(std::make_index_sequence<6 * kPanels>{},
                                     std::make_index_sequence<kPairs>{},
                                     std::make_index_sequence<6 * kPanels * kPairs>{}, tile);
  }
};

template <typename T, size_t kRows = kPackedRows>
void RunTile(const PackedTile& tile) {
  if constexpr (kRows > 1) {
    if (tile.rows < kRows) return RunTile<T, kRows - 1>(tile);
  }
  if constexpr (PackedKernels::MaxPanels(kRows, kPanelsOfOne) >= 4) {
    if (tile.panels == 4) return T::template Run<kRows, 4>(tile);
  }
  if constexpr (PackedKernels::MaxPanels(kRows, kPanelsOfOne) >= 2) {
    if (tile.panels == 2) return T::template Run<kRows, 2>(tile);
  }
  T::template Run<kRows, 1>(tile);
}
