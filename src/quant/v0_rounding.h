// SPDX-License-Identifier: Apache-2.0
// Weights, derived tensors and the fake-quantized forward of the original tool, bit for bit: every
// step is rounded to the type T that the model was loaded with (F16 for Qwen3-VL, BF16 for the
// older families). Source: Ascend/msmodelslim:
// msmodelslim/pytorch/llm_ptq/llm_ptq_tools/{quant_modules,save/complex_quantifier}.py.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "quant/linear_quant.h"
#include "quant/observer.h"
#include "tensor/tensor.h"

namespace ingot {

// Codes (clamped to +-127) and scales of weight [out, in], then deq_scale and quant_bias from the
// stored numbers. The source is first rounded to T, as the original loads it. `bias` may be null.
// `params.dtype` decides the product's type.
QuantizedLinear V0QuantizeStatic(const TensorView& weight, const TensorView* bias,
                                 const ActivationParams& params, DType dtype,
                                 std::string_view name = "weight");
// weight, weight_scale, weight_offset only (is_dynamic).
QuantizedLinear V0QuantizeDynamic(const TensorView& weight, const TensorView* bias, DType dtype,
                                  std::string_view name = "weight");

// Weights as the calibration forward sees them (clamp -128..127), float32 holding numbers of T.
// out: [out * in].
void V0FakeQuantizeWeight(const TensorView& weight, DType dtype, std::span<float> out);
// The input of a linear as the calibration forward sees it. x holds numbers of T; may be the same
// memory as out.
void V0FakeQuantizeActivations(std::span<const float> x, const ActivationParams& params,
                               DType dtype, std::span<float> out);

// deq_scale of stored numbers (quant_bias: checkpoint/w8a8_arithmetic.h).
float V0DeqScale(const ActivationParams& params, float weight_scale, DType dtype);

}  // namespace ingot
