// SPDX-License-Identifier: Apache-2.0
// The numbers that a static W8A8 linear derives from others, step by step as the original tool
// rounds them:
//   deq_scale[n]  = s_x * s_w[n]
//   quant_bias[n] = int32(rne(RN32(RN32(b[n] / deq[n]) - RN32(S[n] * z)))),  S[n] = sum_k Wq[n, k]
// golden-stick leaves b out, because that engine adds the layer's bias itself.
// Source: Ascend/msmodelslim: msmodelslim/pytorch/llm_ptq/llm_ptq_tools/save/complex_quantifier.py.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "base/numeric.h"
#include "base/thread_pool.h"
#include "tensor/dtype.h"

namespace ingot {

// The nearest number of `dtype` (F16, BF16; others: unchanged).
inline float NearestIn(DType dtype, float value) {
  if (dtype == DType::kF16) return RoundToF16(value);
  if (dtype == DType::kBF16) return RoundToBf16(value);
  return value;
}

// What torch's x86 conversion gives: NaN and numbers outside int32 become the smallest int32.
inline int32_t ToInt32LikeX86(float value) {
  if (!(value >= -2147483648.0f && value < 2147483648.0f))
    return std::numeric_limits<int32_t>::min();
  return static_cast<int32_t>(value);
}

// quant_bias of one row. `bias` is absent for golden-stick (a linear without a bias may pass
// either). S * z is exact in float64 and so rounds once to float32.
inline int32_t QuantBiasOf(int64_t code_sum, float z, float deq, std::optional<float> bias) {
  const float correction =
      static_cast<float>(static_cast<double>(code_sum) * static_cast<double>(z));
  const float quotient = bias ? *bias / deq : 0.0f;
  return ToInt32LikeX86(Rne(quotient - correction));
}

// The sum of each row of codes [n_rows, n_cols].
inline std::vector<int64_t> CodeSums(std::span<const int8_t> codes, int64_t n_rows,
                                     int64_t n_cols) {
  std::vector<int64_t> sums(static_cast<size_t>(n_rows));
  ParallelFor(sums.size(), 16, [&](size_t begin, size_t end) {
    for (size_t row = begin; row < end; ++row) {
      const int8_t* p = codes.data() + row * static_cast<size_t>(n_cols);
      int64_t total = 0;
      for (int64_t first = 0; first < n_cols; first += 1 << 16) {  // a part cannot overflow int32
        const int64_t last = std::min<int64_t>(n_cols, first + (1 << 16));
        int32_t part = 0;
        for (int64_t col = first; col < last; ++col) part += p[col];
        total += part;
      }
      sums[row] = total;
    }
  });
  return sums;
}

}  // namespace ingot
