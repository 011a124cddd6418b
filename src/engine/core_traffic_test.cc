// SPDX-License-Identifier: Apache-2.0
// Answers do not depend on the traffic; what the scheduler takes first.
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "base/error.h"
#include "base/log.h"
#include "engine/core_bench.h"

namespace ingot::engine_test {
namespace {

// Thousands of steps of random traffic on few pages: every answer is the one that the request gets
// alone, whatever was shared, preempted and cancelled around it, and no page is lost.
class StressTest : public ::testing::TestWithParam<std::tuple<bool, SchedulingPolicy>> {};

Request RandomRequest(std::mt19937* random) {
  const auto pick = [&](uint32_t n) { return (*random)() % n; };
  PreparedPrompt prompt = FakePrompt(SomeTokens(1 + pick(150), pick(4)));
  if (pick(3) == 0) AddFakePicture(&prompt, 4 + 2 * pick(5), static_cast<int>(pick(4)), {20, 21});
  if (pick(3) == 0)
    AddFakePicture(&prompt, 6, static_cast<int>(pick(3)), SomeTokens(pick(40) + 1, pick(3)));
  Request request = Greedy(std::move(prompt), pick(8) == 0 ? 0 : 1 + pick(90));
  request.n = pick(5) == 0 ? 1 + pick(3) : 1;
  request.sampling.temperature = pick(2) == 0 ? 0.0f : 1.0f;
  request.sampling.seed = pick(1000);
  request.priority = static_cast<int64_t>(pick(3));
  if (pick(6) == 0) request.sampling.logprobs = 1;
  if (pick(10) == 0) request.sampling.prompt_logprobs = 1;
  if (pick(4) == 0) request.cache_salt = "other";
  return request;
}

TEST_P(StressTest, AnswersDoNotDependOnTheTraffic) {
  const auto [caching, policy] = GetParam();
  std::mt19937 random(17);
  Bench bench({.n_pages = 12}, {.max_num_seqs = 6,
                                .max_num_batched_tokens = 48,
                                .prefill_chunk = 24,
                                .policy = policy,
                                .prefix_caching = caching,
                                .picture_cache_bytes = 300});
  struct Sent {
    Request request;
    std::shared_ptr<Collector> collector;
    bool cancelled = false;
  };
  std::vector<Sent> sent;
  int steps = 0;
  while (steps < 4000) {
    if (random() % 8 == 0 && bench.core.n_requests() < 12) {
      const Request request = RandomRequest(&random);
      sent.push_back({.request = request, .collector = bench.Add(request)});
    }
    if (random() % 60 == 0 && !sent.empty()) {
      const size_t victim = random() % sent.size();
      if (!sent[victim].collector->last) {
        bench.core.Cancel(victim + 1);
        sent[victim].cancelled = true;
        EXPECT_TRUE(sent[victim].collector->last);
      }
    }
    bench.core.Step();
    bench.core.Check();
    ++steps;
  }
  bench.RunAll();
  const EngineStats stats = bench.Stats();
  EXPECT_GT(stats.preemptions, 0u);
  EXPECT_EQ(stats.kv_pages_used, 0);
  if (caching) {
    EXPECT_GT(stats.prefix_hits, 1000u);
  }
  EXPECT_TRUE(bench.core.ResetPrefixCache());
  EXPECT_EQ(bench.runner.pool()->pages_in_use(), 0);
  EXPECT_GT(sent.size(), 100u);
  for (const Sent& one : sent) {
    ASSERT_TRUE(one.collector->last);
    ASSERT_EQ(one.collector->choices.size(), static_cast<size_t>(one.request.n));
    Bench alone({.n_pages = 100}, {.prefix_caching = false});
    const auto expected = alone.Add(one.request);
    alone.RunAll();
    for (int64_t i = 0; i < one.request.n; ++i) {
      const Received& got = one.collector->choices[i];
      const Received& want = expected->choices[i];
      if (got.end == EndReason::kAbort) {
        EXPECT_TRUE(one.cancelled);
        ASSERT_LE(got.tokens.size(), want.tokens.size());
        EXPECT_TRUE(std::equal(got.tokens.begin(), got.tokens.end(), want.tokens.begin()));
        continue;
      }
      EXPECT_EQ(got.tokens, want.tokens);
      EXPECT_EQ(got.text, want.text);
      EXPECT_EQ(got.end, want.end);
      EXPECT_EQ(got.logprobs.size(), want.logprobs.size());
      ASSERT_EQ(got.prompt_logprobs != nullptr, want.prompt_logprobs != nullptr);
      for (size_t t = 1; got.prompt_logprobs && t < got.prompt_logprobs->size(); ++t)
        EXPECT_EQ((*got.prompt_logprobs)[t].chosen.logprob,
                  (*want.prompt_logprobs)[t].chosen.logprob);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Policies, StressTest,
                         ::testing::Combine(::testing::Bool(),
                                            ::testing::Values(SchedulingPolicy::kFcfs,
                                                              SchedulingPolicy::kPriority)));

TEST(SchedulerTest, PriorityComesBeforeArrival) {
  for (const SchedulingPolicy policy : {SchedulingPolicy::kFcfs, SchedulingPolicy::kPriority}) {
    Bench bench({.stops = false}, {.max_num_seqs = 1, .policy = policy});
    std::vector<int> order;
    for (const int priority : {5, 1, 3}) {
      Request request = Greedy(FakePrompt({10, 11}), 2);
      request.priority = priority;
      auto state = bench.core.Prepare(std::move(request), [&, priority](RequestEvent&& event) {
        if (event.last) order.push_back(priority);
      });
      state->ticket = ++bench.tickets;
      bench.core.Add(std::move(state));
    }
    bench.RunAll();
    EXPECT_EQ(order, policy == SchedulingPolicy::kFcfs ? (std::vector<int>{5, 1, 3})
                                                       : (std::vector<int>{1, 3, 5}));
  }
}

TEST(SchedulerTest, BatchesHoldAllStreams) {
  Bench bench({.n_pages = 200, .stops = false});
  for (uint32_t i = 0; i < 32; ++i) bench.Add(Greedy(FakePrompt(SomeTokens(20, i)), 40));
  bench.RunAll();
  EXPECT_EQ(bench.runner.largest_batch, 32);
  EXPECT_LT(bench.runner.n_steps, 80);
}

}  // namespace
}  // namespace ingot::engine_test
