// SPDX-License-Identifier: Apache-2.0
// The engine's thread over the small machine: submitting, cancelling, draining and failing from
// many threads.
#include "engine/async_engine.h"

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <random>
#include <thread>

#include "base/error.h"
#include "base/log.h"
#include "engine/fake_runner.h"

namespace ingot {
namespace {

using namespace std::chrono_literals;

const Tokenizer& TestTokenizer() {
  static const Tokenizer tokenizer(INGOT_TEST_DATA "/models/tiny-qwen3-vl");
  return tokenizer;
}

// The events of one request, to be waited for.
class Waiter {
 public:
  EventSink Sink() {
    return [this](RequestEvent&& event) {
      std::lock_guard lock(mutex_);
      tokens_.insert(tokens_.end(), event.tokens.begin(), event.tokens.end());
      ++n_events_;
      if (event.last) {
        end_ = event.end;
        error_ = event.error;
      }
      changed_.notify_all();
    };
  }
  EndReason Wait() {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, 60s, [this] { return end_.has_value(); }));
    return end_.value_or(EndReason::kError);
  }
  void WaitForEvents(int64_t count) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, 60s, [&] { return n_events_ >= count; }));
  }
  std::vector<int32_t> tokens() {
    std::lock_guard lock(mutex_);
    return tokens_;
  }
  std::string error() {
    std::lock_guard lock(mutex_);
    return error_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<int32_t> tokens_;
  int64_t n_events_ = 0;
  std::optional<EndReason> end_;
  std::string error_;
};

Request SomeRequest(uint32_t seed, int64_t max_tokens) {
  std::mt19937 random(seed);
  std::vector<int32_t> ids;
  for (int i = 0; i < 20; ++i) ids.push_back(static_cast<int32_t>(10 + random() % 1900));
  Request request;
  request.id = "request-" + std::to_string(seed);
  request.prompt = FakePrompt(ids);
  request.sampling.temperature = 0;
  request.sampling.max_tokens = max_tokens;
  return request;
}

std::unique_ptr<AsyncEngine> MakeEngine(FakeOptions fake = {.stops = false},
                                        ServeOptions options = {}) {
  return std::make_unique<AsyncEngine>(std::make_unique<FakeRunner>(std::move(fake)),
                                       TestTokenizer(), options);
}

// A machine that stands still until it is let go.
struct Gate {
  std::mutex mutex;
  std::condition_variable changed;
  bool open = false;
  void Open() {
    std::lock_guard lock(mutex);
    open = true;
    changed.notify_all();
  }
  FakeOptions Options() {
    FakeOptions options{.stops = false};
    options.before_step = [this](int64_t) {
      std::unique_lock lock(mutex);
      changed.wait(lock, [this] { return open; });
    };
    return options;
  }
};

TEST(AsyncEngineTest, ManyThreadsGetTheirOwnAnswers) {
  const auto engine = MakeEngine({.n_pages = 24, .stops = false}, {.max_num_seqs = 8});
  std::vector<std::thread> threads;
  for (uint32_t thread = 0; thread < 8; ++thread) {
    threads.emplace_back([&, thread] {
      for (uint32_t i = 0; i < 20; ++i) {
        const Request request = SomeRequest(thread * 7 + i % 5, 40);
        Waiter waiter;
        const Submitted submitted = engine->Submit(request, waiter.Sink());
        ASSERT_EQ(submitted.status, SubmitStatus::kAccepted);
        if (i % 4 == 3) {
          engine->Cancel(submitted.ticket);
          waiter.Wait();
          continue;
        }
        EXPECT_EQ(waiter.Wait(), EndReason::kLength);
        EXPECT_EQ(waiter.tokens(), FakeGreedyAnswer(request.prompt, {.stops = false}, 40));
        engine->Stats();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const EngineStats stats = engine->Stats();
  EXPECT_EQ(stats.ended_length + stats.ended_abort, 160u);
  EXPECT_TRUE(engine->Drain(10s));
  EXPECT_EQ(engine->Stats().kv_pages_used, 0);
  EXPECT_EQ(engine->Stats().running, 0);
  EXPECT_TRUE(engine->healthy());
}

TEST(AsyncEngineTest, AFullQueueRefuses) {
  Gate gate;
  const auto engine = MakeEngine(gate.Options(), {.max_num_seqs = 1, .max_waiting = 2});
  std::vector<std::unique_ptr<Waiter>> waiters;
  int accepted = 0;
  SubmitStatus status = SubmitStatus::kAccepted;
  for (uint32_t i = 0; i < 10 && status == SubmitStatus::kAccepted; ++i) {
    waiters.push_back(std::make_unique<Waiter>());
    status = engine->Submit(SomeRequest(i, 3), waiters.back()->Sink()).status;
    accepted += status == SubmitStatus::kAccepted;
  }
  EXPECT_EQ(status, SubmitStatus::kQueueFull);
  EXPECT_LE(accepted, 3);  // one runs, two wait
  gate.Open();
  for (int i = 0; i < accepted; ++i)
    EXPECT_EQ(waiters[static_cast<size_t>(i)]->Wait(), EndReason::kLength);
  Waiter again;
  EXPECT_EQ(engine->Submit(SomeRequest(1, 3), again.Sink()).status, SubmitStatus::kAccepted);
  EXPECT_EQ(again.Wait(), EndReason::kLength);
}

TEST(AsyncEngineTest, WaitingPicturesAreBoundedByBytes) {
  Gate gate;
  const auto engine = MakeEngine(gate.Options(), {.max_num_seqs = 1, .max_waiting_bytes = 3000});
  std::vector<std::unique_ptr<Waiter>> waiters;
  std::vector<SubmitStatus> statuses;
  for (uint32_t i = 0; i < 5; ++i) {
    Request request = SomeRequest(i, 2);
    AddFakePicture(&request.prompt, 20, static_cast<int>(i), {11});  // 1600 bytes
    waiters.push_back(std::make_unique<Waiter>());
    statuses.push_back(engine->Submit(std::move(request), waiters.back()->Sink()).status);
  }
  EXPECT_EQ(statuses[0], SubmitStatus::kAccepted);
  const auto accepted = std::ranges::count(statuses, SubmitStatus::kAccepted);
  EXPECT_LE(accepted, 2);  // one may have been started
  gate.Open();
  for (size_t i = 0; i < 5; ++i) {
    if (statuses[i] == SubmitStatus::kAccepted) waiters[i]->Wait();
  }
}

TEST(AsyncEngineTest, AFailedStepEndsEverythingAndSaysSo) {
  SetLogLevel(LogLevel::kSilent);
  FakeOptions failing{.stops = false};
  failing.before_step = [](int64_t step) {
    if (step == 30) throw std::runtime_error("the machine broke");
  };
  const auto engine = MakeEngine(failing);
  Waiter first, second;
  engine->Submit(SomeRequest(1, 1000), first.Sink());
  engine->Submit(SomeRequest(2, 1000), second.Sink());
  EXPECT_EQ(first.Wait(), EndReason::kError);
  EXPECT_EQ(second.Wait(), EndReason::kError);
  EXPECT_NE(first.error().find("failed"), std::string::npos);
  EXPECT_FALSE(engine->healthy());
  EXPECT_EQ(engine->death_reason(), "the machine broke");
  Waiter late;
  EXPECT_EQ(engine->Submit(SomeRequest(3, 5), late.Sink()).status, SubmitStatus::kDead);
  EXPECT_FALSE(engine->ResetPrefixCache());
  engine->Cancel(1);
  SetLogLevel(LogLevel::kNote);
}

TEST(AsyncEngineTest, DrainingLetsRunningAnswersEnd) {
  const auto engine = MakeEngine({.n_pages = 400, .stops = false});
  Waiter waiter;
  engine->Submit(SomeRequest(1, 500), waiter.Sink());
  waiter.WaitForEvents(1);
  EXPECT_TRUE(engine->Drain(60s));
  EXPECT_EQ(waiter.Wait(), EndReason::kLength);
  Waiter late;
  EXPECT_EQ(engine->Submit(SomeRequest(2, 5), late.Sink()).status, SubmitStatus::kStopping);
}

TEST(AsyncEngineTest, StoppingAbortsTheRest) {
  Waiter waiter;
  {
    const auto engine = MakeEngine({.n_pages = 4000, .stops = false});
    engine->Submit(SomeRequest(1, 100000), waiter.Sink());
    waiter.WaitForEvents(3);
    EXPECT_FALSE(engine->Drain(20ms));
    engine->Stop();
    EXPECT_EQ(waiter.Wait(), EndReason::kAbort);
    EXPECT_EQ(engine->Stats().kv_pages_used, 0);
    engine->Stop();
  }
}

TEST(AsyncEngineTest, CachesAreResetOnlyWhenNothingRuns) {
  const auto engine = MakeEngine({.n_pages = 4000, .stops = false});
  Waiter waiter;
  const Submitted submitted = engine->Submit(SomeRequest(1, 100000), waiter.Sink());
  waiter.WaitForEvents(1);
  EXPECT_FALSE(engine->ResetPrefixCache());
  engine->Cancel(submitted.ticket);
  EXPECT_EQ(waiter.Wait(), EndReason::kAbort);
  EXPECT_TRUE(engine->ResetPrefixCache());
  engine->ResetPictureCache();
  EXPECT_EQ(engine->Stats().kv_pages_cached, 0);
}

TEST(AsyncEngineTest, ImpossibleRequestsThrowAndLeaveNothing) {
  const auto engine = MakeEngine();
  Request request = SomeRequest(1, 5);
  request.sampling.top_p = 2;
  Waiter waiter;
  EXPECT_THROW(engine->Submit(request, waiter.Sink()), UserError);
  EXPECT_TRUE(engine->Drain(1s));
}

}  // namespace
}  // namespace ingot
