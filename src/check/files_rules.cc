// SPDX-License-Identifier: Apache-2.0
// Rules 3 to 6: description, index, files and tensor names.
#include <algorithm>
#include <set>

#include "base/error.h"
#include "check/checks.h"
#include "checkpoint/model_reader.h"
#include "checkpoint/shard_index.h"
#include "checkpoint/tensor_table.h"

namespace ingot {
namespace {

constexpr std::string_view kVllmIndex = "model.safetensors.index.json";

bool IsTiedHead(const CheckedFolder& folder, const std::string& tensor) {
  return tensor == "lm_head.weight" && (folder.ties || !folder.config);
}

void CheckDescriptionSet(const CheckedFolder& folder, Findings* findings) {
  if (!folder.description) return;
  for (const auto& [name, tensor] : folder.tensors) {
    if (folder.description->Find(name) != nullptr) continue;
    findings->Add({3, Severity::kError, Printable(name),
                   fmt::format("has no label in {}", folder.description->file_name), "", ""});
  }
  for (const auto& [name, label] : folder.description->labels) {
    if (folder.tensors.count(name) || IsTiedHead(folder, name)) continue;
    findings->Add({3, Severity::kError, Printable(name),
                   fmt::format("is labelled {}, but no weight file holds it", Printable(label)), "",
                   ""});
  }
}

uint64_t DataBytes(const CheckedFolder& folder) {
  uint64_t total = 0;
  for (const auto& file : folder.weights) total += file->data_bytes();
  return total;
}

void CheckTotalSize(const CheckedFolder& folder, const ShardIndex& index, Findings* findings) {
  if (!index.total_size || *index.total_size == DataBytes(folder)) return;
  findings->Add({4, Severity::kNote, index.file_name,
                 fmt::format("total_size is {}, the tensors have {} bytes", *index.total_size,
                             DataBytes(folder)),
                 "no engine relies on it", "ingot convert writes the right number."});
}

void CheckIndexedTensors(const CheckedFolder& folder, const ShardIndex& index, Findings* findings) {
  std::set<std::string> listed;
  std::vector<std::string> bogus;
  for (const auto& [name, file] : index.weight_map) {
    listed.insert(name);
    const auto it = folder.tensors.find(name);
    if (it != folder.tensors.end()) {
      const std::string holder = it->second.file->path().filename().string();
      if (holder == file || !folder.HasFile(file)) continue;
      findings->Add({4, Severity::kError, Printable(name),
                     fmt::format("is in {}, {} says {}", holder, index.file_name, Printable(file)),
                     "", ""});
    } else if (IsDescriptionHeaderKey(name)) {
      bogus.push_back(name);
    } else if (!IsTiedHead(folder, name) && folder.HasFile(file)) {
      findings->Add({4, Severity::kError, Printable(name),
                     fmt::format("stands in {}, but no file holds it", index.file_name), "", ""});
    }
  }
  if (!bogus.empty()) {
    findings->Add({4, Severity::kNote, index.file_name,
                   fmt::format("lists keys that are no tensors: {} (as the original script writes)",
                               fmt::join(bogus, ", ")),
                   "no engine minds", "ingot convert leaves them out."});
  }
  const std::vector<std::string> files = index.FileNames();
  for (const auto& [name, tensor] : folder.tensors) {
    if (listed.count(name)) continue;
    const std::string file = tensor.file->path().filename().string();
    const bool read = std::find(files.begin(), files.end(), file) != files.end();
    if (!read) continue;  // rule 5 names the file
    findings->Add({4, Severity::kWarning, Printable(name),
                   fmt::format("is missing in {}", index.file_name),
                   "readers that look tensors up by name do not find it", ""});
  }
}

// Rule 5 for one index; true when it covers every weight file.
void CheckIndexedFiles(const CheckedFolder& folder, const ShardIndex& index, Findings* findings) {
  const std::vector<std::string> files = index.FileNames();
  for (const std::string& file : files) {
    if (folder.HasFile(file)) continue;
    findings->Add({5, Severity::kError, index.file_name,
                   fmt::format("names {}, which is not here", Printable(file)), "", ""});
  }
  if (index.file_name != kVllmIndex) return;
  for (const auto& weights : folder.weights) {
    const std::string name = weights->path().filename().string();
    if (std::find(files.begin(), files.end(), name) != files.end()) continue;
    const bool float_shard = folder.quantized() && !name.starts_with("quant_model_weight");
    findings->Add({5, float_shard ? Severity::kWarning : Severity::kError, name,
                   fmt::format("is not named by {}", index.file_name),
                   float_shard
                       ? "leftover float weights: dead weight now, mixed in when the index is lost"
                       : "",
                   ""});
  }
}

// Without an index engines read every file.
void CheckUnindexedFiles(const CheckedFolder& folder, bool any_index, Findings* findings) {
  if (folder.HasFile(kVllmIndex)) return;
  std::vector<std::string> quantized, others;
  for (const auto& weights : folder.weights) {
    const std::string name = weights->path().filename().string();
    (name.starts_with("quant_model_weight") ? quantized : others).push_back(name);
  }
  if (!quantized.empty() && !others.empty()) {
    findings->Add(
        {5, Severity::kError, others[0],
         fmt::format("stands beside the quantized weights ({}) and no index says which to read",
                     quantized[0]),
         "", "Move the float weights out of the folder."});
  } else if (others.size() > 1 && !any_index) {
    findings->Add({5, Severity::kError, folder.dir.string(),
                   fmt::format("{} weight files and no index", others.size()), "", ""});
  }
}

}  // namespace

void CheckFiles(const CheckedFolder& folder, Findings* findings) {
  CheckDescriptionSet(folder, findings);
  bool any_index = false;
  for (const std::string& name : folder.file_names) {
    if (!name.ends_with(".safetensors.index.json")) continue;
    any_index = true;
    try {
      const ShardIndex index = ParseShardIndex(folder.dir / name);
      CheckTotalSize(folder, index, findings);
      CheckIndexedTensors(folder, index, findings);
      CheckIndexedFiles(folder, index, findings);
    } catch (const Error& error) {
      findings->Add({4, Severity::kError, name, error.what(), "", ""});
    }
  }
  CheckUnindexedFiles(folder, any_index, findings);
}

void CheckTensorTable(const CheckedFolder& folder, Findings* findings) {
  if (!folder.HasDense3Table()) return;
  const bool stored_head = folder.tensors.count("lm_head.weight") != 0;
  std::set<std::string> known;
  for (const TensorSpec& spec : TensorTable(*folder.model, !stored_head && folder.ties)) {
    known.insert(spec.name);
    const auto it = folder.tensors.find(spec.name);
    if (it == folder.tensors.end()) {
      findings->Add({6, Severity::kError, spec.name,
                     fmt::format("is missing; expected shape {}", ShapeText(spec.shape)), "", ""});
    } else if (it->second.shape() != spec.shape) {
      findings->Add({6, Severity::kError, spec.name,
                     fmt::format("has shape {}; config.json implies {}",
                                 ShapeText(it->second.shape()), ShapeText(spec.shape)),
                     "", "Use the config.json of this model."});
    }
  }
  for (const auto& [name, tensor] : folder.tensors) {
    const CheckedModule* module = folder.FindModule(ModuleOf(name));
    const bool parameter = module != nullptr && module->HasCodes();
    if (known.count(name) || parameter || name == "lm_head.weight") continue;
    findings->Add({6, Severity::kWarning, Printable(name), "is no tensor of this model",
                   "engines may stop at an unknown name",
                   "Use the config.json of this model, or remove the tensor."});
  }
}

}  // namespace ingot
