// SPDX-License-Identifier: Apache-2.0
#include "convert/source.h"

#include <algorithm>

#include "base/error.h"
#include "base/files.h"
#include "checkpoint/json_value.h"
#include "checkpoint/tensor_table.h"

namespace ingot {
namespace fs = std::filesystem;
namespace {

constexpr uint64_t kMaxJsonBytes = 64u << 20;
constexpr std::string_view kOldDescriptionName = "quant_model_description_w8a8.json";

bool IsQuantWeightFile(const fs::path& path) {
  return path.filename().string().rfind("quant_model_weight", 0) == 0;
}

// A folder that holds both the float shards and the quantized weights would be served with both:
// engines read every file.
std::vector<fs::path> ChooseWeightFiles(const fs::path& dir) {
  std::vector<fs::path> quantized, others;
  for (const fs::path& path : ListFiles(dir)) {
    if (path.extension() != ".safetensors") continue;
    (IsQuantWeightFile(path) ? quantized : others).push_back(path);
  }
  if (quantized.empty() && others.empty()) {
    throw UserError(
        "{}: holds no .safetensors file, so there is nothing to convert. Give the folder that the "
        "quantizer "
        "wrote.",
        dir.string());
  }
  if (!quantized.empty() && !others.empty()) {
    throw UserError(
        "{}: holds {} beside the quantized weights ({}), and engines would read both. Move the "
        "float weights "
        "out of this folder and run the command again.",
        dir.string(), others[0].filename().string(), quantized[0].filename().string());
  }
  return quantized.empty() ? others : quantized;
}

std::string StringMember(const JsonValue& object, std::string_view key) {
  const JsonValue* value = object.Find(key);
  return value != nullptr && value->IsString() ? value->text : std::string();
}

}  // namespace

const SourceTensor* SourceModule::Find(std::string_view suffix) const {
  const auto it = tensors.find(suffix);
  return it == tensors.end() ? nullptr : &it->second;
}

const SourceTensor& SourceModule::Get(std::string_view suffix) const {
  const SourceTensor* tensor = Find(suffix);
  if (tensor == nullptr) {
    throw FormatError(
        "{}.{}: this tensor is missing, although the linear is quantized. Quantize the model "
        "again.",
        name, suffix);
  }
  return *tensor;
}

SourceFolder::SourceFolder(const fs::path& dir, const fs::path& fallback_config) : dir_(dir) {
  if (!fs::is_directory(dir)) {
    throw UserError("{}: is no folder. Give the folder that the quantizer wrote.", dir.string());
  }
  OpenWeights();
  ReadConfig(fallback_config);
  ReadDescription();
  GroupModules();
  SetTypes();
  DetectFormat();
}

void SourceFolder::OpenWeights() {
  for (const fs::path& path : ChooseWeightFiles(dir_)) {
    auto file = std::make_unique<SafetensorsFile>(path);
    for (const TensorInfo& info : file->tensors()) {
      const auto [it, fresh] = tensors_.try_emplace(info.name, SourceTensor{file.get(), &info});
      if (!fresh) {
        throw UserError(
            "{}: tensor {} is in {} and in {}. Keep the files of one run only: move the others "
            "away and run "
            "the command again.",
            dir_.string(), info.name, it->second.file->path().filename().string(),
            path.filename().string());
      }
    }
    files_.push_back(std::move(file));
  }
}

void SourceFolder::ReadConfig(const fs::path& fallback) {
  config_path_ = dir_ / "config.json";
  if (!fs::exists(config_path_) && !fallback.empty()) config_path_ = fallback / "config.json";
  if (!fs::exists(config_path_)) {
    throw UserError(
        "{}: config.json is missing. Copy it from the float model, or name that model with "
        "--original-dir.",
        dir_.string());
  }
  config_text_ = ReadFile(config_path_, kMaxJsonBytes);
  const JsonValue config = ParseJson(config_text_, config_path_.string());
  if (!config.IsObject()) {
    throw FormatError("{}: is no JSON object. Copy config.json from the float model.",
                      config_path_.string());
  }
  static const JsonValue kNone;
  const JsonValue* text = config.Find("text_config");
  if (text == nullptr) text = &kNone;
  model_type_ = StringMember(config, "model_type");
  // As transformers reads it: "dtype" before "torch_dtype", top level before text_config.
  for (const auto& [object, key] : {std::pair(&config, "dtype"), std::pair(&config, "torch_dtype"),
                                    std::pair(text, "dtype"), std::pair(text, "torch_dtype")}) {
    if (torch_dtype_.empty()) torch_dtype_ = StringMember(*object, key);
  }
  const JsonValue* tie = config.Find("tie_word_embeddings");
  if (tie == nullptr) tie = text->Find("tie_word_embeddings");
  config_ties_ = tie != nullptr && tie->boolean;
  for (const JsonValue* object : {&config, text}) {
    const JsonValue* quantization = object->Find("quantization_config");
    if (quantization != nullptr && quant_method_.empty())
      quant_method_ = StringMember(*quantization, "quant_method");
  }
}

void SourceFolder::ReadDescription() {
  // The older name wins, as in the original script, which renames it over the other.
  for (const std::string_view name : {kOldDescriptionName, kDescriptionName}) {
    const fs::path path = dir_ / name;
    if (!fs::exists(path)) continue;
    description_text_ = ReadFile(path, kMaxJsonBytes);
    description_ = ParseQuantDescription(path);
    return;
  }
}

// Modules in description order; without a description in file order.
void SourceFolder::GroupModules() {
  std::vector<std::pair<std::string, std::string>> labels;
  if (description_) {
    labels = description_->labels;
  } else {
    for (const auto& file : files_) {
      for (const TensorInfo& info : file->tensors()) labels.emplace_back(info.name, "");
    }
  }
  size_t n_found = 0;
  for (const auto& [tensor, label] : labels) {
    const auto [it, fresh] = module_index_.try_emplace(ModuleOf(tensor), modules_.size());
    if (fresh) modules_.push_back({ModuleOf(tensor)});
    SourceModule& module = modules_[it->second];
    module.labels.emplace_back(SuffixOf(tensor), label);
    const auto found = tensors_.find(tensor);
    if (found == tensors_.end()) {
      if (tensor == "lm_head.weight" && config_ties_) continue;
      throw FormatError(
          "{}: lists {}, but no weight file has this tensor. The folder is incomplete: copy it "
          "again or "
          "quantize again.",
          (dir_ / description_->file_name).string(), tensor);
    }
    module.tensors.emplace(SuffixOf(tensor), found->second);
    ++n_found;
  }
  if (n_found == tensors_.size()) return;
  for (const auto& [name, tensor] : tensors_) {
    const SourceModule* module = FindModule(ModuleOf(name));
    if (module == nullptr || !module->Has(SuffixOf(name))) {
      throw FormatError(
          "{}: tensor {} has no label in {}. Is that the description of another model?",
          tensor.file->path().string(), name, description_->file_name);
    }
  }
}

const SourceModule* SourceFolder::FindModule(std::string_view name) const {
  const auto it = module_index_.find(name);
  return it == module_index_.end() ? nullptr : &modules_[it->second];
}

// The type of a linear is what its tensors are; a label must not say otherwise.
void SourceFolder::SetTypes() {
  for (SourceModule& module : modules_) {
    const SourceTensor* weight = module.Find("weight");
    const bool codes = weight != nullptr && weight->info->dtype == DType::kI8;
    if (codes && weight->info->shape.size() != 2) {
      throw FormatError(
          "{}: tensor {}: int8 weight of shape {}; expected two dimensions. Quantize the model "
          "again.",
          weight->file->path().string(), weight->info->name, ShapeText(weight->info->shape));
    }
    if (codes) module.type = module.Has("input_scale") ? LinearType::kStatic : LinearType::kDynamic;
    for (const auto& [suffix, label] : module.labels) {
      const bool is_float = label.empty() || label == "FLOAT";
      const bool own_bias = suffix == "bias" && codes;
      if (is_float && !(codes && !label.empty() && !own_bias)) continue;
      if (own_bias || (codes && label == LinearTypeLabel(module.type))) continue;
      throw UserError(
          "{}: {}.{} is labelled {}. This version converts FLOAT, W8A8 and W8A8_DYNAMIC layers "
          "whose tensors "
          "agree with their label. Quantize the model again with ingot quantize.",
          dir_.string(), module.name, suffix, label.empty() ? "FLOAT" : label);
    }
  }
}

void SourceFolder::DetectFormat() {
  bool any_codes = false, vectors = false, bf16_offset = false, i8_offset = false;
  for (const SourceModule& module : modules_) {
    any_codes = any_codes || module.type != LinearType::kFloat;
    const SourceTensor* offset = module.Find("input_offset");
    if (module.type != LinearType::kStatic || offset == nullptr) continue;
    if (NumElements(offset->info->shape) <= 1) continue;
    vectors = true;
    bf16_offset = bf16_offset || offset->info->dtype == DType::kBF16;
    i8_offset = i8_offset || offset->info->dtype == DType::kI8;
  }
  if (!any_codes) {
    throw UserError("{}: is a float model, there is nothing to convert. Use ingot quantize.",
                    dir_.string());
  }
  if (description_) {
    const bool v1 = files_[0]->path().filename().string().rfind("quant_model_weights", 0) == 0;
    const bool is_910 = bf16_offset || (i8_offset && run_dtype() == DType::kBF16);
    format_ = vectors ? (is_910 ? FolderFormat::kGoldenStick910 : FolderFormat::kGoldenStick310)
                      : (v1 ? FolderFormat::kAscendV1 : FolderFormat::kAscendV0);
    return;
  }
  if (quant_method_ == "compressed-tensors") {
    format_ = FolderFormat::kCompressedTensors;
    return;
  }
  throw UserError(
      "{}: holds int8 weights, but neither quant_model_description.json nor a compressed-tensors "
      "quantization_config in config.json says what they are. Copy the description file from where "
      "the folder "
      "came.",
      dir_.string());
}

}  // namespace ingot
