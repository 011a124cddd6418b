// SPDX-License-Identifier: Apache-2.0
// Options that every subcommand which runs a model takes, and their meaning. Needs the engine
// layer.
#pragma once

#include <vector>

#include "cli/command.h"
#include "engine/engine.h"

namespace ingot::cli {

// --precision --kv-cache-dtype --emulate --alpha --min-pixels --max-pixels --fps
std::vector<Option> EngineOptionRows();
EngineOptions EngineOptionsOf(const Options& options);

// Appends `more` to `rows`.
std::vector<Option> Join(std::vector<Option> rows, const std::vector<Option>& more);

// Errors: UserError naming the option unless low <= value <= high.
int64_t IntegerBetween(const Options& options, std::string_view name, int64_t low, int64_t high);

}  // namespace ingot::cli
