// SPDX-License-Identifier: Apache-2.0
// What the endpoints need of a serving engine, as functions: the real one in the program, a few
// lines in tests.
#pragma once

#include <cstdint>
#include <functional>

#include "engine/async_engine.h"

namespace ingot::server {

struct EnginePort {
  std::function<Submitted(Request, EventSink)> submit;
  std::function<void(uint64_t)> cancel;
  std::function<EngineStats()> stats;
  std::function<bool()> healthy;
  std::function<bool()> reset_prefix_cache;
  std::function<void()> reset_picture_cache;
  int64_t max_model_len = 0;
  ServeOptions options;
  MemoryPlan memory;
};

// `engine` outlives the port.
EnginePort PortOf(AsyncEngine& engine);

}  // namespace ingot::server
