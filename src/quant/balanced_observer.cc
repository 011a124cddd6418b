// SPDX-License-Identifier: Apache-2.0
// Weighted histograms of a site, one pass, integer masses: the result does not depend on the split
// over threads.
#include "quant/balanced_observer.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <mutex>

#include "base/error.h"
#include "base/thread_pool.h"

namespace ingot {
namespace {

constexpr double kLargestWeight = 0x1p20;
// Values handled by one thread before a second one is worth its own histogram.
constexpr size_t kParallelValues = size_t{1} << 20;

bool IsFinite(float v) { return (std::bit_cast<uint32_t>(v) & 0x7f800000u) != 0x7f800000u; }

}  // namespace

void AddColumnNorms(const TensorView& weight, std::span<double> norms) {
  const int64_t out = weight.shape.at(0), in = weight.shape.at(1);
  if (static_cast<int64_t>(norms.size()) != in) {
    throw InternalError("AddColumnNorms: {} norms for weight {}", norms.size(),
                        ShapeText(weight.shape));
  }
  ParallelFor(norms.size(), 512, [&](size_t begin, size_t end) {
    std::vector<float> part(end - begin);
    for (int64_t row = 0; row < out; ++row) {
      ToFloats(weight, row * in + static_cast<int64_t>(begin), part);
      for (size_t c = begin; c < end; ++c) {
        const double w = part[c - begin];
        norms[c] += w * w;
      }
    }
  });
}

// Counts of a part of the rows.
struct BalancedObserver::Part {
  std::array<WeightedHistogram, kModalities> histograms;
  float min = 0, max = 0;
  int64_t non_finite = 0;
};

BalancedObserver::BalancedObserver(std::span<const double> column_norms)
    : weight_(column_norms.size(), 1), total_(std::make_unique<Part>()) {
  const double largest =
      column_norms.empty() ? 0 : *std::max_element(column_norms.begin(), column_norms.end());
  if (!(largest > 0) || !std::isfinite(largest)) return;
  for (size_t c = 0; c < weight_.size(); ++c) {
    weight_[c] = static_cast<uint32_t>(
        std::max(1.0, std::nearbyint(column_norms[c] / largest * kLargestWeight)));
  }
}

BalancedObserver::~BalancedObserver() = default;

int64_t BalancedObserver::non_finite() const { return total_->non_finite; }

void BalancedObserver::AddRows(std::span<const float> x, std::span<const Modality> modality,
                               Part* part) const {
  const size_t in = weight_.size();
  for (size_t row = 0; row < modality.size(); ++row) {
    const float* values = x.data() + row * in;
    WeightedHistogram& histogram = part->histograms[static_cast<size_t>(modality[row])];
    for (size_t c = 0; c < in; ++c) {
      const float v = values[c];
      if (!IsFinite(v)) {
        ++part->non_finite;
        continue;
      }
      part->min = std::min(part->min, v);
      part->max = std::max(part->max, v);
      histogram.Add(v, weight_[c]);
    }
  }
}

void BalancedObserver::Observe(std::span<const float> x, std::span<const Modality> modality) {
  const size_t in = weight_.size();
  if (x.size() != modality.size() * in) {
    throw InternalError("BalancedObserver: {} values for {} rows of {}", x.size(), modality.size(),
                        in);
  }
  for (const Modality m : modality) seen_[static_cast<size_t>(m)] = true;
  if (x.size() < 2 * kParallelValues) {
    AddRows(x, modality, total_.get());
    return;
  }
  std::mutex mutex;
  const size_t grain = std::max<size_t>(1, kParallelValues / in);
  ParallelFor(modality.size(), grain, [&](size_t begin, size_t end) {
    Part part;
    AddRows(x.subspan(begin * in, (end - begin) * in), modality.subspan(begin, end - begin), &part);
    const std::lock_guard lock(mutex);
    for (size_t m = 0; m < kModalities; ++m) total_->histograms[m].Merge(part.histograms[m]);
    total_->min = std::min(total_->min, part.min);
    total_->max = std::max(total_->max, part.max);
    total_->non_finite += part.non_finite;
  });
}

RangeResult BalancedObserver::Params(const RuntimeRules& rules, bool search) const {
  RangeProblem problem;
  problem.min = total_->min;
  problem.max = total_->max;
  for (size_t m = 0; m < kModalities; ++m) {
    if (seen_[m]) problem.bins[m] = total_->histograms[m].Bins();
  }
  const RangeSearchOptions options{.grid = rules.input_scale, .symmetric = rules.symmetric};
  if (search) return SearchRange(problem, options);
  RangeResult result;
  result.params = FullRangeParams(problem.min, problem.max, options.grid, options.symmetric);
  for (size_t m = 0; m < kModalities; ++m) {
    result.full_range[m] = NoiseToSignal(problem.bins[m], result.params);
  }
  result.noise_to_signal = result.full_range;
  return result;
}

}  // namespace ingot
