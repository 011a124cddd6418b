// SPDX-License-Identifier: Apache-2.0
// The endpoints about the server itself: models, health, figures, configuration, descriptions.
#pragma once

#include <cstdint>
#include <functional>

#include "server/model_lane.h"
#include "server/router.h"

namespace ingot::server {

// `lanes` outlives the router's handlers. `load`: answers under way.
void RegisterStatusApi(const ModelLanes& lanes, std::function<int64_t()> load, Router* router);

}  // namespace ingot::server
