// SPDX-License-Identifier: Apache-2.0
#include "prompt/message_json.h"

#include <nlohmann/json.hpp>
#include <string_view>

#include "base/error.h"

namespace ingot {
namespace {

using nlohmann::json;

std::string Quote(const std::string& text, size_t message) {
  try {
    return json(text).dump();
  } catch (const json::exception&) {
    throw UserError("message {}: its text is not valid UTF-8. Convert it to UTF-8", message + 1);
  }
}

std::string PartJson(const Part& part, size_t message) {
  switch (part.kind) {
    case Part::Kind::kText:
      return R"({"type": "text", "text": )" + Quote(part.text, message) + "}";
    case Part::Kind::kImage:
      return R"({"type": "image"})";
    case Part::Kind::kVideo:
      return R"({"type": "video"})";
  }
  throw InternalError("message {}: unknown kind of part", message + 1);
}

std::string ContentJson(const Message& message, size_t index) {
  if (message.parts.empty()) return "\"\"";
  if (message.parts.size() == 1 && message.parts[0].kind == Part::Kind::kText) {
    return Quote(message.parts[0].text, index);
  }
  std::string list = "[";
  for (const Part& part : message.parts) {
    if (list.size() > 1) list += ", ";
    list += PartJson(part, index);
  }
  return list + "]";
}

// The inside of the object's braces with a trailing comma, or "". Spliced as text so that numbers
// keep their spelling.
std::string ExtraFields(const Message& message, size_t index) {
  const std::string& text = message.extra_json;
  if (text.empty()) return "";
  const json parsed = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_object())
    throw UserError("message {}: its further fields are not a JSON object", index + 1);
  if (parsed.empty()) return "";
  const size_t open = text.find('{'), close = text.rfind('}');
  return text.substr(open + 1, close - open - 1) + ", ";
}

}  // namespace

std::string MessagesJson(const Conversation& conversation) {
  std::string list = "[";
  for (size_t i = 0; i < conversation.size(); ++i) {
    const Message& message = conversation[i];
    if (i > 0) list += ", ";
    // Role and content come last: of a repeated key the last one counts.
    list += "{" + ExtraFields(message, i) + "\"role\": " + Quote(message.role, i) +
            ", \"content\": " + ContentJson(message, i) + "}";
  }
  return list + "]";
}

}  // namespace ingot
