// SPDX-License-Identifier: Apache-2.0
// check --run: a few greedy answers of the folder under check, with the engine's own arithmetic.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "check/check.h"
#include "engine/engine.h"

namespace ingot::cli {

struct TestRun {
  std::vector<GeneratedText> answers;
  std::optional<SourceAgreement> agreement;
};

// Two questions in words and one with a small built-in picture. With a `source` the float model
// answers first and the folder is then led along its answers. Errors: those of Engine.
TestRun RunTestPrompts(const std::filesystem::path& dir, const std::filesystem::path& source,
                       Emulate emulate, int64_t max_tokens);

}  // namespace ingot::cli
