// SPDX-License-Identifier: Apache-2.0
#include "convert/tensor_rules.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "base/numeric.h"
#include "checkpoint/tensor_table.h"
#include "checkpoint/w8a8_arithmetic.h"

namespace ingot {

void RefuseLinear(const SourceLinear& linear, const std::string& reason,
                  const std::string& remedy) {
  throw UserError("{}: {} {}. {}", linear.source->dir().string(), linear.module->name, reason,
                  remedy);
}

OutputTensor KeepTensor(LayoutTensor out, const SourceTensor& source) {
  out.dtype = source.info->dtype;
  out.shape = source.info->shape;
  return {std::move(out), Action::kKeep, &source, nullptr};
}

namespace {

OutputTensor Made(LayoutTensor out, Action action, const SourceTensor* source,
                  std::function<Tensor()> make) {
  return {std::move(out), action, source, std::move(make)};
}

// To the target's type when that is wider, or when it is narrower and still holds every number;
// else kept as it is. One 16-bit type is never turned into the other: readers take both.
OutputTensor KeepOrCast(LayoutTensor out, const SourceTensor& source) {
  const DType from = source.info->dtype, to = out.dtype;
  if (from == to || !IsFloat16Or32(from) || (from != DType::kF32 && to != DType::kF32))
    return KeepTensor(std::move(out), source);
  if (to != DType::kF32) {
    const std::vector<float> values = ToFloats(source.view());
    const auto exact = [&](float value) { return NearestIn(to, value) == value; };
    if (!std::all_of(values.begin(), values.end(), exact))
      return KeepTensor(std::move(out), source);
  }
  out.shape = source.info->shape;
  const Shape shape = out.shape;
  return Made(std::move(out), Action::kCast, &source,
              [&source, shape, to] { return FromFloats(ToFloats(source.view()), to, shape); });
}

Tensor Filled(DType dtype, const Shape& shape, std::vector<float> values) {
  values.resize(static_cast<size_t>(NumElements(shape)), values[0]);
  if (dtype != DType::kI8) return FromFloats(values, dtype, shape);
  Tensor tensor(DType::kI8, shape);
  std::transform(values.begin(), values.end(), tensor.As<int8_t>().begin(),
                 [](float value) { return static_cast<int8_t>(value); });
  return tensor;
}

// ---- one rule for each suffix

OutputTensor RuleKeep(const SourceLinear& linear, LayoutTensor out) {
  const SourceTensor& source = linear.module->Get(SuffixOf(out.name));  // before `out` is moved
  return KeepOrCast(std::move(out), source);
}

OutputTensor RuleWeight(const SourceLinear& linear, LayoutTensor out) {
  return KeepTensor(std::move(out), linear.module->Get("weight"));
}

OutputTensor RuleWeightScale(const SourceLinear& linear, LayoutTensor out) {
  const SourceTensor* stored = linear.module->Find("weight_scale");
  const bool usable = stored != nullptr && (!linear.weight_scale || linear.weight_scale->stored);
  if (usable) return KeepOrCast(std::move(out), *stored);
  const RecoveredScale scale = *linear.weight_scale;
  if (out.dtype != DType::kF32) out.dtype = scale.dtype;
  const DType dtype = out.dtype;
  const Shape shape = out.shape;
  return Made(std::move(out), Action::kDerive, nullptr,
              [scale, dtype, shape] { return FromFloats(scale.values, dtype, shape); });
}

OutputTensor RuleWeightOffset(const SourceLinear& linear, LayoutTensor out) {
  if (const SourceTensor* stored = linear.module->Find("weight_offset"))
    return KeepOrCast(std::move(out), *stored);
  const LayoutTensor shape = out;
  return Made(std::move(out), Action::kDerive, nullptr,
              [shape] { return Tensor(shape.dtype, shape.shape); });
}

// input_scale and input_offset: the same numbers, as one or as a vector.
OutputTensor ActivationTensor(const SourceLinear& linear, LayoutTensor out,
                              const SourceTensor* source, const std::vector<float>& numbers) {
  const bool vector = NumElements(out.shape) > 1;
  if (!vector && numbers.size() > 1) {
    RefuseLinear(linear,
                 fmt::format("has a {} that differs by input channel, which {} cannot hold",
                             SuffixOf(out.name), TargetName(linear.layout.target)),
                 "Convert to golden-stick-310 or golden-stick-910, or quantize again without "
                 "--vector-scales.");
  }
  // Where the layout wants a 16-bit scalar, a source that needs more keeps float32 (readers cast it
  // themselves).
  const auto exact = [&](float value) { return NearestIn(out.dtype, value) == value; };
  if (!vector && !std::all_of(numbers.begin(), numbers.end(), exact)) out.dtype = DType::kF32;
  Action action = Action::kDerive;
  if (source != nullptr) {
    const bool was_vector = NumElements(source->info->shape) > 1;
    if (source->info->dtype == out.dtype && source->info->shape == out.shape)
      return KeepTensor(std::move(out), *source);
    action = was_vector == vector ? Action::kCast : vector ? Action::kExpand : Action::kCollapse;
  }
  const LayoutTensor target = out;
  return Made(std::move(out), action, source,
              [target, numbers] { return Filled(target.dtype, target.shape, numbers); });
}

OutputTensor RuleInputScale(const SourceLinear& linear, LayoutTensor out) {
  const SourceTensor& source = linear.module->Get("input_scale");
  if (IsGoldenStick(linear.layout.target)) {
    for (const float s : linear.input.scale) {
      const float stored = RoundToF16(s);
      if (std::isfinite(stored) && stored > 0) continue;
      RefuseLinear(
          linear,
          fmt::format("has the input_scale {}, which F16 (the type of golden-stick) cannot hold",
                      s),
          "Quantize the model again with --target golden-stick-310 or golden-stick-910.");
    }
  }
  return ActivationTensor(linear, std::move(out), &source, linear.input.scale);
}

OutputTensor RuleInputOffset(const SourceLinear& linear, LayoutTensor out) {
  return ActivationTensor(linear, std::move(out), linear.module->Find("input_offset"),
                          linear.input.offset);
}

OutputTensor RuleZeroPoint(const SourceLinear& linear, LayoutTensor out) {
  const SourceTensor* source = linear.module->Find("input_zero_point");
  if (source == nullptr) source = linear.module->Find("input_offset");
  return ActivationTensor(linear, std::move(out), source, linear.input.offset);
}

OutputTensor RuleQuantBias(const SourceLinear& linear, LayoutTensor out) {
  if (!linear.derive_quant_bias)
    return KeepTensor(std::move(out), linear.module->Get("quant_bias"));
  const SourceModule* module = linear.module;
  const bool with_bias = QuantBiasHoldsBias(linear.layout);
  const bool derive_deq = linear.derive_deq;
  const Shape shape = out.shape;
  return Made(std::move(out), Action::kDerive, nullptr, [module, with_bias, derive_deq, shape] {
    const std::vector<float> deq = derive_deq ? DeriveDeq(*module) : ReadDeq(*module);
    const std::vector<int32_t> values = DeriveQuantBias(*module, deq, with_bias);
    Tensor tensor(DType::kI32, shape);
    std::copy(values.begin(), values.end(), tensor.As<int32_t>().begin());
    return tensor;
  });
}

OutputTensor RuleDeqScale(const SourceLinear& linear, LayoutTensor out) {
  const SourceModule* module = linear.module;
  const DType dtype = out.dtype;
  if (linear.derive_deq) {
    return Made(std::move(out), Action::kDerive, nullptr,
                [module, dtype] { return EncodeDeqScale(DeriveDeq(*module), dtype); });
  }
  const SourceTensor& source = module->Get("deq_scale");
  ReadDeq(*module);  // refuses what is no encoded scale before anything is written
  if (source.info->dtype == dtype) return KeepTensor(std::move(out), source);
  return Made(std::move(out), Action::kRetype, &source,
              [module, dtype] { return EncodeDeqScale(ReadDeq(*module), dtype); });
}

struct Rule {
  std::string_view suffix;
  OutputTensor (*apply)(const SourceLinear&, LayoutTensor);
};
constexpr std::array<Rule, 9> kRules = {{
    {"weight", RuleWeight},
    {"bias", RuleKeep},
    {"weight_scale", RuleWeightScale},
    {"weight_offset", RuleWeightOffset},
    {"input_scale", RuleInputScale},
    {"input_offset", RuleInputOffset},
    {"input_zero_point", RuleZeroPoint},
    {"quant_bias", RuleQuantBias},
    {"deq_scale", RuleDeqScale},
}};

}  // namespace

OutputTensor ApplyRule(const SourceLinear& linear, const LayoutTensor& out) {
  const std::string suffix = SuffixOf(out.name);
  for (const Rule& rule : kRules) {
    if (rule.suffix == suffix) return rule.apply(linear, out);
  }
  throw InternalError("convert: no rule for {}", out.name);
}

}  // namespace ingot
