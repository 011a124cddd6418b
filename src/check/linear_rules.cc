// SPDX-License-Identifier: Apache-2.0
// Rules 10 to 18 and 20, linear by linear: one linear's weight is in memory at a time.
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <map>

#include "base/numeric.h"
#include "check/checks.h"
#include "check/linear_numbers.h"
#include "checkpoint/w8a8_arithmetic.h"

namespace ingot {
namespace {

constexpr float kF16Normal = 0x1p-14f;

// Figures over the whole folder.
struct Totals {
  int64_t n_linears = 0, minus_128_linears = 0, rows = 0, coarse_rows = 0, subnormal_rows = 0,
          lost_rows = 0, dead_rows = 0, int64_linears = 0, f32_linears = 0;
  double worst_f16 = 0, worst_identity = 0;
  std::string worst_f16_module, worst_identity_module;
};

class LinearChecker {
 public:
  LinearChecker(const CheckedFolder& folder, bool quick, Findings* findings)
      : folder_(folder), quick_(quick), findings_(findings) {}
  void Run();

 private:
  void Check(const CheckedModule& module);
  void CheckCodes(const std::vector<RowCodes>& rows);
  void CheckDeq(const LinearNumbers& linear, const std::vector<RowCodes>& rows);
  void CheckIdentity(const LinearNumbers& linear);
  void CheckQuantBias(const LinearNumbers& linear);
  void CheckOverflow(const LinearNumbers& linear);
  void CheckF16(const LinearNumbers& linear, const std::vector<RowCodes>& rows);
  void CheckShared();
  void CheckEncoding();
  void CheckFloatLabels(const CheckedModule& module);
  void Summarize();
  void Add(int rule, Severity severity, const LinearNumbers& linear, const char* suffix,
           std::string found, std::string why = "", std::string remedy = "") {
    const std::string where = linear.module->name + (*suffix != '\0' ? "." : "") + suffix;
    findings_->Add({rule, severity, where, std::move(found), std::move(why), std::move(remedy)});
  }
  bool is_310() const { return folder_.format == FolderFormat::kGoldenStick310; }
  bool allows_minus_128() const {
    return folder_.format == FolderFormat::kAscendV1 ||
           folder_.format == FolderFormat::kCompressedTensors;
  }

  const CheckedFolder& folder_;
  const bool quick_;
  Findings* findings_;
  Totals totals_;
};

bool AllZero(const RowCodes& row) { return row.lowest == 0 && row.highest == 0; }

// Rule 12.
void LinearChecker::CheckCodes(const std::vector<RowCodes>& rows) {
  bool lowest = false;
  for (const RowCodes& row : rows) {
    lowest = lowest || row.lowest == -128;
    const bool coarse = !AllZero(row) && std::max(-row.lowest, row.highest) < 126;
    totals_.coarse_rows += coarse ? 1 : 0;
  }
  totals_.minus_128_linears += lowest && !allows_minus_128() ? 1 : 0;
}

// Rule 15, the values themselves.
void LinearChecker::CheckDeq(const LinearNumbers& linear, const std::vector<RowCodes>& rows) {
  int64_t bad = 0, zero = 0, large = 0, first = -1;
  for (size_t row = 0; row < linear.deq.size(); ++row) {
    const float deq = linear.deq[row];
    const bool marked =
        !linear.quant_bias.empty() && linear.quant_bias[row] == std::numeric_limits<int32_t>::min();
    const bool dead = deq == 0 && (marked || (!rows.empty() && AllZero(rows[row])));
    zero += dead ? 1 : 0;
    large += deq > 1e4f ? 1 : 0;
    if (dead || (std::isfinite(deq) && deq > 0)) continue;
    if (bad++ == 0) first = static_cast<int64_t>(row);
  }
  totals_.dead_rows += zero;
  if (bad > 0) {
    Add(15, Severity::kError, linear, "deq_scale",
        fmt::format("row {} is {}; expected a finite positive number ({} rows are not)", first,
                    linear.deq[static_cast<size_t>(first)], bad));
  }
  if (large > 0) {
    Add(15, Severity::kError, linear, "deq_scale",
        fmt::format(
            "{} rows are above 10000, as if an int64 bit pattern had been converted by value",
            large));
  }
  if (zero > 0) {
    Add(15, Severity::kWarning, linear, "deq_scale",
        fmt::format("{} rows are 0: the scale vanished in float16", zero),
        "these outputs are always 0; harmless when the weights are (nearly) 0 too",
        "Quantize with a method that keeps scales in float32.");
  }
}

// How far deq may lie from s_x * s_w because of the types that they were rounded to on the way.
double IdentityTolerance(const CheckedFolder& folder, const LinearNumbers& linear, float s_w) {
  const auto unit = [&](const char* suffix, float value) {
    const CheckedTensor* tensor = linear.module->Find(suffix);
    if (tensor == nullptr) return 0.0;
    if (tensor->dtype() == DType::kBF16) return 0x1p-7;
    if (tensor->dtype() != DType::kF16) return 0x1p-22;
    return 0x1p-10 + 0x1p-24 / static_cast<double>(value);  // one step, also where F16 is subnormal
  };
  double tolerance = unit("input_scale", linear.scale[0]) + unit("weight_scale", s_w);
  // An F16 scalar times an F16 scale was rounded to F16 once more (act_method 1 of the original
  // tool).
  const CheckedTensor* input = linear.module->Find("input_scale");
  if (input->dtype() == DType::kF16 && folder.ascend())
    tolerance += 0x1p-24 / (static_cast<double>(linear.scale[0]) * s_w);
  // V1 computes vision and layer 0 in bf16 and widens.
  if (folder.format == FolderFormat::kAscendV1) tolerance = std::max(tolerance, 0x1p-7);
  return tolerance;
}

// Relative distance of deq from input_scale * weight_scale. vLLM-Ascend multiplies by a rounded
// reciprocal r of input_scale; folders made for it may hold weight_scale / r, which is what the
// kernel computes with.
double IdentityError(const CheckedFolder& folder, float s_x, float s_w, float deq) {
  const auto relative = [&](double product) { return std::abs(deq - product) / product; };
  double error = relative(static_cast<double>(s_x) * s_w);
  if (!folder.ascend()) return error;
  for (const DType type : {DType::kBF16, DType::kF16}) {
    const float r = NearestIn(type, 1.0f / NearestIn(type, s_x));
    if (r > 0 && std::isfinite(r)) error = std::min(error, relative(static_cast<double>(s_w) / r));
  }
  return error;
}

// Rule 15, the product.
void LinearChecker::CheckIdentity(const LinearNumbers& linear) {
  if (linear.weight_scale.empty() || linear.scale.empty() || !linear.uniform) return;
  int64_t off = 0, first = -1;
  double worst = 0;
  for (size_t row = 0; row < linear.deq.size(); ++row) {
    const float s_w = linear.weight_scale[row];
    const double product = static_cast<double>(linear.scale[0]) * s_w;
    if (!(linear.deq[row] > 0) || !(product > 0)) continue;
    const double relative = IdentityError(folder_, linear.scale[0], s_w, linear.deq[row]);
    if (relative > totals_.worst_identity) {
      totals_.worst_identity = relative;
      totals_.worst_identity_module = linear.module->name;
    }
    // Products below the smallest normal float lose bits of their own.
    if (relative <= IdentityTolerance(folder_, linear, s_w) + 0x1p-149 / product) continue;
    worst = std::max(worst, relative);
    if (off++ == 0) first = static_cast<int64_t>(row);
  }
  if (off == 0) return;
  Add(15, worst > 0.05 ? Severity::kError : Severity::kWarning, linear, "deq_scale",
      fmt::format(
          "row {} is {}, input_scale * weight_scale is {} ({} rows differ, by up to {:.3g} %)",
          first, linear.deq[static_cast<size_t>(first)],
          linear.scale[0] * linear.weight_scale[static_cast<size_t>(first)], off, 100 * worst));
}

// Rule 16. Both forms are computed, so that the finding can say which one is there.
void LinearChecker::CheckQuantBias(const LinearNumbers& linear) {
  if (linear.quant_bias.empty() || linear.deq.empty() || linear.offset.empty()) return;
  const CheckedTensor& weight = *linear.module->Find("weight");
  const std::vector<double> sums =
      WeightedSums(weight.view().As<int8_t>(), linear.rows, linear.cols, linear.offset);
  const bool with_bias = !linear.bias.empty() && !folder_.golden_stick();
  int64_t off = 0, other_form = 0, first = -1;
  int32_t wanted = 0;
  for (size_t row = 0; row < sums.size(); ++row) {
    if (linear.deq[row] == 0) continue;  // rule 15
    const int32_t without = QuantBiasOf(sums[row], linear.deq[row], std::nullopt);
    const int32_t with =
        linear.bias.empty() ? without : QuantBiasOf(sums[row], linear.deq[row], linear.bias[row]);
    const double stored = linear.quant_bias[row];
    // Producers round b / deq in the type of the bias, down to BF16.
    const double part = std::abs(static_cast<double>(with) - without);
    const double slack = std::max(1.0, 0x1p-23 * std::abs(stored));
    const int32_t expected = with_bias ? with : without;
    const bool fits_with = std::abs(stored - with) <= slack + part * 0x1p-8;
    const bool fits_without = std::abs(stored - without) <= slack;
    if (with_bias ? fits_with : fits_without) continue;
    other_form += (with_bias ? fits_without : fits_with) ? 1 : 0;
    if (off++ == 0) {
      first = static_cast<int64_t>(row);
      wanted = expected;
    }
  }
  if (off == 0) return;
  const bool form = other_form == off;
  const std::string what =
      fmt::format("row {} is {}; expected {} ({} of {} rows differ)", first,
                  linear.quant_bias[static_cast<size_t>(first)], wanted, off, sums.size());
  if (!form) {  // converting would keep it wrong
    return Add(16, Severity::kError, linear, "quant_bias", what, "",
               "Codes, offsets and quant_bias are not of one run: copy the folder again, or quantize "
               "again.");
  }
  Add(16, Severity::kError, linear, "quant_bias",
      what + (with_bias ? ": the layer's bias is not inside" : ": the layer's bias is inside"),
      with_bias ? "this engine does not add the bias itself, so it is lost"
                : "golden-stick adds the bias once more");
}

// Rule 20.
void LinearChecker::CheckOverflow(const LinearNumbers& linear) {
  int64_t largest = 0;
  for (const int32_t value : linear.quant_bias) {
    const bool broken = value == std::numeric_limits<int32_t>::min();  // rule 15 knows these
    largest = std::max(largest, broken ? 0 : std::abs(int64_t{value}));
  }
  const int64_t code = allows_minus_128() ? 128 : 127;
  const int64_t bound = linear.cols * code * 128 + largest;
  if (bound < (int64_t{1} << 31)) return;
  Add(20, Severity::kError, linear, "",
      fmt::format("{} inputs and quant_bias up to {} reach {}, beyond int32", linear.cols, largest,
                  bound));
}

// Rule 18: the 310P loader rounds every float32 tensor to float16.
void LinearChecker::CheckF16(const LinearNumbers& linear, const std::vector<RowCodes>& rows) {
  int64_t lost = 0;
  for (size_t row = 0; row < linear.deq.size(); ++row) {
    const float deq = linear.deq[row];
    if (!(deq > 0) || !std::isfinite(deq)) continue;
    const float stored = RoundToF16(deq);
    const double relative = std::abs(static_cast<double>(stored) - deq) / deq;
    totals_.subnormal_rows += deq < kF16Normal ? 1 : 0;
    const bool empty_row = !rows.empty() && AllZero(rows[row]);
    if (relative > totals_.worst_f16 && !empty_row) {
      totals_.worst_f16 = relative;
      totals_.worst_f16_module = linear.module->name;
    }
    lost += stored == 0 && !empty_row ? 1 : 0;
  }
  totals_.lost_rows += lost;
  if (lost == 0) return;
  Add(18, Severity::kError, linear, "deq_scale",
      fmt::format("{} of {} rows become 0 in float16", lost, linear.deq.size()),
      "these outputs are always 0 on a 310P",
      "Quantize with --target golden-stick-310, or keep this layer float.");
}

void LinearChecker::CheckFloatLabels(const CheckedModule& module) {
  const CheckedTensor* weight = module.Find("weight");
  const std::string* label = module.Label("weight");
  if (weight == nullptr || label == nullptr) return;
  const bool eight_bit = *label == "W8A8" || *label == "W8A8_DYNAMIC" || *label == "W8A8_MIX";
  const bool codes = weight->dtype() == DType::kI8;
  if (*label == "FLOAT" && codes) {
    findings_->Add({11, Severity::kError, module.name + ".weight", "is I8 but labelled FLOAT",
                    "the codes are taken for weights: garbage",
                    "Use the description of this run."});
  } else if (eight_bit && !codes) {
    findings_->Add({11, Severity::kError, module.name + ".weight",
                    fmt::format("is {} but labelled {}", DTypeName(weight->dtype()), *label),
                    "float numbers are taken for codes: garbage",
                    "Use the description of this run."});
  } else if (codes && weight->shape().size() != 2) {
    findings_->Add({11, Severity::kError, module.name + ".weight",
                    fmt::format("is I8 {}; expected two dimensions", ShapeText(weight->shape())),
                    "", ""});
  }
}

void LinearChecker::Check(const CheckedModule& module) {
  CheckFloatLabels(module);
  if (!module.HasCodes()) return;
  const LinearNumbers linear = ReadLinear(folder_, module, findings_);
  ++totals_.n_linears;
  totals_.rows += linear.rows;
  const CheckedTensor& weight = *module.Find("weight");
  const std::vector<RowCodes> rows = quick_ ? std::vector<RowCodes>() : ScanRows(weight);
  CheckCodes(rows);
  CheckOverflow(linear);
  if (!linear.deq.empty()) {
    (linear.deq_i64 ? totals_.int64_linears : totals_.f32_linears) += 1;
    CheckDeq(linear, rows);
    CheckIdentity(linear);
    if (is_310()) CheckF16(linear, rows);
    if (!quick_) CheckQuantBias(linear);
  }
  if (!quick_) weight.Drop();
}

// Rule 14.
void LinearChecker::CheckShared() {
  for (const auto& group : FusedGroups(folder_)) {
    for (const char* suffix : {"input_scale", "input_offset", "input_zero_point"}) {
      const CheckedTensor* first = group[0]->Find(suffix);
      for (size_t i = 1; i < group.size(); ++i) {
        const CheckedTensor* other = group[i]->Find(suffix);
        if (first == nullptr || other == nullptr) continue;
        const TensorView a = first->view(), b = other->view();
        if (a.dtype == b.dtype && std::ranges::equal(a.bytes, b.bytes)) continue;
        findings_->Add({14, Severity::kError, group[i]->name + "." + suffix,
                        fmt::format("differs from that of {}", group[0]->name), "", ""});
      }
    }
  }
}

// Rule 17.
void LinearChecker::CheckEncoding() {
  const int64_t i64 = totals_.int64_linears, f32 = totals_.f32_linears;
  if (i64 + f32 == 0) return;
  if (i64 > 0 && f32 > 0) {
    findings_->Add({17, Severity::kError, folder_.dir.string(),
                    fmt::format("deq_scale is I64 in {} linears and F32 in {}", i64, f32), "", ""});
    return;
  }
  if (folder_.golden_stick()) {
    if (i64 == 0) return;
    findings_->Add(
        {17, Severity::kError, folder_.dir.string(),
         fmt::format("deq_scale of {} linears is I64; golden-stick reads F32", i64),
         "vllm-mindspore converts the integers by value (about 9e8): every answer is garbage",
         "Run ingot convert --quant_dir on this folder (without --exact); it decodes deq_scale."});
    return;
  }
  if (!folder_.ascend() || !folder_.config) return;
  const bool f16 = folder_.run_dtype() == DType::kF16;
  if (f16 == (i64 > 0)) return;
  findings_->Add(
      {17, Severity::kError, "config.json",
       fmt::format("names {}, but deq_scale is {}",
                   folder_.torch_dtype.empty() ? "no dtype (bfloat16)" : folder_.torch_dtype,
                   i64 > 0 ? "I64 (the float16 encoding)" : "F32 (the bfloat16 encoding)"),
       "",
       fmt::format("Convert it for its engine (ingot convert), or serve it with --dtype {}.",
                   i64 > 0 ? "float16" : "bfloat16")});
}

void LinearChecker::Summarize() {
  if (totals_.n_linears == 0) return;
  findings_->Fact(
      fmt::format("{} quantized linears, {} output rows", totals_.n_linears, totals_.rows));
  if (totals_.minus_128_linears > 0) {
    findings_->Add(
        {12, Severity::kWarning, folder_.dir.string(),
         fmt::format("{} linears have the code -128; this format's quantizer ends at -127",
                     totals_.minus_128_linears),
         "engines compute with it all the same",
         "None needed for a folder converted from another format."});
  }
  if (totals_.coarse_rows > 0) {
    const double share =
        100.0 * static_cast<double>(totals_.coarse_rows) / static_cast<double>(totals_.rows);
    findings_->Add({12, share > 50 ? Severity::kWarning : Severity::kNote, folder_.dir.string(),
                    fmt::format("{} of {} rows ({:.1f} %) do not reach the code 126",
                                totals_.coarse_rows, totals_.rows, share),
                    "part of the 8 bits is unused there",
                    "Usual for scales that were rounded up; otherwise quantize again."});
  }
  if (totals_.worst_identity > 0) {
    findings_->Fact(
        fmt::format("deq_scale against what the scales give: at most {:.2g} % apart ({})",
                    100 * totals_.worst_identity, totals_.worst_identity_module));
  }
  if (!is_310()) return;
  const std::string off = totals_.worst_f16 == 0
                              ? "exact"
                              : fmt::format("at most {:.3g} % off ({})", 100 * totals_.worst_f16,
                                            totals_.worst_f16_module);
  findings_->Fact(fmt::format("deq_scale in float16 (310P): {}; {} of {} rows are subnormal", off,
                              totals_.subnormal_rows, totals_.rows));
  if (totals_.subnormal_rows > 0 && totals_.worst_f16 > 0.005) {
    findings_->Add(
        {18, Severity::kWarning, totals_.worst_f16_module,
         fmt::format("deq_scale loses up to {:.3g} % in float16; {} rows lie below 2^-14",
                     100 * totals_.worst_f16, totals_.subnormal_rows),
         "", ""});
  }
}

void LinearChecker::Run() {
  for (const CheckedModule& module : folder_.modules) Check(module);
  CheckShared();
  CheckEncoding();
  Summarize();
}

}  // namespace

void CheckLinears(const CheckedFolder& folder, bool quick, Findings* findings) {
  LinearChecker(folder, quick, findings).Run();
}

}  // namespace ingot
