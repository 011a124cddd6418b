// SPDX-License-Identifier: Apache-2.0
#include "server/openapi.h"

#include <array>
#include <nlohmann/json.hpp>
#include <span>
#include <string_view>

#include "server/response_json.h"

namespace ingot::server {
namespace {

// One field of a request: name and its schema as JSON. Required ones end with '!'.
struct Field {
  std::string_view name, schema;
};

constexpr Field kCommonFields[] = {
    {"model", R"({"type": ["string", "null"]})"},
    {"temperature", R"({"type": ["number", "null"], "minimum": 0, "maximum": 1000000})"},
    {"top_p", R"({"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 1})"},
    {"top_k", R"({"type": ["integer", "null"], "minimum": -1})"},
    {"min_p", R"({"type": ["number", "null"], "minimum": 0, "maximum": 1})"},
    {"presence_penalty", R"({"type": ["number", "null"], "minimum": -2, "maximum": 2})"},
    {"frequency_penalty", R"({"type": ["number", "null"], "minimum": -2, "maximum": 2})"},
    {"repetition_penalty", R"({"type": ["number", "null"], "exclusiveMinimum": 0})"},
    {"n", R"({"type": ["integer", "null"], "minimum": 1, "maximum": 128})"},
    {"best_of", R"({"type": ["integer", "null"], "minimum": 1})"},
    {"max_tokens", R"({"type": ["integer", "null"], "minimum": 1})"},
    {"min_tokens", R"({"type": "integer", "minimum": 0})"},
    {"seed", R"({"type": ["integer", "null"]})"},
    {"stop",
     R"({"anyOf": [{"type": "string", "minLength": 1}, {"type": "array", "items": {"type": "string", "minLength": 1}}, {"type": "null"}]})"},
    {"stop_token_ids", R"({"type": ["array", "null"], "items": {"type": "integer", "minimum": 0}})"},
    {"allowed_token_ids",
     R"({"type": ["array", "null"], "minItems": 1, "items": {"type": "integer", "minimum": 0}})"},
    {"bad_words", R"({"type": "array", "items": {"type": "string", "minLength": 1}})"},
    {"logit_bias", R"({"type": ["object", "null"], "additionalProperties": {"type": "number"}})"},
    {"include_stop_str_in_output", R"({"type": "boolean"})"},
    {"ignore_eos", R"({"type": "boolean"})"},
    {"skip_special_tokens", R"({"type": "boolean"})"},
    {"prompt_logprobs", R"({"type": ["integer", "null"], "minimum": -1})"},
    {"truncate_prompt_tokens", R"({"type": ["integer", "null"], "minimum": -1})"},
    {"stream", R"({"type": ["boolean", "null"]})"},
    {"stream_options",
     R"({"type": ["object", "null"], "properties": {"include_usage": {"type": "boolean"}, "continuous_usage_stats": {"type": "boolean"}}})"},
    {"response_format",
     R"({"type": ["object", "null"], "required": ["type"], "properties": {"type": {"enum": ["text", "json_object", "json_schema", "structural_tag"]}}})"},
    {"structured_outputs", R"({"type": ["object", "null"]})"},
    {"guided_json", R"({"type": ["object", "string", "null"]})"},
    {"guided_regex", R"({"type": ["string", "null"]})"},
    {"guided_choice", R"({"type": ["array", "null"], "items": {"type": "string"}})"},
    {"guided_grammar", R"({"type": ["string", "null"]})"},
    {"cache_salt", R"({"type": ["string", "null"], "minLength": 1})"},
    {"priority", R"({"type": "integer"})"},
    {"request_id", R"({"type": "string"})"},
    {"echo", R"({"type": ["boolean", "null"]})"},
    {"return_token_ids", R"({"type": ["boolean", "null"]})"},
    {"return_tokens_as_token_ids", R"({"type": ["boolean", "null"]})"},
};

constexpr Field kMessages = {
    "messages!",
    R"({"type": "array", "minItems": 1, "items": {"type": "object", "required": ["role", "content"],
        "properties": {"role": {"enum": ["system", "developer", "user", "assistant", "tool"]},
          "content": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}]}}}})"};

constexpr Field kTemplateFields[] = {
    {"add_generation_prompt", R"({"type": "boolean"})"},
    {"continue_final_message", R"({"type": "boolean"})"},
    {"add_special_tokens", R"({"type": "boolean"})"},
    {"documents", R"({"type": ["array", "null"], "items": {"type": "object"}})"},
    {"chat_template", R"({"type": ["string", "null"]})"},
    {"chat_template_kwargs", R"({"type": ["object", "null"]})"},
    {"mm_processor_kwargs", R"({"type": ["object", "null"]})"},
    {"tools", R"({"type": ["array", "null"], "items": {"type": "object"}})"},
};

constexpr Field kChatFields[] = {
    {"max_completion_tokens", R"({"type": ["integer", "null"], "minimum": 1})"},
    {"logprobs", R"({"type": ["boolean", "null"]})"},
    {"top_logprobs", R"({"type": ["integer", "null"], "minimum": -1})"},
    {"tool_choice", R"({"anyOf": [{"enum": ["none", "auto", "required"]}, {"type": "object"}, {"type": "null"}]})"},
    {"parallel_tool_calls", R"({"type": ["boolean", "null"]})"},
    {"include_reasoning", R"({"type": "boolean"})"},
    {"reasoning_effort", R"({"enum": ["low", "medium", "high", null]})"},
};

constexpr Field kCompletionFields[] = {
    {"prompt!",
     R"({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}, {"type": "array", "items": {"type": "integer", "minimum": 0}},
         {"type": "array", "items": {"type": "array", "items": {"type": "integer", "minimum": 0}}}]})"},
    {"logprobs", R"({"type": ["integer", "null"], "minimum": -1})"},
    {"suffix", R"({"type": ["string", "null"]})"},
};

constexpr Field kTokenizeFields[] = {
    {"model", R"({"type": ["string", "null"]})"},
    {"prompt", R"({"type": "string"})"},
    {"messages", R"({"type": "array", "minItems": 1, "items": {"type": "object"}})"},
    {"add_special_tokens", R"({"type": "boolean"})"},
    {"return_token_strs", R"({"type": ["boolean", "null"]})"},
    {"add_generation_prompt", R"({"type": "boolean"})"},
    {"continue_final_message", R"({"type": "boolean"})"},
};

constexpr Field kDetokenizeFields[] = {
    {"model", R"({"type": ["string", "null"]})"},
    {"tokens!", R"({"type": "array", "items": {"type": "integer", "minimum": 0}})"},
};

struct Endpoint {
  const char *method, *path, *summary;
  const char* schema;  // of the body; nullptr: none
};

constexpr Endpoint kEndpoints[] = {
    {"post", "/v1/chat/completions", "Answer a conversation", "ChatCompletionRequest"},
    {"post", "/v1/completions", "Continue a text", "CompletionRequest"},
    {"post", "/invocations", "The endpoint that the body is for", "InvocationRequest"},
    {"get", "/v1/models", "The served model under its names", nullptr},
    {"post", "/tokenize", "Text or a conversation as token ids", "TokenizeRequest"},
    {"post", "/detokenize", "Token ids as text", "DetokenizeRequest"},
    {"get", "/health", "200 while the engine is alive, else 503", nullptr},
    {"get", "/ping", "As /health", nullptr},
    {"get", "/version", "Version of this program", nullptr},
    {"get", "/load", "Generations under way", nullptr},
    {"get", "/metrics", "Figures for Prometheus", nullptr},
    {"get", "/tokenizer_info", "Configuration of the tokenizer", nullptr},
};

void Add(std::span<const Field> fields, Json* schema) {
  for (const Field& field : fields) {
    std::string name(field.name);
    if (name.ends_with('!')) {
      name.pop_back();
      (*schema)["required"].push_back(name);
    }
    (*schema)["properties"][name] = Json::parse(field.schema);
  }
}

Json Schemas() {
  const Json object = {{"type", "object"}, {"properties", Json::object()}};
  Json chat = object, completion = object, tokenize = object, detokenize = object;
  Add(std::span(&kMessages, 1), &chat);
  Add(kChatFields, &chat);
  Add(kCommonFields, &chat);
  Add(kTemplateFields, &chat);
  Add(kCompletionFields, &completion);
  Add(kCommonFields, &completion);
  Add(kTokenizeFields, &tokenize);
  Add(kDetokenizeFields, &detokenize);
  const Json error = Json::parse(R"({"type": "object", "required": ["error"], "properties": {"error":
      {"type": "object", "required": ["message", "type", "param", "code"], "properties": {"message": {"type": "string"},
       "type": {"type": "string"}, "param": {"type": ["string", "null"]}, "code": {"type": "integer"}}}}})");
  return {{"ChatCompletionRequest", std::move(chat)},
          {"CompletionRequest", std::move(completion)},
          {"InvocationRequest", {{"type", "object"}}},
          {"TokenizeRequest", std::move(tokenize)},
          {"DetokenizeRequest", std::move(detokenize)},
          {"ErrorResponse", error}};
}

Json Operation(const Endpoint& endpoint) {
  const auto reference = [](const char* name) {
    return Json{{"$ref", std::string("#/components/schemas/") + name}};
  };
  const auto json_content = [](Json schema) {
    return Json{{"application/json", {{"schema", std::move(schema)}}}};
  };
  Json operation = {{"summary", endpoint.summary}};
  Json responses = {{"200", {{"description", "Success"}}}};
  if (endpoint.schema != nullptr) {
    operation["requestBody"] = {{"required", true},
                                {"content", json_content(reference(endpoint.schema))}};
    const std::pair<const char*, const char*> errors[] = {
        {"400", "The request cannot be served as it stands"},
        {"404", "Unknown model"},
        {"413", "The body is too large"},
        {"429", "The queue is full"},
        {"501", "Not supported"},
        {"503", "Shutting down, or a resource is missing"}};
    for (const auto& [code, text] : errors) {
      responses[code] = {{"description", text},
                         {"content", json_content(reference("ErrorResponse"))}};
    }
  }
  operation["responses"] = std::move(responses);
  return operation;
}

bool Served(const Endpoint& endpoint, bool tokenizer_info) {
  return tokenizer_info || std::string_view(endpoint.path) != "/tokenizer_info";
}

}  // namespace

std::string OpenApiJson(const std::string& version, bool tokenizer_info) {
  Json paths = Json::object();
  for (const Endpoint& endpoint : kEndpoints) {
    if (Served(endpoint, tokenizer_info)) paths[endpoint.path][endpoint.method] = Operation(endpoint);
  }
  const Json document = {
      {"openapi", "3.1.0"},
      {"info", {{"title", "ingot, OpenAI-compatible server"}, {"version", version}}},
      {"paths", std::move(paths)},
      {"components", {{"schemas", Schemas()}}}};
  return Dump(document);
}

namespace {

// What a person wants to read of a field's schema: its types.
std::string TypesOf(const Json& schema) {
  if (const auto type = schema.find("type"); type != schema.end()) {
    if (type->is_string()) return type->get<std::string>();
    std::string names;
    for (const Json& name : *type) {
      if (name != "null") names += (names.empty() ? "" : " or ") + name.get<std::string>();
    }
    return names;
  }
  if (const auto values = schema.find("enum"); values != schema.end()) {
    std::string names;
    for (const Json& value : *values) {
      if (value.is_string()) names += (names.empty() ? "" : ", ") + value.get<std::string>();
    }
    return names;
  }
  std::string names;
  for (const Json& option : schema.value("anyOf", Json::array())) {
    const std::string name = TypesOf(option);
    if (!name.empty() && name != "null") names += (names.empty() ? "" : " or ") + name;
  }
  return names;
}

}  // namespace

std::string DocsPage(const std::string& version, bool tokenizer_info) {
  std::string page =
      "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
      "content=\"width=device-width\"><title>ingot: endpoints</title><style>body{font:1rem/1.5 "
      "sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem}code{font-family:monospace}"
      "td{padding:0 1.5rem 0 0;vertical-align:top}</style></head><body><h1>Endpoints</h1><p>ingot " +
      version + ". For machines: <a href=\"openapi.json\">openapi.json</a>.</p><table>";
  for (const Endpoint& endpoint : kEndpoints) {
    if (!Served(endpoint, tokenizer_info)) continue;
    page += std::string("<tr><td><code>") + (endpoint.schema != nullptr ? "POST " : "GET ") +
            endpoint.path + "</code></td><td>" + endpoint.summary + "</td></tr>";
  }
  page += "</table>";
  const Json schemas = Schemas();
  for (const auto& [name, schema] : schemas.items()) {
    if (!schema.contains("properties") || schema["properties"].empty()) continue;
    page += "<h2>" + name + "</h2><table>";
    for (const auto& [field, value] : schema["properties"].items()) {
      page += "<tr><td><code>" + field + "</code></td><td>" + TypesOf(value) + "</td></tr>";
    }
    page += "</table>";
  }
  return page + "</body></html>\n";
}

}  // namespace ingot::server
