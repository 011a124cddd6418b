// SPDX-License-Identifier: Apache-2.0
// Kernels for NEON as every aarch64 CPU has it.
#include <arm_neon.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "kernels/tables.h"

namespace ingot {
namespace {

#include "kernels/elementwise.h"
#include "kernels/x86/simd_matmul.h"
// Builds on simd_matmul.h.
#include "kernels/x86/simd_float.h"
// Builds on simd_float.h.
#include "kernels/x86/simd_attention.h"
// The vector types.
#include "kernels/arm/simd_int8.h"
#include "kernels/arm/simd_neon.h"
#include "kernels/arm/simd_packed.h"

// Products of int8 are exact in int16 (-128 * -128 = 2^14); pairs of them are added in 32 bits. A
// second product added in int16 could overflow, so each is added on its own: per 16 bytes two
// multiplies (one pipe) and two pairwise additions (the other pipe of Neoverse N1). Either alone
// takes 2 cycles, so loads do not matter and 4 x 4 sums leave registers for the products.
struct Int8Dot : Int8DotBase {
  static inline Acc MulAdd(Vec x, Vec w, Acc acc) {
    acc = vpadalq_s16(acc, vmull_s8(vget_low_s8(x), vget_low_s8(w)));
    return vpadalq_s16(acc, vmull_high_s8(x, w));
  }
};

void MatmulI8(const int8_t* x, size_t ldx, size_t rows, const int8_t* w, size_t n_out,
              size_t k_size, const float*, int32_t* y, size_t ldy) {
  MatmulAny<Int8Dot, Int8Dot, 4, 4>(x, ldx, rows, w, n_out, k_size, nullptr, y, ldy);
}

// Packed bfloat16: weights widened when loaded (one shift per vector), x widened when packed.
struct Bf16Lanes {
  using Acc = float32x4_t;
  static constexpr size_t kVectorBytes = 8;
  static inline Acc Zero() { return V::Zero(); }
  static inline Acc LoadW(const std::byte* p) {
    return V::LoadBf16(reinterpret_cast<const uint16_t*>(p));
  }
  template <int kLane>
  static inline Acc MulAdd(Acc acc, Acc w, uint32x4_t x) {
    return vfmaq_laneq_f32(acc, w, vreinterpretq_f32_u32(x), kLane);
  }
};

void PackPanel(const void* w, size_t n_out, size_t k_size, std::byte* panel, int32_t*) {
  PackPanelBytes<uint16_t>(w, n_out, 2 * k_size, panel);
}
void PackRow(const void* x, size_t k_size, size_t stride, std::byte* out) {
  const auto* from = static_cast<const uint16_t*>(x);
  for (size_t k = 0; k < k_size; ++k, out += stride) {
    const uint32_t bits = static_cast<uint32_t>(from[k]) << 16;
    __builtin_memcpy(out, &bits, sizeof(bits));
  }
}

constexpr PackedKernels kPackedBf16 = {.columns = kPanelColumns,
                                       .group = 1,
                                       .rows = kPackedRows,
                                       .w_bytes = 2,
                                       .x_bytes = 4,
                                       .panels_of_one = kPanelsOfOne,
                                       .pack_panel = PackPanel,
                                       .pack_row = PackRow,
                                       .tile = RunTile<LaneTile<Bf16Lanes>>};

}  // namespace

const KernelTable& NeonKernels() {
  static const KernelTable table = [] {
    KernelTable neon = ScalarKernels();
    neon.name = "neon";
    neon.matmul_f32 = MatmulF32<V>;
    neon.matmul_f32_bf16 = MatmulF32Bf16<V>;
    neon.matmul_f32_f16 = MatmulF32F16<V>;
    neon.matmul_bf16 = MatmulBf16<V>;
    neon.matmul_i8 = MatmulI8;
    neon.packed_bf16 = &kPackedBf16;
    neon.attention_f32 = Attention<V, float>;
    neon.attention_bf16 = Attention<V, Bf16>;
    neon.rms_norm = RmsNorm<V>;
    neon.layer_norm = LayerNorm<V>;
    neon.softmax = Softmax<V>;
    neon.silu_mul = SiluMul<V>;
    neon.gelu_tanh = GeluTanh<V>;
    neon.gelu_erf = GeluErf<V>;
    neon.rope = RopeHeads;
    neon.add = AddTo;
    neon.to_bf16 = ToBf16;
    neon.round_bf16 = RoundBf16;
    neon.abs_max = AbsMax<V>;
    neon.quantize_i8 = QuantizeCodes<V>;
    neon.dequantize_i32 = DequantizeI32;
    return neon;
  }();
  return table;
}

}  // namespace ingot
