// SPDX-License-Identifier: Apache-2.0
// Shapes: response_json.cc, chat_writer.cc and completion_writer.cc; tests/clients/schema_fuzz.py holds the
// answers against them.
#include "server/openapi_answers.h"

#include <nlohmann/json.hpp>

namespace ingot::server {
namespace {

constexpr char kShared[] = R"({
  "ErrorResponse": {"type": "object", "required": ["error"],
    "properties": {"error": {"type": "object",
    "required": ["message", "type", "param", "code"], "additionalProperties": false, "properties": {
      "message": {"type": "string", "minLength": 1}, "type": {"type": "string", "minLength": 1},
      "param": {"type": ["string", "null"]}, "code": {"type": "integer", "minimum": 400,
        "maximum": 599}}}}},
  "Unauthorized": {"type": "object", "required": ["error"],
    "properties": {"error": {"type": "string"}}},
  "Usage": {"type": "object", "required": ["prompt_tokens", "completion_tokens", "total_tokens"],
    "properties": {
    "prompt_tokens": {"type": "integer", "minimum": 0}, "completion_tokens": {"type": "integer",
      "minimum": 0},
    "total_tokens": {"type": "integer", "minimum": 0},
      "prompt_tokens_details": {"anyOf": [{"type": "null"},
      {"type": "object", "properties": {"cached_tokens": {"type": "integer", "minimum": 0}}}]}}},
  "Done": {"const": "[DONE]"},
  "TokenIds": {"type": ["array", "null"], "items": {"type": "integer", "minimum": 0}},
  "FinishReason": {"enum": ["stop", "length", "tool_calls", "abort", "error"]},
  "StopReason": {"type": ["integer", "string", "null"]},
  "PromptLogprobs": {"type": ["array", "null"], "items": {"type": ["object", "null"],
    "additionalProperties": {"type": "object",
    "required": ["logprob", "rank", "decoded_token"], "properties": {"logprob": {"type": "number",
      "maximum": 0},
      "rank": {"type": "integer", "minimum": 1}, "decoded_token": {"type": "string"}}}}}
})";

constexpr char kChat[] = R"({
  "TokenLogprob": {"type": "object", "required": ["token", "logprob", "bytes"],
    "properties": {"token": {"type": "string"},
    "logprob": {"type": "number", "maximum": 0}, "bytes": {"type": "array",
      "items": {"type": "integer", "minimum": 0, "maximum": 255}}}},
  "ChatLogprobs": {"type": ["object", "null"], "required": ["content"],
    "properties": {"content": {"type": "array", "items": {
    "allOf": [{"$ref": "#/components/schemas/TokenLogprob"}], "required": ["top_logprobs"],
      "properties": {
      "top_logprobs": {"type": "array", "items": {"$ref": "#/components/schemas/TokenLogprob"}}}}}}},
  "ToolCall": {"type": "object", "required": ["id", "type", "function"],
    "properties": {"id": {"type": "string"},
    "type": {"const": "function"}, "function": {"type": "object", "required": ["name", "arguments"],
      "properties": {"name": {"type": "string"}, "arguments": {"type": "string"}}}}},
  "ChatCompletion": {"type": "object", "required": ["id", "object", "created", "model", "choices",
    "usage"], "properties": {
    "id": {"type": "string"}, "object": {"const": "chat.completion"},
      "created": {"type": "integer"}, "model": {"type": "string"},
    "choices": {"type": "array", "minItems": 1, "items": {"type": "object", "required": ["index",
      "message", "logprobs", "finish_reason"],
      "properties": {"index": {"type": "integer", "minimum": 0},
        "message": {"type": "object", "required": ["role", "content", "tool_calls"],
          "properties": {"role": {"type": "string"},
          "content": {"type": ["string", "null"]}, "reasoning_content": {"type": ["string",
            "null"]},
          "tool_calls": {"type": "array", "items": {"$ref": "#/components/schemas/ToolCall"}}}},
        "logprobs": {"$ref": "#/components/schemas/ChatLogprobs"},
          "finish_reason": {"$ref": "#/components/schemas/FinishReason"},
        "stop_reason": {"$ref": "#/components/schemas/StopReason"},
        "ingot_warning": {"type": "string"},
          "token_ids": {"$ref": "#/components/schemas/TokenIds"}}}},
    "usage": {"$ref": "#/components/schemas/Usage"},
      "prompt_logprobs": {"$ref": "#/components/schemas/PromptLogprobs"},
    "prompt_token_ids": {"$ref": "#/components/schemas/TokenIds"}}},
  "ChatCompletionChunk": {"type": "object", "required": ["id", "object", "created", "model",
    "choices"], "properties": {
    "id": {"type": "string"}, "object": {"const": "chat.completion.chunk"},
      "created": {"type": "integer"}, "model": {"type": "string"},
    "choices": {"type": "array", "items": {"type": "object", "required": ["index", "delta",
      "logprobs", "finish_reason"], "properties": {
      "index": {"type": "integer", "minimum": 0},
      "delta": {"type": "object", "properties": {"role": {"type": "string"},
        "content": {"type": "string"},
        "reasoning_content": {"type": "string"}, "tool_calls": {"type": "array",
          "items": {"type": "object", "required": ["index", "function"],
          "properties": {"index": {"type": "integer", "minimum": 0}, "id": {"type": "string"},
            "type": {"const": "function"},
            "function": {"type": "object", "properties": {"name": {"type": "string"},
              "arguments": {"type": "string"}}}}}}}},
      "logprobs": {"$ref": "#/components/schemas/ChatLogprobs"},
      "finish_reason": {"anyOf": [{"type": "null"}, {"$ref": "#/components/schemas/FinishReason"}]},
      "stop_reason": {"$ref": "#/components/schemas/StopReason"},
        "ingot_warning": {"type": "string"},
        "token_ids": {"$ref": "#/components/schemas/TokenIds"}}}},
    "usage": {"anyOf": [{"type": "null"}, {"$ref": "#/components/schemas/Usage"}]}}}
})";

constexpr char kCompletion[] = R"({
  "CompletionLogprobs": {"type": ["object", "null"], "required": ["text_offset", "token_logprobs",
    "tokens", "top_logprobs"],
    "properties": {"text_offset": {"type": "array", "items": {"type": "integer", "minimum": 0}},
      "token_logprobs": {"type": "array", "items": {"type": ["number", "null"], "maximum": 0}},
      "tokens": {"type": "array", "items": {"type": "string"}},
      "top_logprobs": {"type": "array", "items": {"type": ["object", "null"],
        "additionalProperties": {"type": "number", "maximum": 0}}}}},
  "Completion": {"type": "object", "required": ["id", "object", "created", "model", "choices",
    "usage"], "properties": {
    "id": {"type": "string"}, "object": {"const": "text_completion"},
      "created": {"type": "integer"}, "model": {"type": "string"},
    "choices": {"type": "array", "minItems": 1, "items": {"type": "object", "required": ["index",
      "text", "logprobs", "finish_reason"],
      "properties": {"index": {"type": "integer", "minimum": 0}, "text": {"type": "string"},
        "logprobs": {"$ref": "#/components/schemas/CompletionLogprobs"},
          "finish_reason": {"$ref": "#/components/schemas/FinishReason"},
        "stop_reason": {"$ref": "#/components/schemas/StopReason"},
        "ingot_warning": {"type": "string"},
          "token_ids": {"$ref": "#/components/schemas/TokenIds"},
        "prompt_logprobs": {"$ref": "#/components/schemas/PromptLogprobs"},
        "prompt_token_ids": {"$ref": "#/components/schemas/TokenIds"}}}},
    "usage": {"$ref": "#/components/schemas/Usage"}}},
  "CompletionChunk": {"type": "object", "required": ["id", "object", "created", "model",
    "choices"], "properties": {
    "id": {"type": "string"}, "object": {"const": "text_completion"},
      "created": {"type": "integer"}, "model": {"type": "string"},
    "choices": {"type": "array", "items": {"type": "object", "required": ["index", "text",
      "logprobs", "finish_reason"], "properties": {
      "index": {"type": "integer", "minimum": 0}, "text": {"type": "string"},
      "logprobs": {"$ref": "#/components/schemas/CompletionLogprobs"},
      "finish_reason": {"anyOf": [{"type": "null"}, {"$ref": "#/components/schemas/FinishReason"}]},
      "stop_reason": {"$ref": "#/components/schemas/StopReason"},
        "ingot_warning": {"type": "string"},
        "token_ids": {"$ref": "#/components/schemas/TokenIds"}}}},
    "usage": {"anyOf": [{"type": "null"}, {"$ref": "#/components/schemas/Usage"}]}}}
})";

constexpr char kSmall[] = R"({
  "Tokens": {"type": "object", "required": ["count", "max_model_len", "tokens", "token_strs"],
    "properties": {
    "count": {"type": "integer", "minimum": 0}, "max_model_len": {"type": "integer", "minimum": 1},
    "tokens": {"type": "array", "items": {"type": "integer", "minimum": 0}},
    "token_strs": {"type": ["array", "null"], "items": {"type": "string"}}}},
  "Text": {"type": "object", "required": ["prompt"], "properties": {"prompt": {"type": "string"}}},
  "Models": {"type": "object", "required": ["object", "data"],
    "properties": {"object": {"const": "list"},
    "data": {"type": "array", "minItems": 1, "items": {"type": "object", "required": ["id",
      "object", "created", "owned_by", "max_model_len"],
      "properties": {"id": {"type": "string"}, "object": {"const": "model"},
        "created": {"type": "integer"}, "owned_by": {"type": "string"},
        "max_model_len": {"type": "integer", "minimum": 1}}}}}},
  "Version": {"type": "object", "required": ["version"],
    "properties": {"version": {"type": "string"}}},
  "Load": {"type": "object", "required": ["server_load"],
    "properties": {"server_load": {"type": "integer", "minimum": 0}}},
  "TokenizerInfo": {"type": "object", "required": ["tokenizer_class", "chat_template"]}
})";

}  // namespace

Json AnswerSchemas() {
  Json schemas = Json::parse(kShared);
  for (const char* more : {kChat, kCompletion, kSmall}) schemas.update(Json::parse(more));
  return schemas;
}

}  // namespace ingot::server
