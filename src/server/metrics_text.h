// SPDX-License-Identifier: Apache-2.0
// The engine's figures in Prometheus' text format, under vLLM's names.
#pragma once

#include <string>

#include "server/engine_port.h"

namespace ingot::server {

struct MetricsInput {
  EngineStats stats;
  ServeOptions options;
  MemoryPlan memory;
  std::string model_name;
  int64_t resident_bytes = 0, start_time = 0;  // of the process; Unix seconds
  uint64_t requests = 0;                       // HTTP requests to the generation endpoints
};

std::string MetricsText(const MetricsInput& input);

}  // namespace ingot::server
