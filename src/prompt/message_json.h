// SPDX-License-Identifier: Apache-2.0
// A conversation as the JSON that chat templates read. Private to prompt/.
#pragma once

#include <string>

#include "prompt/conversation.h"

namespace ingot {

// [{"role", "content", ...}]: content is a string when the turn is one text (or empty), else a list
// of typed parts without paths or bytes. Errors: UserError when a text is no valid UTF-8 or
// extra_json is no JSON object.
std::string MessagesJson(const Conversation& conversation);

}  // namespace ingot
