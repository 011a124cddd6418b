// SPDX-License-Identifier: Apache-2.0
// Shapes: vllm-project/vllm: vllm/entrypoints/openai/serving_chat.py, 0.11.
#include "server/chat_writer.h"

#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

namespace ingot::server {

ChatWriter::ChatWriter(ChatAnswerOptions options, const Tokenizer& tokenizer,
                       ResponderPtr responder, const EnginePort& engine,
                       std::atomic<int64_t>* load)
    : AnswerWriter(std::move(responder), engine, options.streaming, load),
      options_(std::move(options)),
      token_writer_(tokenizer, options_.tokens_as_ids) {
  for (int64_t i = 0; i < options_.n; ++i) {
    choices_.push_back({.parser = AnswerParser(options_.parser)});
  }
}

Json ChatWriter::Chunk(Json choices) const {
  return {{"id", options_.id},
          {"object", "chat.completion.chunk"},
          {"created", options_.created},
          {"model", options_.model},
          {"choices", std::move(choices)}};
}

UsageCounts ChatWriter::Usage() const {
  UsageCounts usage{.prompt_tokens = prompt_tokens_};
  for (const Choice& choice : choices_) usage.completion_tokens += choice.n_tokens;
  if (options_.cached_tokens) usage.cached_tokens = cached_;
  return usage;
}

void ChatWriter::AddUsage(Json* chunk) const {
  if (options_.stream.continuous_usage) (*chunk)["usage"] = UsageJson(Usage(), /*whole=*/false);
}

// The role of every choice, and what is repeated of the conversation.
void ChatWriter::Opening() {
  opened_ = true;
  for (int64_t i = 0; i < options_.n; ++i) {
    Json chunk = Chunk(Json::array({{{"index", i},
                                     {"delta", {{"role", options_.role}, {"content", ""}}},
                                     {"logprobs", nullptr},
                                     {"finish_reason", nullptr}}}));
    if (options_.return_token_ids) chunk["prompt_token_ids"] = options_.prompt_ids;
    AddUsage(&chunk);
    Write(Frame(chunk));
  }
  for (int64_t i = 0; i < options_.n && !options_.echo.empty(); ++i) {
    Json chunk = Chunk(Json::array({{{"index", i},
                                     {"delta", {{"content", options_.echo}}},
                                     {"logprobs", nullptr},
                                     {"finish_reason", nullptr}}}));
    AddUsage(&chunk);
    Write(Frame(chunk));
  }
}

// "tool_calls" when the model (or "required") called something; a named tool ends with "stop", as
// with OpenAI.
std::string ChatWriter::FinishReason(const RequestEvent& event, const Choice& choice) const {
  using Kind = ToolChoice::Kind;
  const Kind kind = options_.parser.tool_choice.kind;
  const bool called = choice.parser.called() && event.end == EndReason::kStop;
  if (called && (kind == Kind::kAuto || kind == Kind::kRequired)) return "tool_calls";
  return std::string(EndReasonName(*event.end));
}

void ChatWriter::OnEvent(size_t, RequestEvent&& event) {
  prompt_tokens_ = event.usage.prompt_tokens;
  cached_ = event.usage.cached_tokens;
  if (event.prompt_logprobs) prompt_logprobs_ = event.prompt_logprobs;
  if (streaming() && !opened_) Opening();
  Choice& choice = choices_.at(static_cast<size_t>(event.choice));
  choice.n_tokens = event.usage.completion_tokens;
  choice.tokens.insert(choice.tokens.end(), event.tokens.begin(), event.tokens.end());
  std::move(event.logprobs.begin(), event.logprobs.end(), std::back_inserter(choice.logprobs));
  AnswerDelta delta = choice.parser.Push(event.text);
  if (event.end) {
    AnswerDelta rest = choice.parser.Finish();
    delta.reasoning += rest.reasoning;
    delta.content += rest.content;
    std::move(rest.calls.begin(), rest.calls.end(), std::back_inserter(delta.calls));
    choice.finish_reason = FinishReason(event, choice);
    choice.stop_reason = std::move(event.stop_reason);
    choice.garbage = std::move(event.garbage);
  }
  if (streaming()) {
    Stream(event.choice, &choice, delta, event.end.has_value());
  } else {
    Collect(&choice, std::move(delta));
  }
}

void ChatWriter::Stream(int64_t index, Choice* choice, const AnswerDelta& delta, bool ended) {
  const bool tokens = options_.return_token_ids && !choice->tokens.empty();
  const bool logprobs = options_.logprobs && !choice->logprobs.empty();
  if (delta.empty() && !ended && !tokens && !logprobs) return;
  Json what = DeltaJson(delta);
  if (what.empty()) what["content"] = "";
  Json item = {{"index", index}, {"delta", std::move(what)}, {"logprobs", nullptr}};
  if (options_.logprobs) {
    item["logprobs"] = ChatLogprobsJson(choice->logprobs, options_.top_logprobs, token_writer_);
  }
  item["finish_reason"] = nullptr;
  if (ended) {
    item["finish_reason"] = choice->finish_reason;
    item["stop_reason"] = StopReasonJson(choice->stop_reason);
    AddWarning(choice->garbage, &item);
  }
  if (options_.return_token_ids) item["token_ids"] = choice->tokens;
  choice->tokens.clear();
  choice->logprobs.clear();
  Json chunk = Chunk(Json::array({std::move(item)}));
  AddUsage(&chunk);
  Write(Frame(chunk));
}

void ChatWriter::Collect(Choice* choice, AnswerDelta&& delta) {
  AnswerDelta& whole = choice->whole;
  whole.reasoning += delta.reasoning;
  whole.content += delta.content;
  for (ToolCallDelta& call : delta.calls) {
    if (!whole.calls.empty() && whole.calls.back().index == call.index) {
      whole.calls.back().arguments += call.arguments;
    } else {
      whole.calls.push_back(std::move(call));
    }
  }
}

Json ChatWriter::ChoiceJson(int64_t index, const Choice& choice) const {
  Json calls = Json::array();
  for (const ToolCallDelta& call : choice.whole.calls) {
    calls.push_back({{"id", call.id},
                     {"type", "function"},
                     {"function", {{"name", call.name}, {"arguments", call.arguments}}}});
  }
  const std::string content = options_.echo + choice.whole.content;
  const bool silent = content.empty() && !choice.whole.calls.empty();
  Json message = {{"role", options_.role},
                  {"content", silent ? Json(nullptr) : Json(content)},
                  {"refusal", nullptr},
                  {"annotations", nullptr},
                  {"audio", nullptr},
                  {"function_call", nullptr},
                  {"tool_calls", std::move(calls)},
                  {"reasoning_content", choice.whole.reasoning.empty()
                                            ? Json(nullptr)
                                            : Json(choice.whole.reasoning)}};
  Json item = {{"index", index}, {"message", std::move(message)}, {"logprobs", nullptr}};
  if (options_.logprobs) {
    item["logprobs"] = ChatLogprobsJson(choice.logprobs, options_.top_logprobs, token_writer_);
  }
  item["finish_reason"] = choice.finish_reason;
  item["stop_reason"] = StopReasonJson(choice.stop_reason);
  item["token_ids"] = options_.return_token_ids ? Json(choice.tokens) : Json(nullptr);
  AddWarning(choice.garbage, &item);
  return item;
}

void ChatWriter::OnComplete() {
  if (streaming()) {
    if (!options_.stream.include_usage) return;
    Json chunk = Chunk(Json::array());
    chunk["usage"] = UsageJson(Usage(), /*whole=*/false);
    Write(Frame(chunk));
    return;
  }
  Json choices = Json::array();
  for (size_t i = 0; i < choices_.size(); ++i) {
    choices.push_back(ChoiceJson(static_cast<int64_t>(i), choices_[i]));
  }
  Json answer = {{"id", options_.id},
                 {"object", "chat.completion"},
                 {"created", options_.created},
                 {"model", options_.model},
                 {"choices", std::move(choices)},
                 {"service_tier", nullptr},
                 {"system_fingerprint", nullptr},
                 {"usage", UsageJson(Usage(), /*whole=*/true)}};
  answer["prompt_logprobs"] =
      prompt_logprobs_ ? PromptLogprobsJson(*prompt_logprobs_, token_writer_) : Json(nullptr);
  answer["prompt_token_ids"] =
      options_.return_token_ids ? Json(options_.prompt_ids) : Json(nullptr);
  answer["kv_transfer_params"] = nullptr;
  SendWhole(Dump(answer));
}

}  // namespace ingot::server
