// SPDX-License-Identifier: Apache-2.0
// The engine on the small trained model: streaming, stopping, forced answers.
#include "engine/engine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace ingot {
namespace {

constexpr char kModel[] = INGOT_TEST_DATA "/models/tiny-qwen3-vl";

Engine& TestEngine() {
  static Engine engine(kModel, {.precision = Precision::kF32});
  return engine;
}

PreparedPrompt TestPrompt() {
  Message turn{"user",
               {Part::Image(INGOT_TEST_DATA "/val300/images/020200000.jpg"),
                Part::Text("Please describe this picture in detail.")},
               ""};
  return TestEngine().Prepare({turn});
}

TEST(EngineTest, StreamsTheTextOfTheAnswer) {
  AnswerParams params;
  params.max_tokens = 12;
  std::string streamed;
  const Answer answer = TestEngine().Ask(TestPrompt(), params, [&](std::string_view piece) {
    streamed += piece;
    return true;
  });
  EXPECT_EQ(streamed, answer.text);
  EXPECT_LE(answer.tokens.size(), 12u);
  EXPECT_EQ(answer.prompt_tokens, TestPrompt().n_tokens());
  EXPECT_EQ(answer.picture_tokens, 9);  // 96 x 96 pixels, 32 x 32 a token
  EXPECT_GT(answer.vision_seconds, 0);
}

TEST(EngineTest, GreedyIsTheSameWithAndWithoutTheSampler) {
  AnswerParams params;
  params.max_tokens = 12;
  const Answer sampled = TestEngine().Ask(TestPrompt(), params);
  std::vector<int32_t> chosen;
  const Answer greedy =
      TestEngine().AskGreedy(TestPrompt(), 12, [&](int64_t step, std::span<const float> logits) {
        EXPECT_EQ(step, static_cast<int64_t>(chosen.size()));
        const auto real = logits.first(static_cast<size_t>(TestEngine().vocab_limit()));
        chosen.push_back(
            static_cast<int32_t>(std::max_element(real.begin(), real.end()) - real.begin()));
      });
  EXPECT_EQ(sampled.tokens, greedy.tokens);
  EXPECT_EQ(sampled.text, greedy.text);
  if (greedy.reason == FinishReason::kStop) chosen.pop_back();
  EXPECT_EQ(chosen, greedy.tokens);
}

TEST(EngineTest, TheReaderCanEndTheAnswer) {
  AnswerParams params;
  params.max_tokens = 50;
  const Answer answer =
      TestEngine().Ask(TestPrompt(), params, [](std::string_view) { return false; });
  EXPECT_EQ(answer.reason, FinishReason::kCancelled);
  EXPECT_LT(answer.tokens.size(), 50u);
}

TEST(EngineTest, FollowingItsOwnAnswerGivesTheSameLogits) {
  std::vector<std::vector<float>> logits;
  const Answer own = TestEngine().AskGreedy(
      TestPrompt(), 8,
      [&](int64_t, std::span<const float> row) { logits.emplace_back(row.begin(), row.end()); });
  size_t steps = 0;
  ASSERT_EQ(own.tokens.size(), 8u);
  const Answer followed = TestEngine().Follow(
      TestPrompt(), own.tokens, 8, [&](int64_t step, std::span<const float> row) {
        EXPECT_TRUE(std::equal(row.begin(), row.end(), logits[static_cast<size_t>(step)].begin()));
        ++steps;
      });
  EXPECT_EQ(steps, own.tokens.size());
  EXPECT_EQ(followed.tokens, own.tokens);
  EXPECT_EQ(followed.text, own.text);
}

TEST(EngineTest, FollowingAForeignAnswerStillGivesTheOwnOne) {
  const Answer own = TestEngine().AskGreedy(TestPrompt(), 8);
  ASSERT_GE(own.tokens.size(), 4u);
  std::vector<int32_t> foreign(own.tokens);
  foreign[2] = foreign[2] == 5 ? 6 : 5;  // another token in the middle
  size_t steps = 0;
  const Answer followed = TestEngine().Follow(TestPrompt(), foreign, 8,
                                              [&](int64_t, std::span<const float>) { ++steps; });
  EXPECT_EQ(steps, foreign.size());
  EXPECT_EQ(followed.tokens, own.tokens);
}

TEST(EngineTest, TokenTextsJoinToTheText) {
  const Answer own = TestEngine().AskGreedy(TestPrompt(), 12);
  std::string joined;
  for (const std::string& text : TestEngine().TokenTexts(own.tokens)) joined += text;
  EXPECT_EQ(joined, own.text);
}

TEST(EngineTest, ObservesThePrompt) {
  std::vector<std::string> names;
  int64_t sites = 0;
  TestEngine().Observe(
      TestPrompt(),
      [&](std::string_view name, std::span<const int64_t>, const float*) {
        names.emplace_back(name);
      },
      [&](std::string_view, float*, int64_t, int64_t) { ++sites; });
  EXPECT_NE(std::find(names.begin(), names.end(), "text.layer.0.next"), names.end());
  EXPECT_GT(sites, 0);
}

TEST(EngineTest, ImpossibleParametersAreRefused) {
  AnswerParams params;
  params.sampling.do_sample = true;
  params.sampling.top_p = 2;
  EXPECT_THROW(TestEngine().Ask(TestPrompt(), params), UserError);
  EXPECT_THROW(ParsePrecision("f64"), UserError);
}

// What int8 keys and values cost: next to nothing, but something, or they are not in use.
TEST(EngineTest, Int8KeysAndValuesAnswerAlmostTheSame) {
  Engine bf16(kModel, {.precision = Precision::kBF16}),
      int8(kModel, {.precision = Precision::kBF16, .kv = KvType::kInt8});
  const PreparedPrompt prompt = TestPrompt();
  std::vector<std::vector<float>> rows;
  const auto keep = [&](int64_t, std::span<const float> logits) {
    rows.emplace_back(logits.begin(), logits.begin() + bf16.vocab_limit());
  };
  const Answer answer = bf16.AskGreedy(prompt, 40, keep);
  double divergence = 0;
  int64_t same = 0;
  const auto compare = [&](int64_t step, std::span<const float> logits) {
    const std::span<const float> p = rows[static_cast<size_t>(step)], q = logits.first(p.size());
    const auto log_sum = [](std::span<const float> x) {
      double sum = 0;
      for (const float v : x) sum += std::exp(static_cast<double>(v));
      return std::log(sum);
    };
    const double p_sum = log_sum(p), q_sum = log_sum(q);
    for (size_t i = 0; i < p.size(); ++i) {
      const double a = p[i] - p_sum, b = q[i] - q_sum;
      divergence += std::exp(a) * (a - b);
    }
    same += std::max_element(p.begin(), p.end()) - p.begin() ==
            std::max_element(q.begin(), q.end()) - q.begin();
  };
  int8.Follow(prompt, answer.tokens, 40, compare);
  const auto steps = static_cast<double>(answer.tokens.size());
  EXPECT_GE(answer.tokens.size(), 10u);
  EXPECT_LT(divergence / steps, 5e-3);
  EXPECT_GT(divergence / steps, 1e-9);
  EXPECT_GE(static_cast<double>(same), 0.95 * steps);
}

}  // namespace
}  // namespace ingot
