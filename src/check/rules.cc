// SPDX-License-Identifier: Apache-2.0
#include "check/rules.h"

#include <algorithm>
#include <utility>

namespace ingot {

const std::array<Rule, kNumRules + 1>& Rules() {
  static constexpr std::array<Rule, kNumRules + 1> kRules = {{
      {0, "state", "no interrupted work", "the folder is in the middle of a change",
       "Run the interrupted command again."},
      {1, "container", "weight files parse",
       "engines stop while loading, or read other bytes than were written",
       "Copy or download the file again."},
      {2, "description", "one quantization description",
       "engines look for exactly one; without it int8 codes are taken for float weights and the "
       "answers are garbage",
       "Keep the quant_model_description.json that was written with the weights, and no other."},
      {3, "description-set", "description and tensors name the same set",
       "an unlabelled tensor is taken for float, a label without tensor stops the engine or leaves "
       "memory uninitialised",
       "Use the description and the weights of one run; otherwise quantize again."},
      {4, "index", "the index matches the weights", "engines choose the files to read by the index",
       "Run ingot convert again, or download index and weights again."},
      {5, "files", "no missing and no leftover weight files",
       "engines read what the index names, or every *.safetensors: a wrong set hides or mixes "
       "weights",
       "Remove the index and the shards that do not belong to these weights."},
      {6, "tensor-set", "every tensor of the model is there",
       "the engine stops, or computes with uninitialised memory",
       "Quantize again from the complete model."},
      {7, "labels", "known labels, one to a module",
       "engines refuse mixed modules, or choose the wrong method",
       "Convert the folder for its engine with ingot convert."},
      {8, "fused-labels", "q/k/v and gate/up agree, every linear has a label",
       "engines join these layers into one and stop when the labels differ or one is missing",
       "Quantize again."},
      {9, "model-type", "model_quant_type names the highest type present",
       "MindIE chooses its code path by it", "Correct model_quant_type in the description."},
      {10, "keys", "quantized linears are complete",
       "the engine stops, or leaves a parameter uninitialised", "Quantize again."},
      {11, "types", "element types and shapes",
       "engines copy by value or by position: wrong types become wrong numbers",
       "Convert the folder for its engine with ingot convert."},
      {12, "codes", "weight codes use their range", "coarse codes lose accuracy",
       "Quantize again."},
      {13, "scales", "scales are positive, offsets are integers in range",
       "the layer's output is NaN or nonsense", "Quantize again."},
      {14, "shared-scales", "q/k/v and gate/up share activation parameters",
       "engines keep one for the joined layer, the last one read: the others compute with a wrong "
       "scale",
       "Quantize again with one observer for each input."},
      {15, "deq-scale", "deq_scale is positive and is input_scale * weight_scale",
       "the layer's output has a wrong factor", "Quantize or convert again."},
      {16, "quant-bias", "quant_bias follows from codes, offset and bias",
       "the layer's output is shifted", "Convert the folder for its engine with ingot convert."},
      {17, "deq-encoding", "deq_scale is encoded for the run type",
       "engines copy deq_scale by value and answer garbage without any error",
       "Convert the folder for its engine with ingot convert."},
      {18, "deq-f16", "deq_scale survives float16 (310)",
       "the 310P loader rounds deq_scale to float16",
       "Quantize with --target golden-stick-310, which chooses scales that float16 holds."},
      {19, "weights", "codes times scales give the source's weights",
       "the model computes with other weights",
       "Quantize again from this source, or compare with the model that was quantized."},
      {20, "overflow", "int32 sums cannot overflow",
       "sums wrap around: single outputs become nonsense", "Keep this layer float."},
      {21, "config", "quantization settings in config.json",
       "engines prefer config.json and then misread the folder, or find no settings at all",
       "Convert the folder again with ingot convert."},
      {22, "side-files", "tokenizer, template and processor files, run type",
       "the server cannot start, or prompts and pictures are prepared differently",
       "Copy the file from the float model (ingot convert --original_dir does)."},
      {23, "float-values", "float tensors are finite and equal to the source",
       "NaN or infinity spreads to every answer", "Quantize or download again."},
      {24, "ct-ignore", "compressed-tensors: every linear is quantized or ignored",
       "vLLM looks for scales that are not there, or takes codes for float weights",
       "Quantize again with --target compressed-tensors."},
      {25, "answers", "generated text is text (check --run)",
       "this is what users of the server would get",
       "See the other findings; compare with the float model (ingot compare) to find the layer."},
  }};
  return kRules;
}

std::string_view SeverityName(Severity severity) {
  constexpr std::string_view kNames[] = {"note", "warning", "error"};
  return kNames[static_cast<size_t>(severity)];
}

void Findings::Add(Observation report) {
  if (report.severity == Severity::kError) ++errors_;
  if (++counts_[{report.rule, report.severity}] > limit_) return;
  const Rule& rule = Rules()[static_cast<size_t>(report.rule)];
  Finding finding{report.rule,
                  std::string(rule.id),
                  report.severity,
                  std::move(report.where),
                  std::move(report.found),
                  std::move(report.why),
                  std::move(report.remedy)};
  if (finding.why.empty()) finding.why = rule.why;
  if (finding.remedy.empty()) finding.remedy = rule.remedy;
  findings_.push_back(std::move(finding));
}

int Findings::ErrorsOf(int rule) const {
  const auto it = counts_.find({rule, Severity::kError});
  return it == counts_.end() ? 0 : it->second;
}

void SortFindings(std::vector<Finding>* findings) {
  std::stable_sort(findings->begin(), findings->end(), [](const Finding& a, const Finding& b) {
    return a.severity != b.severity ? a.severity > b.severity : a.rule < b.rule;
  });
}

void Findings::MoveInto(CheckReport* report) {
  SortFindings(&findings_);
  report->findings = std::move(findings_);
  report->facts = std::move(facts_);
  report->omitted.assign(kNumRules + 1, 0);
  for (const auto& [key, count] : counts_) {
    report->omitted[static_cast<size_t>(key.first)] += std::max(0, count - limit_);
  }
}

int CheckReport::Count(Severity severity) const {
  return static_cast<int>(std::count_if(findings.begin(), findings.end(),
                                        [&](const Finding& f) { return f.severity == severity; }));
}

}  // namespace ingot
