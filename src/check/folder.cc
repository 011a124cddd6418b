// SPDX-License-Identifier: Apache-2.0
#include "check/folder.h"

#include <algorithm>

#include "base/error.h"
#include "base/files.h"
#include "checkpoint/model_reader.h"
#include "checkpoint/tensor_table.h"

namespace ingot {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kStagingName = ".ingot-convert";
constexpr std::string_view kOldDescriptionName = "quant_model_description_w8a8.json";
constexpr uint64_t kMaxConfigBytes = 4u << 20;

// Rule 0: what another command left unfinished.
void CheckState(const CheckedFolder& folder, Findings* findings) {
  std::error_code ignored;
  const fs::path staging = folder.dir / kStagingName;
  if (fs::exists(staging / "commit.json", ignored)) {
    findings->Add({0, Severity::kError, std::string(kStagingName),
                   "a conversion was interrupted while it replaced files",
                   "old and new files are mixed",
                   "Run the same ingot convert command again; it completes the work."});
  } else if (fs::exists(staging, ignored)) {
    findings->Add({0, Severity::kWarning, std::string(kStagingName),
                   "a conversion was interrupted before it changed anything",
                   "the folder is not converted yet", "Run the same ingot convert command again."});
  }
  for (const std::string& name : folder.file_names) {
    if (!name.ends_with(".partial")) continue;
    findings->Add({0, Severity::kWarning, name, "a file that was never finished", "", ""});
  }
}

void OpenWeights(CheckedFolder* folder, Findings* findings) {
  bool any = false;
  for (const std::string& name : folder->file_names) {
    if (!name.ends_with(".safetensors")) continue;
    any = true;
    try {
      folder->weights.push_back(std::make_unique<SafetensorsFile>(folder->dir / name));
    } catch (const Error& error) {
      findings->Add({1, Severity::kError, name, error.what(), "", ""});
      continue;
    }
    const SafetensorsFile& file = *folder->weights.back();
    for (const TensorInfo& info : file.tensors()) {
      const auto [it, fresh] = folder->tensors.try_emplace(info.name, CheckedTensor{&file, &info});
      if (fresh) continue;
      findings->Add(
          {1, Severity::kError, Printable(info.name),
           fmt::format("is in {} and in {}", it->second.file->path().filename().string(), name),
           "which one an engine takes depends on the order of reading",
           "Remove the file that does not belong here."});
    }
  }
  if (!any) {
    findings->Add({1, Severity::kError, folder->dir.string(), "holds no .safetensors file",
                   "there is nothing to load", "Give the folder of a model."});
  }
}

std::string StringMember(const JsonValue& object, std::string_view key) {
  const JsonValue* value = object.Find(key);
  return value != nullptr && value->IsString() ? value->text : std::string();
}

void OpenConfig(CheckedFolder* folder, Findings* findings) {
  try {
    folder->config = ReadJsonObject(folder->dir / "config.json", kMaxConfigBytes);
  } catch (const Error& error) {
    findings->Add({21, Severity::kError, "config.json", error.what(),
                   "no engine can load the folder", "Copy config.json from the float model."});
    return;
  }
  static const JsonValue kNone;
  const JsonValue* text = folder->config->Find("text_config");
  if (text == nullptr) text = &kNone;
  for (const JsonValue* object : {static_cast<const JsonValue*>(&*folder->config), text}) {
    for (const char* key : {"dtype", "torch_dtype"}) {
      if (folder->torch_dtype.empty()) folder->torch_dtype = StringMember(*object, key);
    }
    for (const char* key : {"quantization_config", "compression_config"}) {
      folder->has_quantization_config =
          folder->has_quantization_config || object->Find(key) != nullptr;
    }
  }
  const JsonValue* tie = folder->config->Find("tie_word_embeddings");
  if (tie == nullptr) tie = text->Find("tie_word_embeddings");
  folder->ties = tie != nullptr && tie->boolean;
  try {
    folder->model = LoadModelConfig(folder->dir);
  } catch (const Error& error) {
    // Another architecture is not damage: its tensors can still be looked at.
    const Severity severity =
        error.kind() == ErrorKind::kUser ? Severity::kWarning : Severity::kError;
    findings->Add({21, severity, "config.json", error.what(),
                   "names and shapes of the model's tensors are not known",
                   "Copy config.json from the float model."});
  }
}

// Rule 2.
void OpenDescription(CheckedFolder* folder, Findings* findings) {
  folder->descriptions = FindDescriptions(folder->dir);
  std::vector<std::string> names = folder->descriptions;
  const auto old = std::find(names.begin(), names.end(), kOldDescriptionName);
  if (old != names.end() && names.size() > 1) {
    names.erase(old);
    findings->Add({2, Severity::kWarning, std::string(kOldDescriptionName),
                   "stands beside " + names[0], "some engines take the one, some the other",
                   "Remove the older name."});
  } else if (old != names.end()) {
    findings->Add({2, Severity::kError, std::string(kOldDescriptionName),
                   fmt::format("is the only description; engines look for {}", kDescriptionName),
                   "", fmt::format("Rename it to {}; ingot convert does.", kDescriptionName)});
  }
  if (names.size() > 1) {
    findings->Add({2, Severity::kError, folder->dir.string(),
                   fmt::format("{} descriptions: {}", names.size(), fmt::join(names, ", ")), "",
                   ""});
  }
  if (names.empty()) return;
  const bool usual = std::find(names.begin(), names.end(), kDescriptionName) != names.end();
  try {
    folder->description =
        ParseQuantDescription(folder->dir / (usual ? std::string(kDescriptionName) : names[0]));
  } catch (const Error& error) {
    findings->Add({2, Severity::kError, names[0], error.what(), "", ""});
  }
}

void GroupModules(CheckedFolder* folder) {
  const auto module_of = [&](const std::string& tensor) -> CheckedModule& {
    const auto [it, fresh] =
        folder->module_index.try_emplace(ModuleOf(tensor), folder->modules.size());
    if (fresh) folder->modules.push_back({ModuleOf(tensor), {}, {}});
    return folder->modules[it->second];
  };
  if (folder->description) {
    for (const auto& [tensor, label] : folder->description->labels) {
      module_of(tensor).labels.emplace_back(SuffixOf(tensor), label);
    }
  }
  for (const auto& [name, tensor] : folder->tensors)
    module_of(name).tensors.emplace(SuffixOf(name), tensor);
}

bool AnyCodes(const CheckedFolder& folder) {
  return std::any_of(folder.modules.begin(), folder.modules.end(),
                     [](const CheckedModule& m) { return m.HasCodes(); });
}

// golden-stick folders hold vectors; the type of the offset says for which server.
std::optional<FolderFormat> VectorFormat(const CheckedFolder& folder) {
  int n_vectors = 0, n_scalars = 0, n_910 = 0;
  for (const CheckedModule& module : folder.modules) {
    const CheckedTensor* scale = module.Find("input_scale");
    if (!module.HasCodes() || scale == nullptr) continue;
    (NumElements(scale->shape()) > 1 ? n_vectors : n_scalars) += 1;
    const CheckedTensor* offset = module.Find("input_offset");
    if (offset == nullptr || NumElements(scale->shape()) <= 1) continue;
    const bool i8_910 = offset->dtype() == DType::kI8 && folder.run_dtype() == DType::kBF16;
    n_910 += offset->dtype() == DType::kBF16 || i8_910 ? 1 : 0;
  }
  if (n_vectors <= n_scalars) return std::nullopt;
  return 2 * n_910 > n_vectors ? FolderFormat::kGoldenStick910 : FolderFormat::kGoldenStick310;
}

void DetectFormat(CheckedFolder* folder, Findings* findings) {
  const bool codes = AnyCodes(*folder);
  if (folder->description || !folder->descriptions.empty()) {
    const bool v1 = std::any_of(
        folder->file_names.begin(), folder->file_names.end(), [](const std::string& name) {
          return name.starts_with("quant_model_weights") && name.ends_with(".safetensors");
        });
    folder->format =
        VectorFormat(*folder).value_or(v1 ? FolderFormat::kAscendV1 : FolderFormat::kAscendV0);
  } else if (folder->has_quantization_config) {
    folder->format = FolderFormat::kCompressedTensors;
  } else if (!codes) {
    if (!folder->tensors.empty()) folder->format = FolderFormat::kFloat;
  } else {
    folder->format = VectorFormat(*folder);
    findings->Add({2, Severity::kError, folder->dir.string(),
                   fmt::format("int8 weights, but no {} and no quantization_config in config.json",
                               kDescriptionName),
                   "", ""});
  }
}

void OpenCompressedTensors(CheckedFolder* folder, Findings* findings) {
  try {
    folder->compressed_tensors = LoadCompressedTensorsConfig(folder->dir);
  } catch (const Error& error) {
    findings->Add({21, Severity::kError, "config.json", error.what(), "", ""});
    return;
  }
  if (!folder->compressed_tensors) {
    findings->Add({21, Severity::kError, "config.json",
                   "has no quantization_config of compressed-tensors", "", ""});
  }
}

}  // namespace

const CheckedTensor* CheckedModule::Find(std::string_view suffix) const {
  const auto it = tensors.find(suffix);
  return it == tensors.end() ? nullptr : &it->second;
}

const std::string* CheckedModule::Label(std::string_view suffix) const {
  for (const auto& [own, label] : labels) {
    if (own == suffix) return &label;
  }
  return nullptr;
}

bool CheckedModule::HasCodes() const {
  const CheckedTensor* weight = Find("weight");
  return weight != nullptr && weight->dtype() == DType::kI8 && weight->shape().size() == 2;
}

const CheckedModule* CheckedFolder::FindModule(std::string_view name) const {
  const auto it = module_index.find(name);
  return it == module_index.end() ? nullptr : &modules[it->second];
}

bool CheckedFolder::HasFile(std::string_view name) const {
  return std::find(file_names.begin(), file_names.end(), name) != file_names.end();
}

CheckedFolder OpenForCheck(const fs::path& dir, const std::optional<FolderFormat>& profile,
                           Findings* findings) {
  CheckedFolder folder;
  folder.dir = dir;
  for (const fs::path& path : ListFiles(dir)) folder.file_names.push_back(path.filename().string());
  CheckState(folder, findings);
  OpenWeights(&folder, findings);
  OpenConfig(&folder, findings);
  OpenDescription(&folder, findings);
  GroupModules(&folder);
  DetectFormat(&folder, findings);
  if (profile) folder.format = profile;
  if (folder.format == FolderFormat::kCompressedTensors) OpenCompressedTensors(&folder, findings);
  const bool wants_description = folder.golden_stick() || folder.ascend();
  if (profile && wants_description && folder.descriptions.empty() && !AnyCodes(folder)) {
    findings->Add(
        {2, Severity::kError, dir.string(), fmt::format("no {}", kDescriptionName), "", ""});
  }
  return folder;
}

}  // namespace ingot
