// SPDX-License-Identifier: Apache-2.0
// The endpoints about tokens: /tokenize, /detokenize, /tokenizer_info.
#pragma once

#include "server/model_lane.h"
#include "server/router.h"

namespace ingot::server {

// `lanes` outlives the router's handlers.
void RegisterTokenApi(const ModelLanes& lanes, Router* router);

}  // namespace ingot::server
