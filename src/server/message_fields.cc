// SPDX-License-Identifier: Apache-2.0
// Source of the rules: vllm-project/vllm: vllm/entrypoints/chat_utils.py and
// vllm/entrypoints/openai/protocol.py, 0.11.
#include "server/message_fields.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "server/api_error.h"

namespace ingot::server {
namespace {

constexpr size_t kMaxMessages = 4096;
constexpr size_t kMaxParts = 4096;   // of one message
constexpr size_t kMaxFrames = 768;   // of one video given as pictures

// {"image_url": {"url", "detail"}} or {"image_url": "..."}.
std::string ReadUrl(Fields& part, const char* name) {
  const Json& value = part.Require(name);
  if (value.is_string()) return value.get<std::string>();
  Fields object(value, part.Path(name));
  object.String("detail");
  return object.RequireString("url");
}

MediaPart ReadFrames(Fields& part) {
  MediaPart frames;
  frames.kind = MediaPart::Kind::kFrames;
  frames.frames = part.Strings("video", /*or_one=*/false);
  frames.fps = part.Number("fps", 2.0);
  if (frames.frames.empty() || frames.frames.size() > kMaxFrames) {
    throw BadField(part.Path("video"), "{}: a video of pictures has 1 to {} of them, found {}.",
                   part.Path("video"), kMaxFrames, frames.frames.size());
  }
  if (!(frames.fps > 0) || frames.fps > 1000) {
    throw BadField(part.Path("fps"), "{}: expected frames per second above 0.", part.Path("fps"));
  }
  return frames;
}

MediaPart TextPart(std::string text) {
  MediaPart part;
  part.text = std::move(text);
  return part;
}

// One element of a content list. An absent type is guessed from the fields, as the reference does.
MediaPart ReadPart(const Json& value, const std::string& path) {
  if (value.is_string()) return TextPart(value.get<std::string>());
  Fields part(value, path);
  std::string type = part.String("type", "");
  for (const char* guess : {"image_url", "video_url", "text"}) {
    if (type.empty() && part.Has(guess)) type = guess;
  }
  // Identity of a picture is its content; a client's name for it changes nothing.
  part.String("uuid");
  MediaPart result;
  if (type == "text" || type == "input_text" || type == "refusal") {
    return TextPart(part.RequireString(type == "refusal" ? "refusal" : "text"));
  }
  if (type == "image_url" || type == "input_image") {
    result.kind = MediaPart::Kind::kImage;
    result.url = ReadUrl(part, "image_url");
    return result;
  }
  if (type == "video_url") {
    result.kind = MediaPart::Kind::kVideo;
    result.url = ReadUrl(part, "video_url");
    return result;
  }
  if (type == "video") return ReadFrames(part);
  for (const char* known : {"audio_url", "input_audio", "image_embeds", "image_pil"}) {
    if (type == known) {
      throw BadRequest(path, "{}: parts of type {} are not supported by this model.", path, type);
    }
  }
  throw BadField(path, "{}: unknown part type; expected text, image_url, video_url or video.",
                 path);
}

std::vector<MediaPart> ReadContent(Fields& message) {
  const Json* content = message.Find("content");
  if (content == nullptr) return {};
  if (content->is_string()) return {TextPart(content->get<std::string>())};
  if (!content->is_array()) {
    throw BadField(message.Path("content"), "{}: expected a string or a list of parts.",
                   message.Path("content"));
  }
  if (content->size() > kMaxParts) {
    throw BadField(message.Path("content"), "{}: more than {} parts.", message.Path("content"),
                   kMaxParts);
  }
  std::vector<MediaPart> parts;
  for (size_t i = 0; i < content->size(); ++i) {
    parts.push_back(ReadPart((*content)[i], fmt::format("{}[{}]", message.Path("content"), i)));
  }
  return parts;
}

// The arguments of an earlier call come as a string of JSON; templates want the object.
Json ReadToolCall(const Json& value, const std::string& path) {
  Fields call(value, path);
  Fields function(call.Require("function"), call.Path("function"));
  const std::string name = function.RequireString("name");
  Json arguments = Json::object();
  if (const Json* given = function.Find("arguments")) {
    const std::string where = function.Path("arguments");
    if (given->is_object()) {
      arguments = *given;
    } else if (given->is_string()) {
      const std::string text = given->get<std::string>();
      if (!text.empty()) {
        try {
          arguments = ParseObject(text);
        } catch (const ApiError&) {
          throw BadField(where, "{}: expected the text of a JSON object.", where);
        }
      }
    } else {
      throw BadField(where, "{}: expected the text of a JSON object.", where);
    }
  }
  return {{"id", call.String("id", "")},
          {"type", "function"},
          {"function", {{"name", name}, {"arguments", std::move(arguments)}}}};
}

std::string ReadExtra(Fields& message, const std::string& role) {
  Json extra = Json::object();
  const std::string name = message.String("name", "");
  if (!name.empty()) extra["name"] = name;
  if (role == "tool") {
    const std::string id = message.String("tool_call_id", "");
    if (!id.empty()) extra["tool_call_id"] = id;
  }
  if (role == "assistant") {
    const std::optional<std::string> older = message.String("reasoning_content");
    const std::optional<std::string> newer = message.String("reasoning");
    if (older || newer) extra["reasoning_content"] = older ? *older : *newer;
    if (const Json* calls = message.Find("tool_calls")) {
      if (!calls->is_array()) {
        throw BadField(message.Path("tool_calls"), "{}: expected a list.",
                       message.Path("tool_calls"));
      }
      Json list = Json::array();
      for (size_t i = 0; i < calls->size(); ++i) {
        const std::string path = fmt::format("{}[{}]", message.Path("tool_calls"), i);
        list.push_back(ReadToolCall((*calls)[i], path));
      }
      if (!list.empty()) extra["tool_calls"] = std::move(list);
    }
  }
  return extra.empty() ? "" : TextOf(extra);
}

ChatMessage ReadMessage(const Json& value, const std::string& path) {
  Fields fields(value, path);
  ChatMessage message;
  message.role = fields.RequireString("role");
  constexpr std::array<std::string_view, 5> kRoles = {"system", "user", "assistant", "tool",
                                                      "developer"};
  if (std::ranges::find(kRoles, message.role) == kRoles.end()) {
    throw BadField(fields.Path("role"),
                   "{}: expected system, developer, user, assistant or tool.",
                   fields.Path("role"));
  }
  message.parts = ReadContent(fields);
  message.extra_json = ReadExtra(fields, message.role);
  if (!fields.Has("content") && message.role != "assistant") {
    throw BadField(fields.Path("content"), "{}: field required.", fields.Path("content"));
  }
  // Templates of Qwen models know "system" alone.
  if (message.role == "developer") message.role = "system";
  return message;
}

}  // namespace

std::vector<ChatMessage> ReadMessages(Fields& fields) {
  const Json& list = fields.Require("messages");
  if (!list.is_array()) throw BadField("messages", "messages: expected a list.");
  if (list.empty()) throw BadRequest("messages", "messages must not be empty.");
  if (list.size() > kMaxMessages) {
    throw BadField("messages", "messages: {} of them, more than the limit of {}.", list.size(),
                   kMaxMessages);
  }
  std::vector<ChatMessage> messages;
  for (size_t i = 0; i < list.size(); ++i) {
    messages.push_back(ReadMessage(list[i], fmt::format("messages[{}]", i)));
  }
  return messages;
}

namespace {

// The definition in vLLM's order of keys, with null where nothing was given: that is how templates
// print it there.
Json ToolForTemplate(const Json& value, const std::string& path, ToolDefinition* definition) {
  Fields tool(value, path);
  if (tool.String("type", "function") != "function") {
    throw BadField(tool.Path("type"), "{}: expected \"function\".", tool.Path("type"));
  }
  const Json& given = tool.Require("function");
  Fields function(given, tool.Path("function"));
  definition->name = function.RequireString("name");
  if (definition->name.empty() || definition->name.size() > 256) {
    throw BadField(function.Path("name"), "{}: expected 1 to 256 bytes.", function.Path("name"));
  }
  Json out = {{"name", definition->name}, {"description", nullptr}, {"parameters", nullptr}};
  if (const auto description = function.String("description")) out["description"] = *description;
  if (const Json* parameters = function.Find("parameters")) {
    if (!parameters->is_object()) {
      throw BadField(function.Path("parameters"), "{}: expected an object (a JSON schema).",
                     function.Path("parameters"));
    }
    out["parameters"] = *parameters;
    definition->parameters_json = parameters->dump();
  }
  for (const auto& [key, item] : given.items()) {
    if (!out.contains(key)) out[key] = item;
  }
  return {{"type", "function"}, {"function", std::move(out)}};
}

ToolChoice ReadToolChoice(const Json& value, const std::vector<ToolDefinition>& tools) {
  using Kind = ToolChoice::Kind;
  if (value.is_string()) {
    const std::string text = value.get<std::string>();
    if (text == "none") return {};
    if (text == "auto") return {Kind::kAuto, ""};
    if (text == "required") return {Kind::kRequired, ""};
  }
  if (!value.is_object()) {
    throw BadField("tool_choice",
                   "Invalid value for tool_choice: only named tools, \"none\", \"auto\" or "
                   "\"required\" are supported.");
  }
  Fields choice(value, "tool_choice");
  Fields function(choice.Require("function"), "tool_choice.function");
  const std::string name = function.RequireString("name");
  if (std::ranges::find(tools, name, &ToolDefinition::name) == tools.end()) {
    throw BadField("tool_choice",
                   "The tool specified in tool_choice does not match any of the specified tools.");
  }
  return {Kind::kNamed, name};
}

}  // namespace

Tools ReadTools(Fields& fields, const ParseLimits& limits) {
  Tools tools;
  const Json* list = fields.Find("tools");
  const Json* choice = fields.Find("tool_choice");
  const bool none = choice != nullptr && *choice == "none";
  if (list == nullptr) {
    if (choice != nullptr && !none) {
      throw BadField("tool_choice", "When using tool_choice, tools must be set.");
    }
    return tools;
  }
  if (!list->is_array()) throw BadField("tools", "tools: expected a list.");
  if (static_cast<int64_t>(list->size()) > limits.max_tools) {
    throw BadField("tools", "tools: {} of them, more than the limit of {}.", list->size(),
                   limits.max_tools);
  }
  if (list->empty()) {
    if (none) return tools;
    throw BadField("tools", "tools must not be empty; leave the field out when there are none.");
  }
  Json for_template = Json::array();
  for (size_t i = 0; i < list->size(); ++i) {
    ToolDefinition definition;
    for_template.push_back(
        ToolForTemplate((*list)[i], fmt::format("tools[{}]", i), &definition));
    tools.definitions.push_back(std::move(definition));
  }
  tools.json = TextOf(for_template);
  tools.choice = choice == nullptr ? ToolChoice{ToolChoice::Kind::kAuto, ""}
                                   : ReadToolChoice(*choice, tools.definitions);
  return tools;
}

namespace {

// Variables of the template that are not the client's to set (CVE-2025-62426 was about these).
void CheckTemplateKwargs(const Json& kwargs) {
  for (const char* name : {"messages", "tools", "documents", "add_generation_prompt", "tokenize",
                           "chat_template", "continue_final_message", "conversation"}) {
    if (kwargs.contains(name)) {
      throw BadRequest("chat_template_kwargs", "chat_template_kwargs must not set {}.", name);
    }
  }
}

void ReadProcessorKwargs(Fields& fields, TemplateFields* out) {
  const Json* object = fields.Find("mm_processor_kwargs");
  if (object == nullptr) return;
  Fields kwargs(*object, "mm_processor_kwargs");
  out->min_pixels = kwargs.Integer("min_pixels");
  out->max_pixels = kwargs.Integer("max_pixels");
  for (const auto& limit : {out->min_pixels, out->max_pixels}) {
    if (limit && (*limit < 1 || *limit > (int64_t{1} << 31))) {
      throw BadField("mm_processor_kwargs", "mm_processor_kwargs: {} pixels are out of range.",
                     *limit);
    }
  }
}

}  // namespace

TemplateFields ReadTemplateFields(Fields& fields) {
  TemplateFields out;
  const std::optional<bool> generation_prompt = fields.Bool("add_generation_prompt");
  out.continue_final_message = fields.Bool("continue_final_message", false);
  if (out.continue_final_message && generation_prompt.value_or(false)) {
    throw BadField("continue_final_message",
                   "Cannot set both continue_final_message and add_generation_prompt to true.");
  }
  out.add_generation_prompt = generation_prompt.value_or(true);
  if (out.continue_final_message) out.add_generation_prompt = false;
  out.add_special_tokens = fields.Bool("add_special_tokens", false);
  out.documents_json = fields.ListText("documents");
  out.chat_template = fields.String("chat_template", "");
  if (const Json* kwargs = fields.Find("chat_template_kwargs")) {
    if (!kwargs->is_object()) {
      throw BadField("chat_template_kwargs", "chat_template_kwargs: expected an object.");
    }
    CheckTemplateKwargs(*kwargs);
    out.kwargs_json = TextOf(*kwargs);
  }
  ReadProcessorKwargs(fields, &out);
  return out;
}

}  // namespace ingot::server
