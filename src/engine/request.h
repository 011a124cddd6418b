// SPDX-License-Identifier: Apache-2.0
// What goes into the serving engine and what comes out: plain structs, nothing of HTTP or JSON.
// Meaning of the sampling fields: vllm-project/vllm: vllm/sampling_params.py (0.11).
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "engine/grammar.h"
#include "prompt/prompt_builder.h"

namespace ingot {

using EngineClock = std::chrono::steady_clock;

// SHA-256 of everything that the vision tower's output of one picture depends on.
using PictureId = std::array<uint8_t, 32>;
// The default identity: modality, grid and the processed patches themselves, so that content, size
// and processor settings are all in it. One per grid, pictures first, then videos.
std::vector<PictureId> PictureIdsOf(const PreparedPrompt& prompt);

struct RequestSampling {
  float temperature = 1.0f;  // below 1e-5: the largest logit, the lowest id on a tie
  float top_p = 1.0f;
  int64_t top_k = 0;  // 0 or -1: off
  float min_p = 0.0f;
  float presence_penalty = 0.0f, frequency_penalty = 0.0f;  // over the output
  float repetition_penalty = 1.0f;                          // over prompt and output
  std::vector<std::pair<int32_t, float>> logit_bias;
  std::vector<int32_t> allowed_token_ids;  // empty: all
  std::vector<std::string> bad_words;      // never written, with or without a space before
  std::optional<uint64_t> seed;            // choice i draws from seed + i; absent: a random one

  std::optional<int64_t> max_tokens;  // absent: what the context has room for; 0: prompt only
  int64_t min_tokens = 0;             // no end of turn, stop token or stop string before
  bool ignore_eos = false;
  std::vector<std::string> stop;  // not empty strings
  std::vector<int32_t> stop_token_ids;
  bool include_stop_str_in_output = false;
  bool skip_special_tokens = true;

  std::optional<int64_t> logprobs;         // chosen token and this many alternatives; -1: all
  std::optional<int64_t> prompt_logprobs;  // the same for every prompt token but the first
};

// Errors: UserError naming the field, the value and the allowed range.
void CheckRequestSampling(const RequestSampling& sampling, int64_t vocab);

struct Request {
  std::string id;  // for logs
  PreparedPrompt prompt;
  std::vector<PictureId> pictures;  // empty: PictureIdsOf(prompt)
  RequestSampling sampling;
  int64_t n = 1;                                  // choices
  std::shared_ptr<const GrammarMatcher> grammar;  // null: free text; each choice clones it
  std::string cache_salt;  // requests share cached prefixes only when this is equal
  int64_t priority = 0;    // lower comes first (only under the priority policy)
  EngineClock::time_point arrival = EngineClock::now();
};

enum class EndReason { kStop, kLength, kAbort, kError };
std::string_view EndReasonName(EndReason reason);  // "stop", "length", "abort", "error"

struct TokenLogprob {
  int32_t token = 0;
  float logprob = 0;  // natural; -infinity where a grammar or the vocabulary forbids the token
  int64_t rank = 1;   // 1: the most likely one
};
struct StepLogprobs {
  TokenLogprob chosen;
  std::vector<TokenLogprob> top;  // most likely first, at most as many as asked for
};
// Entry t is about prompt token t; entry 0 is meaningless (nothing precedes it).
using PromptLogprobs = std::vector<StepLogprobs>;

struct RequestUsage {
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;      // of prompt_tokens, taken from the prefix cache
  int64_t completion_tokens = 0;  // of this choice so far, the token that ended it included
};

// What ended a choice with kStop: nothing (end of turn), a stop token, or a stop string.
using StopReason = std::variant<std::monostate, int32_t, std::string>;

// Something new about one choice. Every choice ends with exactly one event that has `end`; the last
// event of a request has `last`. A request that fails as a whole (or is cancelled) ends each of its
// open choices that way.
struct RequestEvent {
  int64_t choice = 0;
  std::string text;                    // new, whole UTF-8 characters; may lag behind the tokens
  std::vector<int32_t> tokens;         // new, the token that ended the choice included
  std::vector<StepLogprobs> logprobs;  // one per token when asked for
  std::shared_ptr<const PromptLogprobs> prompt_logprobs;  // on choice 0's first event, if asked for
  std::optional<EndReason> end;
  StopReason stop_reason;
  std::string error;                 // with EndReason::kError: one line for the client
  bool impossible = false;           // of that error: the request itself left no way to go on
  std::vector<std::string> garbage;  // with `end`: what is wrong with this answer, if anything
  RequestUsage usage;
  bool last = false;
};

// Called on the engine thread: must be quick, must not throw, must not call the engine back
// (Cancel and Stats are allowed).
using EventSink = std::function<void(RequestEvent&&)>;

}  // namespace ingot
