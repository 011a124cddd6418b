// SPDX-License-Identifier: Apache-2.0
// y = x W^T, for float weights and for every W8A8 kind that the program reads. All kinds with
// scales follow one formula (Ascend/msmodelslim:
// docs/zh/user_guide/quantization_formats/ascendv1.md):
//   x_q[k] = clamp(rne(x[k] / s[k]) + z[k], -128, 127)
//   y[n]   = (sum_k Wq[n,k] x_q[k] + quant_bias[n]) deq[n] (+ bias[n]), the sum exact in int32
// A linear is a plain value: to run a block with other weights, assign to its members.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/tensor_table.h"
#include "model/observe.h"
#include "model/weight.h"

namespace ingot {

// How a linear is executed (how a folder stores it is LinearType in checkpoint/folder_layout.h:
// another enum).
enum class LinearExec {
  kFloat,         // weight F32, BF16 or F16
  kStatic,        // W8A8, one activation scale and offset
  kStaticVector,  // W8A8, scale and offset per input channel [in]
  kDynamic,       // W8A8, symmetric, s = max|x| / 127 of each row
};
const char* LinearExecName(LinearExec type);  // "float", "w8a8-static", ...

struct Linear {
  std::string module;  // "model.language_model.layers.3.mlp.up_proj"
  std::string site;    // stable name of the input, see LinearSpec::site
  LinearKind kind = LinearKind::kQ;
  int64_t out = 0, in = 0;

  LinearExec exec = LinearExec::kFloat;
  Weight weight;            // [out, in]; I8 for the W8A8 types
  std::vector<float> bias;  // [out] or empty; added to the result

  std::vector<float> input_scale;   // kStatic [1], kStaticVector [in]: s, or r when `reciprocal`
  std::vector<float> input_offset;  // same size, integer-valued
  bool reciprocal = false;          // input_scale holds r and x_q = clamp(rne(x * r) + z)
  std::vector<int32_t> quant_bias;  // [out] or empty (zeros)
  std::vector<float> deq;           // [out]; kDynamic: the weight scales (times the row's s)
};

// x [rows, in] -> y [rows, out]. A row's result does not depend on `rows` or on the number of
// threads. W8A8: the code of NaN is -128. The activations that are quantized are float32 in both
// precisions.
void RunLinear(const Linear& linear, const float* x, int64_t rows, float* y, Precision precision);
// The same for several linears that read one input (q, k, v; gate, up): float inputs are rounded
// once, equal scales quantized once.
struct LinearOutput {
  const Linear* linear;
  float* y;
  bool add = false;  // y += the result: the same bits as a sum made afterwards
};
void RunLinears(std::span<const LinearOutput> linears, const float* x, int64_t rows,
                Precision precision);
// y [rows, out] = silu(gate(x)) * up(x), the same bits as in three steps; with packed products
// neither factor goes through memory.
void RunGated(const Linear& gate, const Linear& up, const float* x, int64_t rows, float* y,
              Precision precision);

// Packs the weight for the kernels in use if they have a layout for it: int8 weights, and bfloat16
// weights as Precision::kBF16 runs them. True when it is packed now.
bool PackWeight(const Linear& linear);

// The int8 codes and the scale per row (kDynamic; else empty) that RunLinear computes from x: for
// tests and tools.
void QuantizeInput(const Linear& linear, const float* x, int64_t rows, int8_t* codes,
                   float* row_scales);

// Reproduces an engine's own rounding of the stored parameters when a W8A8 linear is loaded.
//   k310, golden-stick: deq rounded to F16, input scale s rounded to F16.
//   k310, Ascend: I64 deq cut to its top 19 bits; x times r = F16(1 / F16(s)).
//   k910, golden-stick: s rounded to BF16.
//   k910, Ascend: x times r = BF16(1 / BF16(s)).
// compressed-tensors and dynamic linears are computed as stored.
enum class Emulate { kNone, k310, k910 };
Emulate ParseEmulate(std::string_view name);  // none|310|310p|910|910b; UserError otherwise

struct LoadOptions {
  Emulate emulate = Emulate::kNone;
  // Weights are packed for the kernels while they are loaded and the pages of the file given back.
  // Else that happens when a weight is first used with few rows. The results are the same.
  bool pack = false;
  // The mistake of an engine that was not told about the quantization, on purpose: int8 codes are
  // taken for the weights, all scales are ignored. The answers are garbage.
  bool codes_as_float = false;
};

// Loads one linear from a folder of any format. Errors: FormatError naming tensor, found, expected.
Linear LoadLinear(const ModelReader& reader, const LinearSpec& spec,
                  const LoadOptions& options = {});

// Makers for weights that the program itself computes. Errors: InternalError on sizes that do not
// fit.
Linear MakeFloatLinear(const LinearSpec& spec, Weight weight, std::vector<float> bias = {});
Linear MakeStaticLinear(const LinearSpec& spec, Weight codes, std::vector<float> input_scale,
                        std::vector<float> input_offset, std::vector<int32_t> quant_bias,
                        std::vector<float> deq, std::vector<float> bias = {});
Linear MakeDynamicLinear(const LinearSpec& spec, Weight codes, std::vector<float> weight_scale,
                         std::vector<float> bias = {});

}  // namespace ingot
