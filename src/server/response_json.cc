// SPDX-License-Identifier: Apache-2.0
// Shapes: vllm-project/vllm: vllm/entrypoints/openai/protocol.py and serving_chat.py, 0.11.
#include "server/response_json.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <type_traits>
#include <variant>

#include "server/http.h"

namespace ingot::server {

std::string TokenWriter::Text(int32_t token) const {
  if (as_ids_) return "token_id:" + std::to_string(token);
  return tokenizer_.Decode(std::span(&token, 1), /*skip_special=*/false);
}

Json TokenWriter::Entry(const TokenLogprob& logprob) const {
  Json bytes = Json::array();
  for (const char c : tokenizer_.TokenBytes(logprob.token)) {
    bytes.push_back(static_cast<unsigned char>(c));
  }
  return {{"token", Text(logprob.token)},
          {"logprob", ClampLogprob(logprob.logprob)},
          {"bytes", std::move(bytes)}};
}

double ClampLogprob(float logprob) {
  return logprob > -9999.0f ? static_cast<double>(logprob) : -9999.0;  // NaN, too
}

Json ChatLogprobsJson(std::span<const StepLogprobs> steps, int64_t top,
                      const TokenWriter& writer) {
  Json content = Json::array();
  for (const StepLogprobs& step : steps) {
    Json entry = writer.Entry(step.chosen);
    Json list = Json::array();
    for (const TokenLogprob& other : step.top) {
      if (top >= 0 && static_cast<int64_t>(list.size()) >= top) break;
      list.push_back(writer.Entry(other));
    }
    entry["top_logprobs"] = std::move(list);
    content.push_back(std::move(entry));
  }
  return {{"content", std::move(content)}};
}

namespace {

int64_t CountCharacters(std::string_view text) {
  return std::ranges::count_if(text, [](char c) { return (c & 0xc0) != 0x80; });
}

}  // namespace

Json CompletionLogprobsJson(std::span<const StepLogprobs> steps, bool first_is_null,
                            const TokenWriter& writer, int64_t* offset) {
  Json offsets = Json::array(), logprobs = Json::array(), tokens = Json::array(),
       tops = Json::array();
  for (size_t i = 0; i < steps.size(); ++i) {
    const StepLogprobs& step = steps[i];
    const std::string text = writer.Text(step.chosen.token);
    offsets.push_back(*offset);
    *offset += CountCharacters(text);
    tokens.push_back(text);
    if (i == 0 && first_is_null) {
      logprobs.push_back(nullptr);
      tops.push_back(nullptr);
      continue;
    }
    logprobs.push_back(ClampLogprob(step.chosen.logprob));
    // The chosen token first; of tokens with the same text the likeliest counts.
    Json top = {{text, ClampLogprob(step.chosen.logprob)}};
    for (const TokenLogprob& other : step.top) {
      const std::string name = writer.Text(other.token);
      if (!top.contains(name)) top[name] = ClampLogprob(other.logprob);
    }
    tops.push_back(std::move(top));
  }
  return {{"text_offset", std::move(offsets)},
          {"token_logprobs", std::move(logprobs)},
          {"tokens", std::move(tokens)},
          {"top_logprobs", std::move(tops)}};
}

Json PromptLogprobsJson(const PromptLogprobs& logprobs, const TokenWriter& writer) {
  Json list = Json::array();
  for (size_t i = 0; i < logprobs.size(); ++i) {
    if (i == 0) {
      list.push_back(nullptr);
      continue;
    }
    Json entry = Json::object();
    const auto add = [&](const TokenLogprob& one) {
      const std::string id = std::to_string(one.token);
      if (entry.contains(id)) return;
      entry[id] = {
          {"logprob", ClampLogprob(one.logprob)},
          {"rank", one.rank},
          {"decoded_token", writer.tokenizer().Decode(std::span(&one.token, 1), false)}};
    };
    add(logprobs[i].chosen);
    for (const TokenLogprob& other : logprobs[i].top) add(other);
    list.push_back(std::move(entry));
  }
  return list;
}

Json UsageJson(const UsageCounts& usage, bool whole) {
  Json json = {{"prompt_tokens", usage.prompt_tokens},
               {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
               {"completion_tokens", usage.completion_tokens}};
  if (usage.cached_tokens) {
    json["prompt_tokens_details"] = {{"cached_tokens", *usage.cached_tokens}};
  } else if (whole) {
    json["prompt_tokens_details"] = nullptr;
  }
  return json;
}

Json StopReasonJson(const StopReason& reason) {
  if (const auto* token = std::get_if<int32_t>(&reason)) return *token;
  if (const auto* text = std::get_if<std::string>(&reason)) return *text;
  return nullptr;
}

void AddWarning(const std::vector<std::string>& garbage, Json* choice) {
  if (garbage.empty()) return;
  std::string text;
  for (const std::string& reason : garbage) text += (text.empty() ? "" : "; ") + reason;
  (*choice)["ingot_warning"] = std::move(text);
}

Json DeltaJson(const AnswerDelta& delta) {
  Json json = Json::object();
  if (!delta.reasoning.empty()) json["reasoning_content"] = delta.reasoning;
  if (!delta.content.empty()) json["content"] = delta.content;
  if (delta.calls.empty()) return json;
  Json calls = Json::array();
  for (const ToolCallDelta& call : delta.calls) {
    Json function = Json::object();
    Json item = {{"index", call.index}};
    if (!call.id.empty()) {
      item["id"] = call.id;
      item["type"] = "function";
      function["name"] = call.name;
    }
    function["arguments"] = call.arguments;
    item["function"] = std::move(function);
    calls.push_back(std::move(item));
  }
  json["tool_calls"] = std::move(calls);
  return json;
}

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string Frame(const Json& json) { return SseData(Dump(json)); }

std::string ErrorFrame(std::string_view message, int status) {
  return SseData(ErrorResponse(status, message).body);
}

}  // namespace ingot::server
