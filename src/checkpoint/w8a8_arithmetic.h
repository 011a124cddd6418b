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

// quant_bias of one row. `weighted_sum` is sum_k Wq[n, k] * z[k]; `bias` is absent for golden-stick
// (and for a linear without one). The sum is exact in float64 and so rounds once to float32.
inline int32_t QuantBiasOf(double weighted_sum, float deq, std::optional<float> bias) {
  const float quotient = bias ? *bias / deq : 0.0f;
  return ToInt32LikeX86(Rne(quotient - static_cast<float>(weighted_sum)));
}

// The zero point that vLLM computes with: it rebuilds the range from scale and zero point, and
// truncates (vllm-project/vllm: vllm/model_executor/kernels/linear/scaled_mm/cutlass.py).
inline int32_t VllmZeroPoint(float scale, int32_t zero_point) {
  const float highest = scale * static_cast<float>(127 - zero_point),
              lowest = scale * static_cast<float>(-128 - zero_point);
  const float rebuilt = (highest - lowest) / 255.0f;
  return static_cast<int32_t>(-128.0f - lowest / rebuilt);
}

// sum_k codes[row, k] * z[k] of every row; z holds integers in [-128, 127], one for all k or one
// for each. Exact.
inline std::vector<double> WeightedSums(std::span<const int8_t> codes, int64_t n_rows,
                                        int64_t n_cols, std::span<const float> z) {
  constexpr size_t kPart = 1 << 16;  // 2^16 * 128 * 128 fits int32
  const size_t cols = static_cast<size_t>(n_cols);
  const std::vector<int32_t> offsets(z.begin(), z.end());
  std::vector<double> sums(static_cast<size_t>(n_rows));
  ParallelFor(sums.size(), 16, [&](size_t begin, size_t end) {
    for (size_t row = begin; row < end; ++row) {
      const int8_t* p = codes.data() + row * cols;
      int64_t total = 0;
      for (size_t first = 0; first < cols; first += kPart) {
        const size_t last = std::min(cols, first + kPart);
        int32_t part = 0;
        if (offsets.size() == 1) {
          for (size_t col = first; col < last; ++col) part += p[col];
          total += int64_t{part} * offsets[0];
        } else {
          for (size_t col = first; col < last; ++col) part += p[col] * offsets[col];
          total += part;
        }
      }
      sums[row] = static_cast<double>(total);
    }
  });
  return sums;
}

}  // namespace ingot
