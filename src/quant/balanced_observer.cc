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
constexpr size_t kParallelValues = size_t{1} << 16;
constexpr uint32_t kExponent = 0x7f800000u;

bool IsFinite(float v) { return (std::bit_cast<uint32_t>(v) & kExponent) != kExponent; }

// Extremes (0 included) and the number of values that are not finite, which the extremes pass over.
struct RowSummary {
  float min = 0, max = 0;
  int64_t non_finite = 0;
};
RowSummary Summarize(std::span<const float> values) {
  constexpr size_t kLanes = 16;
  float low[kLanes] = {}, high[kLanes] = {};
  uint32_t bad[kLanes] = {};
  const auto add = [&](size_t lane, float v) {
    const bool finite = IsFinite(v);
    const float kept = finite ? v : 0.0f;
    low[lane] = kept < low[lane] ? kept : low[lane];
    high[lane] = kept > high[lane] ? kept : high[lane];
    bad[lane] += finite ? 0 : 1;
  };
  size_t c = 0;
  for (; c + kLanes <= values.size(); c += kLanes) {
    for (size_t l = 0; l < kLanes; ++l) add(l, values[c + l]);
  }
  for (; c < values.size(); ++c) add(0, values[c]);
  RowSummary row;
  for (size_t l = 0; l < kLanes; ++l) {
    row.min = std::min(row.min, low[l]);
    row.max = std::max(row.max, high[l]);
    row.non_finite += bad[l];
  }
  return row;
}

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

// Counts of some of the rows.
struct BalancedObserver::Part {
  std::array<WeightedHistogram, kModalities> histograms;
  float min = 0, max = 0;
  int64_t non_finite = 0;
};

BalancedObserver::BalancedObserver(std::span<const double> column_norms)
    : weight_(column_norms.size(), 1) {
  const double largest =
      column_norms.empty() ? 0 : *std::max_element(column_norms.begin(), column_norms.end());
  if (!(largest > 0) || !std::isfinite(largest)) return;
  for (size_t c = 0; c < weight_.size(); ++c) {
    weight_[c] = static_cast<uint32_t>(
        std::max(1.0, std::nearbyint(column_norms[c] / largest * kLargestWeight)));
  }
}

BalancedObserver::~BalancedObserver() = default;

int64_t BalancedObserver::non_finite() const { return Total().non_finite; }

void BalancedObserver::AddRows(std::span<const float> x, std::span<const Modality> modality,
                               Part* part) const {
  const size_t in = weight_.size();
  for (size_t row = 0; row < modality.size(); ++row) {
    const float* values = x.data() + row * in;
    WeightedHistogram& histogram = part->histograms[static_cast<size_t>(modality[row])];
    const RowSummary summary = Summarize({values, in});
    part->min = std::min(part->min, summary.min);
    part->max = std::max(part->max, summary.max);
    part->non_finite += summary.non_finite;
    for (size_t c = 0; c < in; ++c) {
      if (summary.non_finite == 0 || IsFinite(values[c])) histogram.Add(values[c], weight_[c]);
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
  std::mutex mutex;
  std::vector<Part*> free;  // parts that no thread uses at the moment
  for (const auto& part : parts_) free.push_back(part.get());
  const size_t grain = std::max<size_t>(1, kParallelValues / in);
  ParallelFor(modality.size(), grain, [&](size_t begin, size_t end) {
    Part* part = nullptr;
    {
      const std::lock_guard lock(mutex);
      if (free.empty()) free.push_back(parts_.emplace_back(std::make_unique<Part>()).get());
      part = free.back();
      free.pop_back();
    }
    AddRows(x.subspan(begin * in, (end - begin) * in), modality.subspan(begin, end - begin), part);
    const std::lock_guard lock(mutex);
    free.push_back(part);
  });
}

BalancedObserver::Part BalancedObserver::Total() const {
  Part total;
  for (const auto& part : parts_) {
    for (size_t m = 0; m < kModalities; ++m) total.histograms[m].Merge(part->histograms[m]);
    total.min = std::min(total.min, part->min);
    total.max = std::max(total.max, part->max);
    total.non_finite += part->non_finite;
  }
  return total;
}

RangeResult BalancedObserver::Params(const RuntimeRules& rules, bool search) const {
  const Part total = Total();
  RangeProblem problem;
  problem.min = total.min;
  problem.max = total.max;
  for (size_t m = 0; m < kModalities; ++m) {
    if (seen_[m]) problem.bins[m] = total.histograms[m].Bins();
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
