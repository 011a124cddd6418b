// SPDX-License-Identifier: Apache-2.0
// Stored numbers of the original tool on examples with known answers.
#include "quant/v0_rounding.h"

#include <gtest/gtest.h>

#include <bit>
#include <limits>

#include "base/numeric.h"
#include "checkpoint/w8a8_arithmetic.h"

namespace ingot {
namespace {

const std::vector<float> kRow = {0.1f, -0.25f, 0.0625f, 0.03f, -0.0009765625f, 0.2f};

ActivationParams F32Params(float scale, float offset) {
  ActivationParams params;
  params.scale = params.effective_scale = scale;
  params.offset = offset;
  params.dtype = DType::kF32;
  return params;
}

TEST(V0Rounding, DocumentedRow) {
  const Tensor weight = FromFloats(kRow, DType::kF16, {1, 6});
  const ActivationParams params = F32Params(0.156623676f, -5);
  const QuantizedLinear plain = V0QuantizeStatic(weight, nullptr, params, DType::kF16);
  EXPECT_EQ(plain.codes, (std::vector<int8_t>{51, -127, 32, 15, 0, 102}));
  EXPECT_FLOAT_EQ(plain.weight_scale[0], 0.001968383789f);
  EXPECT_EQ(std::bit_cast<uint32_t>(plain.deq[0]), 966894265u);
  EXPECT_EQ(plain.quant_bias[0], 365);
  const Tensor bias16 = FromFloats(std::vector<float>{0.37f}, DType::kF16, {1});
  const TensorView bias16_view = bias16;
  EXPECT_EQ(V0QuantizeStatic(weight, &bias16_view, params, DType::kF16).quant_bias[0], 1566);
  EXPECT_EQ(QuantBiasOf(73 * -5, plain.deq[0], 0.37f), 1565);
}

TEST(V0Rounding, ZeroAndTinyRows) {
  const Tensor weight =
      FromFloats(std::vector<float>{0, 0, 0, 6e-8f, -6e-8f, 0}, DType::kF32, {2, 3});
  const QuantizedLinear q = V0QuantizeDynamic(weight, nullptr, DType::kF16);
  EXPECT_EQ(q.weight_scale[0], 0x1p-23f);
  EXPECT_EQ(q.weight_scale[1], 0x1p-23f);
  EXPECT_EQ(q.codes, (std::vector<int8_t>{0, 0, 0, 0, 0, 0}));
  EXPECT_TRUE(q.quant_bias.empty());
}

TEST(V0Rounding, DeqScaleThatUnderflowsGivesTheSmallestInteger) {
  ActivationParams params = F32Params(0.01f, 3);
  params.scale = RoundToF16(params.scale);
  params.dtype = DType::kF16;  // act_method 1
  const float deq = V0DeqScale(params, 0x1p-23f, DType::kF16);
  EXPECT_EQ(deq, 0.0f);
  EXPECT_EQ(QuantBiasOf(0, deq, 0.0f), std::numeric_limits<int32_t>::min());
  EXPECT_EQ(QuantBiasOf(0, deq, 1.0f), std::numeric_limits<int32_t>::min());
}

TEST(V0Rounding, ProductKeepsTheCommonType) {
  ActivationParams params = F32Params(RoundToBf16(0.0123f), 0);
  const float s_w = RoundToBf16(0.00456f);
  EXPECT_EQ(V0DeqScale(params, s_w, DType::kBF16), params.scale * s_w);
  params.dtype = DType::kBF16;
  EXPECT_EQ(V0DeqScale(params, s_w, DType::kBF16), RoundToBf16(params.scale * s_w));
}

TEST(V0Rounding, CalibrationClampsToMinus128) {
  // In BF16 the quotient of the row's own extreme can round to -128.
  bool seen = false;
  for (int i = 0; i < 256 && !seen; ++i) {
    const float extreme = Bf16ToF32(static_cast<uint16_t>(0x3f80 + i));
    const Tensor weight = FromFloats(std::vector<float>{-extreme}, DType::kBF16, {1, 1});
    std::vector<float> fake(1);
    V0FakeQuantizeWeight(weight, DType::kBF16, fake);
    const QuantizedLinear q = V0QuantizeDynamic(weight, nullptr, DType::kBF16);
    EXPECT_GE(q.codes[0], -127);
    seen = fake[0] == RoundToBf16(-128.0f * q.weight_scale[0]) &&
           fake[0] != RoundToBf16(-127.0f * q.weight_scale[0]);
  }
  EXPECT_TRUE(seen);
}

TEST(V0Rounding, FakeQuantizedActivationsRoundOnceOrAtEveryStep) {
  const std::vector<float> x = {RoundToF16(1.2345f), RoundToF16(-7.77f), 0.0f, 100.0f, -100.0f};
  std::vector<float> once(5), steps(5);
  ActivationParams params = F32Params(0.0731f, 11);
  V0FakeQuantizeActivations(x, params, DType::kF16, once);
  for (size_t i = 0; i < x.size(); ++i) {
    const float code =
        std::min(127.0f, std::max(-128.0f, Rne(x[i] / params.scale + params.offset)));
    EXPECT_EQ(once[i], RoundToF16((code - params.offset) * params.scale));
  }
  params.scale = RoundToF16(params.scale);
  params.dtype = DType::kF16;
  V0FakeQuantizeActivations(x, params, DType::kF16, steps);
  EXPECT_EQ(steps[3], RoundToF16(116 * params.scale));
  EXPECT_EQ(steps[4], RoundToF16(-139 * params.scale));
}

}  // namespace
}  // namespace ingot
