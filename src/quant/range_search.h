// SPDX-License-Identifier: Apache-2.0
// Static range by search: the scale (on the runtime's grid) and the integer offset that minimize
// the quantization error of a weighted histogram, rounding and clipping together, with text and
// vision counting equally.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <span>
#include <vector>

#include "quant/observer.h"
#include "quant/rounding.h"

namespace ingot {

// Weighted mass over the numbers of BF16: bin b holds what rounds to the BF16 number with bits b.
// The grid is fixed, so there is no second pass and nothing is re-binned when the range grows; a
// bin is 1/128 of its value wide, finer than an int8 step except near the ends of a range. Masses
// are integers: their sums do not depend on the order of adding.
class WeightedHistogram {
 public:
  static constexpr size_t kBins = 65536;
  WeightedHistogram() : mass_(kBins, 0) {}
  // Requires: value finite.
  void Add(float value, uint32_t weight) {
    mass_[(std::bit_cast<uint32_t>(value) + 0x8000u) >> 16] += weight;
  }
  void Merge(const WeightedHistogram& other);

  // Non-empty bins in ascending order of value.
  struct Bin {
    double lo, hi;  // edges
    double mass;
  };
  std::vector<Bin> Bins() const;
  bool empty() const;

 private:
  std::vector<uint64_t> mass_;
};

// What the search minimizes, per modality: noise-to-signal ratio of the quantized values.
struct RangeProblem {
  std::array<std::vector<WeightedHistogram::Bin>, kModalities>
      bins;                // empty = no token of this modality
  float min = 0, max = 0;  // exact extremes over all modalities
};

struct RangeSearchOptions {
  ScaleGrid grid = ScaleGrid::kF32;
  bool symmetric = false;
  // How much more the error of a clipped value counts than that of a rounded one. Rounding errors
  // of many values average out; clipping hits the few values that stand out, always in one
  // direction, and whole tokens with them. On the bundled model weight 1 has the better SQNR and 20
  // the lower KL (docs/accuracy.md).
  double clip_weight = 20.0;
  // No modality may lose more than these against the full range, and against the range with the
  // least plain error.
  double max_loss_db = 1.0, max_plain_loss_db = 1.0;
};

struct RangeResult {
  ActivationParams params;
  std::array<double, kModalities> noise_to_signal{};  // of the result; 0 for an absent modality
  std::array<double, kModalities> full_range{};       // the same for min-max on the same grid
};

// Scale and offset that cover [min, max] (extended to contain 0).
ActivationParams FullRangeParams(float min, float max, ScaleGrid grid, bool symmetric);
// Mean squared error over mean square of a histogram under given parameters.
double NoiseToSignal(std::span<const WeightedHistogram::Bin> bins, const ActivationParams& params);
RangeResult SearchRange(const RangeProblem& problem, const RangeSearchOptions& options);

}  // namespace ingot
