// SPDX-License-Identifier: Apache-2.0
#include "server/engine_port.h"

#include <utility>

namespace ingot::server {

EnginePort PortOf(AsyncEngine& engine) {
  return {.submit =
              [&engine](Request request, EventSink sink) {
                return engine.Submit(std::move(request), std::move(sink));
              },
          .cancel = [&engine](uint64_t ticket) { engine.Cancel(ticket); },
          .stats = [&engine] { return engine.Stats(); },
          .healthy = [&engine] { return engine.healthy(); },
          .reset_prefix_cache = [&engine] { return engine.ResetPrefixCache(); },
          .reset_picture_cache = [&engine] { engine.ResetPictureCache(); },
          .max_model_len = engine.max_model_len(),
          .options = engine.options(),
          .memory = engine.memory()};
}

}  // namespace ingot::server
