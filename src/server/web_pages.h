// SPDX-License-Identifier: Apache-2.0
// What people see of the server: the chat page at "/" and, at "/ingot/info", what the page says
// about the model. Both need no API key; neither holds a secret or a path.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "server/router.h"

namespace ingot::server {

// One served model, for people. Empty strings and zeros are left out.
struct ServedInfo {
  std::string name;          // the first served name
  std::string format;        // FolderFormatName: "ascend", "golden-stick-310", ...
  std::string quantization;  // "w8a8", "none"
  std::string emulate;       // "310p", "910b"; empty: as on a CPU
  std::string warning;       // what people must know, for example about --unsafe-load-as-float
  int64_t weight_bytes = 0, kv_bytes = 0, picture_cache_bytes = 0;
};

// {"version", "name", "format", "quantization", "emulate", "warning", "memory": {"weights_bytes",
//  "kv_cache_bytes", "picture_cache_bytes"}, "compare": null or {"a": name, "b": name},
//  "other": the same about the second model}
std::string ServedInfoJson(const std::string& version, const ServedInfo& model,
                           const std::optional<ServedInfo>& other);

// Adds both routes. `other` is the second model of --compare.
void AddWebPages(const std::string& version, const ServedInfo& model,
                 const std::optional<ServedInfo>& other, Router* router);

}  // namespace ingot::server
