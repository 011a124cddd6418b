// SPDX-License-Identifier: Apache-2.0
// Shapes: vllm-project/vllm: vllm/entrypoints/openai/serving_completion.py, 0.11.
#include "server/completion_writer.h"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

namespace ingot::server {

CompletionWriter::CompletionWriter(CompletionAnswerOptions options, const Tokenizer& tokenizer,
                                   ResponderPtr responder, const EnginePort& engine,
                                   std::atomic<int64_t>* load)
    : AnswerWriter(std::move(responder), engine, options.streaming, load),
      options_(std::move(options)),
      token_writer_(tokenizer, options_.tokens_as_ids),
      prompts_(options_.prompts.size()),
      choices_(options_.prompts.size() * static_cast<size_t>(options_.n)) {}

Json CompletionWriter::Head() const {
  return {{"id", options_.id},
          {"object", "text_completion"},
          {"created", options_.created},
          {"model", options_.model}};
}

UsageCounts CompletionWriter::Usage() const {
  UsageCounts usage;
  int64_t cached = 0;
  for (const PromptState& prompt : prompts_) {
    usage.prompt_tokens += prompt.prompt_tokens;
    cached += prompt.cached;
  }
  for (const Choice& choice : choices_) usage.completion_tokens += choice.n_tokens;
  if (options_.cached_tokens) usage.cached_tokens = cached;
  return usage;
}

void CompletionWriter::Echo(size_t prompt, Choice* choice) {
  choice->echoed = true;
  const CompletionAnswerOptions::Prompt& source = options_.prompts[prompt];
  choice->text.insert(0, source.text);
  if (!options_.logprobs || !prompts_[prompt].logprobs) return;
  PromptLogprobs steps = *prompts_[prompt].logprobs;
  // The first entry is about nothing but names the token.
  if (!steps.empty() && !source.ids.empty()) steps[0].chosen.token = source.ids[0];
  choice->logprobs.insert(choice->logprobs.begin(), std::make_move_iterator(steps.begin()),
                          std::make_move_iterator(steps.end()));
}

Json CompletionWriter::LogprobsOf(Choice* choice, bool with_prompt) const {
  if (!options_.logprobs) return nullptr;
  return CompletionLogprobsJson(choice->logprobs, with_prompt, token_writer_, &choice->offset);
}

void CompletionWriter::OnEvent(size_t prompt, RequestEvent&& event) {
  PromptState& state = prompts_.at(prompt);
  state.prompt_tokens = event.usage.prompt_tokens;
  state.cached = event.usage.cached_tokens;
  if (event.prompt_logprobs) state.logprobs = event.prompt_logprobs;
  const int64_t index = static_cast<int64_t>(prompt) * options_.n + event.choice;
  Choice& choice = choices_.at(static_cast<size_t>(index));
  choice.n_tokens = event.usage.completion_tokens;
  choice.text += event.text;
  choice.tokens.insert(choice.tokens.end(), event.tokens.begin(), event.tokens.end());
  std::move(event.logprobs.begin(), event.logprobs.end(), std::back_inserter(choice.logprobs));
  if (event.end) {
    choice.finish_reason = EndReasonName(*event.end);
    choice.stop_reason = std::move(event.stop_reason);
    choice.garbage = std::move(event.garbage);
  }
  if (streaming()) Stream(prompt, index, &choice, event.end.has_value());
}

void CompletionWriter::Stream(size_t prompt, int64_t index, Choice* choice, bool ended) {
  const bool first = options_.echo && !choice->echoed;
  if (first) Echo(prompt, choice);
  const bool tokens = options_.return_token_ids && !choice->tokens.empty();
  const bool logprobs = options_.logprobs && !choice->logprobs.empty();
  if (choice->text.empty() && !ended && !tokens && !logprobs) return;
  Json item = {{"index", index},
               {"text", std::exchange(choice->text, "")},
               {"logprobs", LogprobsOf(choice, first)},
               {"finish_reason", ended ? Json(choice->finish_reason) : Json(nullptr)},
               {"stop_reason", ended ? StopReasonJson(choice->stop_reason) : Json(nullptr)}};
  if (ended) AddWarning(choice->garbage, &item);
  if (options_.return_token_ids) {
    item["token_ids"] = choice->tokens;
    if (first) item["prompt_token_ids"] = options_.prompts[prompt].ids;
  }
  choice->tokens.clear();
  choice->logprobs.clear();
  Json chunk = Head();
  chunk["choices"] = Json::array({std::move(item)});
  chunk["usage"] = options_.stream.continuous_usage ? UsageJson(Usage(), false) : Json(nullptr);
  Write(Frame(chunk));
}

void CompletionWriter::OnComplete() {
  Json answer = Head();
  if (streaming()) {
    if (!options_.stream.include_usage) return;
    answer["choices"] = Json::array();
    answer["usage"] = UsageJson(Usage(), /*whole=*/false);
    Write(Frame(answer));
    return;
  }
  Json choices = Json::array();
  for (size_t i = 0; i < choices_.size(); ++i) {
    Choice& choice = choices_[i];
    const size_t prompt = i / static_cast<size_t>(options_.n);
    if (options_.echo) Echo(prompt, &choice);
    const PromptState& state = prompts_[prompt];
    const bool prompt_logprobs = options_.prompt_logprobs && state.logprobs;
    choices.push_back(
        {{"index", static_cast<int64_t>(i)},
         {"text", choice.text},
         {"logprobs", LogprobsOf(&choice, options_.echo)},
         {"finish_reason", choice.finish_reason},
         {"stop_reason", StopReasonJson(choice.stop_reason)},
         {"token_ids", options_.return_token_ids ? Json(choice.tokens) : Json(nullptr)},
         {"prompt_logprobs",
          prompt_logprobs ? PromptLogprobsJson(*state.logprobs, token_writer_) : Json(nullptr)},
         {"prompt_token_ids",
          options_.return_token_ids ? Json(options_.prompts[prompt].ids) : Json(nullptr)}});
    AddWarning(choice.garbage, &choices.back());
  }
  answer["choices"] = std::move(choices);
  answer["service_tier"] = nullptr;
  answer["system_fingerprint"] = nullptr;
  answer["usage"] = UsageJson(Usage(), /*whole=*/true);
  answer["kv_transfer_params"] = nullptr;
  SendWhole(Dump(answer));
}

}  // namespace ingot::server
