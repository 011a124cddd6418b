// SPDX-License-Identifier: Apache-2.0
// int8 products with SMMLA (FEAT_I8MM: Neoverse V1 and N2, Kunpeng after the 920): 32 exact products
// an instruction.
#include <arm_neon.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "kernels/tables.h"

namespace ingot {
namespace {

#include "kernels/arm/simd_mmla.h"
#include "kernels/arm/simd_packed.h"

struct Int8Mmla {
  using X = int8_t;
  using Y = int32_t;
  using Acc = int32x4_t;
  static inline Acc Zero() { return vdupq_n_s32(0); }
  static inline Acc MulAdd(Acc acc, uint8x16_t x, uint8x16_t w) {
    return vmmlaq_s32(acc, vreinterpretq_s8_u8(x), vreinterpretq_s8_u8(w));
  }
  static inline void Store(Acc acc, int32_t* out, size_t ld) {
    vst1_s32(out, vget_low_s32(acc));
    vst1_s32(out + ld, vget_high_s32(acc));
  }
  static inline Acc Low(Acc a, Acc b) { return vcombine_s32(vget_low_s32(a), vget_low_s32(b)); }
  static inline Acc High(Acc a, Acc b) { return vcombine_s32(vget_high_s32(a), vget_high_s32(b)); }
};

void MatmulI8(const int8_t* x, size_t ldx, size_t rows, const int8_t* w, size_t n_out,
              size_t k_size, const float*, int32_t* y, size_t ldy) {
  MatmulMmla<Int8Mmla>(x, ldx, rows, w, n_out, k_size, y, ldy);
}

void PackPanel8(const void* w, size_t n_out, size_t k_size, std::byte* panel, int32_t*) {
  PackPanelBytes<uint64_t>(w, n_out, k_size, panel);
}
void PackRow(const void* x, size_t k_size, size_t stride, std::byte* out) {
  PlaceRow<uint64_t>(x, k_size, stride, out);
}

}  // namespace

void AddI8mmKernels(KernelTable* table) {
  static const PackedKernels packed = {.columns = kPanelColumns,
                                       .group = 8,
                                       .rows = kPackedRows,
                                       .w_bytes = 1,
                                       .x_bytes = 8,
                                       .panels_of_one = kPanelsOfOne,
                                       .pack_panel = PackPanel8,
                                       .pack_row = PackRow,
                                       .tile = RunTile<BlockTile<Int8Mmla>>};
  table->matmul_i8 = MatmulI8;
  table->packed_i8 = &packed;
}

}  // namespace ingot
