// SPDX-License-Identifier: Apache-2.0
// Quantized linears: every stored number consistent with the others under each target's rules, and
// the accuracy figures.
#include "quant/linear_quant.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <random>

#include "base/error.h"
#include "base/numeric.h"
#include "quant/range_search.h"
#include "quant/v0_rounding.h"

namespace ingot {
namespace {

std::vector<float> Random(size_t n, float sigma, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, sigma);
  std::vector<float> x(n);
  for (float& v : x) v = normal(random);
  return x;
}

RuntimeRules Rules(Target target, DType dtype) {
  FolderLayout layout;
  layout.target = target;
  layout.options.run_dtype = dtype;
  return RulesFor(layout);
}

struct Named {
  Target target;
  DType dtype;
};
const Named kTargets[] = {
    {Target::kAscendV0, DType::kF16},          {Target::kAscendV0, DType::kBF16},
    {Target::kAscend, DType::kBF16},           {Target::kAscend, DType::kF16},
    {Target::kGoldenStick310, DType::kF16},    {Target::kGoldenStick910, DType::kBF16},
    {Target::kCompressedTensors, DType::kBF16}};

constexpr int64_t kOut = 24, kIn = 96;

Tensor TestWeight() {
  std::vector<float> w = Random(kOut * kIn, 0.04f, 3);
  for (int64_t c = 0; c < kIn; ++c) {
    w[static_cast<size_t>(5 * kIn + c)] = 0;       // a zero row
    w[static_cast<size_t>(6 * kIn + c)] *= 1e-6f;  // a row far below the others
  }
  return FromFloats(w, DType::kBF16, {kOut, kIn});
}

int64_t CodeSum(const QuantizedLinear& q, int64_t row) {
  int64_t sum = 0;
  for (int64_t c = 0; c < q.in; ++c) sum += q.codes[static_cast<size_t>(row * q.in + c)];
  return sum;
}

TEST(LinearQuant, StoredNumbersAgreeForEveryTarget) {
  const Tensor weight = TestWeight();
  const std::vector<float> w = ToFloats(weight);
  for (const Named& target : kTargets) {
    SCOPED_TRACE(std::string(TargetName(target.target)) + " " +
                 std::string(DTypeName(target.dtype)));
    const RuntimeRules rules = Rules(target.target, target.dtype);
    const ActivationParams params =
        FullRangeParams(-3.3f, 5.1f, rules.input_scale, rules.symmetric);
    const QuantizedLinear q = QuantizeStatic(weight, nullptr, params, rules);
    for (int64_t n = 0; n < kOut; ++n) {
      const size_t row = static_cast<size_t>(n);
      const float s_w = q.weight_scale[row], deq = q.deq[row];
      ASSERT_GT(s_w, 0);
      ASSERT_GT(deq, 0);
      EXPECT_NEAR(deq / (params.effective_scale * s_w), 1.0f, 3e-7f);
      if (rules.deq == DeqGrid::kF16) {
        EXPECT_EQ(RoundToF16(deq), deq);
      }
      if (rules.deq == DeqGrid::kTop19) {
        EXPECT_EQ(std::bit_cast<uint32_t>(deq) & 0x1fffu, 0u);
      }
      for (int64_t c = 0; c < kIn; ++c) {
        const size_t at = static_cast<size_t>(n * kIn + c);
        EXPECT_LE(std::abs(q.codes[at]), 127);
        EXPECT_LE(std::abs(q.codes[at] * s_w - w[at]), 0.51f * s_w);
      }
      EXPECT_EQ(q.quant_bias[row], -CodeSum(q, n) * static_cast<int64_t>(params.offset));
    }
  }
}

TEST(LinearQuant, RowsUseTheirWholeCodeRange) {
  const Tensor weight = TestWeight();
  const RuntimeRules rules = Rules(Target::kAscend, DType::kBF16);
  const QuantizedLinear q =
      QuantizeStatic(weight, nullptr, FullRangeParams(-1, 1, rules.input_scale, false), rules);
  for (int64_t n = 0; n < kOut; ++n) {
    int largest = 0;
    for (int64_t c = 0; c < kIn; ++c)
      largest = std::max(largest, std::abs(int{q.codes[static_cast<size_t>(n * kIn + c)]}));
    if (n != 5 && n != 6) {
      EXPECT_EQ(largest, 127) << n;
    }
  }
}

TEST(LinearQuant, BiasIsInQuantBiasOnlyWhereTheEngineWantsIt) {
  const Tensor weight = TestWeight();
  const Tensor bias = FromFloats(Random(kOut, 0.5f, 4), DType::kBF16, {kOut});
  const TensorView view = bias;
  const std::vector<float> b = ToFloats(bias);
  for (const Target target : {Target::kAscend, Target::kGoldenStick910}) {
    const RuntimeRules rules = Rules(target, DType::kBF16);
    const ActivationParams params = FullRangeParams(-2, 2.5f, rules.input_scale, false);
    const QuantizedLinear q = QuantizeStatic(weight, &view, params, rules);
    EXPECT_EQ(q.bias, b);
    for (int64_t n = 0; n < kOut; ++n) {
      const size_t row = static_cast<size_t>(n);
      const double without = -static_cast<double>(CodeSum(q, n)) * params.offset;
      const double expected =
          without + (rules.bias_in_quant_bias ? double{b[row]} / q.deq[row] : 0.0);
      EXPECT_NEAR(q.quant_bias[row], expected, 0.51 + std::abs(expected) * 0x1p-22) << n;
      // The accumulator stays inside int32 whatever the input codes are, also for the zero row.
      EXPECT_LT(std::abs(double(q.quant_bias[row])) + 127.0 * 128.0 * kIn, 0x1p31);
    }
  }
}

TEST(LinearQuant, DynamicScalesAreExactInTheRunType) {
  const Tensor weight = TestWeight();
  const QuantizedLinear bf16 =
      QuantizeDynamic(weight, nullptr, Rules(Target::kAscend, DType::kBF16));
  const QuantizedLinear f32 =
      QuantizeDynamic(weight, nullptr, Rules(Target::kCompressedTensors, DType::kBF16));
  EXPECT_TRUE(bf16.deq.empty());
  for (size_t n = 0; n < kOut; ++n) {
    EXPECT_EQ(RoundToBf16(bf16.weight_scale[n]), bf16.weight_scale[n]);
    EXPECT_GE(bf16.weight_scale[n], f32.weight_scale[n]);
  }
}

TEST(LinearQuant, IntegerArithmeticEqualsTheDequantizedProduct) {
  const Tensor weight = TestWeight();
  const RuntimeRules rules = Rules(Target::kAscend, DType::kBF16);
  const ActivationParams params = FullRangeParams(-3, 4, rules.input_scale, false);
  const QuantizedLinear q = QuantizeStatic(weight, nullptr, params, rules);
  const std::vector<float> x = Random(kIn, 1, 5);
  std::vector<float> fake(x.size()), w(q.codes.size());
  FakeQuantizeActivations(x, params, fake);
  DequantizeWeight(q, w);
  for (int64_t n = 0; n < kOut; ++n) {
    int64_t sum = q.quant_bias[static_cast<size_t>(n)];
    double product = 0;
    for (int64_t c = 0; c < kIn; ++c) {
      const size_t at = static_cast<size_t>(c);
      const float code =
          std::clamp(Rne(x[at] / params.effective_scale) + params.offset, -128.0f, 127.0f);
      sum += int64_t{q.codes[static_cast<size_t>(n * kIn + c)]} * static_cast<int64_t>(code);
      product += double{w[static_cast<size_t>(n * kIn + c)]} * fake[at];
    }
    EXPECT_NEAR(static_cast<double>(sum) * q.deq[static_cast<size_t>(n)], product,
                1e-5 * (1 + std::abs(product)));
  }
}

TEST(LinearQuant, WeightsThatAreNotFiniteAreNamed) {
  std::vector<float> w(6, 0.5f);
  w[4] = std::nanf("");
  const Tensor weight = FromFloats(w, DType::kF32, {2, 3});
  try {
    QuantizeDynamic(weight, nullptr, {}, "layers.3.q_proj");
    FAIL() << "no error";
  } catch (const FormatError& e) {
    EXPECT_NE(std::string(e.what()).find("layers.3.q_proj: row 1, column 1"), std::string::npos);
  }
  w[4] = 70000;  // fine in bfloat16, infinite in the original's float16
  const Tensor large = FromFloats(w, DType::kBF16, {2, 3});
  EXPECT_NO_THROW(QuantizeDynamic(large, nullptr, {}));
  EXPECT_THROW(V0QuantizeDynamic(large, nullptr, DType::kF16), FormatError);
  const Tensor bias = FromFloats(std::vector<float>{0, INFINITY}, DType::kF32, {2});
  const TensorView view = bias;
  EXPECT_THROW(QuantizeStatic(large, &view, FullRangeParams(-1, 1, ScaleGrid::kF32, false), {}),
               FormatError);
}

TEST(LinearQuant, FakeQuantizedRowsKeepZeroRowsAndExtremes) {
  const std::vector<float> x = {0, 0, 0, 1.27f, -0.5f, 0.1f};
  std::vector<float> out(6);
  FakeQuantizeRows(x, 3, out);
  EXPECT_EQ(out[0], 0);
  EXPECT_FLOAT_EQ(out[3], 1.27f);
  EXPECT_NEAR(out[5], 0.1f, 0.005f);
}

SiteStatistics SiteOf(const std::vector<float>& text, const std::vector<float>& vision) {
  SiteStatistics site(kIn);
  site.Observe(text, std::vector<Modality>(text.size() / kIn, Modality::kText));
  if (!vision.empty())
    site.Observe(vision, std::vector<Modality>(vision.size() / kIn, Modality::kVision));
  return site;
}

TEST(LinearQuant, MeasuresEachModality) {
  const Tensor weight = FromFloats(Random(kOut * kIn, 0.04f, 6), DType::kF32, {kOut, kIn});
  const std::vector<float> text = Random(64 * kIn, 0.1f, 7), vision = Random(64 * kIn, 2.0f, 8);
  const RuntimeRules rules = Rules(Target::kGoldenStick910, DType::kBF16);
  const auto measure = [&](float bound, const std::vector<float>& second) {
    const QuantizedLinear q = QuantizeStatic(
        weight, nullptr, FullRangeParams(-bound, bound, rules.input_scale, false), rules);
    return MeasureLinear(weight, q, SiteOf(text, second));
  };
  const LinearQuality wide = measure(9.0f, vision), narrow = measure(0.5f, vision);
  ASSERT_TRUE(wide.sqnr_db[0] && wide.sqnr_db[1]);
  // Uniform noise of step s on values of deviation sigma: 10 log10(12 sigma^2 / s^2), here with s =
  // 18 / 255.
  EXPECT_NEAR(*wide.sqnr_db[1], 10 * std::log10(12 * 4.0 / std::pow(18.0 / 255, 2)), 2.0);
  EXPECT_NEAR(*wide.sqnr_db[0], 10 * std::log10(12 * 0.01 / std::pow(18.0 / 255, 2)), 2.0);
  EXPECT_GT(*narrow.sqnr_db[0], *wide.sqnr_db[0] + 10);
  EXPECT_LT(*narrow.sqnr_db[1], 10);
  EXPECT_EQ(*wide.clip_share[1], 0);
  EXPECT_NEAR(*narrow.clip_share[1], 2 * (1 - 0.5987), 0.02);  // share of N(0, 2) beyond +-0.5
  EXPECT_GT(wide.weight_sqnr_db, 35);
  EXPECT_FALSE(measure(1.0f, {}).sqnr_db[1].has_value());
  const QuantizedLinear dynamic = QuantizeDynamic(weight, nullptr, rules);
  const LinearQuality quality = MeasureLinear(weight, dynamic, SiteOf(text, vision));
  EXPECT_GT(*quality.sqnr_db[0], 33);
  EXPECT_FALSE(quality.clip_share[0].has_value());
}

TEST(LinearQuant, FewerOutputsGiveNearlyTheSameFigure) {
  const int64_t out = 256;
  const Tensor weight = FromFloats(Random(out * kIn, 0.04f, 9), DType::kBF16, {out, kIn});
  const RuntimeRules rules = Rules(Target::kAscend, DType::kBF16);
  const QuantizedLinear q =
      QuantizeStatic(weight, nullptr, FullRangeParams(-4, 4, rules.input_scale, false), rules);
  const SiteStatistics site = SiteOf(Random(128 * kIn, 1, 10), {});
  EXPECT_NEAR(*MeasureLinear(weight, q, site, {.max_outputs = 64}).sqnr_db[0],
              *MeasureLinear(weight, q, site).sqnr_db[0], 0.5);
}

}  // namespace
}  // namespace ingot
