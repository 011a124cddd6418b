// SPDX-License-Identifier: Apache-2.0
// The engine's core over a small machine, one request's events collected and checked. Private to
// the tests of engine/.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "engine/engine_core.h"
#include "engine/fake_runner.h"

namespace ingot::engine_test {

inline const Tokenizer& TestTokenizer() {
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

inline std::vector<int32_t> SomeTokens(int64_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<int32_t> tokens;
  while (static_cast<int64_t>(tokens.size()) < count)
    tokens.push_back(static_cast<int32_t>(10 + random() % 1900));
  return tokens;
}

inline Request Greedy(PreparedPrompt prompt, int64_t max_tokens) {
  Request request;
  request.prompt = std::move(prompt);
  request.sampling.temperature = 0;
  request.sampling.max_tokens = max_tokens;
  return request;
}

}  // namespace ingot::engine_test
