// SPDX-License-Identifier: Apache-2.0
// The engine step by step over a small machine (fake_runner.h) that notices every wrong page.
#include "engine/engine_core.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "base/error.h"
#include "base/log.h"
#include "engine/fake_runner.h"

namespace ingot {
namespace {

const Tokenizer& TestTokenizer() {
  static const Tokenizer tokenizer(INGOT_TEST_DATA "/models/tiny-qwen3-vl");
  return tokenizer;
}

// What one choice has sent.
struct Received {
  std::vector<int32_t> tokens;
  std::string text;
  std::vector<StepLogprobs> logprobs;
  std::optional<EndReason> end;
  StopReason stop_reason;
  std::string error;
  bool impossible = false;
  RequestUsage usage;
  std::vector<std::string> garbage;
  std::shared_ptr<const PromptLogprobs> prompt_logprobs;
};

// All events of one request; asserts that they are well formed.
struct Collector {
  std::map<int64_t, Received> choices;
  bool last = false;
  EventSink Sink() {
    return [this](RequestEvent&& event) {
      EXPECT_FALSE(last) << "an event behind the last one";
      Received& choice = choices[event.choice];
      EXPECT_FALSE(choice.end) << "an event behind the end of the choice";
      choice.tokens.insert(choice.tokens.end(), event.tokens.begin(), event.tokens.end());
      choice.text += event.text;
      for (StepLogprobs& step : event.logprobs) choice.logprobs.push_back(std::move(step));
      if (event.prompt_logprobs) choice.prompt_logprobs = event.prompt_logprobs;
      choice.end = event.end;
      choice.stop_reason = event.stop_reason;
      choice.error = event.error;
      choice.impossible = event.impossible;
      choice.usage = event.usage;
      choice.garbage = event.garbage;
      last = event.last;
    };
  }
};

struct Bench {
  explicit Bench(FakeOptions fake = {}, ServeOptions options = {})
      : runner(std::move(fake)), core(&runner, TestTokenizer(), options) {
    SetLogLevel(LogLevel::kSilent);  // the machine babbles, and the watch says so
  }
  // Adds a request; its events go to the result.
  std::shared_ptr<Collector> Add(Request request) {
    auto collector = std::make_shared<Collector>();
    auto state = core.Prepare(
        std::move(request),
        [collector, sink = collector->Sink()](RequestEvent&& event) { sink(std::move(event)); });
    state->ticket = ++tickets;
    core.Add(std::move(state));
    return collector;
  }
  void RunAll() {
    for (int i = 0; i < 100000 && core.Step(); ++i) core.Check();
    EXPECT_EQ(core.n_requests(), 0);
    core.Check();
  }
  Received RunOne(Request request) {
    const auto collector = Add(std::move(request));
    RunAll();
    EXPECT_TRUE(collector->last);
    return collector->choices.at(0);
  }
  EngineStats Stats() const {
    EngineStats stats;
    core.FillStats(&stats);
    return stats;
  }
  FakeRunner runner;
  EngineCore core;
  uint64_t tickets = 0;
};

std::vector<int32_t> SomeTokens(int64_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<int32_t> tokens;
  while (static_cast<int64_t>(tokens.size()) < count)
    tokens.push_back(static_cast<int32_t>(10 + random() % 1900));
  return tokens;
}

Request Greedy(PreparedPrompt prompt, int64_t max_tokens) {
  Request request;
  request.prompt = std::move(prompt);
  request.sampling.temperature = 0;
  request.sampling.max_tokens = max_tokens;
  return request;
}

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
}  // namespace ingot
