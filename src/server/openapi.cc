// SPDX-License-Identifier: Apache-2.0
#include "server/openapi.h"

#include <array>
#include <nlohmann/json.hpp>
#include <span>
#include <string_view>

#include "server/openapi_answers.h"
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
    {"stop_token_ids", R"({"type": ["array", "null"], "items": {"$ref": "#/components/schemas/TokenId"}})"},
    {"allowed_token_ids",
     R"({"type": ["array", "null"], "minItems": 1, "items": {"$ref": "#/components/schemas/TokenId"}})"},
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
     R"({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}, {"type": "array", "items": {"$ref": "#/components/schemas/TokenId"}},
         {"type": "array", "items": {"type": "array", "items": {"$ref": "#/components/schemas/TokenId"}}}]})"},
    {"logprobs", R"({"type": ["integer", "null"], "minimum": -1})"},
    {"suffix", R"({"type": ["string", "null"]})"},
};

constexpr Field kTokenizeFields[] = {
    {"model", R"({"type": ["string", "null"]})"},
    {"add_special_tokens", R"({"type": ["boolean", "null"]})"},
    {"return_token_strs", R"({"type": ["boolean", "null"]})"},
};
constexpr Field kTokenizeText[] = {
    {"prompt!", R"({"type": "string"})"},
    {"messages", R"({"type": "null"})"},
};

constexpr Field kDetokenizeFields[] = {
    {"model", R"({"type": ["string", "null"]})"},
    {"tokens!", R"({"type": "array", "items": {"$ref": "#/components/schemas/TokenId"}})"},
};

struct Endpoint {
  const char *method, *path, *summary;
  const char* schema;  // of the body; nullptr: none
  const char* answer;  // schema of the answer; nullptr: an empty body; "text": no JSON
};

constexpr Endpoint kEndpoints[] = {
    {"post", "/v1/chat/completions", "Answer a conversation", "ChatCompletionRequest", "ChatCompletion"},
    {"post", "/v1/completions", "Continue a text", "CompletionRequest", "Completion"},
    {"post", "/invocations", "The endpoint that the body is for", "InvocationRequest", "Invocation"},
    {"get", "/v1/models", "The served model under its names", nullptr, "Models"},
    {"post", "/tokenize", "Text or a conversation as token ids", "TokenizeRequest", "Tokens"},
    {"post", "/detokenize", "Token ids as text", "DetokenizeRequest", "Text"},
    {"get", "/health", "200 while the engine is alive, else 503", nullptr, nullptr},
    {"get", "/ping", "As /health", nullptr, nullptr},
    {"post", "/ping", "As /health", nullptr, nullptr},
    {"get", "/version", "Version of this program", nullptr, "Version"},
    {"get", "/load", "Generations under way", nullptr, "Load"},
    {"get", "/metrics", "Figures for Prometheus", nullptr, "text"},
    {"get", "/tokenizer_info", "Configuration of the tokenizer", nullptr, "TokenizerInfo"},
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

Json ObjectOf(std::initializer_list<std::span<const Field>> parts) {
  Json schema = {{"type", "object"}, {"properties", Json::object()}};
  for (const std::span<const Field> fields : parts) Add(fields, &schema);
  return schema;
}

Json Reference(const std::string& name) {
  return {{"$ref", "#/components/schemas/" + name}};
}

Json Schemas(int64_t vocab) {
  Json schemas = AnswerSchemas();
  const std::span messages(&kMessages, 1);
  schemas["TokenId"] = {{"type", "integer"}, {"minimum", 0}};
  if (vocab > 0) schemas["TokenId"]["maximum"] = vocab - 1;
  schemas["ChatCompletionRequest"] =
      ObjectOf({messages, kChatFields, kCommonFields, kTemplateFields});
  schemas["CompletionRequest"] = ObjectOf({kCompletionFields, kCommonFields});
  schemas["InvocationRequest"] = {
      {"anyOf", {Reference("ChatCompletionRequest"), Reference("CompletionRequest")}}};
  schemas["Invocation"] = {{"anyOf", {Reference("ChatCompletion"), Reference("Completion")}}};
  schemas["TokenizeRequest"] = {
      {"anyOf",
       {ObjectOf({kTokenizeText, kTokenizeFields}),
        ObjectOf({messages, kTokenizeFields, kTemplateFields})}}};
  schemas["DetokenizeRequest"] = ObjectOf({kDetokenizeFields});
  return schemas;
}

Json Described(const char* text, const char* media_type, Json schema) {
  return {{"description", text}, {"content", {{media_type, {{"schema", std::move(schema)}}}}}};
}

// One event of a stream: a piece of the answer, an error, or the end.
Json EventOf(const std::string& answer) {
  Json pieces = Json::array({Reference("ErrorResponse")});
  for (const char* kind : {"ChatCompletion", "Completion"}) {
    if (answer == kind || answer == "Invocation") {
      pieces.push_back(Reference(std::string(kind) + "Chunk"));
    }
  }
  const Json json = {{"type", "string"},
                     {"contentMediaType", "application/json"},
                     {"contentSchema", {{"anyOf", std::move(pieces)}}}};
  return {{"type", "object"},
          {"required", {"data"}},
          {"properties", {{"data", {{"anyOf", Json::array({Reference("Done"), json})}}}}}};
}

Json SuccessOf(const Endpoint& endpoint) {
  if (endpoint.answer == nullptr) return {{"description", "Success"}};
  const std::string_view answer = endpoint.answer;
  if (answer == "text") return Described("Success", "text/plain", {{"type", "string"}});
  Json success = Described("Success", "application/json", Reference(std::string(answer)));
  if (answer == "ChatCompletion" || answer == "Completion" || answer == "Invocation") {
    success["content"]["text/event-stream"] = {{"schema", EventOf(std::string(answer))}};
  }
  return success;
}

Json Operation(const Endpoint& endpoint) {
  Json operation = {{"summary", endpoint.summary}};
  Json responses = {{"200", SuccessOf(endpoint)}};
  if (std::string_view(endpoint.path).starts_with("/v1")) {
    responses["401"] =
        Described("A key is needed", "application/json", Reference("Unauthorized"));
  }
  if (std::string_view(endpoint.summary).find("/health") != std::string_view::npos ||
      std::string_view(endpoint.path) == "/health") {
    responses["503"] = {{"description", "The engine is dead"}};
  }
  if (endpoint.schema != nullptr) {
    operation["requestBody"] = {
        {"required", true},
        {"content", {{"application/json", {{"schema", Reference(endpoint.schema)}}}}}};
    constexpr std::pair<const char*, const char*> kErrors[] = {
        {"400", "The request cannot be served as it stands"},
        {"404", "Unknown model"},
        {"408", "The body did not come in time"},
        {"413", "The body is too large"},
        {"415", "The body is encoded"},
        {"429", "The queue is full"},
        {"500", "The engine has failed"},
        {"501", "Not supported"},
        {"503", "Shutting down, or a resource is missing"}};
    for (const auto& [code, text] : kErrors) {
      responses[code] = Described(text, "application/json", Reference("ErrorResponse"));
    }
  }
  operation["responses"] = std::move(responses);
  return operation;
}

bool Served(const Endpoint& endpoint, bool tokenizer_info) {
  return tokenizer_info || std::string_view(endpoint.path) != "/tokenizer_info";
}

}  // namespace

std::string OpenApiJson(const OpenApiFacts& facts) {
  Json paths = Json::object();
  for (const Endpoint& endpoint : kEndpoints) {
    if (Served(endpoint, facts.tokenizer_info)) paths[endpoint.path][endpoint.method] = Operation(endpoint);
  }
  const Json document = {
      {"openapi", "3.1.0"},
      {"info", {{"title", "ingot, OpenAI-compatible server"}, {"version", facts.version}}},
      {"paths", std::move(paths)},
      {"components", {{"schemas", Schemas(facts.vocab)}}}};
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

std::string DocsPage(const OpenApiFacts& facts) {
  std::string page =
      "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
      "content=\"width=device-width\"><title>ingot: endpoints</title><style>body{font:1rem/1.5 "
      "sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem}code{font-family:monospace}"
      "td{padding:0 1.5rem 0 0;vertical-align:top}</style></head><body><h1>Endpoints</h1><p>ingot " +
      facts.version + ". For machines: <a href=\"openapi.json\">openapi.json</a>.</p><table>";
  for (const Endpoint& endpoint : kEndpoints) {
    if (!Served(endpoint, facts.tokenizer_info)) continue;
    page += std::string("<tr><td><code>") + (endpoint.method == std::string_view("post") ? "POST " : "GET ") +
            endpoint.path + "</code></td><td>" + endpoint.summary + "</td></tr>";
  }
  page += "</table>";
  const Json schemas = Schemas(facts.vocab);
  for (const auto& [name, schema] : schemas.items()) {
    if (!name.ends_with("Request") || !schema.contains("properties")) continue;
    page += "<h2>" + name + "</h2><table>";
    for (const auto& [field, value] : schema["properties"].items()) {
      page += "<tr><td><code>" + field + "</code></td><td>" + TypesOf(value) + "</td></tr>";
    }
    page += "</table>";
  }
  return page + "</body></html>\n";
}

}  // namespace ingot::server
