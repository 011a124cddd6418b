// SPDX-License-Identifier: Apache-2.0
// Messages and tools of chat requests. Private to the request parsers.
#pragma once

#include <string>
#include <vector>

#include "server/api_types.h"
#include "server/json_fields.h"

namespace ingot::server {

// The "messages" list: roles, content as a string or as parts, tool calls.
std::vector<ChatMessage> ReadMessages(Fields& fields);

struct Tools {
  std::vector<ToolDefinition> definitions;
  std::string json;  // as vLLM hands them to templates; "" when there are none
  ToolChoice choice;
};

// "tools" and "tool_choice", checked against each other.
Tools ReadTools(Fields& fields, const ParseLimits& limits);

// chat_template, documents and what else shapes the prompt.
TemplateFields ReadTemplateFields(Fields& fields);

}  // namespace ingot::server
