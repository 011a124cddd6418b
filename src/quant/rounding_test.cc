// SPDX-License-Identifier: Apache-2.0
// Grids: membership, direction of rounding, neighbours, and what the engines make of the chosen
// numbers.
#include "quant/rounding.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <random>

#include "base/numeric.h"

namespace ingot {
namespace {

constexpr ScaleGrid kGrids[] = {ScaleGrid::kF32, ScaleGrid::kF16, ScaleGrid::kBf16AndF16,
                                ScaleGrid::kBf16Reciprocal, ScaleGrid::kF16Reciprocal};

bool OnGrid(float s, ScaleGrid grid) {
  const bool f16 = RoundToF16(s) == s, bf16 = RoundToBf16(s) == s;
  switch (grid) {
    case ScaleGrid::kF32:
      return true;
    case ScaleGrid::kF16:
    case ScaleGrid::kF16Reciprocal:
      return f16;
    case ScaleGrid::kBf16AndF16:
      return f16 && bf16;
    case ScaleGrid::kBf16Reciprocal:
      return bf16;
  }
  return false;
}

std::vector<float> Scales() {
  std::mt19937 random(7);
  std::uniform_real_distribution<float> exponent(-13.5f, 6.0f);
  std::vector<float> scales = {0x1p-14f, 1.0f, 0.0123f, 0.0156863f, 255.0f / 255.0f};
  for (int i = 0; i < 2000; ++i) scales.push_back(std::exp2(exponent(random)));
  return scales;
}

TEST(Rounding, ScalesLieOnTheGridAndNeverBelow) {
  for (const ScaleGrid grid : kGrids) {
    for (const float s : Scales()) {
      const float on = ScaleOnGrid(s, grid);
      EXPECT_TRUE(OnGrid(on, grid)) << s;
      EXPECT_GE(on, s);
      const float slack = grid == ScaleGrid::kBf16Reciprocal  ? 5 * 0x1p-7f
                          : grid == ScaleGrid::kF16Reciprocal ? 5 * 0x1p-10f
                          : grid == ScaleGrid::kBf16AndF16    ? 0x1p-7f
                                                              : 0x1p-10f;
      EXPECT_LE(on, s * (1 + slack)) << s;
    }
  }
}

TEST(Rounding, NeighboursGoUpAndDownAndStopAtTheEnds) {
  for (const ScaleGrid grid : kGrids) {
    for (const float s : Scales()) {
      const float on = ScaleOnGrid(s * 2, grid);
      EXPECT_GT(NextScale(on, grid), on);
      EXPECT_LT(PreviousScale(on, grid), on);
      EXPECT_TRUE(OnGrid(NextScale(on, grid), grid));
      EXPECT_TRUE(OnGrid(PreviousScale(on, grid), grid));
    }
    const float smallest = ScaleOnGrid(1e-30f, grid);
    EXPECT_GT(smallest, 0.0f);
    EXPECT_LE(PreviousScale(smallest, grid), smallest);
    EXPECT_TRUE(std::isfinite(ScaleOnGrid(3e38f, grid)));
  }
  EXPECT_EQ(ScaleOnGrid(1e9f, ScaleGrid::kF16), 65504.0f);
}

// The point of the reciprocal grids: multiplying by the rounded reciprocal and dividing give the
// same number.
TEST(Rounding, ReciprocalsAreNearlyExact) {
  double worst = 0, worst_plain = 0;
  for (const float s : Scales()) {
    const float chosen = ScaleOnGrid(s, ScaleGrid::kBf16Reciprocal);
    const float plain = ScaleOnGrid(s, ScaleGrid::kBf16AndF16);
    worst = std::max(worst, std::abs(double{chosen} * RoundToBf16(1.0f / chosen) - 1.0));
    worst_plain = std::max(worst_plain, std::abs(double{plain} * RoundToBf16(1.0f / plain) - 1.0));
    EXPECT_EQ(EffectiveScale(chosen, ScaleGrid::kBf16Reciprocal),
              1.0f / RoundToBf16(1.0f / chosen));
    EXPECT_EQ(EffectiveScale(plain, ScaleGrid::kBf16AndF16), plain);
  }
  EXPECT_LT(worst, 0.0025);
  EXPECT_GT(worst_plain, 0.0035);
}

TEST(Rounding, DeqIsExactAndCodesFit) {
  std::mt19937 random(9);
  std::uniform_real_distribution<float> exponent(-22.0f, -3.0f);
  for (int i = 0; i < 5000; ++i) {
    const float amax = std::exp2(exponent(random) + 4),
                s_x = ScaleOnGrid(std::exp2(exponent(random)), ScaleGrid::kF16);
    const float deq = s_x * (amax / 127.0f);
    const float f16 = DeqOnGrid(deq, amax, s_x, DeqGrid::kF16);
    EXPECT_EQ(RoundToF16(f16), f16);
    EXPECT_LE(Rne(amax / (f16 / s_x)), 127.0f);
    const float top19 = DeqOnGrid(deq, amax, s_x, DeqGrid::kTop19);
    EXPECT_EQ(std::bit_cast<uint32_t>(top19) & 0x1fffu, 0u);
    EXPECT_LE(Rne(amax / (top19 / s_x)), 127.0f);
    EXPECT_NEAR(top19 / deq, 1.0f, 0x1p-10f);
    EXPECT_EQ(DeqOnGrid(deq, amax, s_x, DeqGrid::kF32), deq);
  }
  EXPECT_EQ(DeqOnGrid(1e-12f, 0.0f, 0.01f, DeqGrid::kF16),
            0x1p-24f);  // a zero row keeps a scale > 0
}

TEST(Rounding, WeightScalesRoundUp) {
  for (const float s : Scales()) {
    const float f16 = WeightScaleOnGrid(s, WeightScaleGrid::kF16),
                bf16 = WeightScaleOnGrid(s, WeightScaleGrid::kBf16);
    EXPECT_EQ(RoundToF16(f16), f16);
    EXPECT_EQ(RoundToBf16(bf16), bf16);
    EXPECT_GE(f16, s);
    EXPECT_GE(bf16, s);
    EXPECT_LE(bf16, s * (1 + 0x1p-7f));
  }
  EXPECT_EQ(WeightScaleOnGrid(1e-9f, WeightScaleGrid::kF16), 0x1p-24f);
  EXPECT_EQ(WeightScaleOnGrid(0.3f, WeightScaleGrid::kF32), 0.3f);
}

TEST(Rounding, CodesRoundLikeNearbyint) {
  for (float v = -140; v < 140; v += 0.03125f) {
    EXPECT_EQ(RoundToCode(v, -127, 127), std::min(127.0f, std::max(-127.0f, std::nearbyintf(v))))
        << v;
  }
  EXPECT_EQ(RoundToCode(0.49999997f, -127, 127), 0);
  EXPECT_EQ(RoundToCode(INFINITY, -255, 0), 0);
}

TEST(Rounding, RulesOfTheTargets) {
  const auto rules = [](Target target, DType dtype) {
    FolderLayout layout;
    layout.target = target;
    layout.options.run_dtype = dtype;
    return RulesFor(layout);
  };
  const RuntimeRules gs310 = rules(Target::kGoldenStick310, DType::kF16);
  EXPECT_EQ(gs310.input_scale, ScaleGrid::kF16);
  EXPECT_EQ(gs310.deq, DeqGrid::kF16);
  EXPECT_FALSE(gs310.bias_in_quant_bias);
  EXPECT_EQ(rules(Target::kGoldenStick910, DType::kBF16).input_scale, ScaleGrid::kBf16AndF16);
  const RuntimeRules bf16 = rules(Target::kAscend, DType::kBF16);
  EXPECT_EQ(bf16.input_scale, ScaleGrid::kBf16Reciprocal);
  EXPECT_EQ(bf16.deq, DeqGrid::kF32);
  EXPECT_TRUE(bf16.bias_in_quant_bias);
  EXPECT_EQ(rules(Target::kAscend, DType::kF16).deq, DeqGrid::kTop19);
  EXPECT_TRUE(rules(Target::kCompressedTensors, DType::kBF16).symmetric);
}

}  // namespace
}  // namespace ingot
