// SPDX-License-Identifier: Apache-2.0
#include "server/request_json.h"

#include <nlohmann/json.hpp>

#include "base/log.h"
#include "server/api_error.h"
#include "server/json_fields.h"
#include "server/message_fields.h"
#include "server/sampling_fields.h"

namespace ingot::server {
namespace {

void LogUnknown(const Fields& fields) {
  std::string names;
  for (const std::string& name : fields.Unknown()) {
    // Names come from the client: nothing that could draw on a terminal or begin a new line.
    for (const char c : names.empty() ? name : ", " + name) {
      names += c >= ' ' && c < 127 ? c : '?';
    }
    if (names.size() > 512) break;
  }
  if (!names.empty()) {
    LogText(LogLevel::kDebug, "fields of the request that are unknown and ignored: " + names);
  }
}

}  // namespace

ChatRequest ParseChatRequest(std::string_view body, const LimitsByModel& limits_of) {
  const Json json = ParseObject(body);
  Fields fields(json, "");
  const ParseLimits& limits = limits_of(fields.String("model", ""));
  ChatRequest request;
  request.messages = ReadMessages(fields);
  request.common = ReadCommonFields(fields, limits, /*is_chat=*/true);
  request.prompt = ReadTemplateFields(fields);
  Tools tools = ReadTools(fields, limits);
  request.tools = std::move(tools.definitions);
  request.tool_choice = std::move(tools.choice);
  request.prompt.tools_json = std::move(tools.json);
  request.parallel_tool_calls = fields.Bool("parallel_tool_calls", true);
  request.include_reasoning = fields.Bool("include_reasoning", true);
  request.logprobs = fields.Bool("logprobs", false);
  request.top_logprobs =
      CheckLogprobs("top_logprobs", fields.Integer("top_logprobs", 0), limits);
  if (request.top_logprobs != 0 && !request.logprobs) {
    throw BadField("top_logprobs", "When using top_logprobs, logprobs must be set to true.");
  }
  if (request.logprobs) request.common.sampling.logprobs = request.top_logprobs;
  if (const auto effort = fields.String("reasoning_effort")) {
    if (*effort != "low" && *effort != "medium" && *effort != "high") {
      throw BadField("reasoning_effort", "reasoning_effort: expected low, medium or high.");
    }
  }
  fields.Ignore({"store", "metadata", "service_tier", "modalities", "prediction", "verbosity"});
  LogUnknown(fields);
  return request;
}

ChatRequest ParseChatRequest(std::string_view body, const ParseLimits& limits) {
  return ParseChatRequest(
      body, [&](const std::string&) -> const ParseLimits& { return limits; });
}

namespace {

void CheckPromptIds(const std::vector<int32_t>& ids, const ParseLimits& limits) {
  for (const int32_t id : ids) {
    if (id >= limits.vocab) {
      throw BadRequest("prompt", "Token id {} is out of vocabulary (0 to {}).", id,
                       limits.vocab - 1);
    }
  }
}

std::vector<CompletionPrompt> ReadPrompts(Fields& fields, const ParseLimits& limits) {
  if (fields.Has("prompt_embeds")) {
    throw BadRequest("prompt_embeds", "prompt_embeds are not supported: they would make the "
                     "server read tensors from a client. Send text or token ids.");
  }
  const Json* value = fields.Find("prompt");
  if (value == nullptr) throw BadField("prompt", "prompt: field required.");
  if (value->is_string()) return {value->get<std::string>()};
  if (!value->is_array()) {
    throw BadField("prompt", "prompt: expected a string, token ids, or a list of these.");
  }
  if (value->empty()) throw BadRequest("prompt", "prompt must not be empty.");
  std::vector<CompletionPrompt> prompts;
  if (value->front().is_number()) {
    prompts.emplace_back(*fields.TokenIds("prompt"));
  } else {
    if (static_cast<int64_t>(value->size()) > limits.max_prompts) {
      throw BadRequest("prompt", "prompt: {} of them, more than the limit of {}.", value->size(),
                       limits.max_prompts);
    }
    for (size_t i = 0; i < value->size(); ++i) {
      const Json& item = (*value)[i];
      if (item.type() != value->front().type() || !(item.is_string() || item.is_array())) {
        throw BadField("prompt", "prompt: a list holds either strings or lists of token ids.");
      }
      if (item.is_string()) {
        prompts.emplace_back(item.get<std::string>());
        continue;
      }
      std::vector<int32_t> ids;
      for (const Json& id : item) ids.push_back(TokenIdOf(id, fmt::format("prompt[{}]", i)));
      prompts.emplace_back(std::move(ids));
    }
  }
  for (const CompletionPrompt& prompt : prompts) {
    if (const auto* ids = std::get_if<std::vector<int32_t>>(&prompt)) CheckPromptIds(*ids, limits);
  }
  return prompts;
}

}  // namespace

CompletionRequest ParseCompletionRequest(std::string_view body, const LimitsByModel& limits_of) {
  const Json json = ParseObject(body);
  Fields fields(json, "");
  const ParseLimits& limits = limits_of(fields.String("model", ""));
  CompletionRequest request;
  request.prompts = ReadPrompts(fields, limits);
  request.common = ReadCommonFields(fields, limits, /*is_chat=*/false);
  if (fields.Has("suffix") && !fields.String("suffix", "").empty()) {
    throw BadRequest("suffix", "suffix is not supported by this model.");
  }
  if (static_cast<int64_t>(request.prompts.size()) * request.common.n > limits.max_prompts) {
    throw BadRequest("n", "{} prompts with n={} are more than {} answers.", request.prompts.size(),
                     request.common.n, limits.max_prompts);
  }
  request.add_special_tokens = fields.Bool("add_special_tokens", true);
  if (const auto count = fields.Integer("logprobs")) {
    RequestSampling& sampling = request.common.sampling;
    sampling.logprobs = CheckLogprobs("logprobs", *count, limits);
    if (request.common.echo && !sampling.prompt_logprobs) {
      sampling.prompt_logprobs = sampling.logprobs;
    }
  }
  LogUnknown(fields);
  return request;
}

CompletionRequest ParseCompletionRequest(std::string_view body, const ParseLimits& limits) {
  return ParseCompletionRequest(
      body, [&](const std::string&) -> const ParseLimits& { return limits; });
}

TokenizeRequest ParseTokenizeRequest(std::string_view body) {
  const Json json = ParseObject(body);
  Fields fields(json, "");
  TokenizeRequest request;
  request.model = fields.String("model", "");
  request.return_token_strs = fields.Bool("return_token_strs", false);
  if (fields.Has("messages")) {
    request.messages = ReadMessages(fields);
    request.chat = ReadTemplateFields(fields);
    request.chat.tools_json = ReadTools(fields, ParseLimits{}).json;
  } else {
    request.prompt = fields.RequireString("prompt");
    fields.Bool("add_special_tokens", true);
  }
  LogUnknown(fields);
  return request;
}

DetokenizeRequest ParseDetokenizeRequest(std::string_view body) {
  const Json json = ParseObject(body);
  Fields fields(json, "");
  DetokenizeRequest request;
  request.model = fields.String("model", "");
  fields.Require("tokens");
  request.tokens = *fields.TokenIds("tokens");
  LogUnknown(fields);
  return request;
}

BodyKind KindOfBody(std::string_view body) {
  const Json json = ParseObject(body);
  if (json.contains("messages")) return BodyKind::kChat;
  if (json.contains("prompt")) return BodyKind::kCompletion;
  return BodyKind::kUnknown;
}

}  // namespace ingot::server
