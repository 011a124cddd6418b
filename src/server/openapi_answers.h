// SPDX-License-Identifier: Apache-2.0
// What the endpoints answer, as JSON schemas of /openapi.json.
#pragma once

#include "server/json_fields.h"

namespace ingot::server {

// "ChatCompletion", "ChatCompletionChunk", "Completion", ...: name and schema.
Json AnswerSchemas();

}  // namespace ingot::server
