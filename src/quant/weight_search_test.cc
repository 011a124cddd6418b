// SPDX-License-Identifier: Apache-2.0
// The weight search on inputs it has not seen, against plain rounding.
#include "quant/weight_search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "base/thread_pool.h"
#include "quant/range_search.h"

namespace ingot {
namespace {

constexpr int64_t kOut = 40, kIn = 128, kSeen = 200, kNew = 300;

// Inputs whose channels hang together, as a model's do: a few directions carry most of each row.
std::vector<float> Inputs(int64_t n_rows, uint32_t seed) {
  constexpr int64_t kDirections = 6;
  std::mt19937 fixed(99), random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> directions(kDirections * kIn), x(static_cast<size_t>(n_rows * kIn));
  for (float& v : directions) v = normal(fixed);
  for (int64_t i = 0; i < n_rows; ++i) {
    for (int64_t d = 0; d < kDirections; ++d) {
      const float share = normal(random);
      for (int64_t c = 0; c < kIn; ++c) x[static_cast<size_t>(i * kIn + c)] += share * directions[static_cast<size_t>(d * kIn + c)];
    }
    for (int64_t c = 0; c < kIn; ++c) x[static_cast<size_t>(i * kIn + c)] += 0.1f * normal(random);
  }
  return x;
}

Tensor Weights() {
  std::mt19937 random(7);
  std::normal_distribution<float> normal(0, 0.05f);
  std::vector<float> w(kOut * kIn);
  for (float& v : w) v = normal(random);
  std::fill_n(w.begin() + 3 * kIn, kIn, 0.0f);  // a row of zeros
  return FromFloats(w, DType::kF32, {kOut, kIn});
}

float PlainScale(size_t, float amax, float code) { return amax > 0 ? amax / code : 1.0f; }

SiteStatistics Seen() {
  SiteStatistics site(kIn);
  std::vector<Modality> modality(kSeen, Modality::kText);
  for (size_t i = 0; i < kSeen; i += 2) modality[i] = Modality::kVision;
  site.Observe(Inputs(kSeen, 1), modality);
  return site;
}

// Squared error of the outputs on inputs that the search never saw, over the square of the outputs; weights rounded, inputs exact.
double NewError(const Tensor& weight, const std::vector<float>& largest) {
  std::vector<float> w(kOut * kIn);
  ToFloats(weight.view(), 0, w);
  const std::vector<float> x = Inputs(kNew, 2);
  double noise = 0, signal = 0;
  for (size_t r = 0; r < kOut; ++r) {
    float amax = 0;
    for (size_t c = 0; c < kIn; ++c) amax = std::max(amax, std::abs(w[r * kIn + c]));
    const float scale = PlainScale(r, amax, largest[r]);
    for (size_t i = 0; i < kNew; ++i) {
      double exact = 0, rounded = 0;
      for (size_t c = 0; c < kIn; ++c) {
        const double input = x[i * kIn + c], value = w[r * kIn + c];
        exact += input * value;
        rounded += input * scale * std::nearbyint(value / scale);
      }
      noise += (exact - rounded) * (exact - rounded);
      signal += exact * exact;
    }
  }
  return noise / signal;
}

TEST(WeightSearch, LowersTheErrorOnNewInputs) {
  const Tensor weight = Weights();
  const double plain = NewError(weight, std::vector<float>(kOut, 127.0f));
  const double found = NewError(weight, SearchLargestCodes(weight.view(), MakeSearchRows(Seen(), nullptr), PlainScale));
  EXPECT_LT(found, 0.6 * plain);
}

TEST(WeightSearch, StaticInputs) {
  const Tensor weight = Weights();
  const std::vector<float> x = Inputs(kSeen, 1);
  const auto [lo, hi] = std::minmax_element(x.begin(), x.end());
  const ActivationParams params = FullRangeParams(*lo, *hi, ScaleGrid::kF32, false);
  const double plain = NewError(weight, std::vector<float>(kOut, 127.0f));
  const double found = NewError(weight, SearchLargestCodes(weight.view(), MakeSearchRows(Seen(), &params), PlainScale));
  EXPECT_LT(found, 0.7 * plain);  // the errors of the inputs' codes blur the choice
}

TEST(WeightSearch, KeepsEveryWeightWithinHalfAStep) {
  const Tensor weight = Weights();
  const std::vector<float> largest = SearchLargestCodes(weight.view(), MakeSearchRows(Seen(), nullptr), PlainScale);
  EXPECT_EQ(largest[3], 127.0f);  // all candidates are equal for a row of zeros: the plain one wins
  for (const float code : largest) {
    EXPECT_GE(code, 125.5f);
    EXPECT_LT(code, 127.5f);
  }
}

TEST(WeightSearch, SameForAnyThreadCount) {
  const Tensor weight = Weights();
  const SearchRows rows = MakeSearchRows(Seen(), nullptr);
  const int before = NumThreads();
  SetNumThreads(1);
  const std::vector<float> one = SearchLargestCodes(weight.view(), rows, PlainScale);
  for (const int threads : {2, 3}) {
    SetNumThreads(threads);
    EXPECT_EQ(SearchLargestCodes(weight.view(), rows, PlainScale), one);
  }
  SetNumThreads(before);
}

}  // namespace
}  // namespace ingot
