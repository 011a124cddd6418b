// SPDX-License-Identifier: Apache-2.0
// Rules 6, 19 and 23: the values of float tensors, and everything against the float model. Streams:
// one tensor at a time.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <mutex>

#include "base/numeric.h"
#include "base/thread_pool.h"
#include "check/checks.h"
#include "check/linear_numbers.h"
#include "checkpoint/tensor_table.h"
#include "checkpoint/w8a8_arithmetic.h"

namespace ingot {
namespace {

constexpr int64_t kPart = 1 << 16;  // elements widened at a time

// Non-finite elements of a float tensor, looked for in the bits.
int64_t CountNonFinite(const TensorView& view) {
  std::atomic<int64_t> total{0};
  const auto count = [&](auto values, auto mask) {
    ParallelFor(values.size(), kPart, [&](size_t begin, size_t end) {
      int64_t n = 0;
      for (size_t i = begin; i < end; ++i) n += (values[i] & mask) == mask ? 1 : 0;
      total += n;
    });
  };
  if (view.dtype == DType::kF16) count(view.As<uint16_t>(), uint16_t{0x7c00});
  if (view.dtype == DType::kBF16) count(view.As<uint16_t>(), uint16_t{0x7f80});
  if (view.dtype == DType::kF32) count(view.As<uint32_t>(), uint32_t{0x7f800000});
  return total;
}

int64_t CountNonFinite(const CheckedTensor& tensor) {
  const TensorView whole = tensor.view();
  int64_t total = 0;
  ForEachPiece(whole.elements(), [&](int64_t first, int64_t count) {
    total += CountNonFinite(PartOf(whole, first, count));
    tensor.DropPart(first, count);
  });
  return total;
}

// What a comparison of a float tensor with its source found.
struct Difference {
  int64_t n = 0;          // elements that are not the source's rounded to the tensor's type
  int64_t overflows = 0;  // finite in the source, infinite here
  double largest = 0;
};

void CompareFloats(const TensorView& here, const TensorView& source, Difference* total) {
  std::mutex mutex;
  ParallelFor(static_cast<size_t>(here.elements()), kPart, [&](size_t begin, size_t end) {
    Difference part;
    std::vector<float> a(kPart), b(kPart);
    for (size_t at = begin; at < end; at += kPart) {
      const size_t n = std::min<size_t>(kPart, end - at);
      ToFloats(here, static_cast<int64_t>(at), {a.data(), n});
      ToFloats(source, static_cast<int64_t>(at), {b.data(), n});
      for (size_t i = 0; i < n; ++i) {
        const float expected = NearestIn(here.dtype, b[i]);
        if (a[i] == expected && !(std::isinf(a[i]) && std::isfinite(b[i]))) continue;
        if (std::isnan(a[i]) && std::isnan(b[i])) continue;
        ++part.n;
        part.overflows += std::isinf(a[i]) && std::isfinite(b[i]) ? 1 : 0;
        if (std::isfinite(a[i]) && std::isfinite(b[i])) {
          part.largest = std::max(part.largest, std::abs(static_cast<double>(a[i]) - b[i]));
        }
      }
    }
    const std::lock_guard lock(mutex);
    total->n += part.n;
    total->overflows += part.overflows;
    total->largest = std::max(total->largest, part.largest);
  });
}

Difference CompareFloats(const CheckedTensor& here, const CheckedTensor& source) {
  const TensorView a = here.view(), b = source.view();
  Difference total;
  ForEachPiece(a.elements(), [&](int64_t first, int64_t count) {
    CompareFloats(PartOf(a, first, count), PartOf(b, first, count), &total);
    here.DropPart(first, count);
    source.DropPart(first, count);
  });
  return total;
}

class SourceChecker {
 public:
  SourceChecker(const CheckedFolder& folder, const CheckedFolder& source, bool quick,
                Findings* findings)
      : folder_(folder), source_(source), quick_(quick), findings_(findings) {}
  void Run();

 private:
  const CheckedTensor* Here(const std::string& name) const;
  void CheckNames();
  void CheckFloat(const std::string& name, const CheckedTensor& source);
  void FindTransform();
  void CheckWeights(const CheckedModule& module, const CheckedTensor& source);
  double Limit(const LinearNumbers& linear, float s_w) const;

  const CheckedFolder& folder_;
  const CheckedFolder& source_;
  const bool quick_;
  Findings* findings_;
  bool transformed_ = false;  // norms differ from the source: smoothing or rotation
  double worst_ = 0;
  std::string worst_module_;
  int64_t n_compared_ = 0;
};

const CheckedTensor* SourceChecker::Here(const std::string& name) const {
  for (const std::string& candidate : {name, OtherStyle(name)}) {
    const auto it = folder_.tensors.find(candidate);
    if (it != folder_.tensors.end()) return &it->second;
  }
  return nullptr;
}

// Rule 6.
void SourceChecker::CheckNames() {
  for (const auto& [name, source] : source_.tensors) {
    const CheckedTensor* here = Here(name);
    if (here == nullptr) {
      if (name == "lm_head.weight" && folder_.ties) continue;
      findings_->Add(
          {6, Severity::kError, Printable(name), "is in the source and missing here", "", ""});
    } else if (here->shape() != source.shape()) {
      findings_->Add({6, Severity::kError, Printable(name),
                      fmt::format("has shape {}, the source {}", ShapeText(here->shape()),
                                  ShapeText(source.shape())),
                      "", ""});
    }
  }
  for (const auto& [name, tensor] : folder_.tensors) {
    const CheckedModule* module = folder_.FindModule(ModuleOf(name));
    if (module->HasCodes() && SuffixOf(name) != "weight" && SuffixOf(name) != "bias") continue;
    const bool known = source_.tensors.count(name) || source_.tensors.count(OtherStyle(name)) ||
                       name == "lm_head.weight";
    if (!known)
      findings_->Add({6, Severity::kWarning, Printable(name), "is not in the source",
                      "engines may stop at it", ""});
  }
}

// Smoothing divides norm weights, rotation sets them to one: then weights and codes belong to an
// equal, but other, network.
void SourceChecker::FindTransform() {
  for (const auto& [name, source] : source_.tensors) {
    if (!name.ends_with("layernorm.weight") && !name.ends_with("norm1.weight") &&
        !name.ends_with("norm2.weight"))
      continue;
    const CheckedTensor* here = Here(name);
    if (here == nullptr || here->shape() != source.shape() || !IsFloat16Or32(here->dtype()))
      continue;
    if (CompareFloats(*here, source).n > 0) {
      transformed_ = true;
      findings_->Fact(
          "norm weights differ from the source: the weights were smoothed or rotated, so codes are "
          "not compared "
          "with the source's weights");
      return;
    }
  }
}

// Rule 23.
void SourceChecker::CheckFloat(const std::string& name, const CheckedTensor& source) {
  const CheckedTensor* here = Here(name);
  if (here == nullptr || here->shape() != source.shape() || !IsFloat16Or32(here->dtype()) ||
      !IsFloat16Or32(source.dtype())) {
    return;
  }
  const Difference difference = CompareFloats(*here, source);
  here->Drop();
  source.Drop();
  if (difference.overflows > 0) {
    findings_->Add({23, Severity::kError, Printable(name),
                    fmt::format("{} values of the source are too large for {}",
                                difference.overflows, DTypeName(here->dtype())),
                    "", "Keep this model in bfloat16."});
  }
  if (difference.n == 0) return;
  // Smoothing of up and v changes down and o even where no norm shows it.
  const bool after = name.ends_with("down_proj.weight") || name.ends_with("o_proj.weight");
  const bool usual = folder_.quantized() && (transformed_ || after);
  findings_->Add(
      {23, usual ? Severity::kNote : Severity::kError, Printable(name),
       fmt::format("{} of {} values are not the source's, by up to {:.3g}", difference.n,
                   NumElements(source.shape()), difference.largest),
       usual ? "expected after smoothing or rotation" : "the model computes with other weights",
       usual ? "Compare the answers: ingot compare." : ""});
}

// Half a step, plus what 16 bits add: a quotient rounded before it became a code (up to 1/32 step
// in F16, 1/4 in BF16), and a scale that was rounded when it was stored, which the largest codes
// feel most (127 half units in the last place).
double SourceChecker::Limit(const LinearNumbers& linear, float s_w) const {
  if (linear.weight_scale.empty())
    return 1.2;  // s_w comes from deq_scale and a rounded input_scale
  const DType stored = linear.module->Find("weight_scale")->dtype();
  // A float32 that a 16-bit type holds was widened from it.
  const auto from = [&](DType type) {
    return stored == type || (stored == DType::kF32 && NearestIn(type, s_w) == s_w);
  };
  double limit = 0.51;
  if (from(DType::kF16)) {
    limit = 0.55 + 128 * std::max(0x1p-11, 0x1p-25 / static_cast<double>(s_w));
  }
  if (from(DType::kBF16)) limit = std::max(limit, 0.55 + 127 * 0x1p-8);
  return limit;
}

// Rule 19: per row, the largest |s_w * Wq - W| in units of s_w.
void SourceChecker::CheckWeights(const CheckedModule& module, const CheckedTensor& source) {
  Findings ignored(0);  // ReadLinear has reported already
  const LinearNumbers linear = ReadLinear(folder_, module, &ignored);
  const bool scalar = linear.uniform && !linear.scale.empty();
  const bool from_deq = linear.weight_scale.empty() || !linear.uniform;
  if (from_deq && (linear.deq.empty() || linear.scale.empty())) return;
  const CheckedTensor& weight = *module.Find("weight");
  if (weight.shape() != source.shape() || !IsFloat16Or32(source.dtype())) return;
  const auto codes = weight.view().As<int8_t>();
  const TensorView view = source.view();
  const size_t cols = static_cast<size_t>(linear.cols);
  std::vector<float> worst(static_cast<size_t>(linear.rows));
  ParallelFor(worst.size(), 4, [&](size_t begin, size_t end) {
    std::vector<float> row_values(cols);
    for (size_t row = begin; row < end; ++row) {
      ToFloats(view, static_cast<int64_t>(row * cols), row_values);
      // With vectors the weight is deq * Wq / input_scale[k]; its unit is the step of that column.
      const float s_w = !from_deq ? linear.weight_scale[row]
                        : scalar  ? linear.deq[row] / linear.scale[0]
                                  : 0.0f;
      float largest = 0;
      for (size_t col = 0; col < cols; ++col) {
        const float step =
            s_w > 0 ? s_w : linear.deq[row] / linear.scale[linear.scale.size() == 1 ? 0 : col];
        largest = std::max(largest, std::abs(static_cast<float>(codes[row * cols + col]) -
                                             row_values[col] / step));
      }
      worst[row] = largest;
    }
  });
  weight.Drop();
  source.Drop();
  ++n_compared_;
  int64_t beyond = 0;
  size_t first = 0;
  for (size_t row = 0; row < worst.size(); ++row) {
    const float s_w = !from_deq ? linear.weight_scale[row]
                      : scalar  ? linear.deq[row] / linear.scale[0]
                                : 1.0f;
    if (std::isfinite(worst[row]) && worst[row] > worst_) {
      worst_ = worst[row];
      worst_module_ = module.name;
    }
    if (worst[row] <= Limit(linear, s_w)) continue;
    if (!linear.deq.empty() && linear.deq[row] == 0) continue;  // rule 15
    if (beyond++ == 0) first = row;
  }
  if (beyond == 0) return;
  findings_->Add({19, Severity::kError, module.name + ".weight",
                  fmt::format("row {} is {:.3g} steps from the source; half a step was expected "
                              "({} of {} rows differ)",
                              first, worst[first], beyond, worst.size()),
                  "", ""});
}

void SourceChecker::Run() {
  CheckNames();
  FindTransform();
  if (quick_) return;
  for (const auto& [name, source] : source_.tensors) {
    const CheckedTensor* here = Here(name);
    if (here == nullptr) continue;
    const CheckedModule* module = folder_.FindModule(ModuleOf(here->info->name));
    if (module->HasCodes() && SuffixOf(name) == "weight") {
      if (!transformed_) CheckWeights(*module, source);
    } else {
      CheckFloat(name, source);
    }
  }
  if (n_compared_ > 0) {
    findings_->Fact(
        fmt::format("codes against the source's weights: at most {:.3g} steps apart ({})", worst_,
                    worst_module_));
  }
}

}  // namespace

void CheckFloatValues(const CheckedFolder& folder, Findings* findings) {
  for (const auto& [name, tensor] : folder.tensors) {
    const CheckedModule* module = folder.FindModule(ModuleOf(name));
    const std::string suffix = SuffixOf(name);
    const bool parameter = module != nullptr && module->HasCodes() && suffix != "bias";
    if (parameter || !IsFloat16Or32(tensor.dtype())) continue;  // rules 13 and 15 look at those
    const int64_t bad = CountNonFinite(tensor);
    tensor.Drop();
    if (bad == 0) continue;
    findings->Add(
        {23, Severity::kError, Printable(name),
         fmt::format("{} of {} values are NaN or infinite", bad, NumElements(tensor.shape())), "",
         ""});
  }
}

void CheckAgainstSource(const CheckedFolder& folder, const CheckedFolder& source, bool quick,
                        Findings* findings) {
  SourceChecker(folder, source, quick, findings).Run();
}

}  // namespace ingot
