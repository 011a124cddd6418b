// SPDX-License-Identifier: Apache-2.0
// The observer of the default method: one pass over the tokens of a site, weighted histograms by
// modality, then a range search. A channel's error counts by the squared norm of the weight columns
// that read it, which is what it adds to the output's error.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "quant/observer.h"
#include "quant/range_search.h"
#include "tensor/tensor.h"

namespace ingot {

// norms[c] += sum over rows of W[row, c]^2. norms: [in]. Deterministic for any thread count.
void AddColumnNorms(const TensorView& weight, std::span<double> norms);

class BalancedObserver {
 public:
  // column_norms: [in], the sum of AddColumnNorms over the linears of the site; all zero = all
  // channels count equally.
  explicit BalancedObserver(std::span<const double> column_norms);
  ~BalancedObserver();

  // x: [modality.size(), in]. FormatError-free: NaN and infinity are counted (see non_finite) and
  // otherwise ignored.
  void Observe(std::span<const float> x, std::span<const Modality> modality);

  // Requires: at least one token was seen. `search` false = exact extremes.
  RangeResult Params(const RuntimeRules& rules, bool search = true) const;
  int64_t non_finite() const;

 private:
  struct Part;
  Part Total() const;
  void AddRows(std::span<const float> x, std::span<const Modality> modality, Part* part) const;

  std::vector<uint32_t> weight_;  // [in], 1 .. 2^20
  std::array<bool, kModalities> seen_{};
  std::vector<std::unique_ptr<Part>> parts_;  // as many as threads have counted at once
};

}  // namespace ingot
