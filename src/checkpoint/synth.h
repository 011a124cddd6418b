// SPDX-License-Identifier: Apache-2.0
// Random-weight checkpoints in the shapes of the released models, for benchmarks and capacity
// planning without a download. Same seed, same bytes, for any number of threads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/config.h"
#include "checkpoint/tensor_table.h"

namespace ingot {

struct SynthOptions {
  std::string shape = "8b";  // SynthShapes()
  int64_t layers = 0;        // 0 = as released
  int64_t vision_depth = 0;  // 0 = as released; the taps of deepstack move along
  uint64_t seed = 0;
  uint64_t shard_bytes = 5'000'000'000;
  std::filesystem::path
      tokenizer_from;  // "" = none; a folder whose tokenizer and template are copied
};

std::vector<std::string> SynthShapes();  // "2b", "4b", "8b", "32b", "30b-a3b", "235b-a22b", "tiny"
// Errors: UserError on an unknown shape or impossible overrides.
ModelConfig SynthConfig(const SynthOptions& options);

struct SynthSize {
  uint64_t parameters = 0, bytes = 0;
  size_t tensors = 0;
};
SynthSize SynthSizeOf(const ModelConfig& config);

// Elements [first, first + out.size()) of a tensor's weights as BF16 bits. Normal with a standard
// deviation that keeps activations near 1: 1/sqrt(inputs) for linears, less for those that write to
// the residual stream; norm weights around 1.
void SynthValues(const ModelConfig& config, const TensorSpec& spec, uint64_t seed, uint64_t first,
                 std::span<uint16_t> out);

// Writes the folder; `dir` must not exist or be empty. `progress` gets each tensor when it is done.
// Errors: UserError, ResourceError (disk full, before anything is computed), InterruptedError
// (nothing is left behind).
void WriteSynthModel(const SynthOptions& options, const std::filesystem::path& dir,
                     const std::function<void(const TensorSpec&)>& progress = {});

// config.json, generation_config.json and (video_)preprocessor_config.json of such a model.
std::string ConfigJson(const ModelConfig& config);
std::string GenerationJson(const ModelConfig& config);
std::string ProcessorJson(const ModelConfig& config, bool video);

}  // namespace ingot
