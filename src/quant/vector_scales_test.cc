// SPDX-License-Identifier: Apache-2.0
// Scales by channel: what they gain, that they lie on the grid, and that nothing is done where nothing is gained.
#include "quant/vector_scales.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "base/numeric.h"
#include "quant/linear_quant.h"
#include "quant/range_search.h"

namespace ingot {
namespace {

constexpr int64_t kIn = 64, kOut = 96, kRows = 400;

struct Problem {
  SiteStatistics site{kIn};
  Tensor weight;
  ActivationParams plain;
};

// Channel c of the input is loud[c % loud.size()] times as large as a normal one.
Problem MakeProblem(const std::vector<float>& loud, const RuntimeRules& rules) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  Problem problem;
  std::vector<float> x(kRows * kIn), w(kOut * kIn);
  for (size_t i = 0; i < x.size(); ++i) x[i] = normal(random) * loud[i % kIn % loud.size()];
  for (float& v : w) v = 0.02f * normal(random);
  std::vector<Modality> modality(kRows, Modality::kVision);
  for (size_t r = 0; r < modality.size(); r += 2) modality[r] = Modality::kText;
  problem.site.Observe(x, modality);
  problem.weight = FromFloats(w, DType::kBF16, {kOut, kIn});
  const auto& text = problem.site.of(Modality::kText);
  const auto& vision = problem.site.of(Modality::kVision);
  problem.plain = FullRangeParams(std::min(text.min, vision.min), std::max(text.max, vision.max), rules.input_scale, false);
  return problem;
}

RuntimeRules Rules310() {
  FolderLayout layout;
  layout.target = Target::kGoldenStick310;
  layout.options.run_dtype = DType::kF16;
  return RulesFor(layout);
}

double TextSqnr(const Tensor& weight, const SiteStatistics& site, const ActivationParams& params) {
  return *MeasureLinear(weight, QuantizeStatic(weight, nullptr, params, Rules310()), site).sqnr_db[0];
}

TEST(VectorScales, OutlierChannelsAreSmoothed) {
  const Problem problem = MakeProblem({1, 1, 1, 1, 1, 1, 1, 40}, Rules310());
  const TensorView views[] = {problem.weight};
  const auto found = SearchVectorScales(problem.site, views, problem.plain, Rules310());
  ASSERT_TRUE(found);
  const Tensor scaled = ScaleColumns(problem.weight, found->factor);
  const double plain = TextSqnr(problem.weight, problem.site, problem.plain);
  EXPECT_GT(TextSqnr(scaled, found->statistics, found->params), plain + 1);
  for (size_t k = 0; k < kIn; ++k) {
    EXPECT_EQ(RoundToF16(found->input_scale[k]), found->input_scale[k]);
    EXPECT_FLOAT_EQ(found->input_scale[k], found->params.scale * found->factor[k]);
  }
  EXPECT_GT(found->factor[7], 2 * found->factor[0]);
}

// The columns and the inputs cancel: the products are the float linear's.
TEST(VectorScales, TheProductStays) {
  const Problem problem = MakeProblem({1, 30}, Rules310());
  const TensorView views[] = {problem.weight};
  const auto found = SearchVectorScales(problem.site, views, problem.plain, Rules310());
  ASSERT_TRUE(found);
  const Tensor scaled = ScaleColumns(problem.weight, found->factor);
  const std::vector<float> w = ToFloats(problem.weight), w2 = ToFloats(scaled);
  const auto& x = problem.site.of(Modality::kText).sample.rows;
  const auto& x2 = found->statistics.of(Modality::kText).sample.rows;
  for (size_t r = 0; r < 5; ++r) {
    double y = 0, y2 = 0, size = 0;
    for (size_t k = 0; k < kIn; ++k) {
      y += static_cast<double>(x[r * kIn + k]) * w[k];
      y2 += static_cast<double>(x2[r * kIn + k]) * w2[k];
      size += std::abs(static_cast<double>(x[r * kIn + k]) * w[k]);
    }
    EXPECT_NEAR(y, y2, 1e-6 * size);
  }
}

}  // namespace
}  // namespace ingot
