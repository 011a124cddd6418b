// SPDX-License-Identifier: Apache-2.0
// One quantized linear: int8 codes and the numbers that belong to them, made from float weights and
// the site's activation parameters under a target's rules; and what it costs in accuracy.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "checkpoint/folder_layout.h"
#include "quant/observer.h"
#include "quant/rounding.h"
#include "tensor/tensor.h"

namespace ingot {

struct SearchRows;  // quant/weight_search.h

struct QuantizedLinear {
  LinearType type = LinearType::kStatic;
  int64_t out = 0, in = 0;
  std::vector<int8_t> codes;        // [out, in]
  std::vector<float> weight_scale;  // [out]
  ActivationParams input;           // static only
  std::vector<float> input_vector;  // [in] or empty: scales by channel instead of input.scale (quant/vector_scales.h)
  std::vector<float> deq;           // [out], static only
  std::vector<int32_t> quant_bias;  // [out], static only
  std::vector<float> bias;          // [out] or empty: the linear's own bias
};

// weight: [out, in] float; bias: [out] or null. Codes are rne(W / s_w) in float32, clamped to
// +-127. s_w gives the largest weight of a row the code 127, or with `rows` the code between 125.6
// and 127.4 whose outputs on these rows are nearest (weight_search.h).
// Errors: FormatError naming `name` when a weight or bias is NaN or infinite.
QuantizedLinear QuantizeStatic(const TensorView& weight, const TensorView* bias,
                               const ActivationParams& params, const RuntimeRules& rules,
                               std::string_view name = "weight",
                               const SearchRows* rows = nullptr);
// Per-token activations at run time: codes and weight_scale only.
QuantizedLinear QuantizeDynamic(const TensorView& weight, const TensorView* bias,
                                const RuntimeRules& rules, std::string_view name = "weight",
                                const SearchRows* rows = nullptr);

// FormatError naming `name` and the row unless all values are finite.
void RequireFinite(std::span<const float> values, std::string_view name, int64_t row);

// W ~ codes * scale, row by row; out: [out * in].
void DequantizeWeight(const QuantizedLinear& linear, std::span<float> out);
// x through the static quantizer and back, as the engine computes it: clamp(rne(x / s + z)) - z,
// times effective_scale.
void FakeQuantizeActivations(std::span<const float> x, const ActivationParams& params,
                             std::span<float> out);
// The same with one symmetric scale per row: max|x| / 127 (dynamic linears). x: [n_rows, in].
void FakeQuantizeRows(std::span<const float> x, int64_t in, std::span<float> out);

// Accuracy of a quantized linear on the sample rows of its site. SQNR in dB, 10 log10(signal /
// noise) of the outputs without bias; +infinity is given as 200.
struct LinearQuality {
  std::array<std::optional<double>, kModalities> sqnr_db;  // nullopt: no rows of this modality
  std::array<std::optional<double>, kModalities>
      clip_share;             // values outside the codes' range; static only
  double weight_sqnr_db = 0;  // codes against float weights
};
struct QualityOptions {
  int64_t max_outputs = 512;  // outputs measured, evenly spread over the rows of W
  int64_t max_rows = 128;     // inputs of each modality
};
LinearQuality MeasureLinear(const TensorView& weight, const QuantizedLinear& linear,
                            const SiteStatistics& site, const QualityOptions& options = {});

}  // namespace ingot
