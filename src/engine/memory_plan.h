// SPDX-License-Identifier: Apache-2.0
// How the serving engine shares out memory when it starts.
#pragma once

#include <cstdint>
#include <vector>

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
  int64_t others = 0;  // bytes that other models of this process take of the budget
};
MemoryFacts MemoryFactsOf(const Engine& engine);

// Errors: UserError on an impossible share; ResourceError, with the arithmetic, when what is left
// does not hold one sequence of max_model_len (when that is given) or one of 256 tokens.
MemoryPlan PlanMemory(const MemoryFacts& facts, const ServeOptions& options);

// Models that share the machine: what is left after the fixed costs of all is divided so that each
// can hold the same number of tokens. options.kv_bytes is for all together.
std::vector<MemoryPlan> PlanMemory(std::vector<MemoryFacts> models, const ServeOptions& options);

}  // namespace ingot
