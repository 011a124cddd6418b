// SPDX-License-Identifier: Apache-2.0
// The description of the endpoints for machines (/openapi.json) and people (/docs).
#pragma once

#include <string>

namespace ingot::server {

// OpenAPI 3.1. `tokenizer_info`: whether /tokenizer_info is served.
std::string OpenApiJson(const std::string& version, bool tokenizer_info);
// A plain page without scripts: endpoints, fields, types.
std::string DocsPage(const std::string& version, bool tokenizer_info);

}  // namespace ingot::server
