// SPDX-License-Identifier: Apache-2.0
// The engine step by step over a small machine (fake_runner.h) that notices every wrong page:
// answers, prefixes, pictures, choices.
#include "engine/engine_core.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "base/error.h"
#include "base/log.h"
#include "engine/core_bench.h"

namespace ingot::engine_test {
namespace {

TEST(EngineCoreTest, OneGreedyAnswerIsTheMachines) {
  const PreparedPrompt prompt = FakePrompt(SomeTokens(150, 1));
  Bench bench;
  const Received answer = bench.RunOne(Greedy(prompt, 100));
  EXPECT_EQ(answer.tokens, FakeGreedyAnswer(prompt, {}, 100));
  EXPECT_EQ(answer.usage.prompt_tokens, 150);
  EXPECT_EQ(answer.usage.completion_tokens, static_cast<int64_t>(answer.tokens.size()));
  const EngineStats stats = bench.Stats();
  EXPECT_EQ(stats.generation_tokens, answer.tokens.size());
  EXPECT_EQ(stats.prompt_tokens, 150u);
  EXPECT_EQ(stats.kv_pages_used, 0);
  EXPECT_EQ(stats.histograms.e2e.total(), 1u);
  EXPECT_EQ(stats.histograms.time_to_first_token.total(), 1u);
  EXPECT_EQ(stats.histograms.inter_token.total(), answer.tokens.size() - 1);
  EXPECT_GT(stats.model_seconds, 0);
  EXPECT_LT(stats.model_seconds, stats.busy_seconds);
}

TEST(EngineCoreTest, LengthStopAndEmptyAnswers) {
  FakeOptions endless{.stops = false};
  Bench bench(endless);
  const PreparedPrompt prompt = FakePrompt(SomeTokens(10, 2));
  const Received cut = bench.RunOne(Greedy(prompt, 7));
  EXPECT_EQ(cut.end, EndReason::kLength);
  EXPECT_EQ(cut.tokens.size(), 7u);
  const Received none = bench.RunOne(Greedy(prompt, 0));
  EXPECT_EQ(none.end, EndReason::kLength);
  EXPECT_TRUE(none.tokens.empty());
  Bench stopping({}, {});
  const Received stopped = stopping.RunOne(Greedy(prompt, 5000));
  EXPECT_EQ(stopped.end, EndReason::kStop);
  EXPECT_EQ(stopped.tokens.back(), kFakeStop);
  EXPECT_TRUE(std::holds_alternative<std::monostate>(stopped.stop_reason));
}

TEST(EngineCoreTest, ImpossibleRequestsAreRefused) {
  Bench bench({.n_pages = 4});  // 3 pages of 64 tokens for one sequence
  EXPECT_EQ(bench.core.options().max_model_len, 192);
  EXPECT_THROW(bench.Add(Greedy(FakePrompt(SomeTokens(192, 1)), 1)), UserError);
  EXPECT_NO_THROW(bench.Add(Greedy(FakePrompt(SomeTokens(191, 1)), 50)));
  EXPECT_THROW(bench.Add(Greedy(FakePrompt({}), 1)), UserError);
  EXPECT_THROW(bench.Add(Greedy(FakePrompt({5000}), 1)), UserError);
  Request many = Greedy(FakePrompt({10}), 1);
  many.n = 0;
  EXPECT_THROW(bench.Add(std::move(many)), UserError);
  bench.RunAll();
  EXPECT_THROW(Bench({.n_pages = 4}, {.max_model_len = 193}), ResourceError);
  EXPECT_THROW(Bench({.n_pages = 1}), ResourceError);
  EXPECT_THROW(Bench({}, {.max_num_seqs = 64, .max_num_batched_tokens = 32}), UserError);
}

TEST(EngineCoreTest, PrefixesAreFoundInPagesAndPartsOfPages) {
  Bench bench;
  const std::vector<int32_t> shared = SomeTokens(150, 3);
  const auto ask = [&](std::vector<int32_t> tail, std::string salt = "") {
    std::vector<int32_t> ids = shared;
    ids.insert(ids.end(), tail.begin(), tail.end());
    Request request = Greedy(FakePrompt(ids), 20);
    request.cache_salt = std::move(salt);
    const Received answer = bench.RunOne(request);
    EXPECT_EQ(answer.tokens, FakeGreedyAnswer(FakePrompt(ids), {}, 20));
    return answer.usage.cached_tokens;
  };
  EXPECT_EQ(ask({100, 101}), 0);
  EXPECT_EQ(ask({100, 101}), 144);         // 152 tokens: the last whole block of 16 before the end
  EXPECT_EQ(ask(SomeTokens(30, 4)), 144);  // 150 in common
  EXPECT_EQ(ask({100, 101}, "salt"), 0);   // another tenant
  EXPECT_EQ(ask({100, 101}, "salt"), 144);
  const EngineStats stats = bench.Stats();
  EXPECT_EQ(stats.prefix_queries, 152u * 4 + 180);
  EXPECT_EQ(stats.prefix_hits, 144u * 3);
  EXPECT_TRUE(bench.core.ResetPrefixCache());
  EXPECT_EQ(bench.Stats().kv_pages_cached, 0);
  EXPECT_EQ(ask({100, 101}), 0);
}

TEST(EngineCoreTest, GeneratedTokensAreFoundToo) {
  Bench bench({.stops = false});
  const std::vector<int32_t> start = SomeTokens(40, 5);
  const Received first = bench.RunOne(Greedy(FakePrompt(start), 100));
  std::vector<int32_t> next = start;
  next.insert(next.end(), first.tokens.begin(), first.tokens.end());
  next.push_back(77);
  const Received second = bench.RunOne(Greedy(FakePrompt(next), 5));
  EXPECT_EQ(second.usage.cached_tokens, 128);  // 139 tokens were computed
  EXPECT_EQ(second.tokens, FakeGreedyAnswer(FakePrompt(next), {.stops = false}, 5));
}

TEST(EngineCoreTest, PicturesRunOnceAndAreToldApart) {
  Bench bench;
  const auto ask = [&](int content, const std::vector<int32_t>& question) {
    PreparedPrompt prompt = FakePrompt(SomeTokens(20, 6));
    AddFakePicture(&prompt, 12, content, question);  // 36 tokens
    const Received answer = bench.RunOne(Greedy(prompt, 20));
    EXPECT_EQ(answer.tokens, FakeGreedyAnswer(prompt, {}, 20));
    return answer.usage.cached_tokens;
  };
  EXPECT_EQ(ask(1, {30, 31, 32}), 0);
  EXPECT_EQ(bench.runner.n_pictures, 1);
  EXPECT_EQ(ask(1, {40, 41, 42}), 48);  // 20 + 36 in common; the rest of the picture from its cache
  EXPECT_EQ(bench.runner.n_pictures, 1);
  EXPECT_EQ(ask(2, {30, 31, 32}), 16);  // the same tokens, another picture
  EXPECT_EQ(bench.runner.n_pictures, 2);
  const EngineStats stats = bench.Stats();
  EXPECT_EQ(stats.picture_queries, 3u);
  EXPECT_EQ(stats.picture_hits, 1u);
  EXPECT_GT(stats.picture_cache_bytes, 0);
  bench.core.ResetPictureCache();
  EXPECT_EQ(bench.Stats().picture_cache_bytes, 0);
  EXPECT_EQ(ask(1, std::vector<int32_t>(30, 50)), 48);
  EXPECT_EQ(bench.runner.n_pictures, 3);
}

TEST(EngineCoreTest, RunningStreamsMoveBetweenSlicesOfAPicture) {
  Bench bench({.stops = false}, {.prefill_chunk = 16});
  const auto stream = bench.Add(Greedy(FakePrompt(SomeTokens(10, 7)), 60));
  bench.core.Step();
  PreparedPrompt prompt = FakePrompt({8, 9});
  AddFakePicture(&prompt, 24, 1, {11, 12});  // 144 tokens, 36 slices
  const auto picture = bench.Add(Greedy(prompt, 10));
  bench.RunAll();
  const std::string trace(bench.runner.trace.begin(), bench.runner.trace.end());
  EXPECT_EQ(bench.runner.n_slices, 36);
  EXPECT_EQ(trace.find("VV"), std::string::npos) << trace;
  EXPECT_EQ(trace.find("PP"), std::string::npos) << trace;  // pieces of a prompt neither
  EXPECT_EQ(picture->choices[0].tokens, FakeGreedyAnswer(prompt, {.stops = false}, 10));
  EXPECT_EQ(stream->choices[0].tokens.size(), 60u);
}

TEST(EngineCoreTest, ChoicesShareThePromptAndDiffer) {
  Bench bench({.stops = false});
  Request request;
  request.prompt = FakePrompt(SomeTokens(100, 8));
  request.sampling = {.seed = 5, .max_tokens = 30};
  request.n = 5;
  const auto together = bench.Add(request);
  bench.RunAll();
  ASSERT_EQ(together->choices.size(), 5u);
  EXPECT_EQ(bench.runner.n_tokens, 100 + 5 * 29);  // the prompt once, the last tokens never
  for (int64_t i = 0; i < 5; ++i) {  // each one alone: its seed is the request's plus its number
    Bench alone({.stops = false});
    Request single = request;
    single.n = 1;
    single.sampling.seed = 5 + static_cast<uint64_t>(i);
    EXPECT_EQ(alone.RunOne(single).tokens, together->choices[i].tokens) << i;
  }
  EXPECT_NE(together->choices[0].tokens, together->choices[1].tokens);
}

TEST(EngineCoreTest, MoreChoicesThanSeatsWaitTheirTurn) {
  for (const bool caching : {false, true}) {
    Bench bench({.stops = false}, {.max_num_seqs = 2, .prefix_caching = caching});
    Request request;
    request.prompt = FakePrompt(SomeTokens(70, 8));
    request.sampling = {.seed = 5, .max_tokens = 10};
    request.n = 5;
    const auto few = bench.Add(request);
    bench.RunAll();
    Bench wide({.stops = false});
    const auto many = wide.Add(request);
    wide.RunAll();
    for (int64_t i = 0; i < 5; ++i) EXPECT_EQ(few->choices[i].tokens, many->choices[i].tokens);
  }
}

}  // namespace
}  // namespace ingot::engine_test
