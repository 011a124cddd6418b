// SPDX-License-Identifier: Apache-2.0
// Answers of /v1/chat/completions: one JSON object, or a stream of chat.completion.chunk.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "server/answer_parser.h"
#include "server/answer_writer.h"
#include "server/response_json.h"

namespace ingot::server {

struct ChatAnswerOptions {
  std::string id, model;
  int64_t created = 0;  // Unix seconds
  std::string role = "assistant";
  std::string echo;  // text of the last message, when it is to be repeated
  int64_t n = 1;
  StreamOptions stream;
  bool streaming = false;
  bool logprobs = false;
  int64_t top_logprobs = 0;
  bool tokens_as_ids = false;
  bool return_token_ids = false;
  bool cached_tokens = false;  // usage says how many tokens the prefix cache had
  std::vector<int32_t> prompt_ids;  // for return_token_ids
  AnswerParserOptions parser;
};

class ChatWriter : public AnswerWriter {
 public:
  ChatWriter(ChatAnswerOptions options, const Tokenizer& tokenizer, ResponderPtr responder,
             const EnginePort& engine, std::atomic<int64_t>* load);

 protected:
  void OnEvent(size_t prompt, RequestEvent&& event) override;
  void OnComplete() override;

 private:
  struct Choice {
    AnswerParser parser;
    AnswerDelta whole;  // not streaming: everything so far, one delta per call
    std::vector<int32_t> tokens;
    std::vector<StepLogprobs> logprobs;  // streaming: not sent yet
    int64_t n_tokens = 0;
    std::string finish_reason;
    StopReason stop_reason;
    std::vector<std::string> garbage;  // what the watch found
  };
  Json Chunk(Json choices) const;
  void Opening();
  void Stream(int64_t index, Choice* choice, const AnswerDelta& delta, bool ended);
  void Collect(Choice* choice, AnswerDelta&& delta);
  std::string FinishReason(const RequestEvent& event, const Choice& choice) const;
  Json ChoiceJson(int64_t index, const Choice& choice) const;
  UsageCounts Usage() const;
  void AddUsage(Json* chunk) const;

  ChatAnswerOptions options_;
  TokenWriter token_writer_;
  std::vector<Choice> choices_;
  std::shared_ptr<const PromptLogprobs> prompt_logprobs_;
  int64_t prompt_tokens_ = 0, cached_ = 0;
  bool opened_ = false;
};

}  // namespace ingot::server
