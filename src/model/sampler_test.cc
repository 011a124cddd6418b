// SPDX-License-Identifier: Apache-2.0
#include "model/sampler.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include "base/error.h"
#include "model/logits.h"

namespace ingot {
namespace {

using Floats = std::vector<float>;

int32_t Greedy(const SamplingParams& params, const std::vector<int32_t>& prompt,
               const Floats& logits, int64_t limit = 0) {
  return Sampler(params, prompt, limit).Next(logits);
}

TEST(Sampler, GreedyTakesTheLargestAndTheLowestIdOnATie) {
  EXPECT_EQ(Greedy({}, {}, {1, 5, 3, 5}), 1);
  EXPECT_EQ(Greedy({.do_sample = true, .temperature = 0}, {}, {1, 5, 7, 5}), 2);
}

TEST(Sampler, PaddingRowsAreNeverChosen) {
  EXPECT_EQ(Greedy({}, {}, {1, 2, 9, 9}, 2), 1);
  SamplingParams params{.do_sample = true, .temperature = 2};
  Sampler sampler(params, {}, 2);
  for (int i = 0; i < 200; ++i) EXPECT_LT(sampler.Next(Floats{0, 0, 30, 30}), 2);
  EXPECT_EQ(sampler.Distribution(Floats{0, 0, 30, 30}).size(), 2u);
}

TEST(Sampler, RepetitionPenaltyCoversThePromptAndDividesOrMultiplies) {
  EXPECT_EQ(Greedy({.repetition_penalty = 2}, {0}, {4, 3, -1}), 1);    // 4 / 2 < 3
  EXPECT_EQ(Greedy({.repetition_penalty = 2}, {0}, {-2, -3, -9}), 1);  // -2 * 2 < -3
  EXPECT_EQ(Greedy({.repetition_penalty = 2}, {0, 0, 0}, {4, 1.9f, -1}),
            0);  // once, not per occurrence
}

TEST(Sampler, PresenceAndFrequencyCoverTheOutputOnly) {
  Sampler presence({.presence_penalty = 1}, std::vector<int32_t>{0}, 0);
  const Floats logits = {4.0f, 3.5f, 3.2f};
  EXPECT_EQ(presence.Next(logits), 0);  // the prompt does not count
  EXPECT_EQ(presence.Next(logits), 1);
  EXPECT_EQ(presence.Next(logits), 2);
  EXPECT_EQ(presence.Next(logits), 0);  // all are down by one
  Sampler frequency({.frequency_penalty = 0.3f}, {}, 0);
  std::vector<int32_t> tokens;
  for (int i = 0; i < 5; ++i) tokens.push_back(frequency.Next(logits));
  EXPECT_EQ(tokens, (std::vector<int32_t>{0, 0, 1, 0, 1}));  // 4, 3.7, 3.5 | 3.4, 3.5-0.3
}

Floats Distribution(const SamplingParams& params, const Floats& logits) {
  return Sampler(params, {}, 0).Distribution(logits);
}

TEST(Sampler, FiltersInOrder) {
  const Floats logits = {std::log(0.5f), std::log(0.25f), std::log(0.15f), std::log(0.1f)};
  const auto near = [](const Floats& p, const Floats& expected) {
    ASSERT_EQ(p.size(), expected.size());
    for (size_t i = 0; i < p.size(); ++i) EXPECT_NEAR(p[i], expected[i], 1e-6) << i;
  };
  near(Distribution({.do_sample = true}, logits), {0.5f, 0.25f, 0.15f, 0.1f});
  near(Distribution({.do_sample = true, .top_k = 2}, logits), {2.0f / 3, 1.0f / 3, 0, 0});
  near(Distribution({.do_sample = true, .top_p = 0.7f}, logits), {2.0f / 3, 1.0f / 3, 0, 0});
  near(Distribution({.do_sample = true, .top_p = 0.4f}, logits), {1, 0, 0, 0});
  near(Distribution({.do_sample = true, .top_p = 0.0f}, logits), {1, 0, 0, 0});  // at least one
  near(Distribution({.do_sample = true, .min_p = 0.4f}, logits), {2.0f / 3, 1.0f / 3, 0, 0});
  // Temperature comes before top-p: 0.5 : 0.25 becomes 0.25 : 0.0625 (squares).
  near(Distribution({.do_sample = true, .temperature = 0.5f, .top_p = 0.7f}, logits), {1, 0, 0, 0});
  // top-k before top-p: of {2/3, 1/3} the first already reaches 0.6.
  near(Distribution({.do_sample = true, .top_k = 2, .top_p = 0.6f}, logits), {1, 0, 0, 0});
}

TEST(Sampler, DrawsFollowTheDistributionAndTheSeed) {
  const Floats logits = {std::log(0.6f), std::log(0.3f), std::log(0.1f)};
  std::array<int, 3> counts{};
  Sampler sampler({.do_sample = true, .seed = 7}, {}, 0),
      same({.do_sample = true, .seed = 7}, {}, 0);
  for (int i = 0; i < 5000; ++i) {
    const int32_t token = sampler.Next(logits);
    EXPECT_EQ(token, same.Next(logits));
    ++counts[static_cast<size_t>(token)];
  }
  EXPECT_NEAR(counts[0], 3000, 150);
  EXPECT_NEAR(counts[1], 1500, 130);
  EXPECT_NEAR(counts[2], 500, 90);
}

TEST(Sampler, NanAndInfinityDoNotWin) {
  const float inf = std::numeric_limits<float>::infinity();
  EXPECT_EQ(Greedy({}, {}, {std::nanf(""), 1, -inf}), 1);
  EXPECT_EQ(Distribution({.do_sample = true}, {std::nanf(""), 1, -inf}), (Floats{0, 1, 0}));
}

TEST(Sampler, RangesAreChecked) {
  EXPECT_THROW(CheckSamplingParams({.temperature = -1}), UserError);
  EXPECT_THROW(CheckSamplingParams({.temperature = std::nanf("")}), UserError);
  EXPECT_THROW(CheckSamplingParams({.top_k = -1}), UserError);
  EXPECT_THROW(CheckSamplingParams({.top_p = 1.5f}), UserError);
  EXPECT_THROW(CheckSamplingParams({.min_p = -0.1f}), UserError);
  EXPECT_THROW(CheckSamplingParams({.repetition_penalty = 0}), UserError);
  EXPECT_NO_THROW(CheckSamplingParams({}));
}

// The filters written plainly, with full sorts and double precision.
std::vector<double> PlainDistribution(const SamplingParams& params, const Floats& logits) {
  const float peak = *std::max_element(logits.begin(), logits.end());
  std::vector<double> p(logits.size());
  for (size_t i = 0; i < p.size(); ++i)
    p[i] = std::exp((static_cast<double>(logits[i]) - peak) / params.temperature);
  for (double& x : p) x = x >= static_cast<double>(params.min_p) ? x : 0;
  std::vector<size_t> order(p.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return p[a] > p[b]; });
  for (size_t rank = 0; rank < order.size(); ++rank) {
    if (params.top_k > 0 && rank >= static_cast<size_t>(params.top_k)) p[order[rank]] = 0;
  }
  const double total = std::accumulate(p.begin(), p.end(), 0.0);
  double before = 0;
  for (const size_t id : order) {
    const double own = p[id];
    if (before >= static_cast<double>(params.top_p) * total) p[id] = 0;
    before += own;
  }
  const double kept = std::accumulate(p.begin(), p.end(), 0.0);
  for (double& x : p) x /= kept;
  return p;
}

TEST(Sampler, LargeVocabulariesAgreeWithThePlainFilters) {
  std::mt19937 random(5);
  for (const float spread : {0.5f, 3.0f, 9.0f}) {
    std::normal_distribution<float> normal(0, spread);
    Floats logits(20'011);  // no multiple of the vector width
    for (float& x : logits) x = normal(random);
    for (const SamplingParams& params :
         {SamplingParams{.do_sample = true},
          SamplingParams{.do_sample = true, .temperature = 0.7f, .top_k = 20, .top_p = 0.8f},
          SamplingParams{.do_sample = true, .top_p = 0.95f},
          SamplingParams{.do_sample = true, .temperature = 1.5f, .top_p = 0.5f, .min_p = 0.01f},
          SamplingParams{.do_sample = true, .top_k = 5000, .top_p = 0.9f}}) {
      const Floats fast = Distribution(params, logits);
      const std::vector<double> plain = PlainDistribution(params, logits);
      double distance = 0;
      int64_t kept = 0, kept_plain = 0;
      for (size_t i = 0; i < fast.size(); ++i) {
        distance += std::abs(static_cast<double>(fast[i]) - plain[i]);
        kept += fast[i] > 0;
        kept_plain += plain[i] > 0;
      }
      EXPECT_LT(distance, 1e-4) << spread;
      if (params.top_k > 0 || params.top_p < 1) {
        EXPECT_NEAR(kept, kept_plain, 1);
      }
    }
  }
}

// What is drawn follows the filtered distribution, over many blocks of logits.
TEST(Sampler, DrawsFromLargeVocabulariesFollowTheDistribution) {
  std::mt19937 random(6);
  std::normal_distribution<float> normal(0, 1);
  Floats logits(5'003);
  for (float& x : logits) x = normal(random);
  for (size_t i = 100; i < logits.size(); i += 700) logits[i] = 9 + logits[i] / 4;  // in most blocks
  for (const SamplingParams& params :
       {SamplingParams{.do_sample = true, .seed = 1}, SamplingParams{.do_sample = true, .top_k = 5},
        SamplingParams{.do_sample = true, .top_p = 0.7f},
        SamplingParams{.do_sample = true, .top_k = 6, .top_p = 0.9f, .min_p = 0.3f}}) {
    const Floats p = Distribution(params, logits);
    constexpr int kDraws = 20'000;
    std::vector<int> counts(logits.size());
    Sampler sampler(params, {}, 0);
    for (int i = 0; i < kDraws; ++i) ++counts[static_cast<size_t>(sampler.Next(logits))];
    double distance = 0;
    for (size_t i = 0; i < p.size(); ++i) {
      if (p[i] == 0) {
        EXPECT_EQ(counts[i], 0) << i;
      }
      if (p[i] > 0.01f) distance += std::abs(static_cast<double>(counts[i]) / kDraws - p[i]);
    }
    EXPECT_LT(distance, 0.04);
  }
}

TEST(Sampler, ConstraintsHoldForGreedyAndRandomChoices) {
  const Floats logits = {5, 4, 3, 2, 1};
  const uint32_t mask[] = {0b10110};  // 1, 2, 4
  const int32_t forbidden[] = {1};
  Sampler greedy({}, {}, 0);
  EXPECT_EQ(greedy.Choose(logits, {mask, {}}).token, 1);
  EXPECT_EQ(greedy.Choose(logits, {mask, forbidden}).token, 2);
  EXPECT_EQ(greedy.Choose(logits, {{}, forbidden}).token, 0);
  Sampler sampler({.do_sample = true, .temperature = 5}, {}, 0);
  for (int i = 0; i < 100; ++i) {
    const int32_t token = sampler.Choose(logits, {mask, forbidden}).token;
    EXPECT_TRUE(token == 2 || token == 4);
  }
  const uint32_t nothing[] = {0};
  EXPECT_EQ(greedy.Choose(logits, {nothing, {}}).token, -1);
}

TEST(Sampler, BiasMovesTheChoice) {
  EXPECT_EQ(Greedy({.logit_bias = {{2, 10.0f}, {0, -5.0f}}}, {}, {3, 2, 0}), 2);
  EXPECT_EQ(Greedy({.logit_bias = {{7, 10.0f}}}, {}, {3, 2, 0}), 0);  // no such token here
}

TEST(Sampler, TheSeedAndThePlaceInTheAnswerDecide) {
  Floats logits(1000);
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>(i % 7);
  const auto draw = [&](uint64_t seed) {
    Sampler sampler({.do_sample = true, .seed = seed}, {}, 0);
    std::vector<int32_t> tokens;
    for (int i = 0; i < 20; ++i) tokens.push_back(sampler.Next(logits));
    return tokens;
  };
  EXPECT_EQ(draw(1), draw(1));
  EXPECT_NE(draw(1), draw(2));
}

TEST(Logits, SumsAgreeWithDoublePrecision) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal(0, 4);
  Floats logits(4099);
  for (float& x : logits) x = normal(random);
  const LogitPeak peak = FindPeak(logits);
  EXPECT_EQ(peak.index, std::max_element(logits.begin(), logits.end()) - logits.begin());
  double z = 0;
  for (const float x : logits) z += std::exp(static_cast<double>(x));
  double entropy = 0;
  for (const float x : logits) {
    const double p = std::exp(static_cast<double>(x)) / z;
    entropy -= p * std::log(p);
  }
  const LogitSpread spread = MeasureSpread(logits, peak.value);
  EXPECT_NEAR(spread.log_sum, std::log(z), 1e-6);
  EXPECT_NEAR(spread.entropy, entropy, 1e-5);
  for (float x = 0; x > -90; x -= 0.37f) {
    const double exact = x > -87 ? std::exp(static_cast<double>(x)) : 0;
    EXPECT_NEAR(ExpOfNonPositive(x), exact, 3e-7 * exact) << x;
  }
}

TEST(Logits, BadOnesAreCountedAndLeftOut) {
  const float inf = std::numeric_limits<float>::infinity();
  const Floats logits = {std::nanf(""), 1, inf, 1, -inf};
  const LogitPeak peak = FindPeak(logits);
  EXPECT_EQ(peak.n_bad, 3);
  EXPECT_EQ(peak.index, 1);
  EXPECT_NEAR(MeasureSpread(logits, peak.value).entropy, std::log(2.0), 1e-6);
  EXPECT_EQ(FindPeak(Floats{inf, std::nanf("")}).index, -1);
}

TEST(Logits, TheLargestInOrderAndRanks) {
  const Floats logits = {1, 7, 3, 7, 5, std::nanf("")};
  EXPECT_EQ(LargestLogits(logits, 3), (std::vector<int32_t>{1, 3, 4}));
  EXPECT_EQ(LargestLogits(logits, 0).size(), 0u);
  EXPECT_EQ(LargestLogits(Floats{2, 1}, 5), (std::vector<int32_t>{0, 1}));
  EXPECT_EQ(CountLarger(logits, 5), 2);
  EXPECT_EQ(CountLarger(logits, 7), 0);
}

}  // namespace
}  // namespace ingot
