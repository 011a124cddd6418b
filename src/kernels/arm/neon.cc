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

}  // namespace

const KernelTable& NeonKernels() {
  static const KernelTable table = [] {
    KernelTable neon = ScalarKernels();  // gelu_erf: only in the mergers, a small share
    neon.name = "neon";
    neon.matmul_f32 = MatmulF32<V>;
    neon.matmul_f32_bf16 = MatmulF32Bf16<V>;
    neon.matmul_f32_f16 = MatmulF32F16<V>;
    neon.matmul_bf16 = MatmulBf16<V>;
    neon.matmul_i8 = MatmulI8;
    neon.attention_f32 = Attention<V, float>;
    neon.attention_bf16 = Attention<V, Bf16>;
    neon.rms_norm = RmsNorm<V>;
    neon.layer_norm = LayerNorm<V>;
    neon.softmax = Softmax<V>;
    neon.silu_mul = SiluMul<V>;
    neon.gelu_tanh = GeluTanh<V>;
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
