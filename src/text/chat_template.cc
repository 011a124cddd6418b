// SPDX-License-Identifier: Apache-2.0
#include "text/chat_template.h"

#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <system_error>

#include "base/error.h"
#include "base/files.h"
#include "text/rust_border.h"

namespace ingot {

using nlohmann::json;
using text_internal::Collector;
using text_internal::RequireOk;
using text_internal::ToText;

namespace text_internal {

IngotTemplate* RawHandle(const TemplateHandle* handle) {
  return const_cast<IngotTemplate*>(reinterpret_cast<const IngotTemplate*>(handle));
}

void TemplateDeleter::operator()(TemplateHandle* handle) const {
  ingot_template_free(RawHandle(handle));
}

}  // namespace text_internal

namespace {

constexpr uint64_t kMaxConfigBytes = 16u << 20;  // tokenizer_config.json

bool Exists(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

json ParseFile(const std::filesystem::path& path, uint64_t limit) {
  json parsed = json::parse(ReadFile(path, limit), nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_object()) {
    throw FormatError(
        "{}: expected a JSON object. Copy the file from the original model folder again",
        path.string());
  }
  return parsed;
}

struct Sources {
  std::string file;
  std::string main;
  std::string with_tools;  // "" when `main` serves for tools as well
};

// The chat_template field: a string, or a list of {"name", "template"} of which "default" and
// "tool_use" matter. Source: huggingface/transformers: src/transformers/tokenization_utils_base.py
// (get_chat_template).
std::optional<Sources> FromField(const std::filesystem::path& path, const json& config) {
  const auto field = config.find("chat_template");
  if (field == config.end() || field->is_null()) return std::nullopt;
  Sources sources{.file = path.string(), .main = "", .with_tools = ""};
  if (field->is_string()) {
    sources.main = field->get<std::string>();
    return sources;
  }
  if (field->is_array()) {
    for (const json& entry : *field) {
      if (!entry.is_object() || !entry.value("name", json()).is_string() ||
          !entry.value("template", json()).is_string()) {
        throw FormatError(
            "{}: chat_template: an entry of the list is not {{\"name\", \"template\"}}",
            path.string());
      }
      const std::string name = entry["name"];
      if (name == "default") sources.main = entry["template"];
      if (name == "tool_use") sources.with_tools = entry["template"];
    }
    if (!sources.main.empty()) return sources;
    throw FormatError("{}: chat_template: the list has no entry named \"default\"", path.string());
  }
  throw FormatError("{}: chat_template is a {}, expected a string", path.string(),
                    field->type_name());
}

Sources FindSources(const std::filesystem::path& dir) {
  const std::filesystem::path jinja = dir / "chat_template.jinja";
  if (Exists(jinja)) {
    return {.file = jinja.string(),
            .main = ReadFile(jinja, ChatTemplate::kMaxTemplateBytes),
            .with_tools = ""};
  }
  constexpr std::array<const char*, 2> kFiles = {"chat_template.json", "tokenizer_config.json"};
  for (const char* name : kFiles) {
    if (!Exists(dir / name)) continue;
    if (std::optional<Sources> found =
            FromField(dir / name, ParseFile(dir / name, kMaxConfigBytes)))
      return *found;
  }
  throw UserError(
      "{}: no chat template (looked for chat_template.jinja, chat_template.json and chat_template "
      "in "
      "tokenizer_config.json). Copy chat_template.json from the original model folder",
      dir.string());
}

// bos_token and its kind as template variables: strings, or objects with "content".
std::string SpecialTokens(const std::filesystem::path& dir) {
  if (!Exists(dir / "tokenizer_config.json")) return "{}";
  const json config = ParseFile(dir / "tokenizer_config.json", kMaxConfigBytes);
  json tokens = json::object();
  for (const char* name : {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token",
                           "cls_token", "mask_token"}) {
    const auto field = config.find(name);
    if (field == config.end()) continue;
    if (field->is_string()) {
      tokens[name] = *field;
    } else if (field->is_object() && field->contains("content") &&
               (*field)["content"].is_string()) {
      tokens[name] = (*field)["content"];
    }
  }
  return tokens.dump();
}

// The parts of `text` as segments: `ranges` are the untrusted ones.
std::vector<TextSegment> ToSegments(const std::string& text, const std::vector<uint64_t>& ranges) {
  std::vector<TextSegment> segments;
  size_t at = 0;
  const auto add = [&](size_t end, bool trusted) {
    if (end > at) segments.push_back({text.substr(at, end - at), trusted});
    at = end;
  };
  for (size_t i = 0; i + 1 < ranges.size(); i += 2) {
    add(ranges[i], true);
    add(ranges[i + 1], false);
  }
  add(text.size(), true);
  return segments;
}

}  // namespace

ChatTemplate::ChatTemplate(const std::filesystem::path& dir, const Tokenizer& tokenizer) {
  Sources sources = FindSources(dir);
  name_ = std::move(sources.file);
  source_ = std::move(sources.main);
  special_tokens_json_ = SpecialTokens(dir);
  handle_ = Compile(name_, source_, tokenizer);
  if (!sources.with_tools.empty()) tool_handle_ = Compile(name_, sources.with_tools, tokenizer);
}

ChatTemplate::ChatTemplate(std::string name, std::string source, const Tokenizer& tokenizer)
    : name_(std::move(name)),
      source_(std::move(source)),
      handle_(Compile(name_, source_, tokenizer)) {}

ChatTemplate::ChatTemplate(std::string name, std::string source, const Tokenizer& tokenizer,
                           const ChatTemplate& like)
    : ChatTemplate(std::move(name), std::move(source), tokenizer) {
  special_tokens_json_ = like.special_tokens_json_;
}

ChatTemplate::Handle ChatTemplate::Compile(const std::string& name, const std::string& source,
                                           const Tokenizer& tokenizer) {
  if (source.size() > kMaxTemplateBytes) {
    throw FormatError("{}: the chat template has {}, more than the limit of {}", name,
                      HumanBytes(source.size()), HumanBytes(kMaxTemplateBytes));
  }
  IngotTemplate* raw = nullptr;
  Collector result;
  const IngotTokenizer* control = text_internal::RawHandle(tokenizer.handle_.get());
  RequireOk(ingot_template_new(ToText(source), control, kFuel, &raw, result.output()), result, name,
            "Copy the chat template from the original model folder again");
  return Handle(reinterpret_cast<text_internal::TemplateHandle*>(raw));
}

RenderResult ChatTemplate::Render(std::string_view messages_json,
                                  const RenderOptions& options) const {
  const size_t total = messages_json.size() + options.tools_json.size() +
                       options.extra_json.size() + options.documents_json.size();
  if (total > kMaxMessagesBytes) {
    throw UserError("the conversation has {}, more than the limit of {}. Shorten it",
                    HumanBytes(total), HumanBytes(kMaxMessagesBytes));
  }
  std::vector<IngotVariable> variables;
  const auto add = [&](std::string_view name, std::string_view json_text, bool trusted) {
    variables.push_back({ToText(name), ToText(json_text), trusted ? 1 : 0});
  };
  const bool tools = !options.tools_json.empty();
  add("messages", messages_json, false);
  add("tools", tools ? std::string_view(options.tools_json) : "null", false);
  const bool documents = !options.documents_json.empty();
  add("documents", documents ? std::string_view(options.documents_json) : "null", !documents);
  add("add_generation_prompt", options.add_generation_prompt ? "true" : "false", true);
  if (options.add_vision_id) add("add_vision_id", "true", true);
  if (!options.extra_json.empty()) add("", options.extra_json, false);
  add("", special_tokens_json_, true);
  const auto* handle = (tools && tool_handle_ ? tool_handle_ : handle_).get();
  Collector result;
  RequireOk(ingot_template_render(text_internal::RawHandle(handle), variables.data(),
                                  variables.size(), options.protect ? 1 : 0, result.output()),
            result, name_, "");
  RenderResult rendered{.text = std::move(result.bytes), .segments = {}};
  rendered.segments = ToSegments(rendered.text, result.ranges);
  return rendered;
}

}  // namespace ingot
