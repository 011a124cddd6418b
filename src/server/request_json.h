// SPDX-License-Identifier: Apache-2.0
// Request bodies to the structs of api_types.h, with vLLM's validation. Errors of all: ApiError 400
// naming the field. Unknown fields are ignored, with a debug line in the log.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "server/api_types.h"

namespace ingot::server {

// The limits of the model that a request names ("": none), whatever it names.
using LimitsByModel = std::function<const ParseLimits&(const std::string& model)>;

ChatRequest ParseChatRequest(std::string_view body, const LimitsByModel& limits_of);
ChatRequest ParseChatRequest(std::string_view body, const ParseLimits& limits);
CompletionRequest ParseCompletionRequest(std::string_view body, const LimitsByModel& limits_of);
CompletionRequest ParseCompletionRequest(std::string_view body, const ParseLimits& limits);
TokenizeRequest ParseTokenizeRequest(std::string_view body);
DetokenizeRequest ParseDetokenizeRequest(std::string_view body);

// Which endpoint a body without one (/invocations) is for.
enum class BodyKind { kChat, kCompletion, kUnknown };
BodyKind KindOfBody(std::string_view body);

}  // namespace ingot::server
