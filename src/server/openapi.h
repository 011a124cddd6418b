// SPDX-License-Identifier: Apache-2.0
// The description of the endpoints for machines (/openapi.json) and people (/docs).
#pragma once

#include <cstdint>
#include <string>

namespace ingot::server {

struct OpenApiFacts {
  std::string version;          // of the program
  bool tokenizer_info = false;  // whether /tokenizer_info is served
  int64_t vocab = 0;            // token ids are below
};

// OpenAPI 3.1.
std::string OpenApiJson(const OpenApiFacts& facts);
// A plain page without scripts: endpoints, fields, types.
std::string DocsPage(const OpenApiFacts& facts);

}  // namespace ingot::server
