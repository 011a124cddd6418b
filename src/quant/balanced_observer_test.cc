// SPDX-License-Identifier: Apache-2.0
// The default method's observer: weighting by channel, threads, values that are not finite.
#include "quant/balanced_observer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "base/thread_pool.h"

namespace ingot {
namespace {

std::vector<float> Random(size_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> x(n);
  for (float& v : x) v = normal(random);
  return x;
}

TEST(BalancedObserver, ColumnNormsAddUp) {
  const Tensor weight = FromFloats(std::vector<float>{1, 2, 3, -4, 0, 0.5f}, DType::kBF16, {2, 3});
  std::vector<double> norms(3, 0.0);
  AddColumnNorms(weight, norms);
  AddColumnNorms(weight, norms);
  EXPECT_EQ(norms, (std::vector<double>{34, 8, 18.5}));
}

// A loud channel that no weight reads does not widen the range.
TEST(BalancedObserver, ErrorCountsByTheColumnsThatReadIt) {
  const size_t rows = 3000;
  std::vector<float> x = Random(rows * 2, 1);
  for (size_t r = 0; r < rows; ++r) x[2 * r + 1] *= 50;
  const std::vector<Modality> text(rows, Modality::kText);
  BalancedObserver unread(std::vector<double>{1.0, 0.0}), read(std::vector<double>{1.0, 1.0});
  unread.Observe(x, text);
  read.Observe(x, text);
  const RangeResult a = unread.Params({}), b = read.Params({});
  EXPECT_LT(a.params.scale, b.params.scale / 3);
  EXPECT_EQ(unread.Params({}, false).params.scale, read.Params({}, false).params.scale);
}

TEST(BalancedObserver, SameBitsForAnyNumberOfThreads) {
  const size_t in = 2048, rows = 1100;  // enough values for the parallel path
  const std::vector<float> x = Random(in * rows, 2);
  std::vector<Modality> modality(rows, Modality::kVision);
  for (size_t r = 0; r < rows; r += 3) modality[r] = Modality::kText;
  std::vector<double> norms(in);
  for (size_t c = 0; c < in; ++c) norms[c] = 1.0 + static_cast<double>(c % 17);
  const int before = NumThreads();
  std::vector<RangeResult> results;
  for (const int threads : {1, 3}) {
    SetNumThreads(threads);
    BalancedObserver observer(norms);
    observer.Observe(x, modality);
    results.push_back(observer.Params({}));
  }
  SetNumThreads(before);
  EXPECT_EQ(results[0].params.scale, results[1].params.scale);
  EXPECT_EQ(results[0].params.offset, results[1].params.offset);
  EXPECT_EQ(results[0].noise_to_signal, results[1].noise_to_signal);
  EXPECT_GT(results[0].noise_to_signal[0], 0);
}

TEST(BalancedObserver, CountsWhatIsNotFinite) {
  BalancedObserver observer(std::vector<double>(2, 0.0));
  const float inf = std::numeric_limits<float>::infinity();
  observer.Observe(std::vector<float>{1, inf, -inf, std::nanf(""), -2, 3},
                   std::vector<Modality>(3, Modality::kText));
  EXPECT_EQ(observer.non_finite(), 3);
  const ActivationParams p = observer.Params({}, false).params;
  EXPECT_NEAR(p.CodeLo(), -2, 0.02);
  EXPECT_NEAR(p.CodeHi(), 3, 0.02);
}

}  // namespace
}  // namespace ingot
