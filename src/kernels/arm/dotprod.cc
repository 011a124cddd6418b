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
// Builds on simd_matmul.h.
#include "kernels/x86/simd_float.h"
// Builds on simd_float.h.
#include "kernels/x86/simd_attention_i8.h"
// The vector type.
#include "kernels/arm/simd_neon.h"
// Builds on simd_neon.h.
#include "kernels/arm/simd_i8_attention.h"

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

// Int8 attention: all bytes signed.
struct I8Dot : I8NeonBase {
  using V = ingot::V;
  using Bytes = int8x16_t;
  static constexpr int kRows = 3, kKeyVectors = 4, kValueVectors = 4;  // 24 sums + 4 + 1 registers
  static constexpr int32_t kKeyBias = 0;
  static inline I Total(const I* sums) { return vaddq_s32(vshlq_n_s32(sums[0], 8), sums[1]); }
  static inline Bytes LoadKeys(const uint32_t* p) {  // stored as code + 128
    return vreinterpretq_s8_u32(veorq_u32(vld1q_u32(p), vdupq_n_u32(0x80808080u)));
  }
  static inline Bytes LoadValues(const uint32_t* p) { return vreinterpretq_s8_u32(vld1q_u32(p)); }
  template <int kWord>
  static inline void AddKeys(I* sums, Bytes keys, int32x4_t q) {
    sums[kWord] = vdotq_s32(sums[kWord], keys, vreinterpretq_s8_s32(q));
  }
  template <int kWord>
  static inline void AddValues(I* sums, Bytes values, int32x4_t weights) {
    AddKeys<kWord>(sums, values, weights);
  }
  // 256 * high + low; q - 256 * high is its own low byte.
  static inline void SplitQuery(I q, int32_t* words) {
    const int16x4_t high = vmovn_s32(vshrq_n_s32(vaddq_s32(q, vdupq_n_s32(128)), 8));
    const int8x8_t both = vmovn_s16(vcombine_s16(high, vmovn_s32(q)));
    vst1_s32(words, vreinterpret_s32_s8(both));
  }
  static inline void SplitWeights(I w, int32_t* words) { SplitQuery(w, words); }
};

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
  table->attention_i8 = AttentionI8<I8Dot>;
}

}  // namespace ingot
