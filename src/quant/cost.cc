// SPDX-License-Identifier: Apache-2.0
#include "quant/cost.h"

#include <algorithm>
#include <cmath>
#include <string>

namespace ingot {

double VisionBlockFlops(const VisionConfig& config, int64_t n_patches) {
  const double n = static_cast<double>(n_patches), d = static_cast<double>(config.hidden);
  const double m = static_cast<double>(config.intermediate);
  return 2 * n * (4 * d * d + 2 * d * m) + 4 * n * n * d;
}

double MergerFlops(const VisionConfig& config, int64_t n_patches) {
  const double tokens = static_cast<double>(n_patches) / static_cast<double>(config.merge * config.merge);
  const double wide = static_cast<double>(config.hidden * config.merge * config.merge);
  return 2 * tokens * (wide * wide + wide * static_cast<double>(config.out_hidden));
}

double TextLayerFlops(const TextConfig& config, int64_t n_tokens) {
  const double t = static_cast<double>(n_tokens), h = static_cast<double>(config.hidden);
  const double q = static_cast<double>(config.n_heads * config.head_dim);
  const double kv = static_cast<double>(config.n_kv_heads * config.head_dim);
  const double linears = 2 * h * q + 2 * h * kv + 3 * h * static_cast<double>(config.intermediate);
  return 2 * t * linears + 2 * t * (t + 1) * q;
}

double FirstPassShare(const QuantPlan& plan, TensorPart part) {
  if (plan.method == Method::kV0) return 0;
  // The first block that has quantized linears stands for all.
  const auto quantized = [&](const PlanLinear& l) { return l.spec.part == part && l.type != LinearType::kFloat; };
  const auto first = std::find_if(plan.linears.begin(), plan.linears.end(), quantized);
  if (first == plan.linears.end()) return 0;
  std::string last_site;
  double before = 0, all = 0;
  for (const PlanLinear& linear : plan.linears) {
    if (linear.spec.part != part || linear.spec.layer != first->spec.layer) continue;
    const double weights = static_cast<double>(linear.spec.out) * static_cast<double>(linear.spec.in);
    if (quantized(linear) && linear.spec.site != last_site) {
      last_site = linear.spec.site;
      before = all;
    }
    all += weights;
  }
  return before / all;
}

double Passes(const QuantPlan& plan, TensorPart part) { return 1 + FirstPassShare(plan, part); }

bool PacksWeights(uint64_t n_samples, uint64_t n_rows) {
  constexpr uint64_t kManyRows = 512;  // packing on the way costs a few percent of such a product
  return n_samples > 1 && n_rows > 0 && n_rows < n_samples * kManyRows;
}

WorkMeter::WorkMeter(const ModelConfig& config, const QuantPlan& plan, const std::vector<CalibrationSample>& samples)
    : config_(config), plan_(plan), samples_(samples) {
  double flops = 0;
  for (const CalibrationSample& sample : samples_) {
    flops += static_cast<double>(config.vision.depth) * Flops(TensorPart::kVision, sample) +
             static_cast<double>(config.text.n_layers) * Flops(TensorPart::kText, sample);
  }
  constexpr double kLargeRun = 1e13;
  if (flops > kLargeRun) unit_ = 1e9;
}

double WorkMeter::Flops(TensorPart part, const CalibrationSample& sample) const {
  return part == TensorPart::kText ? TextLayerFlops(config_.text, sample.n_tokens())
                                   : VisionBlockFlops(config_.vision, sample.n_patches());
}

uint64_t WorkMeter::Pass(TensorPart part, const CalibrationSample& sample, bool first) const {
  const double share = first ? FirstPassShare(plan_, part) : 1.0;
  return static_cast<uint64_t>(std::llround(share * Flops(part, sample) / unit_));
}

uint64_t WorkMeter::Block(TensorPart part, int64_t layer) const {
  const bool twice = plan_.method == Method::kBalanced &&
                     std::any_of(plan_.linears.begin(), plan_.linears.end(), [&](const PlanLinear& l) {
                       return l.spec.part == part && l.spec.layer == layer && l.type != LinearType::kFloat;
                     });
  uint64_t work = 0;
  for (const CalibrationSample& sample : samples_) {
    work += Pass(part, sample, false) + (twice ? Pass(part, sample, true) : 0);
  }
  return work;
}

}  // namespace ingot
