// SPDX-License-Identifier: Apache-2.0
// One line per request, as text in uvicorn's form or as a JSON object. What clients sent is
// escaped: a line stays a line. Keys and bodies are never part of it.
#pragma once

#include <string>

#include "server/http_server.h"

namespace ingot::server {

// INFO:     127.0.0.1:53211 - "POST /v1/chat/completions HTTP/1.1" 200 OK
std::string AccessLine(const AccessRecord& record);
std::string AccessLineJson(const AccessRecord& record);

}  // namespace ingot::server
