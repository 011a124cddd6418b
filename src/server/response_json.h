// SPDX-License-Identifier: Apache-2.0
// JSON pieces that answers are made of, in vLLM 0.11's shape. Private to the answer writers.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/request.h"
#include "server/answer_parser.h"
#include "text/tokenizer.h"

namespace ingot::server {

using Json = nlohmann::ordered_json;

// How tokens are written in logprobs.
class TokenWriter {
 public:
  TokenWriter(const Tokenizer& tokenizer, bool as_ids) : tokenizer_(tokenizer), as_ids_(as_ids) {}
  // "Hello", or "token_id:9707". Bytes that are no whole characters become U+FFFD.
  std::string Text(int32_t token) const;
  // {"token", "logprob", "bytes"} as in chat answers.
  Json Entry(const TokenLogprob& logprob) const;
  const Tokenizer& tokenizer() const { return tokenizer_; }

 private:
  const Tokenizer& tokenizer_;
  bool as_ids_;
};

// JSON has no infinity: nothing is less likely than exp(-9999).
double ClampLogprob(float logprob);

// {"content": [{"token", "logprob", "bytes", "top_logprobs"}]}.
Json ChatLogprobsJson(std::span<const StepLogprobs> steps, int64_t top, const TokenWriter& writer);

// {"text_offset", "token_logprobs", "tokens", "top_logprobs"} of the completions API. `offset`:
// characters of the choice's text so far; moved on. A step without `chosen` (the first token of an
// echoed prompt) has null.
Json CompletionLogprobsJson(std::span<const StepLogprobs> steps, bool first_is_null,
                            const TokenWriter& writer, int64_t* offset);

// [null, {"123": {"logprob", "rank", "decoded_token"}}, ...].
Json PromptLogprobsJson(const PromptLogprobs& logprobs, const TokenWriter& writer);

struct UsageCounts {
  int64_t prompt_tokens = 0, completion_tokens = 0;
  std::optional<int64_t> cached_tokens;  // --enable-prompt-tokens-details
};
Json UsageJson(const UsageCounts& usage, bool whole);  // whole: with prompt_tokens_details

Json StopReasonJson(const StopReason& reason);
// What the garbage watch says of a choice, as its field "ingot_warning"; nothing when it found
// nothing.
void AddWarning(const std::vector<std::string>& garbage, Json* choice);
// {"content", "reasoning_content", "tool_calls"} with what is new.
Json DeltaJson(const AnswerDelta& delta);

// The error object of a stream, as one SSE frame.
std::string ErrorFrame(std::string_view message, int status);
// "data: <json>\n\n"; text that is no UTF-8 cannot break a stream.
std::string Frame(const Json& json);
std::string Dump(const Json& json);

}  // namespace ingot::server
