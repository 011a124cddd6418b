// SPDX-License-Identifier: Apache-2.0
// Arithmetic and memory of a quantize run, for the progress bar and for --dry-run. Formulas:
// docs/model.md.
#pragma once

#include <cstdint>
#include <vector>

#include "checkpoint/config.h"
#include "quant/calibration.h"
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

// Work of a run for its progress bar, in MFLOP or GFLOP, so that the rate and the ETA mean something for vision and text
// alike.
class WorkMeter {
 public:
  // All must outlive the meter; the samples may not change any more.
  WorkMeter(const ModelConfig& config, const QuantPlan& plan, const std::vector<CalibrationSample>& samples);
  const char* unit() const { return unit_ > 1e6 ? "GFLOP" : "MFLOP"; }
  uint64_t Block(TensorPart part, int64_t layer) const;  // all samples, all passes
  // One sample through one block; `first`: only up to the last quantized linear's input.
  uint64_t Pass(TensorPart part, const CalibrationSample& sample, bool first) const;

 private:
  double Flops(TensorPart part, const CalibrationSample& sample) const;
  const ModelConfig& config_;
  const QuantPlan& plan_;
  const std::vector<CalibrationSample>& samples_;
  double unit_ = 1e6;  // floating point operations
};

}  // namespace ingot
