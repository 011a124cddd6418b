// SPDX-License-Identifier: Apache-2.0
// How the serving engine shares out memory when it starts.
#pragma once

#include <cstdint>

#include "base/machine_memory.h"
#include "checkpoint/config.h"
#include "engine/serve_options.h"
#include "model/observe.h"

namespace ingot {

class Engine;

// What the arithmetic stands on.
struct MemoryFacts {
  MachineMemory machine;
  int64_t weights = 0;  // bytes
  int64_t page_bytes = 0;
  ModelConfig config;
};

// Errors: UserError on an impossible share; ResourceError, with the arithmetic, when what is left
// does not hold one sequence of max_model_len (when that is given) or one of 256 tokens.
MemoryPlan PlanMemory(const MemoryFacts& facts, const ServeOptions& options);
MemoryPlan PlanMemory(const Engine& engine, const ServeOptions& options);

}  // namespace ingot
