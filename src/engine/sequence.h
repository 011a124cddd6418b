// SPDX-License-Identifier: Apache-2.0
// What the engine knows about a request and each of its choices while they live. Owned and touched
// by the engine thread alone once they are submitted.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/garbage_watch.h"
#include "engine/picture_cache.h"
#include "engine/prefix_hash.h"
#include "engine/request.h"
#include "engine/stop_text.h"
#include "model/kv_pool.h"
#include "model/runner.h"
#include "model/sampler.h"
#include "text/tokenizer.h"

namespace ingot {

struct RequestState;

enum class ChoiceState { kWaiting, kRunning, kEnded };

// One answer in the making: a sequence of its own.
struct Choice {
  Choice(RequestState* owner, int64_t number, KvPool* pool, const Tokenizer& tokenizer,
         PrefixChain prefix);
  // Tokens whose keys and values are missing. 1: the next step is a decode.
  int64_t Remaining() const { return static_cast<int64_t>(tokens.size()) - kv.length(); }
  int64_t n_output() const;

  RequestState* request;
  int64_t index;
  ChoiceState state = ChoiceState::kWaiting;
  std::vector<int32_t> tokens;  // prompt, then output
  KvSequence kv;
  PrefixChain chain;
  int64_t kept_pages = 0;  // that the prefix cache has seen

  Sampler sampler;
  std::unique_ptr<GrammarMatcher> grammar;
  StreamDecoder decoder;
  StopText stops;
  std::optional<GarbageWatch> watch;
  EngineClock::time_point first_token{}, last_token{};
};

struct RequestState {
  uint64_t ticket = 0;
  Request request;
  EventSink sink;
  int64_t max_tokens = 0;  // of each choice; 0: prompt only

  // Made when it is submitted.
  std::vector<PicturePlace> pictures;
  RopePositions positions;
  std::vector<int32_t> stop_ids;                // that end a choice, ascending
  std::vector<int32_t> quiet_stop_ids;          // of these the model's own ends of turn
  std::vector<std::vector<int32_t>> bad_words;  // as tokens
  std::vector<uint32_t> allowed;                // mask of allowed_token_ids; empty: all

  std::vector<PictureFeatures> features;  // one per picture; null: not made, or not needed any more
  std::vector<VisualRows> visual;         // where the features go
  std::vector<std::unique_ptr<Choice>> choices;  // [0] reads the prompt for all
  std::shared_ptr<PromptLogprobs> prompt_logprobs;
  bool prompt_reported = false;  // prompt_logprobs are complete
  bool forked = false;           // all choices are there
  bool scheduled = false;        // it was started (first_scheduled)
  bool prompt_counted = false;   // in the figures
  int64_t cached_tokens = 0;     // when it was first started
  EngineClock::time_point first_scheduled{};

  int64_t n_prompt() const { return request.prompt.n_tokens(); }
  bool AllEnded() const;
};

}  // namespace ingot
