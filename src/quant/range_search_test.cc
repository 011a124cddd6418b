// SPDX-License-Identifier: Apache-2.0
// The range search against direct quantization of the values themselves.
#include "quant/range_search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "base/numeric.h"

namespace ingot {
namespace {

using Values = std::vector<float>;

Values Gauss(int n, float sigma, uint32_t seed, float mean = 0) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(mean, sigma);
  Values x(static_cast<size_t>(n));
  for (float& v : x) v = normal(random);
  return x;
}

Values HeavyTail(int n, uint32_t seed) {
  std::mt19937 random(seed);
  std::student_t_distribution<float> t(3.0f);
  Values x(static_cast<size_t>(n));
  for (float& v : x) v = t(random);
  return x;
}

WeightedHistogram HistogramOf(const Values& x) {
  WeightedHistogram histogram;
  for (const float v : x) histogram.Add(v, 1);
  return histogram;
}

double DirectNoiseToSignal(const Values& x, const ActivationParams& p) {
  double noise = 0, signal = 0;
  for (const float v : x) {
    const double code =
        std::clamp(std::nearbyint(double{v} / p.effective_scale) + p.offset, -128.0, 127.0);
    const double error = v - (code - p.offset) * p.effective_scale;
    noise += error * error;
    signal += double{v} * v;
  }
  return noise / signal;
}

double Db(double ratio) { return -10 * std::log10(ratio); }

RangeProblem ProblemOf(const Values& text, const Values& vision) {
  RangeProblem problem;
  if (!text.empty()) problem.bins[0] = HistogramOf(text).Bins();
  if (!vision.empty()) problem.bins[1] = HistogramOf(vision).Bins();
  for (const Values* x : {&text, &vision}) {
    for (const float v : *x) {
      problem.min = std::min(problem.min, v);
      problem.max = std::max(problem.max, v);
    }
  }
  return problem;
}

// The best of many ranges, tried on the values themselves.
double BestDirect(const Values& x) {
  const auto [low, high] = std::minmax_element(x.begin(), x.end());
  double best = 1e30;
  for (double lo = 1; lo > 0.02; lo *= 0.88) {
    for (double hi = 1; hi > 0.02; hi *= 0.88) {
      const ActivationParams p = FullRangeParams(
          *low * static_cast<float>(lo), *high * static_cast<float>(hi), ScaleGrid::kF32, false);
      best = std::min(best, DirectNoiseToSignal(x, p));
    }
  }
  return best;
}

TEST(WeightedHistogram, BinsCoverTheirValuesInOrder) {
  WeightedHistogram histogram;
  const Values x = {-3.14159f, -1e-3f, 0.0f, -0.0f, 7e-5f, 2.5f, 1e30f, 3.4e38f, -3.4e38f};
  for (const float v : x) histogram.Add(v, 3);
  const auto bins = histogram.Bins();
  ASSERT_EQ(bins.size(), 8u);  // both zeros share one
  Values sorted = x;
  std::sort(sorted.begin(), sorted.end());
  sorted.erase(sorted.begin() + 3);
  for (size_t i = 0; i < bins.size(); ++i) {
    EXPECT_LE(bins[i].lo, sorted[i]);
    EXPECT_GE(bins[i].hi, sorted[i]);
    EXPECT_TRUE(std::isfinite(bins[i].lo) && std::isfinite(bins[i].hi));
    if (i > 0) {
      EXPECT_GE(bins[i].lo, bins[i - 1].hi);
    }
    EXPECT_EQ(bins[i].mass, sorted[i] == 0 ? 6 : 3);
  }
}

TEST(RangeSearch, HistogramNoiseIsTheNoiseOfTheValues) {
  for (const Values& x : {Gauss(40000, 1, 1), HeavyTail(40000, 2), Gauss(40000, 0.3f, 3, 1.0f)}) {
    const auto bins = HistogramOf(x).Bins();
    const auto [low, high] = std::minmax_element(x.begin(), x.end());
    for (const float shrink : {1.0f, 0.5f, 0.2f}) {
      const ActivationParams p =
          FullRangeParams(*low * shrink, *high * shrink, ScaleGrid::kF32, false);
      EXPECT_NEAR(NoiseToSignal(bins, p) / DirectNoiseToSignal(x, p), 1.0, 0.03);
    }
  }
}

TEST(RangeSearch, FullRangeContainsZeroAndTheExtremes) {
  for (const auto& [low, high] :
       {std::pair{-3.0f, 8.0f}, {2.0f, 6.0f}, {-9.0f, -1.0f}, {0.0f, 0.0f}}) {
    for (const bool symmetric : {false, true}) {
      const ActivationParams p = FullRangeParams(low, high, ScaleGrid::kF32, symmetric);
      EXPECT_LE(p.CodeLo() - 0.51f * p.scale, std::min(low, 0.0f));
      EXPECT_GE(p.CodeHi() + 0.51f * p.scale, std::max(high, 0.0f));
      EXPECT_EQ(p.offset, std::nearbyint(p.offset));
      EXPECT_GE(p.offset, -128);
      EXPECT_LE(p.offset, 127);
      if (symmetric) {
        EXPECT_EQ(p.offset, 0);
      }
    }
  }
}

// The more a clipped value counts, the wider the range, up to the full one.
TEST(RangeSearch, ClipWeightWidensTheRange) {
  const Values x = HeavyTail(40000, 6);
  float before = 0;
  for (const double weight : {1.0, 10.0, 100.0, 1e9}) {
    const RangeResult result =
        SearchRange(ProblemOf(x, {}), {.clip_weight = weight, .max_plain_loss_db = 1000});
    EXPECT_GE(result.params.scale, before);
    before = result.params.scale;
  }
  const RangeResult full =
      SearchRange(ProblemOf(x, {}), {.clip_weight = 1e9, .max_plain_loss_db = 1000});
  EXPECT_NEAR(full.params.scale,
              FullRangeParams(full.params.lo, full.params.hi, ScaleGrid::kF32, false).scale,
              0.02f * full.params.scale);
  EXPECT_NEAR(Db(full.noise_to_signal[0]), Db(full.full_range[0]), 0.5);
}

// However much clipping counts, the plain error of neither modality grows by more than the limit
// against the range with the least plain error.
TEST(RangeSearch, ThePlainErrorStaysNearItsBest) {
  const RangeProblem problem = ProblemOf(HeavyTail(40000, 6), Gauss(40000, 0.2f, 7));
  const RangeResult plain = SearchRange(problem, {.clip_weight = 1.0});
  const RangeResult free = SearchRange(problem, {.clip_weight = 1000, .max_plain_loss_db = 1000});
  ASSERT_GT(Db(plain.noise_to_signal[1]) - Db(free.noise_to_signal[1]), 1.5);  // it would cost that
  for (const double limit : {0.25, 0.5, 1.0}) {
    const RangeResult result =
        SearchRange(problem, {.clip_weight = 1000, .max_plain_loss_db = limit});
    EXPECT_GT(result.params.scale, plain.params.scale);
    for (size_t m = 0; m < kModalities; ++m) {
      EXPECT_LE(Db(plain.noise_to_signal[m]) - Db(result.noise_to_signal[m]), limit + 1e-9);
    }
  }
}

TEST(RangeSearch, ComesCloseToTheBestRange) {
  Values outlier = Gauss(40000, 1, 5);
  outlier[77] = 60;
  for (const Values& x : {Gauss(40000, 1, 4), HeavyTail(40000, 6), outlier}) {
    const RangeResult result = SearchRange(ProblemOf(x, {}), {.clip_weight = 1.0});
    const double found = DirectNoiseToSignal(x, result.params), best = BestDirect(x);
    EXPECT_GE(Db(found), Db(best) - 0.1);
    EXPECT_GE(Db(result.noise_to_signal[0]), Db(result.full_range[0]));
    EXPECT_EQ(result.noise_to_signal[1], 0);
  }
}

TEST(RangeSearch, NoModalityPaysMoreThanAllowed) {
  // Vision is twenty times louder: text alone would like a range that ruins it.
  const Values text = Gauss(4000, 0.1f, 7), vision = Gauss(40000, 2.0f, 8);
  const RangeProblem problem = ProblemOf(text, vision);
  const RangeResult bound = SearchRange(problem, {});
  for (size_t m = 0; m < kModalities; ++m) {
    EXPECT_GE(Db(bound.noise_to_signal[m]), Db(bound.full_range[m]) - 1.0 - 1e-9);
  }
  const RangeResult free = SearchRange(problem, {.max_loss_db = 100});
  EXPECT_LT(free.params.scale, bound.params.scale);
  EXPECT_LT(Db(free.noise_to_signal[1]), Db(free.full_range[1]) - 1.0);
  EXPECT_GT(Db(bound.noise_to_signal[0]), Db(bound.full_range[0]));
}

TEST(RangeSearch, ModalitiesCountEqually) {
  // The same text with ten times the vision tokens: the same choice.
  const Values text = HeavyTail(3000, 9), vision = Gauss(3000, 3.0f, 10);
  Values many;
  for (int i = 0; i < 10; ++i) many.insert(many.end(), vision.begin(), vision.end());
  const RangeResult a = SearchRange(ProblemOf(text, vision), {});
  const RangeResult b = SearchRange(ProblemOf(text, many), {});
  EXPECT_EQ(a.params.scale, b.params.scale);
  EXPECT_EQ(a.params.offset, b.params.offset);
}

TEST(RangeSearch, StaysOnTheGrid) {
  const RangeProblem problem = ProblemOf(HeavyTail(20000, 11), Gauss(20000, 0.7f, 12, 0.5f));
  for (const ScaleGrid grid :
       {ScaleGrid::kF16, ScaleGrid::kBf16AndF16, ScaleGrid::kBf16Reciprocal}) {
    const ActivationParams p = SearchRange(problem, {.grid = grid}).params;
    EXPECT_EQ(grid == ScaleGrid::kF16 ? RoundToF16(p.scale) : RoundToBf16(p.scale), p.scale);
    EXPECT_EQ(p.effective_scale, EffectiveScale(p.scale, grid));
    EXPECT_EQ(p.offset, std::nearbyint(p.offset));
  }
  const ActivationParams symmetric = SearchRange(problem, {.symmetric = true}).params;
  EXPECT_EQ(symmetric.offset, 0);
}

TEST(RangeSearch, OneSidedAndEmptyData) {
  Values positive = Gauss(20000, 1, 13);
  for (float& v : positive) v = std::abs(v);
  const ActivationParams p = SearchRange(ProblemOf(positive, {}), {}).params;
  EXPECT_LE(p.CodeLo(), 0);
  EXPECT_GE(p.offset, -128);
  EXPECT_LE(p.offset, -120);  // nearly all codes for the side that has values
  const ActivationParams zero = SearchRange(ProblemOf({0, 0, 0}, {}), {}).params;
  EXPECT_GT(zero.scale, 0);
}

}  // namespace
}  // namespace ingot
