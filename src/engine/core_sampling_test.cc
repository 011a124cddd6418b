// SPDX-License-Identifier: Apache-2.0
// What a request asks of its answers: stops, biases, log-probabilities, grammars, the garbage
// watch.
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "base/error.h"
#include "base/log.h"
#include "engine/core_bench.h"

namespace ingot::engine_test {
namespace {

TEST(EngineCoreTest, StopStringsStopTokensAndMinTokens) {
  const FakeOptions endless{.stops = false};
  const PreparedPrompt prompt = FakePrompt(SomeTokens(20, 9));
  Bench bench(endless);
  const Received whole = bench.RunOne(Greedy(prompt, 30));
  ASSERT_GT(whole.text.size(), 20u);
  const size_t at = whole.text.size() / 2;
  const std::string stop = whole.text.substr(at, 4);
  const size_t first = whole.text.find(stop);
  Request request = Greedy(prompt, 30);
  request.sampling.stop = {"never in there", stop};
  Received cut = bench.RunOne(request);
  EXPECT_EQ(cut.text, whole.text.substr(0, first));
  EXPECT_EQ(cut.end, EndReason::kStop);
  EXPECT_EQ(std::get<std::string>(cut.stop_reason), stop);
  request.sampling.include_stop_str_in_output = true;
  EXPECT_EQ(bench.RunOne(request).text, whole.text.substr(0, first + 4));

  request = Greedy(prompt, 30);
  request.sampling.stop_token_ids = {whole.tokens[5]};
  const auto place = std::find(whole.tokens.begin(), whole.tokens.end(), whole.tokens[5]);
  cut = bench.RunOne(request);
  EXPECT_EQ(cut.tokens, std::vector<int32_t>(whole.tokens.begin(), place + 1));
  EXPECT_EQ(std::get<int32_t>(cut.stop_reason), whole.tokens[5]);
  request.sampling.min_tokens = 20;  // it is not allowed before, so the answer changes
  cut = bench.RunOne(request);
  EXPECT_GE(cut.tokens.size(), 20u);
  EXPECT_EQ(std::find(cut.tokens.begin(), cut.tokens.begin() + 20, whole.tokens[5]),
            cut.tokens.begin() + 20);
}

TEST(EngineCoreTest, AllowedTokensBiasAndBadWords) {
  Bench bench({.stops = false});
  const PreparedPrompt prompt = FakePrompt(SomeTokens(20, 10));
  Request request = Greedy(prompt, 20);
  request.sampling.allowed_token_ids = {100, 200, 300};
  for (const int32_t token : bench.RunOne(request).tokens)
    EXPECT_TRUE(token == 100 || token == 200 || token == 300);
  request = Greedy(prompt, 5);
  request.sampling.logit_bias = {{123, 100.0f}};
  EXPECT_EQ(bench.RunOne(request).tokens, std::vector<int32_t>(5, 123));
  const Received plain = bench.RunOne(Greedy(prompt, 20));
  request = Greedy(prompt, 20);
  const std::string word = TestTokenizer().Decode(std::span(plain.tokens).subspan(3, 1), true);
  request.sampling.bad_words = {word};
  const Received without = bench.RunOne(request);
  const std::vector<int32_t> ids = TestTokenizer().EncodeUser(word);
  EXPECT_EQ(std::search(without.tokens.begin(), without.tokens.end(), ids.begin(), ids.end()),
            without.tokens.end());
  // The only allowed token is forbidden as well: the request's fault, not the model's.
  request = Greedy(prompt, 5);
  request.sampling.bad_words = {"a"};
  request.sampling.allowed_token_ids = TestTokenizer().EncodeUser("a");
  const Received stuck = bench.RunOne(request);
  EXPECT_EQ(stuck.end, EndReason::kError);
  EXPECT_TRUE(stuck.impossible);
}

TEST(EngineCoreTest, LogprobsOfAnswersAndPrompts) {
  Bench bench({.stops = false});
  const PreparedPrompt prompt = FakePrompt(SomeTokens(100, 11));
  Request request = Greedy(prompt, 6);
  request.sampling.logprobs = 3;
  request.sampling.prompt_logprobs = 2;
  bench.RunOne(Greedy(prompt, 6));  // cached now; prompt_logprobs compute the prompt all the same
  const Received answer = bench.RunOne(request);
  EXPECT_EQ(answer.usage.cached_tokens, 0);
  ASSERT_EQ(answer.logprobs.size(), 6u);
  for (size_t i = 0; i < 6; ++i) {
    const StepLogprobs& step = answer.logprobs[i];
    ASSERT_EQ(step.top.size(), 3u);
    EXPECT_EQ(step.chosen.token, answer.tokens[i]);
    EXPECT_EQ(step.chosen.rank, 1);
    EXPECT_FLOAT_EQ(step.chosen.logprob, step.top[0].logprob);
    EXPECT_LE(step.top[1].logprob, step.top[0].logprob);
    EXPECT_LT(step.top[0].logprob, 0);
  }
  // Allowed tokens narrow the choice and not the log-probabilities, as in vLLM.
  Request narrow = Greedy(prompt, 1);
  narrow.sampling.logprobs = 3;
  narrow.sampling.allowed_token_ids = {answer.logprobs[0].top[2].token};
  const Received third = bench.RunOne(narrow);
  ASSERT_EQ(third.logprobs.size(), 1u);
  EXPECT_EQ(third.logprobs[0].chosen.rank, 3);
  EXPECT_FLOAT_EQ(third.logprobs[0].chosen.logprob, answer.logprobs[0].top[2].logprob);
  EXPECT_FLOAT_EQ(third.logprobs[0].top[0].logprob, answer.logprobs[0].top[0].logprob);
  ASSERT_TRUE(answer.prompt_logprobs);
  ASSERT_EQ(answer.prompt_logprobs->size(), 100u);
  FakeState state;
  std::vector<float> row(2048);
  for (size_t t = 0; t + 1 < 100; ++t) {
    state.Push(prompt.ids[t], 0);
    FakeLogits(state, {.stops = false}, 0, row);
    double sum = 0;
    for (size_t i = 0; i < 2000; ++i) sum += std::exp(static_cast<double>(row[i]));
    const TokenLogprob& entry = (*answer.prompt_logprobs)[t + 1].chosen;
    EXPECT_EQ(entry.token, prompt.ids[t + 1]);
    EXPECT_NEAR(entry.logprob, row[static_cast<size_t>(entry.token)] - std::log(sum), 1e-4);
    EXPECT_EQ((*answer.prompt_logprobs)[t + 1].top.size(), 2u);
  }
}

// Allows only tokens of one parity in turn, and ends after `length`.
class AlternatingMatcher : public GrammarMatcher {
 public:
  explicit AlternatingMatcher(int length) : left_(length) {}
  std::unique_ptr<GrammarMatcher> Clone() const override {
    return std::make_unique<AlternatingMatcher>(*this);
  }
  void FillMask(std::span<uint32_t> mask) override {
    std::ranges::fill(mask, left_ % 2 == 0 ? 0x55555555u : 0xaaaaaaaau);
  }
  bool Accept(int32_t token) override { return token % 2 == left_-- % 2; }
  bool IsFinished() const override { return left_ == 0; }

 private:
  int left_;
};

TEST(EngineCoreTest, GrammarsHoldForEveryChoice) {
  Bench bench({.stops = false});
  Request request;
  request.prompt = FakePrompt(SomeTokens(20, 12));
  request.sampling = {.seed = 3, .max_tokens = 50};
  request.n = 3;
  request.grammar = std::make_shared<AlternatingMatcher>(8);
  const auto collector = bench.Add(request);
  bench.RunAll();
  for (auto& [index, choice] : collector->choices) {
    EXPECT_EQ(choice.end, EndReason::kStop);
    ASSERT_EQ(choice.tokens.size(), 8u);
    for (int i = 0; i < 8; ++i) EXPECT_EQ(choice.tokens[static_cast<size_t>(i)] % 2, i % 2);
  }
}

TEST(EngineCoreTest, CancelledRequestsGiveEverythingBack) {
  for (int steps = 0; steps < 12; ++steps) {
    Bench bench({.stops = false}, {.prefill_chunk = 16});
    PreparedPrompt prompt = FakePrompt(SomeTokens(70, 13));
    AddFakePicture(&prompt, 12, 1, {11, 12});
    Request request = Greedy(prompt, 100);
    request.n = 3;
    request.sampling.temperature = 1;
    const auto collector = bench.Add(request);
    for (int i = 0; i < steps; ++i) bench.core.Step();
    bench.core.Cancel(1);
    bench.core.Cancel(1);
    bench.core.Cancel(99);
    EXPECT_TRUE(collector->last);
    EXPECT_EQ(collector->choices.size(), 3u);
    for (auto& [index, choice] : collector->choices) EXPECT_EQ(choice.end, EndReason::kAbort);
    EXPECT_EQ(bench.core.n_requests(), 0);
    bench.core.Check();
    EXPECT_EQ(bench.Stats().ended_abort, 3u);
  }
}

TEST(EngineCoreTest, GarbageIsCountedAndEndedOnWish) {
  FakeOptions loops{.stops = false};
  loops.change_row = [](int64_t slot, std::span<float> row) {
    row[static_cast<size_t>(100 + slot % 2)] = 60;
  };
  Bench counted(loops);
  Received answer = counted.RunOne(Greedy(FakePrompt({10, 11}), 300));
  EXPECT_EQ(answer.end, EndReason::kLength);
  EXPECT_FALSE(answer.garbage.empty());
  EXPECT_EQ(counted.Stats().garbage.repetition, 1u);
  EXPECT_EQ(counted.Stats().garbage.requests_ended, 0u);
  Bench ended(loops, {.end_garbage = true});
  answer = ended.RunOne(Greedy(FakePrompt({10, 11}), 300));
  EXPECT_EQ(answer.end, EndReason::kError);
  EXPECT_LT(answer.tokens.size(), 100u);
  EXPECT_NE(answer.error.find("repeat"), std::string::npos) << answer.error;
  EXPECT_EQ(ended.Stats().garbage.requests_ended, 1u);

  FakeOptions bad{.stops = false};
  bad.change_row = [](int64_t slot, std::span<float> row) {
    if (slot == 20) row[7] = std::nanf("");
  };
  Bench nan(bad, {.end_garbage = true});
  answer = nan.RunOne(Greedy(FakePrompt({10, 11}), 300));
  EXPECT_EQ(answer.end, EndReason::kError);
  EXPECT_EQ(nan.Stats().garbage.bad_logits, 1u);
  FakeOptions flat{.stops = false};
  flat.change_row = [](int64_t slot, std::span<float> row) {
    for (size_t i = 0; i < row.size(); ++i)
      row[i] = static_cast<float>((i * 7 + slot) % 11) * 0.01f;
  };
  Bench noise(flat);
  Request request = Greedy(FakePrompt({10, 11}), 20);
  request.sampling.temperature = 1;
  request.sampling.seed = 1;  // a random one may draw the token that stands for a picture
  EXPECT_FALSE(noise.RunOne(request).garbage.empty());
  EXPECT_EQ(noise.Stats().garbage.entropy, 1u);
  Bench fine;
  fine.RunOne(Greedy(FakePrompt(SomeTokens(10, 1)), 100));
  EXPECT_EQ(fine.Stats().garbage.repetition, 0u);
  EXPECT_EQ(fine.Stats().garbage.bad_logits, 0u);
}

TEST(EngineCoreTest, AllBadLogitsEndTheAnswerWithAnError) {
  FakeOptions bad{.stops = false};
  bad.change_row = [](int64_t, std::span<float> row) { std::ranges::fill(row, std::nanf("")); };
  Bench bench(bad);
  const Received answer = bench.RunOne(Greedy(FakePrompt({10, 11}), 300));
  EXPECT_EQ(answer.end, EndReason::kError);
  EXPECT_NE(answer.error.find("NaN"), std::string::npos) << answer.error;
}

}  // namespace
}  // namespace ingot::engine_test
