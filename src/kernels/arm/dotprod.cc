// SPDX-License-Identifier: Apache-2.0
// int8 products with SDOT (FEAT_DotProd: Kunpeng 920, Neoverse N1): 16 exact products a lane group
// and instruction.
#include <arm_neon.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "kernels/tables.h"

namespace ingot {
namespace {

#include "kernels/arm/simd_int8.h"
#include "kernels/arm/simd_packed.h"
#include "kernels/x86/simd_matmul.h"

// Two SDOT a cycle, as for float multiply-adds: the 4 x 6 tile of simd_neon.h.
struct Int8Dot : Int8DotBase {
  static inline Acc MulAdd(Vec x, Vec w, Acc acc) { return vdotq_s32(acc, x, w); }
};

void MatmulI8(const int8_t* x, size_t ldx, size_t rows, const int8_t* w, size_t n_out,
              size_t k_size, const float*, int32_t* y, size_t ldy) {
  MatmulAny<Int8Dot, Int8Dot, 4, 6>(x, ldx, rows, w, n_out, k_size, nullptr, y, ldy);
}

// Packed: 4 bytes of k of one output in each lane, of one row in a lane of x.
struct Int8Lanes {
  using Acc = int32x4_t;
  static constexpr size_t kVectorBytes = 16;
  static inline Acc Zero() { return vdupq_n_s32(0); }
  static inline int8x16_t LoadW(const std::byte* p) {
    return vld1q_s8(reinterpret_cast<const int8_t*>(p));
  }
  template <int kLane>
  static inline Acc MulAdd(Acc acc, int8x16_t w, uint32x4_t x) {
    return vdotq_laneq_s32(acc, w, vreinterpretq_s8_u32(x), kLane);
  }
};

void PackPanel(const void* w, size_t n_out, size_t k_size, std::byte* panel, int32_t*) {
  PackPanelBytes<uint32_t>(w, n_out, k_size, panel);
}
void PackRow(const void* x, size_t k_size, size_t stride, std::byte* out) {
  PlaceRow<uint32_t>(x, k_size, stride, out);
}

}  // namespace

void AddDotprodKernels(KernelTable* table) {
  static const PackedKernels packed = {.columns = kPanelColumns,
                                       .group = 4,
                                       .rows = kPackedRows,
                                       .w_bytes = 1,
                                       .x_bytes = 4,
                                       .panels_of_one = kPanelsOfOne,
                                       .pack_panel = PackPanel,
                                       .pack_row = PackRow,
                                       .tile = RunTile<LaneTile<Int8Lanes>>};
  table->matmul_i8 = MatmulI8;
  table->packed_i8 = &packed;
}

}  // namespace ingot
