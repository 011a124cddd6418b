// SPDX-License-Identifier: Apache-2.0
// Where requests get their sampling from when they say nothing.
#pragma once

#include "server/api_types.h"
#include "server/serve_config.h"

namespace ingot::server {

// --generation-config: "auto" reads the model folder's generation_config.json, "vllm" nothing, else
// a folder; then --override-generation-config. Errors: UserError naming the option.
GenerationDefaults LoadGenerationDefaults(const ApiOptions& options);

}  // namespace ingot::server
