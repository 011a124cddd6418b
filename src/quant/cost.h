// SPDX-License-Identifier: Apache-2.0
// Arithmetic and memory of a quantize run, for the progress bar and for --dry-run. Formulas:
// docs/model.md.
#pragma once

#include <cstdint>

#include "checkpoint/config.h"
#include "quant/plan.h"

namespace ingot {

// Floating point operations (2 per multiply-add) of one block on one sample.
double VisionBlockFlops(const VisionConfig& config, int64_t n_patches);
double MergerFlops(const VisionConfig& config, int64_t n_patches);
double TextLayerFlops(const TextConfig& config, int64_t n_tokens);

// How often the blocks of a part are run on a sample: V0 and parts that stay float once; else a first time up to the input
// of the last quantized linear (that share of the linears' arithmetic), and a second time with quantized linears.
double FirstPassShare(const QuantPlan& plan, TensorPart part);  // 0: there is no first pass
double Passes(const QuantPlan& plan, TensorPart part);

// Whether the weights of a part are kept packed: many samples of few rows (tokens or patches) each.
bool PacksWeights(uint64_t n_samples, uint64_t n_rows);

}  // namespace ingot
