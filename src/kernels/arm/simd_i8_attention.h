// SPDX-License-Identifier: Apache-2.0
// What the policies of int8 attention on aarch64 share. Included inside an anonymous namespace after
// simd_neon.h.

struct I8NeonBase {
  using I = int32x4_t;
  static constexpr int kSums = 2;
  static inline I ZeroInt() { return vdupq_n_s32(0); }
  static inline I ToInt(float32x4_t v) { return vcvtnq_s32_f32(v); }
  static inline float32x4_t ToFloat(I v) { return vcvtq_f32_s32(v); }
  static inline I Minus(I v, int32_t n) { return vsubq_s32(v, vdupq_n_s32(n)); }
  static inline int32x4_t Word(const int32_t* p) { return vld1q_dup_s32(p); }
};
