// SPDX-License-Identifier: Apache-2.0
// The requests of the OpenAI-compatible API as plain structs, fields as in vLLM 0.11
// (vllm-project/vllm: vllm/entrypoints/openai/protocol.py). What a field means for the engine is
// decided in sampling_fields.cc; which fields are done, ignored or refused: docs/api.md.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "engine/request.h"

namespace ingot::server {

// How an answer must be formed; at most one kind.
struct StructuredOutput {
  enum class Kind { kNone, kJsonSchema, kJsonObject, kRegex, kChoice, kGrammar, kStructuralTag };
  Kind kind = Kind::kNone;
  std::string text;                  // schema, regex, grammar or structural tag (JSON)
  std::vector<std::string> choices;  // kChoice
  // kJsonSchema: JSON text of "x-guidance" options; "" for the defaults.
  std::string whitespace_pattern;
  bool any_whitespace = true;
};

struct StreamOptions {
  bool include_usage = false;
  bool continuous_usage = false;
};

// Fields that chat and completion requests share. `sampling` has what the request gave and the
// server's defaults for the rest; max_tokens is settled when the prompt's length is known.
struct CommonFields {
  std::string model;  // "": the served one
  RequestSampling sampling;
  int64_t n = 1;
  bool stream = false;
  StreamOptions stream_options;
  bool echo = false;
  StructuredOutput structured;
  std::optional<int64_t> truncate_prompt_tokens;  // -1: to the context
  std::string cache_salt;
  int64_t priority = 0;
  std::string request_id;  // "": none given
  std::optional<bool> tokens_as_ids;
  bool return_token_ids = false;
};

struct MediaPart {
  enum class Kind { kText, kImage, kVideo, kFrames };
  Kind kind = Kind::kText;
  std::string text;
  std::string url;                  // kImage, kVideo
  std::vector<std::string> frames;  // kFrames: URLs of pictures
  double fps = 2.0;                 // kFrames
};

struct ChatMessage {
  std::string role;
  std::vector<MediaPart> parts;
  std::string extra_json;  // tool_calls, tool_call_id, name, reasoning_content; as in prompt/
};

struct ToolDefinition {
  std::string name;
  std::string parameters_json;  // "" or "{}": no arguments
};

struct ToolChoice {
  enum class Kind { kNone, kAuto, kRequired, kNamed };
  Kind kind = Kind::kNone;
  std::string name;  // kNamed
};

// How a conversation becomes a prompt; shared with /tokenize.
struct TemplateFields {
  bool add_generation_prompt = true;
  bool continue_final_message = false;
  bool add_special_tokens = false;  // byte-level BPE has none to add
  std::string documents_json;
  std::string chat_template;
  std::string kwargs_json;
  std::string tools_json;  // as templates see it
  std::optional<int64_t> min_pixels, max_pixels;  // mm_processor_kwargs
};

struct ChatRequest {
  CommonFields common;
  std::vector<ChatMessage> messages;
  TemplateFields prompt;
  std::vector<ToolDefinition> tools;
  ToolChoice tool_choice;
  bool parallel_tool_calls = true;
  bool logprobs = false;
  int64_t top_logprobs = 0;
  bool include_reasoning = true;
};

using CompletionPrompt = std::variant<std::string, std::vector<int32_t>>;

struct CompletionRequest {
  CommonFields common;
  std::vector<CompletionPrompt> prompts;
  bool add_special_tokens = true;
};

struct TokenizeRequest {
  std::string model;
  std::optional<std::string> prompt;  // else messages
  std::vector<ChatMessage> messages;
  TemplateFields chat;
  bool return_token_strs = false;
};

struct DetokenizeRequest {
  std::string model;
  std::vector<int32_t> tokens;
};

// Sampling that requests get where they say nothing (generation_config.json, --generation-config,
// --override-generation-config).
struct GenerationDefaults {
  float temperature = 1.0f, top_p = 1.0f, min_p = 0.0f, repetition_penalty = 1.0f;
  int64_t top_k = 0;
  std::optional<int64_t> max_new_tokens;
};

struct ParseLimits {
  int64_t max_logprobs = 20;     // -1: any
  int64_t max_choices = 128;     // n
  int64_t max_prompts = 1024;    // of one completions request
  int64_t max_stop_strings = 64;
  size_t max_stop_bytes = 4096;  // of one stop string
  int64_t max_bad_words = 128;
  int64_t max_tools = 256;
  int64_t vocab = 0;             // token ids from here on are refused
  bool priority_scheduling = false;
  bool force_include_usage = false;  // --enable-force-include-usage
  GenerationDefaults defaults;
};

}  // namespace ingot::server
