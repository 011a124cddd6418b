// SPDX-License-Identifier: Apache-2.0
// What the int8 dot policies of NEON share (see simd_matmul.h): 16 bytes a step, int32 sums. Included
// inside an anonymous namespace.

struct Int8DotBase {
  using X = int8_t;
  using W = int8_t;
  using Y = int32_t;
  using Vec = int8x16_t;
  using Acc = int32x4_t;
  static constexpr size_t kStep = 16, kBlockK = 2048;
  static inline Acc Zero() { return vdupq_n_s32(0); }
  static inline Vec LoadX(const int8_t* p) { return vld1q_s8(p); }
  static inline Vec LoadXN(const int8_t* p, size_t n) {
    int8_t buffer[16] = {};
    for (size_t i = 0; i < n; ++i) buffer[i] = p[i];
    return vld1q_s8(buffer);
  }
  static inline Vec LoadW(const int8_t* p) { return LoadX(p); }
  static inline Vec LoadWN(const int8_t* p, size_t n) { return LoadXN(p, n); }
  static inline void Pin(Vec& v) { asm("" : "+w"(v)); }
  static inline void Reduce8(Acc a, Acc b, Acc c, Acc d, Acc e, Acc f, Acc g, Acc h, int32_t* out) {
    vst1q_s32(out, vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d)));
    vst1q_s32(out + 4, vpaddq_s32(vpaddq_s32(e, f), vpaddq_s32(g, h)));
  }
  static inline void WidenRow(const int8_t* w, size_t n, int8_t* out) {
    __builtin_memcpy(out, w, n);
  }
};
