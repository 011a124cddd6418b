// SPDX-License-Identifier: Apache-2.0
// Answers of /v1/completions: one JSON object, or a stream of text_completion events.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "server/answer_writer.h"
#include "server/api_types.h"
#include "server/response_json.h"

namespace ingot::server {

struct CompletionAnswerOptions {
  std::string id, model;
  int64_t created = 0;  // Unix seconds
  int64_t n = 1;
  StreamOptions stream;
  bool streaming = false;
  bool echo = false;
  bool logprobs = false;
  bool prompt_logprobs = false;  // asked for by name, not for the sake of echo
  bool tokens_as_ids = false;
  bool return_token_ids = false;
  bool cached_tokens = false;
  struct Prompt {
    std::string text;
    std::vector<int32_t> ids;
  };
  std::vector<Prompt> prompts;
};

class CompletionWriter : public AnswerWriter {
 public:
  CompletionWriter(CompletionAnswerOptions options, const Tokenizer& tokenizer,
                   ResponderPtr responder, const EnginePort& engine, std::atomic<int64_t>* load);

 protected:
  void OnEvent(size_t prompt, RequestEvent&& event) override;
  void OnComplete() override;

 private:
  struct Choice {
    std::string text;
    std::vector<int32_t> tokens;
    std::vector<StepLogprobs> logprobs;
    int64_t n_tokens = 0, offset = 0;  // offset: characters of tokens sent
    bool echoed = false;
    std::string finish_reason;
    StopReason stop_reason;
    std::vector<std::string> garbage;  // what the watch found
  };
  struct PromptState {
    int64_t prompt_tokens = 0, cached = 0;
    std::shared_ptr<const PromptLogprobs> logprobs;
  };
  // Puts the prompt before the choice's text and logprobs.
  void Echo(size_t prompt, Choice* choice);
  Json LogprobsOf(Choice* choice, bool with_prompt) const;
  void Stream(size_t prompt, int64_t index, Choice* choice, bool ended);
  Json Head() const;
  UsageCounts Usage() const;

  CompletionAnswerOptions options_;
  TokenWriter token_writer_;
  std::vector<PromptState> prompts_;
  std::vector<Choice> choices_;  // of prompt 0, then of prompt 1, ...
};

}  // namespace ingot::server
