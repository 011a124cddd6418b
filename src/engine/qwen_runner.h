// SPDX-License-Identifier: Apache-2.0
// The loaded Qwen-VL model behind the serving engine's interface.
#pragma once

#include <cstdint>
#include <memory>

#include "engine/model_runner.h"

namespace ingot {

class Engine;

// `engine` must outlive the runner. `kv_pages`: limit of the pool.
std::unique_ptr<ModelRunner> MakeQwenRunner(const Engine& engine, int64_t kv_pages);

}  // namespace ingot
