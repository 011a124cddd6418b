// SPDX-License-Identifier: Apache-2.0
// Rules 10, 11 and 13: completeness, types and plain ranges of the tensors of a quantized linear.
#include "check/linear_numbers.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <set>

#include "base/thread_pool.h"

namespace ingot {
namespace {

class LinearReader {
 public:
  LinearReader(const CheckedFolder& folder, const CheckedModule& module, Findings* findings)
      : folder_(folder), module_(module), findings_(findings) {
    numbers_.module = &module;
    numbers_.rows = module.rows();
    numbers_.cols = module.cols();
  }
  LinearNumbers Read();

 private:
  void Complete();
  void Activation();
  void ActivationTypes();
  void Deq();
  void WeightScale();
  void Others();
  void CheckRange(const std::vector<float>& values, const char* suffix, bool (*good)(float),
                  const char* expected);
  // The tensor when its type is one of `types` and it has `length` elements (or one, when
  // `or_one`).
  const CheckedTensor* Typed(const char* suffix, const std::set<DType>& types, int64_t length,
                             bool or_one);
  void Error(int rule, const std::string& suffix, std::string found, std::string why = "",
             std::string remedy = "") {
    findings_->Add({rule, Severity::kError, module_.name + "." + suffix, std::move(found),
                    std::move(why), std::move(remedy)});
  }
  bool compressed_tensors() const { return folder_.format == FolderFormat::kCompressedTensors; }

  const CheckedFolder& folder_;
  const CheckedModule& module_;
  Findings* findings_;
  LinearNumbers numbers_;
};

const std::set<DType> kFloats = {DType::kF16, DType::kBF16, DType::kF32};

bool IsPositive(float value) { return std::isfinite(value) && value > 0; }
bool IsOffset(float value) { return value >= -128 && value <= 127 && value == std::trunc(value); }
bool IsZero(float value) { return value == 0; }

LinearNumbers LinearReader::Read() {
  Complete();
  if (module_.is_static()) {
    ActivationTypes();
    Activation();
    Deq();
  }
  WeightScale();
  Others();
  return std::move(numbers_);
}

// Rule 10.
void LinearReader::Complete() {
  std::vector<const char*> wanted = {"weight"};
  const std::string* label = module_.Label("weight");
  const bool dynamic = !module_.is_static() && (label == nullptr || *label != "W8A8");
  if (compressed_tensors() || dynamic) {
    wanted.push_back("weight_scale");
  } else {
    for (const char* suffix : {"input_scale", "input_offset", "quant_bias", "deq_scale"})
      wanted.push_back(suffix);
  }
  for (const char* suffix : wanted) {
    if (module_.Find(suffix) == nullptr) Error(10, suffix, "is missing");
  }
  const bool scale = module_.Find("weight_scale") != nullptr,
             offset = module_.Find("weight_offset") != nullptr;
  if (scale != offset && !compressed_tensors()) {
    findings_->Add({10, Severity::kWarning, module_.name,
                    fmt::format("has weight_{} without weight_{}", scale ? "scale" : "offset",
                                scale ? "offset" : "scale"),
                    "some readers want both", ""});
  }
}

const CheckedTensor* LinearReader::Typed(const char* suffix, const std::set<DType>& types,
                                         int64_t length, bool or_one) {
  const CheckedTensor* tensor = module_.Find(suffix);
  if (tensor == nullptr) return nullptr;
  const int64_t n = NumElements(tensor->shape());
  if (types.count(tensor->dtype()) && (n == length || (or_one && n == 1))) return tensor;
  std::string names;
  for (const DType type : types)
    names += (names.empty() ? "" : " or ") + std::string(DTypeName(type));
  Error(11, suffix,
        fmt::format("is {} {}; expected {} with {}{} elements", DTypeName(tensor->dtype()),
                    ShapeText(tensor->shape()), names, or_one ? "1 or " : "", length));
  return nullptr;
}

// The profile's own types of input_scale and input_offset (rule 11): scalars for ascend, vectors
// for golden-stick.
void LinearReader::ActivationTypes() {
  for (const char* suffix : {"input_scale", "input_offset"}) {
    const CheckedTensor* tensor = module_.Find(suffix);
    if (tensor == nullptr) continue;
    const int64_t n = NumElements(tensor->shape());
    const DType type = tensor->dtype();
    const bool offset = std::string_view(suffix) == "input_offset";
    if (folder_.golden_stick()) {
      if (n == 1 && numbers_.cols != 1) {
        Error(11, suffix, "is one number; golden-stick wants one for each input",
              "the engine stops: shapes differ");
      }
      const bool is_310 = folder_.format == FolderFormat::kGoldenStick310;
      const DType usual = offset && !is_310 ? DType::kBF16 : DType::kF16;
      if (type == usual || (offset && type == DType::kI8)) continue;
      findings_->Add({11, Severity::kWarning, module_.name + "." + suffix,
                      fmt::format("is {}; {} folders hold {}", DTypeName(type),
                                  FolderFormatName(*folder_.format), DTypeName(usual)),
                      "the engine casts it while loading, or stops", ""});
    } else if (n > 1) {
      Error(11, suffix,
            fmt::format("is a vector of {}; {} wants one number", n,
                        folder_.format ? FolderFormatName(*folder_.format) : "this format"),
            "the engine stops: shapes differ");
    }
  }
}

void LinearReader::CheckRange(const std::vector<float>& values, const char* suffix,
                              bool (*good)(float), const char* expected) {
  const auto bad = std::find_if_not(values.begin(), values.end(), good);
  if (bad == values.end()) return;
  const auto count =
      std::count_if(values.begin(), values.end(), [&](float value) { return !good(value); });
  Error(13, suffix,
        fmt::format("element {} is {}; expected {} ({} of {} elements are not)",
                    bad - values.begin(), *bad, expected, count, values.size()));
}

bool AllEqual(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(), [&](float value) {
    return std::bit_cast<uint32_t>(value) == std::bit_cast<uint32_t>(values[0]);
  });
}

void LinearReader::Activation() {
  if (const CheckedTensor* scale = Typed("input_scale", kFloats, numbers_.cols, true)) {
    numbers_.scale = ToFloats(scale->view());
    CheckRange(numbers_.scale, "input_scale", IsPositive, "a finite positive number");
  }
  std::set<DType> offset_types = kFloats;
  offset_types.insert(DType::kI8);
  const char* name = compressed_tensors() ? "input_zero_point" : "input_offset";
  if (const CheckedTensor* offset = Typed(name, offset_types, numbers_.cols, true)) {
    numbers_.offset = ToFloats(offset->view());
    CheckRange(numbers_.offset, name, IsOffset, "an integer from -128 to 127");
  }
  numbers_.uniform = AllEqual(numbers_.scale) && AllEqual(numbers_.offset);
  if (!numbers_.uniform && folder_.golden_stick()) {
    findings_->Add({11, Severity::kNote, module_.name,
                    "has activation scales that differ by channel",
                    "vllm-mindspore allows it; no run on hardware is known",
                    "Test on the device, or quantize without vector scales."});
  }
}

void LinearReader::Deq() {
  const CheckedTensor* tensor =
      Typed("deq_scale", {DType::kF32, DType::kI64}, numbers_.rows, false);
  if (tensor == nullptr) return;
  numbers_.deq_i64 = tensor->dtype() == DType::kI64;
  if (!numbers_.deq_i64) {
    numbers_.deq = ToFloats(tensor->view());
    return;
  }
  for (const int64_t code : tensor->view().As<int64_t>()) {
    const auto value = DecodeDeqScaleI64(code);
    if (!value) {
      Error(
          15, "deq_scale",
          fmt::format(
              "element {} is the int64 {}, which is no float pattern (its upper half is not zero)",
              numbers_.deq.size(), code),
          "the operator takes the low half for a float");
      numbers_.deq.clear();
      return;
    }
    numbers_.deq.push_back(*value);
  }
}

void LinearReader::WeightScale() {
  if (const CheckedTensor* scale = Typed("weight_scale", kFloats, numbers_.rows, false)) {
    numbers_.weight_scale = ToFloats(scale->view());
    CheckRange(numbers_.weight_scale, "weight_scale", IsPositive, "a finite positive number");
  }
  if (const CheckedTensor* offset = Typed("weight_offset", kFloats, numbers_.rows, false)) {
    CheckRange(ToFloats(offset->view()), "weight_offset", IsZero, "0 (symmetric weights)");
  }
}

void LinearReader::Others() {
  if (const CheckedTensor* quant_bias = Typed("quant_bias", {DType::kI32}, numbers_.rows, false)) {
    const auto values = quant_bias->view().As<int32_t>();
    numbers_.quant_bias.assign(values.begin(), values.end());
  }
  if (const CheckedTensor* bias = Typed("bias", kFloats, numbers_.rows, false))
    numbers_.bias = ToFloats(bias->view());
}

}  // namespace

LinearNumbers ReadLinear(const CheckedFolder& folder, const CheckedModule& module,
                         Findings* findings) {
  return LinearReader(folder, module, findings).Read();
}

std::vector<RowCodes> ScanRows(const CheckedTensor& weight) {
  const auto codes = weight.view().As<int8_t>();
  const size_t cols = static_cast<size_t>(weight.shape()[1]);
  std::vector<RowCodes> rows(static_cast<size_t>(weight.shape()[0]));
  ParallelFor(rows.size(), 16, [&](size_t begin, size_t end) {
    for (size_t row = begin; row < end; ++row) {
      const int8_t* p = codes.data() + row * cols;
      int8_t lowest = 127, highest = -128;
      for (size_t col = 0; col < cols; ++col) {
        lowest = std::min(lowest, p[col]);
        highest = std::max(highest, p[col]);
      }
      rows[row] = {lowest, highest};
    }
  });
  return rows;
}

}  // namespace ingot
