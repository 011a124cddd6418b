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
// Build on simd_float.h.
#include "kernels/x86/simd_attention.h"
// (int8)
#include "kernels/x86/simd_attention_i8.h"
// The vector types.
#include "kernels/arm/simd_int8.h"
#include "kernels/arm/simd_neon.h"
// Builds on simd_neon.h.
#include "kernels/arm/simd_i8_attention.h"
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

// Int8 attention: keys and values widened to 16 bits. A word of q is the pair of 16-bit values that
// belong to the even, or to the odd bytes; a pair's products stay apart until the end.
struct I8Pairs : I8NeonBase {
  using V = ingot::V;
  struct Bytes {
    int16x8_t part[2];
  };
  static constexpr int kRows = 3, kKeyVectors = 2, kValueVectors = 2;  // 12 sums + 4 + 1 registers
  static constexpr int32_t kKeyBias = 128;
  static inline I Total(const I* sums) { return vpaddq_s32(sums[0], sums[1]); }
  static inline Bytes LoadKeys(const uint32_t* p) {
    const uint16x8_t v = vreinterpretq_u16_u32(vld1q_u32(p));
    return {{vreinterpretq_s16_u16(vandq_u16(v, vdupq_n_u16(0xff))),
             vreinterpretq_s16_u16(vshrq_n_u16(v, 8))}};
  }
  static inline Bytes LoadValues(const uint32_t* p) {
    const int16x8_t v = vreinterpretq_s16_u32(vld1q_u32(p));
    return {{vshrq_n_s16(vshlq_n_s16(v, 8), 8), vshrq_n_s16(v, 8)}};
  }
  template <int kWord>
  static inline void AddKeys(I* sums, const Bytes& keys, int32x4_t q) {
    const int16x8_t x = vreinterpretq_s16_s32(q);
    sums[0] = vmlal_s16(sums[0], vget_low_s16(keys.part[kWord]), vget_low_s16(x));
    sums[1] = vmlal_high_s16(sums[1], keys.part[kWord], x);
  }
  template <int kWord>
  static inline void AddValues(I* sums, const Bytes& values, int32x4_t weights) {
    AddKeys<kWord>(sums, values, weights);
  }
  static inline void SplitQuery(I q, int32_t* words) {
    const int16x4_t low = vmovn_s32(q);
    vst1_s32(words, vreinterpret_s32_s16(
                        vext_s16(vuzp1_s16(low, low), vuzp2_s16(low, low), 2)));
  }
  static inline void SplitWeights(I w, int32_t* words) { SplitQuery(w, words); }
};

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
    neon.attention_i8 = AttentionI8<I8Pairs>;
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
