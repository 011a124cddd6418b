// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "model/generate.h"

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

}  // namespace
}  // namespace ingot
