// SPDX-License-Identifier: Apache-2.0
// Rule 24: the ignore list of compressed-tensors, in the names of the checkpoint and in vLLM's own,
// which are what vLLM matches against (vllm-project/vllm:
// vllm/model_executor/layers/quantization/compressed_tensors/utils.py).
#include <algorithm>
#include <cmath>
#include <optional>
#include <regex>

#include "check/checks.h"
#include "checkpoint/tensor_table.h"
#include "checkpoint/w8a8_arithmetic.h"

namespace ingot {
namespace {

constexpr size_t kMaxPattern = 4096;

// One entry of the ignore list: "re:" patterns match from the start of the name, others the whole
// name.
class IgnorePattern {
 public:
  // Errors: std::regex_error.
  explicit IgnorePattern(const std::string& text) {
    if (!text.starts_with("re:")) {
      name_ = text;
      return;
    }
    auto flags = std::regex::ECMAScript;
#ifdef __GLIBCXX__
    flags |= std::regex_constants::__polynomial;  // a hostile pattern may neither recurse nor take
                                                  // forever
#endif
    if (text.size() > kMaxPattern) throw std::regex_error(std::regex_constants::error_complexity);
    regex_.emplace(text.substr(3), flags);
  }
  bool Matches(const std::string& name) const {
    if (!regex_) return name == name_;
    return std::regex_search(name, *regex_, std::regex_constants::match_continuous);
  }
  bool is_regex() const { return regex_.has_value(); }

 private:
  std::string name_;
  std::optional<std::regex> regex_;
};

// hf_to_vllm_mapper of vLLM's Qwen3-VL.
std::string VllmName(const std::string& name) {
  if (name.starts_with("model.visual.")) return name.substr(6);
  if (name.starts_with("model.language_model.")) return "language_model.model." + name.substr(21);
  if (name.starts_with("lm_head")) return "language_model." + name;
  return name;
}

std::vector<IgnorePattern> Patterns(const CompressedTensorsConfig& config, Findings* findings) {
  std::vector<IgnorePattern> patterns;
  for (const std::string& text : config.ignore) {
    try {
      patterns.emplace_back(text);
    } catch (const std::regex_error&) {
      findings->Add({24, Severity::kError, "config.json",
                     fmt::format("ignore holds {}, no pattern that can be read",
                                 JsonQuote(Printable(text, 80))),
                     "", ""});
    }
  }
  return patterns;
}

struct Ignored {
  bool checkpoint = false, vllm = false;
};

// Plain names are mapped by vLLM before it compares, patterns are not.
Ignored Match(const std::vector<IgnorePattern>& patterns, const std::string& module) {
  Ignored ignored;
  for (const IgnorePattern& pattern : patterns) {
    const bool here = pattern.Matches(module);
    ignored.checkpoint = ignored.checkpoint || here;
    ignored.vllm = ignored.vllm || (pattern.is_regex() ? pattern.Matches(VllmName(module)) : here);
  }
  return ignored;
}

// vLLM rebuilds an asymmetric zero point from the range and truncates.
void CheckZeroPoint(const CheckedModule& module, Findings* findings) {
  const CheckedTensor* scale = module.Find("input_scale");
  const CheckedTensor* zero = module.Find("input_zero_point");
  if (scale == nullptr || zero == nullptr || !IsFloat16Or32(scale->dtype()) ||
      zero->dtype() != DType::kI8)
    return;
  if (NumElements(scale->shape()) != 1 || NumElements(zero->shape()) != 1) return;
  const int32_t stored = zero->view().As<int8_t>()[0];
  const float s = ToFloats(scale->view())[0];
  if (!(s > 0) || !std::isfinite(s) || VllmZeroPoint(s, stored) == stored) return;
  findings->Add({24, Severity::kNote, module.name + ".input_zero_point",
                 fmt::format("is {}, vLLM rebuilds {} from it", stored, VllmZeroPoint(s, stored)),
                 "the clipping range moves by one step",
                 "None needed; symmetric or dynamic activations avoid it."});
}

void CheckLinear(const CheckedModule& module, const Ignored& ignored,
                 const CompressedTensorsConfig& config, Findings* findings) {
  if (!module.HasCodes()) {
    if (!ignored.vllm) {
      findings->Add({24, Severity::kError, module.name,
                     "is float, but no entry of ignore matches its name in vLLM",
                     "vLLM takes it for quantized and stops, or reads float numbers as codes", ""});
    } else if (!ignored.checkpoint) {
      findings->Add({24, Severity::kWarning, module.name,
                     "is float, but no entry of ignore matches its name in the checkpoint",
                     "transformers and other tools take it for quantized", ""});
    }
    return;
  }
  if (ignored.vllm || ignored.checkpoint) {
    findings->Add({24, Severity::kError, module.name, "is int8 and matches ignore",
                   "it is loaded as float: the codes are taken for weights", ""});
  }
  const bool scale = module.Find("input_scale") != nullptr,
             zero = module.Find("input_zero_point") != nullptr;
  if (scale == config.dynamic) {
    findings->Add({24, Severity::kError, module.name,
                   config.dynamic ? "has an input_scale, but activations are dynamic"
                                  : "has no input_scale, but activations are static",
                   "vLLM stops: no parameter has this name, or it stays empty", ""});
  }
  CheckZeroPoint(module, findings);
  if (!config.dynamic && zero == config.symmetric) {
    findings->Add({24, Severity::kError, module.name,
                   zero ? "has an input_zero_point, but activations are symmetric"
                        : "has no input_zero_point, but activations are asymmetric",
                   "vLLM stops: no parameter has this name, or it stays empty", ""});
  }
}

}  // namespace

void CheckCompressedTensors(const CheckedFolder& folder, Findings* findings) {
  if (!folder.compressed_tensors || !folder.HasDense3Table()) return;
  const std::vector<IgnorePattern> patterns = Patterns(*folder.compressed_tensors, findings);
  for (const LinearSpec& linear : LinearTable(*folder.model)) {
    const CheckedModule* module = folder.FindModule(linear.module);
    if (module == nullptr) continue;
    CheckLinear(*module, Match(patterns, linear.module), *folder.compressed_tensors, findings);
  }
}

}  // namespace ingot
