// SPDX-License-Identifier: Apache-2.0
// Rules 7 to 9: labels of the description.
#include <algorithm>
#include <array>
#include <set>

#include "check/checks.h"
#include "checkpoint/tensor_table.h"

namespace ingot {
namespace {

// Ascend/msmodelslim: quantization type strings, in rising priority where the tool ranks them.
constexpr std::array<std::string_view, 13> kRanked = {"FLOAT",
                                                      "W16A16S",
                                                      "W8A16",
                                                      "W8A8_DYNAMIC",
                                                      "W8A8_MIX",
                                                      "W8A8",
                                                      "WFP8AFP8_DYNAMIC",
                                                      "W8A8_MXFP8",
                                                      "W4A8_MXFP",
                                                      "W4A4_DYNAMIC",
                                                      "W4A4_MXFP4",
                                                      "W4A4_MXFP4_DUALSCALE",
                                                      "W4A4_MXFP4_SVD"};
constexpr std::array<std::string_view, 11> kUnranked = {
    "W4A8_DYNAMIC",  "W4A16", "W8A8S", "W8A8SC",  "W16A16SC",
    "W8A8_TIMESTEP", "NF4",   "C8",    "FAQuant", "W4A4_FLATQUANT_DYNAMIC",
    "FAKQuant"};

bool IsKnownLabel(std::string_view label) {
  return std::find(kRanked.begin(), kRanked.end(), label) != kRanked.end() ||
         std::find(kUnranked.begin(), kUnranked.end(), label) != kUnranked.end();
}

void CheckModuleLabels(const CheckedFolder& folder, const CheckedModule& module,
                       Findings* findings) {
  std::string first;
  for (const auto& [suffix, label] : module.labels) {
    const std::string where = module.name + "." + suffix;
    if (!IsKnownLabel(label)) {
      findings->Add({7, Severity::kError, where,
                     fmt::format("has the unknown label \"{}\"", Printable(label, 40)), "", ""});
      continue;
    }
    if (folder.golden_stick() && label != "FLOAT" && label != "W8A8" && label != "W8A8S") {
      findings->Add({7, Severity::kError, where, fmt::format("is labelled {}", label),
                     "golden-stick knows FLOAT, W8A8 and W8A8S only",
                     "Quantize again with --target golden-stick-310 or -910."});
    }
    if (first.empty()) first = label;
    if (label == first) continue;
    const bool bias = suffix == "bias" && label == "FLOAT";
    if (bias && !folder.golden_stick()) continue;
    findings->Add(
        {7, Severity::kError, where, fmt::format("is labelled {}, the module {}", label, first),
         bias ? "golden-stick refuses a module with two labels (inner_conflict)" : "", ""});
  }
}

std::string WeightLabel(const CheckedModule& module) {
  const std::string* label = module.Label("weight");
  return label == nullptr ? std::string() : *label;
}

void CheckFused(const CheckedFolder& folder, Findings* findings) {
  for (const auto& group : FusedGroups(folder)) {
    for (const CheckedModule* module : group) {
      const std::string label = WeightLabel(*module), first = WeightLabel(*group[0]);
      const bool codes = module->HasCodes() == group[0]->HasCodes();
      if (label == first && codes) continue;
      findings->Add(
          {8, Severity::kError, module->name,
           label == first
               ? fmt::format("is {}, {} is not", module->HasCodes() ? "int8" : "float",
                             group[0]->name)
               : fmt::format("is labelled \"{}\", {} \"{}\"", label, group[0]->name, first),
           "", ""});
    }
  }
}

// vLLM-Ascend looks "<module>.weight" up for every linear, the embedding and the head, also of tied
// models.
void CheckWeightEntries(const CheckedFolder& folder, Findings* findings) {
  if (!folder.HasDense3Table()) return;
  std::vector<std::string> modules = {"model.language_model.embed_tokens"};
  for (const LinearSpec& linear : LinearTable(*folder.model)) modules.push_back(linear.module);
  for (const std::string& module : modules) {
    if (folder.description->Find(module + ".weight") != nullptr) continue;
    const bool head = module == "lm_head" && folder.ties && folder.golden_stick();
    findings->Add({8, head ? Severity::kNote : Severity::kError, module + ".weight",
                   fmt::format("has no entry in {}", folder.description->file_name),
                   head ? "vLLM-Ascend would miss it; golden-stick does not"
                        : "the engine stops: it asks for every linear's label",
                   ""});
  }
}

size_t Rank(std::string_view label) {
  return static_cast<size_t>(std::find(kRanked.begin(), kRanked.end(), label) - kRanked.begin());
}

void CheckModelType(const CheckedFolder& folder, Findings* findings) {
  std::string_view highest = kRanked[0];
  for (const auto& [name, label] : folder.description->labels) {
    const size_t rank = Rank(label);
    if (rank == kRanked.size())
      return;  // types without a rank: the tool's choice is as good as any
    if (rank > Rank(highest)) highest = kRanked[rank];
  }
  const std::string& type = folder.description->model_quant_type;
  if (type == highest) return;
  const bool hides = Rank(type) == 0 || Rank(type) == kRanked.size();
  findings->Add({9, hides ? Severity::kError : Severity::kWarning, folder.description->file_name,
                 fmt::format("model_quant_type is \"{}\"; the highest type present is {}",
                             Printable(type, 40), highest),
                 "", ""});
}

}  // namespace

std::string OtherStyle(const std::string& name) {
  constexpr std::string_view kNew = "model.language_model.";
  if (name.starts_with(kNew)) return "model." + name.substr(kNew.size());
  if (name.starts_with("model.visual.")) return name.substr(6);
  if (name.starts_with("visual.")) return "model." + name;
  if (name.starts_with("model.")) return std::string(kNew) + name.substr(6);
  return name;
}

std::vector<std::vector<const CheckedModule*>> FusedGroups(const CheckedFolder& folder) {
  static const std::vector<std::vector<std::string>> kFused = {{"q_proj", "k_proj", "v_proj"},
                                                               {"gate_proj", "up_proj"}};
  std::vector<std::vector<const CheckedModule*>> groups;
  for (const CheckedModule& module : folder.modules) {
    for (const auto& names : kFused) {
      if (!module.name.ends_with("." + names[0])) continue;
      const std::string parent = module.name.substr(0, module.name.size() - names[0].size());
      std::vector<const CheckedModule*> group = {&module};
      for (size_t i = 1; i < names.size(); ++i) {
        if (const CheckedModule* other = folder.FindModule(parent + names[i]))
          group.push_back(other);
      }
      if (group.size() > 1) groups.push_back(std::move(group));
    }
  }
  return groups;
}

void CheckLabels(const CheckedFolder& folder, Findings* findings) {
  if (folder.description) {
    for (const CheckedModule& module : folder.modules) CheckModuleLabels(folder, module, findings);
    CheckWeightEntries(folder, findings);
    CheckModelType(folder, findings);
  }
  CheckFused(folder, findings);
}

}  // namespace ingot
