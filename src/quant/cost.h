// SPDX-License-Identifier: Apache-2.0
// Arithmetic and memory of a quantize run, for the progress bar and for --dry-run. Formulas:
// docs/model.md.
#pragma once

#include <cstdint>

#include "checkpoint/config.h"
#include "quant/calibration.h"

namespace ingot {

// Floating point operations (2 per multiply-add) of one block on one sample.
double VisionBlockFlops(const VisionConfig& config, int64_t n_patches);
double MergerFlops(const VisionConfig& config, int64_t n_patches);
double TextLayerFlops(const TextConfig& config, int64_t n_tokens);

// Bytes of the weights of one text layer in the checkpoint (2 bytes a weight).
uint64_t TextLayerBytes(const TextConfig& config);

}  // namespace ingot
