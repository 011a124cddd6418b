// SPDX-License-Identifier: Apache-2.0
// The vector type of NEON: 4 float lanes, 32 registers, tails through small buffers. Included
// inside an anonymous namespace.
//
// Tile sizes, from the pipes of Neoverse N1 and Kunpeng 920 (TSV110), which no emulator times (LLVM
// AArch64SchedNeoverseN1.td, AArch64SchedTSV110.td): two multiply-adds a cycle of latency 4 and 5,
// so 8 to 10 independent sums are the least; two 16-byte loads and four instructions a cycle. 4 x 6
// sums take 12 cycles of multiply-adds for 10 loads, 34 of the 48 instructions that can issue, and
// 24 + 4 x + 1 w registers.

struct V {
  using F = float32x4_t;
  static constexpr size_t kLanes = 4;
  static constexpr int kTileM = 4, kTileN = 6;
  static constexpr size_t kScoreBlocks = 1, kValueVectors = 4;  // 6 x 4 sums + 4 + 1 registers
  static inline F Zero() { return vdupq_n_f32(0.0f); }
  static inline F Set1(float v) { return vdupq_n_f32(v); }
  static inline F Load(const float* p) { return vld1q_f32(p); }
  static inline F LoadN(const float* p, size_t n) {  // n < 4
    float buffer[4] = {};
    for (size_t i = 0; i < n; ++i) buffer[i] = p[i];
    return vld1q_f32(buffer);
  }
  // The first n 16-bit elements, the rest zero.
  static inline uint16x4_t LoadHalvesN(const uint16_t* p, size_t n) {
    uint16_t buffer[4] = {};
    for (size_t i = 0; i < n; ++i) buffer[i] = p[i];
    return vld1_u16(buffer);
  }
  static inline F FromBf16(uint16x4_t bits) {
    return vreinterpretq_f32_u32(vshll_n_u16(bits, 16));
  }
  static inline F LoadBf16(const uint16_t* p) { return FromBf16(vld1_u16(p)); }
  static inline F LoadBf16N(const uint16_t* p, size_t n) { return FromBf16(LoadHalvesN(p, n)); }
  // Lower and upper halves of 32-bit elements, as bfloat16.
  static inline F LoadLowHalves(const uint32_t* p) {
    return vreinterpretq_f32_u32(vshlq_n_u32(vld1q_u32(p), 16));
  }
  static inline F LoadHighHalves(const uint32_t* p) {
    return vreinterpretq_f32_u32(vandq_u32(vld1q_u32(p), vdupq_n_u32(0xffff0000u)));
  }
  static inline F FromF16(uint16x4_t bits) { return vcvt_f32_f16(vreinterpret_f16_u16(bits)); }
  static inline F LoadF16(const uint16_t* p) { return FromF16(vld1_u16(p)); }
  static inline F LoadF16N(const uint16_t* p, size_t n) { return FromF16(LoadHalvesN(p, n)); }
  static inline void Store(float* p, F v) { vst1q_f32(p, v); }
  static inline void StoreN(float* p, F v, size_t n) {
    float buffer[4];
    vst1q_f32(buffer, v);
    for (size_t i = 0; i < n; ++i) p[i] = buffer[i];
  }
  // Integer-valued lanes of magnitude up to 640, held at -128 and 127; n <= 4.
  static inline void StoreInt8N(int8_t* p, F v, size_t n) {
    const int16x4_t words = vqmovn_s32(vcvtq_s32_f32(v));
    int8_t buffer[8];
    vst1_s8(buffer, vqmovn_s16(vcombine_s16(words, words)));
    if (n == kLanes) {
      __builtin_memcpy(p, buffer, kLanes);
    } else {
      for (size_t i = 0; i < n; ++i) p[i] = buffer[i];
    }
  }
  static inline bool AllBelow(F a, F bound) {  // false when one is NaN
    return vminvq_u32(vcltq_f32(a, bound)) != 0;
  }
  // The first n lanes of a, the others of b.
  static inline F Select(size_t n, F a, F b) {
    const uint32x4_t lanes = {0, 1, 2, 3};
    return vbslq_f32(vcltq_u32(lanes, vdupq_n_u32(static_cast<uint32_t>(n))), a, b);
  }
  static inline F Add(F a, F b) { return vaddq_f32(a, b); }
  static inline F Sub(F a, F b) { return vsubq_f32(a, b); }
  static inline F Mul(F a, F b) { return vmulq_f32(a, b); }
  static inline F Div(F a, F b) { return vdivq_f32(a, b); }
  static inline F Fma(F a, F b, F c) { return vfmaq_f32(c, a, b); }
  // The instructions fmin and fmax treat NaN differently.
  static inline F Min(F a, F b) { return vbslq_f32(vcltq_f32(a, b), a, b); }  // b when one is NaN
  static inline F Max(F a, F b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }  // b when one is NaN
  static inline F Abs(F a) { return vabsq_f32(a); }
  static inline F Round(F a) { return vrndnq_f32(a); }
  // n is integer-valued; a * 2^n must be a normal number (Exp sees to it).
  static inline F TimesPow2(F a, F n) {
    return vreinterpretq_f32_s32(
        vaddq_s32(vreinterpretq_s32_f32(a), vshlq_n_s32(vcvtq_s32_f32(n), 23)));
  }
  static inline float HMax(F a) {
    float lanes[4];
    vst1q_f32(lanes, a);
    float top = lanes[0];
    for (int i = 1; i < 4; ++i) top = lanes[i] > top ? lanes[i] : top;
    return top;
  }
  static inline void Pin(F& v) { asm("" : "+w"(v)); }
  static inline float HSum(F a) {
    const F pairs = vpaddq_f32(a, a);
    return vgetq_lane_f32(vpaddq_f32(pairs, pairs), 0);
  }
  // out[i] = sum of the lanes of the i-th vector.
  static inline void Reduce8(F a, F b, F c, F d, F e, F f, F g, F h, float* out) {
    vst1q_f32(out, vpaddq_f32(vpaddq_f32(a, b), vpaddq_f32(c, d)));
    vst1q_f32(out + 4, vpaddq_f32(vpaddq_f32(e, f), vpaddq_f32(g, h)));
  }
};
