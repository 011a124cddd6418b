// SPDX-License-Identifier: Apache-2.0
#include "server/structured_output.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "server/api_error.h"
#include "server/json_fields.h"

namespace ingot::server {
namespace {

using Kind = StructuredOutput::Kind;

// {"x-guidance": {...}} in a schema sets how llguidance writes it.
std::string WithWhitespace(const StructuredOutput& structured, std::string schema) {
  if (structured.any_whitespace && structured.whitespace_pattern.empty()) return schema;
  Json parsed = ParseObject(schema);
  Json& options = parsed["x-guidance"];
  if (!options.is_object()) options = Json::object();
  if (!structured.any_whitespace) options["whitespace_flexible"] = false;
  if (!structured.whitespace_pattern.empty()) {
    options["whitespace_pattern"] = structured.whitespace_pattern;
  }
  return parsed.dump();
}

// `text` as a regular expression that matches it and nothing else, inside of /.../.
std::string EscapeRegex(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\n') {
      out += "\\n";
    } else {
      if (std::string_view("\\.+*?()|[]{}^$/#&-~").find(c) != std::string_view::npos) out += '\\';
      out += c;
    }
  }
  return out;
}

struct Tag {
  std::string begin, end, schema;
};

std::vector<Tag> ReadTags(const Json& list) {
  std::vector<Tag> tags;
  if (!list.is_array() || list.empty() || list.size() > 256) {
    throw BadRequest("structural_tag", "structural_tag.structures: expected 1 to 256 structures.");
  }
  for (const Json& item : list) {
    Fields fields(item, "structural_tag.structures");
    Tag tag{.begin = fields.RequireString("begin"), .end = fields.RequireString("end")};
    tag.schema = fields.Has("schema") ? fields.Require("schema").dump() : R"({"type": "object"})";
    tags.push_back(std::move(tag));
  }
  return tags;
}

// Free text in which a trigger can only stand as the beginning of a structure:
//   start: (tag_0 | tag_1 ...)* tail       tag_i: text_up_to_trigger rest_of_begin schema end
GrammarText OfStructuralTag(const std::string& text) {
  const Json tag_json = ParseObject(text);
  Fields fields(tag_json, "structural_tag");
  const std::vector<Tag> tags = ReadTags(fields.Require("structures"));
  const std::vector<std::string> triggers = fields.Strings("triggers", /*or_one=*/false);
  if (triggers.empty() || triggers.size() > 64) {
    throw BadRequest("structural_tag", "structural_tag.triggers: expected 1 to 64 strings.");
  }
  std::string alternatives, rules, any;
  for (size_t i = 0; i < triggers.size(); ++i) {
    if (triggers[i].empty()) {
      throw BadRequest("structural_tag", "structural_tag.triggers: a trigger is empty.");
    }
    any += (i > 0 ? "|" : "") + EscapeRegex(triggers[i]);
    rules += fmt::format("trigger_{}[lazy]: /(.|\\n)*{}/\n", i, EscapeRegex(triggers[i]));
  }
  for (size_t i = 0; i < tags.size(); ++i) {
    size_t trigger = 0;
    while (trigger < triggers.size() && !tags[i].begin.starts_with(triggers[trigger])) ++trigger;
    if (trigger == triggers.size()) {
      throw BadRequest("structural_tag",
                       "structural_tag.structures[{}].begin starts with none of the triggers.", i);
    }
    const std::string rest = tags[i].begin.substr(triggers[trigger].size());
    rules += fmt::format("tag_{}: trigger_{}{}{} %json {} {}\n", i, trigger,
                         rest.empty() ? "" : " ", rest.empty() ? "" : Json(rest).dump(),
                         tags[i].schema, tags[i].end.empty() ? "" : Json(tags[i].end).dump());
    alternatives += fmt::format("{}tag_{}", i > 0 ? " | " : "", i);
  }
  return {GrammarKind::kLark,
          fmt::format("start: ({})* tail\n{}tail: TAIL\n"
                      "TAIL: /(.|\\n)*/ & ~/(.|\\n)*({})(.|\\n)*/\n",
                      alternatives, rules, any)};
}

class EngineMatcher : public GrammarMatcher {
 public:
  explicit EngineMatcher(std::unique_ptr<TokenMatcher> matcher) : matcher_(std::move(matcher)) {}
  std::unique_ptr<GrammarMatcher> Clone() const override {
    return std::make_unique<EngineMatcher>(matcher_->Clone());
  }
  void FillMask(std::span<uint32_t> mask) override { matcher_->FillMask(mask); }
  bool Accept(int32_t token) override { return matcher_->Accept(token); }
  bool IsFinished() const override { return matcher_->IsFinished(); }

 private:
  std::unique_ptr<TokenMatcher> matcher_;
};

Json ParametersOf(const ToolDefinition& tool) {
  Json parameters = tool.parameters_json.empty() ? Json::object()
                                                 : Json::parse(tool.parameters_json);
  if (parameters.empty()) parameters = {{"type", "object"}, {"properties", Json::object()}};
  return parameters;
}

}  // namespace

GrammarText ToGrammar(const StructuredOutput& structured) {
  switch (structured.kind) {
    case Kind::kJsonSchema:
      return {GrammarKind::kJsonSchema, WithWhitespace(structured, structured.text)};
    case Kind::kJsonObject:
      return {GrammarKind::kJsonSchema, WithWhitespace(structured, R"({"type": "object"})")};
    case Kind::kRegex:
      return {GrammarKind::kRegex, structured.text};
    case Kind::kChoice:
      return {GrammarKind::kLark, LarkOfChoices(structured.choices)};
    case Kind::kGrammar:
      return {GrammarKind::kLark, LarkOfEbnf(structured.text)};
    case Kind::kStructuralTag:
      return OfStructuralTag(structured.text);
    case Kind::kNone:
      break;
  }
  throw InternalError("no structured output was asked for");
}

std::string SchemaOfTools(std::span<const ToolDefinition> tools, const ToolChoice& choice,
                          bool parallel) {
  Json any = Json::array(), shared = Json::object();
  for (const ToolDefinition& tool : tools) {
    if (choice.kind == ToolChoice::Kind::kNamed) {
      if (tool.name == choice.name) return ParametersOf(tool).dump();
      continue;
    }
    // "$ref": "#/$defs/X" counts from the root of the whole schema, so definitions move there.
    Json parameters = ParametersOf(tool);
    if (const auto defs = parameters.find("$defs"); defs != parameters.end()) {
      for (const auto& [name, schema] : defs->items()) {
        if (shared.contains(name) && shared[name] != schema) {
          throw BadRequest("tools", "Tool definition '{}' has multiple schemas, which is not "
                           "supported.", name.substr(0, 64));
        }
        shared[name] = schema;
      }
      parameters.erase(defs);
    }
    any.push_back({{"type", "object"},
                   {"properties",
                    {{"name", {{"type", "string"}, {"enum", {tool.name}}}},
                     {"parameters", std::move(parameters)}}},
                   {"required", {"name", "parameters"}},
                   {"additionalProperties", false}});
  }
  Json schema = {{"type", "array"}, {"minItems", 1}, {"items", {{"anyOf", std::move(any)}}}};
  if (!parallel) schema["maxItems"] = 1;
  if (!shared.empty()) schema["$defs"] = std::move(shared);
  return schema.dump();
}

std::shared_ptr<const GrammarMatcher> CompileForEngine(GrammarCompiler& compiler,
                                                       const GrammarText& grammar) {
  try {
    return std::make_shared<EngineMatcher>(compiler.Compile(grammar.kind, grammar.text));
  } catch (const UserError& error) {
    throw BadRequest("", "{}", error.what());
  }
}

}  // namespace ingot::server
