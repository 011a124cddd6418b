// SPDX-License-Identifier: Apache-2.0
// Element by element loops without a reduction: one source compiled once per instruction set, the
// same bits everywhere (no contraction, no reassociation). Included inside an anonymous namespace
// of each table's file, so that code built for one instruction set is never linked into another. No
// standard library calls for the same reason. QuantizeI8 is the definition; the vector tables have
// their own because compilers do not vectorise it.

void RopeHeads(float* x, size_t n_heads, const float* cos, const float* sin, size_t half) {
  for (size_t head = 0; head < n_heads; ++head) {
    float* __restrict low = x + head * 2 * half;
    float* __restrict high = low + half;
    for (size_t j = 0; j < half; ++j) {
      const float a = low[j], b = high[j];
      low[j] = a * cos[j] - b * sin[j];
      high[j] = b * cos[j] + a * sin[j];
    }
  }
}

void AddTo(float* __restrict x, const float* __restrict y, size_t n) {
  for (size_t i = 0; i < n; ++i) x[i] += y[i];
}

// As F32ToBf16 of base/numeric.h.
inline uint16_t Bf16Bits(float value) {
  const uint32_t u = __builtin_bit_cast(uint32_t, value);
  const uint32_t rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
  const uint32_t quiet = (u >> 16) | 0x0040u;
  return static_cast<uint16_t>((u & 0x7fffffffu) > 0x7f800000u ? quiet : rounded);
}

void ToBf16(const float* __restrict x, size_t n, uint16_t* __restrict y) {
  for (size_t i = 0; i < n; ++i) y[i] = Bf16Bits(x[i]);
}

void RoundBf16(float* x, size_t n) {
  for (size_t i = 0; i < n; ++i)
    x[i] = __builtin_bit_cast(float, static_cast<uint32_t>(Bf16Bits(x[i])) << 16);
}

// Clamping to +-512 first changes no code (|offset| <= 128) and makes room for rounding by
// addition: a float32 of magnitude 1.5 * 2^23 has steps of 1, so the addition rounds half to even.
[[maybe_unused]] inline int8_t Code(float t, float offset) {
  t = t > -512.0f ? t : -512.0f;  // also NaN
  t = t < 512.0f ? t : 512.0f;
  t = (t + 12582912.0f) - 12582912.0f + offset;
  t = t > -128.0f ? t : -128.0f;
  t = t < 127.0f ? t : 127.0f;
  return static_cast<int8_t>(static_cast<int32_t>(t));
}

[[maybe_unused]] void QuantizeI8(const float* __restrict x, size_t n, const QuantizeArgs& args,
                                 int8_t* __restrict codes) {
  const float* __restrict scale = args.scale;
  const float* __restrict offset = args.offset;
  if (args.per_channel && args.reciprocal) {
    for (size_t i = 0; i < n; ++i) codes[i] = Code(x[i] * scale[i], offset[i]);
  } else if (args.per_channel) {
    for (size_t i = 0; i < n; ++i) codes[i] = Code(x[i] / scale[i], offset[i]);
  } else {
    const float s = scale[0], z = offset[0];
    if (args.reciprocal) {
      for (size_t i = 0; i < n; ++i) codes[i] = Code(x[i] * s, z);
    } else {
      for (size_t i = 0; i < n; ++i) codes[i] = Code(x[i] / s, z);
    }
  }
}

void DequantizeI32(const int32_t* __restrict sum, size_t n, const int32_t* __restrict quant_bias,
                   const float* __restrict deq, float row_scale, const float* __restrict bias,
                   float* __restrict y) {
  if (quant_bias != nullptr) {
    for (size_t i = 0; i < n; ++i) {
      const uint32_t total = static_cast<uint32_t>(sum[i]) +
                             static_cast<uint32_t>(quant_bias[i]);  // wraps like the hardware
      y[i] = static_cast<float>(static_cast<int32_t>(total)) * deq[i] * row_scale;
    }
  } else {
    for (size_t i = 0; i < n; ++i) y[i] = static_cast<float>(sum[i]) * deq[i] * row_scale;
  }
  if (bias != nullptr) {
    for (size_t i = 0; i < n; ++i) y[i] += bias[i];
  }
}
