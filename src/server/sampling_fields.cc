// SPDX-License-Identifier: Apache-2.0
// Source of the rules: vllm-project/vllm: vllm/entrypoints/openai/protocol.py (validators) and
// vllm/sampling_params.py (_verify_args), 0.11.
#include "server/sampling_fields.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "server/api_error.h"

namespace ingot::server {
namespace {

// Below this, vLLM raises a positive temperature to it.
constexpr double kSmallestTemperature = 0.01;

float Ranged(Fields& fields, const char* name, double fallback, double low, double high,
             bool low_open) {
  const double value = fields.Number(name, fallback);
  const bool too_low = low_open ? !(value > low) : !(value >= low);
  if (too_low || !(value <= high)) {
    throw BadRequest(name, "{} must be in {}{}, {}], got {}.", name, low_open ? "(" : "[", low,
                     high, value);
  }
  return static_cast<float>(value);
}

float ReadTemperature(Fields& fields, double fallback) {
  const double value = fields.Number("temperature", fallback);
  if (!std::isfinite(value) || value < 0 || value > 1e6) {
    throw BadRequest("temperature", "temperature must be non-negative and finite, got {}.", value);
  }
  return static_cast<float>(value == 0 ? 0 : std::max(value, kSmallestTemperature));
}

float ReadRepetitionPenalty(Fields& fields, double fallback) {
  const double value = fields.Number("repetition_penalty", fallback);
  if (!(value > 0) || !(value <= 1e6)) {
    throw BadRequest("repetition_penalty",
                     "repetition_penalty must be greater than zero and finite, got {}.", value);
  }
  return static_cast<float>(value);
}

int64_t ReadTopK(Fields& fields, int64_t fallback) {
  const int64_t value = fields.Integer("top_k", fallback);
  if (value < -1) {
    throw BadRequest("top_k", "top_k must be 0 (off), -1 (off) or at least 1, got {}.", value);
  }
  return value;
}

std::vector<std::pair<int32_t, float>> ReadLogitBias(Fields& fields, const ParseLimits& limits) {
  std::vector<std::pair<int32_t, float>> bias;
  const Json* object = fields.Find("logit_bias");
  if (object == nullptr) return bias;
  if (!object->is_object()) {
    throw BadField("logit_bias", "logit_bias: expected an object of token ids and numbers.");
  }
  for (const auto& [key, value] : object->items()) {
    int64_t id = -1;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || end != key.data() + key.size() || id < 0 || id >= limits.vocab) {
      throw BadRequest("logit_bias",
                       "logit_bias has a key that is no token id of the vocabulary (0 to {}).",
                       limits.vocab - 1);
    }
    if (!value.is_number()) {
      throw BadField("logit_bias", "logit_bias: the value of token {} is no number.", id);
    }
    bias.emplace_back(static_cast<int32_t>(id),
                      static_cast<float>(std::clamp(value.get<double>(), -100.0, 100.0)));
  }
  return bias;
}

void CheckIds(const char* name, const std::vector<int32_t>& ids, const ParseLimits& limits) {
  for (const int32_t id : ids) {
    if (id < limits.vocab) continue;
    throw BadRequest(name, "{}: token id {} is out of the vocabulary (0 to {}).", name, id,
                     limits.vocab - 1);
  }
}

std::vector<std::string> ReadStop(Fields& fields, const ParseLimits& limits) {
  std::vector<std::string> stop = fields.Strings("stop", /*or_one=*/true);
  if (static_cast<int64_t>(stop.size()) > limits.max_stop_strings) {
    throw BadRequest("stop", "stop has {} strings, more than the limit of {}.", stop.size(),
                     limits.max_stop_strings);
  }
  for (const std::string& text : stop) {
    if (text.empty()) throw BadRequest("stop", "stop cannot contain an empty string.");
    if (text.size() > limits.max_stop_bytes) {
      throw BadRequest("stop", "stop has a string of {} bytes, more than the limit of {}.",
                       text.size(), limits.max_stop_bytes);
    }
  }
  return stop;
}

std::vector<std::string> ReadBadWords(Fields& fields, const ParseLimits& limits) {
  std::vector<std::string> words = fields.Strings("bad_words", /*or_one=*/false);
  if (static_cast<int64_t>(words.size()) > limits.max_bad_words) {
    throw BadRequest("bad_words", "bad_words has {} entries, more than the limit of {}.",
                     words.size(), limits.max_bad_words);
  }
  for (const std::string& word : words) {
    if (word.empty() || word.size() > limits.max_stop_bytes) {
      throw BadRequest("bad_words", "bad_words must be strings of 1 to {} bytes.",
                       limits.max_stop_bytes);
    }
  }
  return words;
}

// max_completion_tokens wins over max_tokens.
void ReadTokenLimits(Fields& fields, bool is_chat, CommonFields* common) {
  std::optional<int64_t> max_tokens = fields.Integer("max_tokens");
  const char* name = "max_tokens";
  if (is_chat) {
    if (const auto newer = fields.Integer("max_completion_tokens")) {
      max_tokens = newer;
      name = "max_completion_tokens";
    }
  } else if (!max_tokens && !fields.Has("max_tokens")) {
    max_tokens = 16;
  }
  const bool prompt_only = !is_chat && common->echo;
  if (max_tokens && *max_tokens < (prompt_only ? 0 : 1)) {
    throw BadRequest(name, "{} must be at least 1, got {}.", name, *max_tokens);
  }
  RequestSampling& sampling = common->sampling;
  sampling.max_tokens = max_tokens;
  sampling.min_tokens = fields.Integer("min_tokens", 0);
  if (sampling.min_tokens < 0) {
    throw BadRequest("min_tokens", "min_tokens must be greater than or equal to 0, got {}.",
                     sampling.min_tokens);
  }
  if (max_tokens && sampling.min_tokens > *max_tokens) {
    throw BadRequest("min_tokens", "min_tokens must be less than or equal to {}={}, got {}.", name,
                     *max_tokens, sampling.min_tokens);
  }
}

void ReadChoices(Fields& fields, const ParseLimits& limits, CommonFields* common) {
  common->n = fields.Integer("n", 1);
  if (common->n < 1) throw BadRequest("n", "n must be at least 1, got {}.", common->n);
  if (common->n > limits.max_choices) {
    throw BadRequest("n", "n must be at most {}, got {}.", limits.max_choices, common->n);
  }
  if (common->n > 1 && common->sampling.temperature == 0) {
    throw BadRequest("n", "n must be 1 when using greedy sampling (temperature 0), got {}.",
                     common->n);
  }
  const int64_t best_of = fields.Integer("best_of", common->n);
  if (best_of < common->n) {
    throw BadRequest("best_of",
                     "best_of must be greater than or equal to n, got n={} and best_of={}.",
                     common->n, best_of);
  }
  if (best_of > common->n) {
    throw BadRequest("best_of", "best_of greater than n is not supported. Ask for n answers.");
  }
}

void ReadStream(Fields& fields, const ParseLimits& limits, CommonFields* common) {
  common->stream = fields.Bool("stream", false);
  const Json* options = fields.Find("stream_options");
  if (options != nullptr) {
    if (!common->stream && !options->empty()) {
      throw BadField("stream_options", "Stream options can only be defined when stream=true.");
    }
    Fields inner(*options, "stream_options");
    common->stream_options.include_usage = inner.Bool("include_usage", true);
    common->stream_options.continuous_usage = inner.Bool("continuous_usage_stats", false) &&
                                              common->stream_options.include_usage;
  }
  if (limits.force_include_usage) common->stream_options.include_usage = true;
}

void RefuseUnsupported(Fields& fields) {
  if (fields.Bool("use_beam_search", false)) {
    throw ApiError(501, "Beam search is not supported by this server. Use n with a temperature.",
                   "NotImplementedError", "use_beam_search");
  }
  if (fields.Has("logits_processors")) {
    throw BadRequest("logits_processors",
                     "logits_processors name Python code, which this server does not run.");
  }
  fields.Number("length_penalty", 1.0);  // only beam search reads it
  fields.Bool("spaces_between_special_tokens", true);
  fields.Ignore({"user", "guided_decoding_backend", "kv_transfer_params", "vllm_xargs"});
}

std::string ReadCacheSalt(Fields& fields) {
  const std::optional<std::string> salt = fields.String("cache_salt");
  if (!salt) return "";
  if (salt->empty()) throw BadField("cache_salt", "cache_salt must be a non-empty string.");
  if (salt->size() > 4096) throw BadField("cache_salt", "cache_salt is longer than 4096 bytes.");
  return *salt;
}

int64_t ReadPriority(Fields& fields, const ParseLimits& limits) {
  const int64_t priority = fields.Integer("priority", 0);
  if (priority != 0 && !limits.priority_scheduling) {
    throw BadRequest("priority",
                     "Got priority {} but priority scheduling is not enabled on this server "
                     "(--scheduling-policy priority).",
                     priority);
  }
  return priority;
}

}  // namespace

int64_t CheckLogprobs(const char* name, int64_t value, const ParseLimits& limits) {
  if (value < 0 && value != -1) throw BadField(name, "{} must be a positive value.", name);
  const int64_t wanted = value == -1 ? limits.vocab : value;
  if (limits.max_logprobs != -1 && wanted > limits.max_logprobs) {
    throw BadRequest(name, "{}: {} are more than the {} that this server allows (--max-logprobs).",
                     name, wanted, limits.max_logprobs);
  }
  return value;
}

CommonFields ReadCommonFields(Fields& fields, const ParseLimits& limits, bool is_chat) {
  CommonFields common;
  common.model = fields.String("model", "");
  ReadStream(fields, limits, &common);
  common.echo = fields.Bool("echo", false);
  RequestSampling& sampling = common.sampling;
  const GenerationDefaults& defaults = limits.defaults;
  sampling.presence_penalty = Ranged(fields, "presence_penalty", 0, -2, 2, false);
  sampling.frequency_penalty = Ranged(fields, "frequency_penalty", 0, -2, 2, false);
  sampling.repetition_penalty = ReadRepetitionPenalty(fields, defaults.repetition_penalty);
  sampling.temperature = ReadTemperature(fields, defaults.temperature);
  sampling.top_p = Ranged(fields, "top_p", defaults.top_p, 0, 1, true);
  sampling.top_k = ReadTopK(fields, defaults.top_k);
  sampling.min_p = Ranged(fields, "min_p", defaults.min_p, 0, 1, false);
  ReadChoices(fields, limits, &common);
  ReadTokenLimits(fields, is_chat, &common);
  if (const auto seed = fields.Integer("seed")) sampling.seed = static_cast<uint64_t>(*seed);
  sampling.stop = ReadStop(fields, limits);
  sampling.stop_token_ids = fields.TokenIds("stop_token_ids").value_or(std::vector<int32_t>());
  CheckIds("stop_token_ids", sampling.stop_token_ids, limits);
  if (auto allowed = fields.TokenIds("allowed_token_ids")) {
    if (allowed->empty()) {
      throw BadRequest("allowed_token_ids", "allowed_token_ids must not be an empty list.");
    }
    CheckIds("allowed_token_ids", *allowed, limits);
    sampling.allowed_token_ids = std::move(*allowed);
  }
  sampling.logit_bias = ReadLogitBias(fields, limits);
  sampling.bad_words = ReadBadWords(fields, limits);
  sampling.ignore_eos = fields.Bool("ignore_eos", false);
  sampling.include_stop_str_in_output = fields.Bool("include_stop_str_in_output", false);
  sampling.skip_special_tokens = fields.Bool("skip_special_tokens", true);
  if (const auto count = fields.Integer("prompt_logprobs")) {
    if (common.stream && *count != 0) {
      throw BadField("prompt_logprobs", "prompt_logprobs are not available when stream=true.");
    }
    sampling.prompt_logprobs = CheckLogprobs("prompt_logprobs", *count, limits);
  }
  common.structured = ReadStructuredOutput(fields);
  common.truncate_prompt_tokens = fields.Integer("truncate_prompt_tokens");
  if (common.truncate_prompt_tokens && *common.truncate_prompt_tokens < 1 &&
      *common.truncate_prompt_tokens != -1) {
    throw BadField("truncate_prompt_tokens",
                   "truncate_prompt_tokens must be -1 (the context) or at least 1, got {}.",
                   *common.truncate_prompt_tokens);
  }
  common.cache_salt = ReadCacheSalt(fields);
  common.priority = ReadPriority(fields, limits);
  common.request_id = fields.String("request_id", "");
  common.tokens_as_ids = fields.Bool("return_tokens_as_token_ids");
  common.return_token_ids = fields.Bool("return_token_ids", false);
  RefuseUnsupported(fields);
  return common;
}

namespace {

// A schema or grammar given as an object or as a string that holds one.
std::string SchemaText(Fields& fields, const char* name) {
  const Json& value = fields.Require(name);
  if (value.is_string()) return value.get<std::string>();
  if (value.is_object()) return value.dump();
  throw BadField(fields.Path(name), "{}: expected a JSON schema (an object or its text).",
                 fields.Path(name));
}

std::vector<std::string> ChoiceTexts(Fields& fields, const char* name) {
  std::vector<std::string> choices = fields.Strings(name, /*or_one=*/false);
  if (choices.empty() || std::ranges::count(choices, "") > 0) {
    throw BadRequest(fields.Path(name), "{}: expected at least one choice, none of them empty.",
                     fields.Path(name));
  }
  return choices;
}

using Kind = StructuredOutput::Kind;

void Choose(StructuredOutput* out, Kind kind, std::string text, const std::string& path) {
  if (out->kind != Kind::kNone) {
    throw BadField(path, "You can only use one kind of structured output; {} is a second one.",
                   path);
  }
  out->kind = kind;
  out->text = std::move(text);
}

// response_format: {"type": "json_schema", "json_schema": {"name", "schema"}} and the like.
void ReadResponseFormat(Fields& fields, StructuredOutput* out) {
  const Json* value = fields.Find("response_format");
  if (value == nullptr) return;
  Fields format(*value, "response_format");
  const std::string type = format.RequireString("type");
  if (type == "text") return;
  if (type == "json_object") return Choose(out, Kind::kJsonObject, "", "response_format");
  if (type == "json_schema") {
    Fields named(format.Require("json_schema"), "response_format.json_schema");
    named.RequireString("name");
    return Choose(out, Kind::kJsonSchema, SchemaText(named, "schema"), "response_format");
  }
  if (type == "structural_tag") {
    return Choose(out, Kind::kStructuralTag, value->dump(), "response_format");
  }
  throw BadField("response_format.type",
                 "response_format.type must be text, json_object, json_schema or structural_tag.");
}

// The same six kinds under the names of structured_outputs (prefix "") or of the guided_* family.
void ReadKinds(Fields& fields, const std::string& prefix, StructuredOutput* out) {
  const auto name = [&](const char* base) { return prefix + base; };
  const std::string json = name("json"), regex = name("regex"), choice = name("choice"),
                    grammar = name("grammar");
  if (fields.Has(json.c_str())) {
    Choose(out, Kind::kJsonSchema, SchemaText(fields, json.c_str()), fields.Path(json));
  }
  if (fields.Has(regex.c_str())) {
    Choose(out, Kind::kRegex, *fields.String(regex.c_str()), fields.Path(regex));
  }
  if (fields.Has(choice.c_str())) {
    Choose(out, Kind::kChoice, "", fields.Path(choice));
    out->choices = ChoiceTexts(fields, choice.c_str());
  }
  if (fields.Has(grammar.c_str())) {
    Choose(out, Kind::kGrammar, *fields.String(grammar.c_str()), fields.Path(grammar));
  }
}

}  // namespace

StructuredOutput ReadStructuredOutput(Fields& fields) {
  StructuredOutput out;
  ReadResponseFormat(fields, &out);
  ReadKinds(fields, "guided_", &out);
  out.whitespace_pattern = fields.String("guided_whitespace_pattern", "");
  if (const auto tag = fields.String("structural_tag")) {
    Choose(&out, Kind::kStructuralTag, *tag, "structural_tag");
  }
  if (const Json* object = fields.Find("structured_outputs")) {
    Fields inner(*object, "structured_outputs");
    ReadKinds(inner, "", &out);
    if (inner.Bool("json_object", false)) {
      Choose(&out, Kind::kJsonObject, "", "structured_outputs.json_object");
    }
    if (const auto tag = inner.String("structural_tag")) {
      Choose(&out, Kind::kStructuralTag, *tag, "structured_outputs.structural_tag");
    }
    out.any_whitespace = !inner.Bool("disable_any_whitespace", false);
    if (const auto pattern = inner.String("whitespace_pattern")) out.whitespace_pattern = *pattern;
  }
  return out;
}

}  // namespace ingot::server
