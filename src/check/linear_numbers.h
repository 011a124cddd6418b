// SPDX-License-Identifier: Apache-2.0
// The numbers of one quantized linear as far as they can be read, and the checks that need nothing
// else.
#pragma once

#include <cstdint>
#include <vector>

#include "check/folder.h"
#include "check/rules.h"

namespace ingot {

// Parts that are missing or have a wrong type stay empty: the rule that says so has reported,
// others skip them.
struct LinearNumbers {
  const CheckedModule* module = nullptr;
  int64_t rows = 0, cols = 0;
  std::vector<float> scale, offset;  // as stored: one number or one per column
  bool uniform = true;               // all elements of scale and of offset are equal
  std::vector<float> deq;            // decoded
  bool deq_i64 = false;
  std::vector<float> weight_scale;
  std::vector<int32_t> quant_bias;
  std::vector<float> bias;
};

// Rules 10, 11 and 13 for a module with int8 weights. Dynamic linears have no activation numbers.
LinearNumbers ReadLinear(const CheckedFolder& folder, const CheckedModule& module,
                         Findings* findings);

// What the codes of one row say.
struct RowCodes {
  int32_t lowest = 0, highest = 0;  // smallest and largest code
};
std::vector<RowCodes> ScanRows(const CheckedTensor& weight);

}  // namespace ingot
