// SPDX-License-Identifier: Apache-2.0
// The numbers of one static linear, read from whatever form they are stored in, and the derivations
// between the forms.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "convert/source.h"
#include "tensor/tensor.h"

namespace ingot {

// input_scale and input_offset (or input_zero_point; absent: 0) of a static linear.
struct ActivationNumbers {
  std::vector<float> scale, offset;  // one element, or [K] when they differ by channel
  bool uniform() const { return scale.size() == 1 && offset.size() == 1; }
};
// Errors: FormatError naming the tensor: length neither 1 nor K, a scale that is not finite and
// positive, an offset that is no integer in [-128, 127].
ActivationNumbers ReadActivation(const SourceModule& module);

// deq_scale as stored, any carrier. Errors: FormatError.
std::vector<float> ReadDeq(const SourceModule& module);
// input_scale * weight_scale, for formats that store no deq_scale.
std::vector<float> DeriveDeq(const SourceModule& module);

// Row sums weighted with the offset and the quant_bias of every row, with or without the layer's
// bias inside.
std::vector<int32_t> DeriveQuantBias(const SourceModule& module, const std::vector<float>& deq,
                                     bool with_bias);

// Does the stored quant_bias contain the layer's bias? Found by computing both forms. Errors:
// FormatError when it is neither. Requires: the module has bias, quant_bias and deq_scale.
bool QuantBiasContainsBias(const SourceModule& module);

// A weight_scale [N] such that RN32(s_x * s_w) is the stored deq_scale, bit for bit: the stored one
// when it does, else one in F16 or BF16, which is the producer's own (at most one such number
// exists), else, with `allow_f32`, one in F32, of which there may be several. nullopt when some row
// has none.
struct RecoveredScale {
  DType dtype = DType::kF32;
  std::vector<float> values;
  bool stored = false;  // the tensor weight_scale itself
};
std::optional<RecoveredScale> RecoverWeightScale(const SourceModule& module, bool allow_f32);

}  // namespace ingot
