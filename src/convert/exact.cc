// SPDX-License-Identifier: Apache-2.0
// What convert_weights.py of the original workflow does to each tensor (keys matched as substrings,
// branch by target), so that --exact gives its weight file byte for byte. Where it would destroy
// numbers this plan refuses.
#include <cmath>

#include "base/error.h"
#include "base/numeric.h"
#include "checkpoint/tensor_table.h"
#include "convert/numbers.h"
#include "convert/rules.h"

namespace ingot {
namespace {

bool Contains(const std::string& name, std::string_view part) {
  return name.find(part) != std::string::npos;
}

Tensor Repeated(DType dtype, int64_t length, float value) {
  return FromFloats(std::vector<float>(static_cast<size_t>(length), value), dtype, {length});
}

// The script looks the length up in the weight of q_proj for k_proj and v_proj; all three have the
// same one.
OutputTensor Expand(const SourceModule& module, const SourceTensor& source, LayoutTensor out,
                    Target target) {
  const std::string suffix = SuffixOf(out.name);
  out.dtype =
      suffix == "input_scale" || target == Target::kGoldenStick310 ? DType::kF16 : DType::kBF16;
  out.shape = {module.in()};
  const bool done = source.info->dtype == out.dtype && source.info->shape == out.shape;
  if (done) return {std::move(out), Action::kKeep, &source, nullptr};
  if (NumElements(source.info->shape) != 1) {
    throw UserError(
        "{}: is a vector already, made for the other target; the original script converts a fresh "
        "folder only. Run "
        "without --exact, or start from the quantizer's folder.",
        out.name);
  }
  const ActivationNumbers numbers = ReadActivation(module);
  const float value = suffix == "input_scale" ? numbers.scale[0] : numbers.offset[0];
  const float stored = out.dtype == DType::kF16 ? RoundToF16(value) : RoundToBf16(value);
  if (!std::isfinite(stored) || (stored == 0 && value != 0)) {
    throw UserError(
        "{}: is {}, which F16 cannot hold; the original script would write {}. Quantize the model "
        "again.",
        out.name, value, stored);
  }
  const DType dtype = out.dtype;
  const int64_t length = module.in();
  return {std::move(out), Action::kExpand, &source,
          [dtype, length, value] { return Repeated(dtype, length, value); }};
}

OutputTensor RetypeDeq(const SourceModule& module, const SourceTensor& source, LayoutTensor out,
                       bool folder_is_done) {
  if (source.info->dtype == DType::kF32 && !folder_is_done) {
    throw UserError(
        "{}: is F32, and for 310 the original script casts its values to int32, which makes every "
        "scale 0. There "
        "is nothing to reproduce: run without --exact.",
        out.name);
  }
  if (source.info->dtype == DType::kF32) return {std::move(out), Action::kKeep, &source, nullptr};
  out.dtype = DType::kF32;
  const SourceModule* m = &module;
  return {std::move(out), Action::kRetype, &source,
          [m] { return EncodeDeqScale(ReadDeq(*m), DType::kF32); }};
}

}  // namespace

ConversionPlan PlanExact(const SourceFolder& source, Target target) {
  if (source.files().size() != 1) {
    throw UserError(
        "{}: holds {} weight files, and the original script converts exactly one. Run without "
        "--exact, which "
        "joins them.",
        source.dir().string(), source.files().size());
  }
  ConversionPlan plan;
  plan.layout.target = target;
  const bool done = source.format() == FormatOf(target);
  for (const SourceModule& module : source.modules()) {
    for (const auto& [suffix, label] : module.labels) {
      const SourceTensor* tensor = module.Find(suffix);
      if (tensor == nullptr) continue;
      const std::string& name = tensor->info->name;
      LayoutTensor out{name, tensor->info->dtype, tensor->info->shape, label, true};
      if (Contains(name, "input_scale") || Contains(name, "input_offset")) {
        plan.tensors.push_back(Expand(module, *tensor, std::move(out), target));
      } else if (Contains(name, "deq_scale") && target == Target::kGoldenStick310) {
        plan.tensors.push_back(RetypeDeq(module, *tensor, std::move(out), done));
      } else {
        plan.tensors.push_back({std::move(out), Action::kKeep, tensor, nullptr});
      }
    }
  }
  return plan;
}

}  // namespace ingot
