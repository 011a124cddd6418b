// SPDX-License-Identifier: Apache-2.0
// Weight scales by trial. Rounding a row with a slightly other scale rounds its weights in other directions; of a few scales
// (all within half a step of the largest code, so every weight stays within half a step of its float value) the one is kept
// whose outputs come nearest to the float outputs on sample rows of the site, text and vision counting equally. It finds
// rounding errors that cancel along the directions that the inputs really have.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <vector>

#include "kernels/packed.h"
#include "quant/observer.h"
#include "tensor/tensor.h"

namespace ingot {

// Inputs on which candidates are judged: rows of both modalities as they are, and the engine's codes for them.
struct JudgeRows {
  int64_t in = 0;
  std::array<std::vector<float>, kModalities> exact;  // [n_rows, in]
  // Codes of all rows, text before vision, then a row of ones whose products are the sums of the weight codes.
  std::vector<int8_t> codes;
  std::vector<float> row_scale;  // what a code of the row is worth; 1 for the row of ones
  float offset = 0;              // a row is (code - offset) * row_scale
  AlignedBytes packed_bytes;     // the codes as the packed kernels want them, when there are any
  PackedRows packed;
  size_t n_rows(size_t modality) const { return exact[modality].size() / static_cast<size_t>(in); }
};

// A few rows suffice to see which candidates are out of the question.
struct SearchRows {
  JudgeRows few, all;
};
// At most 96 rows a modality, evenly taken from the samples. `params` null: codes with one scale per row (dynamic).
SearchRows MakeSearchRows(const SiteStatistics& site, const ActivationParams* params);

// The weight scale of row `row` with largest magnitude `amax` when that shall get the code `code` (as the target's grid
// allows).
using WeightScaleFn = std::function<float(size_t row, float amax, float code)>;

// The best code for the largest magnitude of each row, 125.7 ... 127.4; 127 unless another is better. All candidates are tried
// on the few rows, the best three of each weight row on all rows. Same result for any thread count.
std::vector<float> SearchLargestCodes(const TensorView& weight, const SearchRows& rows, const WeightScaleFn& scale_of);

}  // namespace ingot
