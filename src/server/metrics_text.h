// SPDX-License-Identifier: Apache-2.0
// The engine's figures in Prometheus' text format, under vLLM's names.
#pragma once

#include <span>
#include <string>

#include "server/engine_port.h"

namespace ingot::server {

struct ModelFigures {
  EngineStats stats;
  ServeOptions options;
  MemoryPlan memory;
  std::string model_name;
  uint64_t requests = 0;  // HTTP requests to the generation endpoints
};
struct ProcessFigures {
  int64_t resident_bytes = 0, start_time = 0;  // Unix seconds
};

// Models are told apart by their labels: model_name, and engine, which counts from 0.
std::string MetricsText(std::span<const ModelFigures> models, const ProcessFigures& process);

}  // namespace ingot::server
