// SPDX-License-Identifier: Apache-2.0
// bfloat16 products with BFMMLA (FEAT_BF16): 16 products an instruction, float32 sums, each rounded
// to odd (denormals count as zero).
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

struct Bf16Mmla {
  using X = uint16_t;
  using Y = float;
  using Acc = float32x4_t;
  static inline Acc Zero() { return vdupq_n_f32(0.0f); }
  static inline Acc MulAdd(Acc acc, uint8x16_t x, uint8x16_t w) {
    return vbfmmlaq_f32(acc, vreinterpretq_bf16_u8(x), vreinterpretq_bf16_u8(w));
  }
  static inline void Store(Acc acc, float* out, size_t ld) {
    vst1_f32(out, vget_low_f32(acc));
    vst1_f32(out + ld, vget_high_f32(acc));
  }
  static inline Acc Low(Acc a, Acc b) { return vcombine_f32(vget_low_f32(a), vget_low_f32(b)); }
  static inline Acc High(Acc a, Acc b) { return vcombine_f32(vget_high_f32(a), vget_high_f32(b)); }
};

void MatmulBf16(const uint16_t* x, size_t ldx, size_t rows, const uint16_t* w, size_t n_out,
                size_t k_size, const float* bias, float* y, size_t ldy) {
  MatmulMmla<Bf16Mmla>(x, ldx, rows, w, n_out, k_size, y, ldy);
  if (bias == nullptr) return;
  for (size_t m = 0; m < rows; ++m) {
    for (size_t n = 0; n < n_out; ++n) y[m * ldy + n] += bias[n];
  }
}

void PackPanel8(const void* w, size_t n_out, size_t k_size, std::byte* panel, int32_t*) {
  PackPanelBytes<uint64_t>(w, n_out, 2 * k_size, panel);
}
void PackRow(const void* x, size_t k_size, size_t stride, std::byte* out) {
  PlaceRow<uint64_t>(x, 2 * k_size, stride, out);
}

}  // namespace

void AddArmBf16Kernels(KernelTable* table) {
  static const PackedKernels packed = {.columns = kPanelColumns,
                                       .group = 4,
                                       .rows = kPackedRows,
                                       .w_bytes = 2,
                                       .x_bytes = 8,
                                       .panels_of_one = kPanelsOfOne,
                                       .pack_panel = PackPanel8,
                                       .pack_row = PackRow,
                                       .tile = RunTile<BlockTile<Bf16Mmla>>};
  table->matmul_bf16 = MatmulBf16;
  table->packed_bf16 = &packed;
}

}  // namespace ingot
