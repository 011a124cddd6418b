// SPDX-License-Identifier: Apache-2.0
#include "convert/numbers.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>

#include "base/error.h"
#include "base/numeric.h"
#include "checkpoint/folder_layout.h"
#include "checkpoint/w8a8_arithmetic.h"

namespace ingot {
namespace {

// A small tensor as floats: of `length` elements, or of one.
std::vector<float> ReadVector(const SourceTensor& tensor, int64_t length) {
  const TensorInfo& info = *tensor.info;
  const int64_t n = NumElements(info.shape);
  const bool number = IsFloat16Or32(info.dtype) || info.dtype == DType::kI8;
  if ((n != 1 && n != length) || !number) {
    throw FormatError(
        "{}: tensor {}: {} {}; expected one number or {} of them, in F16, BF16, F32 or I8. "
        "Quantize the model "
        "again.",
        tensor.file->path().string(), info.name, DTypeName(info.dtype), ShapeText(info.shape),
        length);
  }
  std::vector<float> values = ToFloats(tensor.view());
  const bool same = std::all_of(values.begin(), values.end(), [&](float value) {
    return std::bit_cast<uint32_t>(value) == std::bit_cast<uint32_t>(values[0]);
  });
  if (same) values.resize(1);
  return values;
}

void CheckRows(const SourceTensor& tensor, int64_t rows) {
  if (NumElements(tensor.info->shape) == rows) return;
  throw FormatError(
      "{}: tensor {}: shape {}; expected {} numbers, one for each output row of the weight. "
      "Quantize the model "
      "again.",
      tensor.file->path().string(), tensor.info->name, ShapeText(tensor.info->shape), rows);
}

std::vector<int32_t> ReadQuantBias(const SourceModule& module) {
  const SourceTensor& tensor = module.Get("quant_bias");
  CheckRows(tensor, module.out());
  if (tensor.info->dtype != DType::kI32) {
    throw FormatError("{}: tensor {}: dtype {}; expected I32. Quantize the model again.",
                      tensor.file->path().string(), tensor.info->name,
                      DTypeName(tensor.info->dtype));
  }
  const auto values = tensor.view().As<int32_t>();
  return {values.begin(), values.end()};
}

// The number of `dtype` whose product with s_x rounds to deq, looked for around deq / s_x.
std::optional<float> ScaleFor(float deq, float s_x, DType dtype) {
  if (!(deq > 0)) return std::nullopt;  // many products vanish, so none is known
  const float guess = NearestIn(dtype, deq / s_x);
  const uint32_t step = dtype == DType::kBF16 ? 1u << 16 : dtype == DType::kF16 ? 1u << 13 : 1u;
  for (const int32_t k : {0, 1, -1, 2, -2}) {
    const uint32_t bits = std::bit_cast<uint32_t>(guess) + static_cast<uint32_t>(k) * step;
    const float candidate = NearestIn(dtype, std::bit_cast<float>(bits));
    if (candidate > 0 && std::isfinite(candidate) && s_x * candidate == deq) return candidate;
  }
  return std::nullopt;
}

}  // namespace

ActivationNumbers ReadActivation(const SourceModule& module) {
  ActivationNumbers numbers;
  const SourceTensor& scale = module.Get("input_scale");
  numbers.scale = ReadVector(scale, module.in());
  for (const float s : numbers.scale) {
    if (std::isfinite(s) && s > 0) continue;
    throw FormatError(
        "{}: tensor {}: holds {}; an activation scale is finite and positive. Quantize the model "
        "again.",
        scale.file->path().string(), scale.info->name, s);
  }
  const SourceTensor* offset = module.Find("input_offset");
  if (offset == nullptr) offset = module.Find("input_zero_point");
  if (offset == nullptr) {
    numbers.offset = {0.0f};
    return numbers;
  }
  numbers.offset = ReadVector(*offset, module.in());
  for (const float z : numbers.offset) {
    if (z >= -128 && z <= 127 && z == std::trunc(z)) continue;
    throw FormatError(
        "{}: tensor {}: holds {}; an activation offset is an integer from -128 to 127. Quantize "
        "the model "
        "again.",
        offset->file->path().string(), offset->info->name, z);
  }
  return numbers;
}

std::vector<float> ReadDeq(const SourceModule& module) {
  const SourceTensor& tensor = module.Get("deq_scale");
  CheckRows(tensor, module.out());
  return DecodeDeqScale(tensor.view(),
                        tensor.file->path().string() + ": tensor " + tensor.info->name);
}

std::vector<float> DeriveDeq(const SourceModule& module) {
  const SourceTensor& tensor = module.Get("weight_scale");
  CheckRows(tensor, module.out());
  const ActivationNumbers input = ReadActivation(module);
  std::vector<float> deq = ToFloats(tensor.view());
  for (float& value : deq) value = input.scale[0] * value;
  return deq;
}

std::vector<int32_t> DeriveQuantBias(const SourceModule& module, const std::vector<float>& deq,
                                     bool with_bias) {
  const ActivationNumbers input = ReadActivation(module);
  const SourceTensor& weight = module.Get("weight");
  const std::vector<double> sums =
      WeightedSums(weight.view().As<int8_t>(), module.out(), module.in(), input.offset);
  weight.Drop();
  std::vector<float> bias;
  if (with_bias && module.Has("bias")) {
    CheckRows(module.Get("bias"), module.out());
    bias = ToFloats(module.Get("bias").view());
  }
  std::vector<int32_t> result(sums.size());
  for (size_t row = 0; row < sums.size(); ++row) {
    result[row] =
        QuantBiasOf(sums[row], deq[row], bias.empty() ? std::nullopt : std::optional(bias[row]));
  }
  return result;
}

bool QuantBiasContainsBias(const SourceModule& module) {
  const std::vector<int32_t> stored = ReadQuantBias(module);
  const std::vector<float> deq = ReadDeq(module);
  // The producers round b / deq in the type of the bias (BF16 in places), so the sum may be off by
  // 2^-8 of that part.
  const std::vector<int32_t> with = DeriveQuantBias(module, deq, true);
  const std::vector<int32_t> without = DeriveQuantBias(module, deq, false);
  bool fits_with = true, fits_without = true;
  for (size_t row = 0; row < stored.size(); ++row) {
    const double part = std::abs(static_cast<double>(with[row]) - without[row]);
    const double slack = 1 + std::abs(static_cast<double>(stored[row])) * 0x1p-22;
    fits_with = fits_with &&
                std::abs(static_cast<double>(stored[row]) - with[row]) <= slack + part * 0x1p-8;
    fits_without =
        fits_without && std::abs(static_cast<double>(stored[row]) - without[row]) <= slack;
  }
  if (fits_with || fits_without) return fits_with;
  throw FormatError(
      "{}: tensor {}.quant_bias: follows from the weight, the offset and the bias neither with nor "
      "without the "
      "bias inside. Quantize the model again.",
      module.Get("quant_bias").file->path().string(), module.name);
}

std::optional<RecoveredScale> RecoverWeightScale(const SourceModule& module, bool allow_f32) {
  const ActivationNumbers input = ReadActivation(module);
  if (!input.uniform()) return std::nullopt;
  const std::vector<float> deq = ReadDeq(module);
  if (const SourceTensor* stored = module.Find("weight_scale")) {
    CheckRows(*stored, module.out());
    RecoveredScale scale{stored->info->dtype, ToFloats(stored->view()), true};
    bool same = true;
    for (size_t row = 0; row < deq.size(); ++row)
      same = same && input.scale[0] * scale.values[row] == deq[row];
    if (same) return scale;
  }
  for (const DType dtype : {DType::kF16, DType::kBF16, DType::kF32}) {
    if (dtype == DType::kF32 && !allow_f32) break;
    RecoveredScale scale{dtype, {}, false};
    for (const float d : deq) {
      const std::optional<float> s_w = ScaleFor(d, input.scale[0], dtype);
      if (!s_w) break;
      scale.values.push_back(*s_w);
    }
    if (scale.values.size() == deq.size()) return scale;
  }
  return std::nullopt;
}

}  // namespace ingot
