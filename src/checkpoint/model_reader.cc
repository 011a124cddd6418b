// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/model_reader.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "checkpoint/json_value.h"
#include "checkpoint/tensor_table.h"

namespace ingot {
namespace {

// The first linear with stored activation parameters; nullptr in float and all-dynamic folders.
const TensorInfo* FirstInputScale(const std::vector<std::unique_ptr<SafetensorsFile>>& files) {
  for (const auto& file : files) {
    for (const auto& tensor : file->tensors()) {
      if (tensor.name.ends_with(".input_scale")) return &tensor;
    }
  }
  return nullptr;
}

const TensorInfo* FirstInt8Weight(const std::vector<std::unique_ptr<SafetensorsFile>>& files) {
  for (const auto& file : files) {
    for (const auto& tensor : file->tensors()) {
      if (tensor.dtype == DType::kI8 && tensor.name.ends_with(".weight")) return &tensor;
    }
  }
  return nullptr;
}

bool HasKey(const QuantDescription& description, std::string_view key) {
  return std::find(description.header_keys.begin(), description.header_keys.end(), key) !=
         description.header_keys.end();
}

// V0 and V1 folders differ in the name of the weights and in the form of the description.
FolderFormat AscendVersion(const std::string& weight_file, const QuantDescription& description) {
  if (weight_file.starts_with("quant_model_weights")) return FolderFormat::kAscendV1;
  if (weight_file.starts_with("quant_model_weight_")) return FolderFormat::kAscendV0;
  const bool v1_keys = HasKey(description, "metadata") || HasKey(description, "optional");
  return v1_keys || !description.header_first ? FolderFormat::kAscendV1 : FolderFormat::kAscendV0;
}

void WarnAboutExtraTensors(const ModelReader& reader, const std::vector<TensorSpec>& table) {
  constexpr size_t kNamed = 5;
  std::set<std::string_view> known;
  for (const TensorSpec& spec : table) known.insert(spec.name);
  std::vector<std::string> extra;
  for (auto& name : reader.TensorNames()) {
    if (known.count(name) == 0) extra.push_back(Printable(name));
  }
  if (extra.empty()) return;
  const size_t shown = std::min(extra.size(), kNamed);
  LogWarning("{}: {} tensors do not belong to {} and are left out: {}{}", reader.dir().string(),
             extra.size(), FamilyName(reader.config().family),
             fmt::join(extra.begin(), extra.begin() + static_cast<std::ptrdiff_t>(shown), ", "),
             extra.size() > shown ? ", ..." : "");
}

}  // namespace

std::vector<std::string> FindDescriptions(const std::filesystem::path& dir) {
  // The suffixes that engines look for, and the older names that carry the type.
  std::vector<std::string> names;
  for (const auto& path : ListFiles(dir)) {
    const std::string name = path.filename().string();
    if (!name.ends_with(".json")) continue;
    if (name.starts_with("quant_model_description") ||
        name.ends_with("quant_model_description.json") ||
        name.ends_with("quantization_description.json")) {
      names.push_back(name);
    }
  }
  return names;
}

ModelReader::ModelReader(const std::filesystem::path& dir)
    : dir_(dir), config_(LoadModelConfig(dir)) {
  OpenFiles();
  OpenDescription();
  DetectFormat();
}

void ModelReader::OpenFiles() {
  WeightFiles found = FindWeightFiles(dir_);
  index_ = std::move(found.index);
  for (const auto& name : found.unused) {
    LogWarning("{}: {} is not named by {} and is left out", dir_.string(), name, index_->file_name);
  }
  for (const auto& name : found.names) {
    files_.push_back(std::make_unique<SafetensorsFile>(dir_ / name));
    const auto& tensors = files_.back()->tensors();
    for (size_t i = 0; i < tensors.size(); ++i) {
      const auto [it, fresh] = by_name_.emplace(tensors[i].name, std::pair(files_.size() - 1, i));
      if (!fresh) {
        throw FormatError(
            "{}: tensor {}: is also in {}. Remove the file that does not belong to the "
            "model.",
            files_.back()->path().string(), Printable(tensors[i].name),
            files_[it->second.first]->path().filename().string());
      }
    }
  }
  if (index_) CheckIndex();
}

void ModelReader::CheckIndex() const {
  const std::string path = (dir_ / index_->file_name).string();
  size_t indexed = 0;
  for (const auto& [tensor, file] : index_->weight_map) {
    // Folders of the original converter list header keys of the description as tensors.
    if (IsDescriptionHeaderKey(tensor) && !Has(tensor)) continue;
    const auto it = by_name_.find(tensor);
    const std::string holder =
        it == by_name_.end() ? "no file" : files_[it->second.first]->path().filename().string();
    // A label without a tensor: the head of a tied model stands in the description only.
    if (it == by_name_.end() && tensor == "lm_head.weight") continue;
    if (holder != file) {
      throw FormatError(
          "{}: tensor {}: should be in {}, {} holds it. The index and the weights do not "
          "belong together; download both again.",
          path, Printable(tensor), file, holder);
    }
    ++indexed;
  }
  if (indexed != by_name_.size()) {
    LogWarning("{}: lists {} of the {} tensors in its files", path, indexed, by_name_.size());
  }
}

void ModelReader::OpenDescription() {
  const auto names = FindDescriptions(dir_);
  if (names.size() > 1) {
    throw UserError(
        "{}: holds {} quantization descriptions ({}); engines want exactly one. Keep the "
        "one that belongs to the weights.",
        dir_.string(), names.size(), fmt::join(names, ", "));
  }
  if (!names.empty()) description_ = ParseQuantDescription(dir_ / names[0]);
}

void ModelReader::DetectFormat() {
  const TensorInfo* int8_weight = FirstInt8Weight(files_);
  if (!description_) {
    if (config_.has_quantization_config) {
      compressed_tensors_ = LoadCompressedTensorsConfig(dir_);
      format_ = FolderFormat::kCompressedTensors;
    } else if (int8_weight != nullptr) {
      throw FormatError(
          "{}: tensor {}: is int8, but the folder has no quant_model_description.json and "
          "config.json no quantization_config. Copy the description that was written with "
          "the weights.",
          dir_.string(), int8_weight->name);
    }
    return;
  }
  if (config_.quant_method == "compressed-tensors") {
    throw UserError(
        "{}: has {} and a compressed-tensors quantization_config in config.json. Remove the "
        "one that does not belong to the weights.",
        dir_.string(), description_->file_name);
  }
  const TensorInfo* scale = FirstInputScale(files_);
  const bool vector = scale != nullptr && scale->shape.size() == 1 && scale->shape[0] > 1;
  if (!vector) {
    format_ = AscendVersion(files_[0]->path().filename().string(), *description_);
    return;
  }
  const TensorInfo* offset = Find(ModuleOf(scale->name) + ".input_offset");
  const DType dtype = offset == nullptr ? DType::kF32 : offset->dtype;
  const bool is_310 =
      dtype == DType::kF16 || (dtype == DType::kI8 && config_.torch_dtype == "float16");
  if (!is_310 && dtype != DType::kBF16 && dtype != DType::kI8) {
    throw FormatError(
        "{}: tensor {}: is a vector (golden-stick), but its input_offset is {}; F16 (310), "
        "BF16 (910) or I8 was expected. Convert the folder again.",
        dir_.string(), scale->name, offset == nullptr ? "missing" : DTypeName(dtype));
  }
  format_ = is_310 ? FolderFormat::kGoldenStick310 : FolderFormat::kGoldenStick910;
}

bool ModelReader::tied() const { return !Has("lm_head.weight"); }

std::vector<std::string> ModelReader::TensorNames() const {
  std::vector<std::string> names;
  for (const auto& file : files_) {
    for (const auto& tensor : file->tensors()) names.push_back(tensor.name);
  }
  return names;
}

const TensorInfo* ModelReader::Find(std::string_view name) const {
  const auto it = by_name_.find(name);
  if (it == by_name_.end()) return nullptr;
  return &files_[it->second.first]->tensors()[it->second.second];
}

const SafetensorsFile& ModelReader::FileOf(std::string_view name, size_t* tensor) const {
  const auto it = by_name_.find(name);
  if (it == by_name_.end()) {
    throw FormatError(
        "{}: tensor {}: is missing ({} tensors are there). The folder is incomplete or "
        "config.json belongs to another model; download it again.",
        dir_.string(), Printable(name), by_name_.size());
  }
  *tensor = it->second.second;
  return *files_[it->second.first];
}

TensorView ModelReader::View(std::string_view name) const {
  size_t tensor = 0;
  const SafetensorsFile& file = FileOf(name, &tensor);
  return file.View(file.tensors()[tensor]);
}

void ModelReader::Drop(std::string_view name) const {
  size_t tensor = 0;
  const SafetensorsFile& file = FileOf(name, &tensor);
  file.Drop(file.tensors()[tensor]);
}

void ModelReader::DropPages(std::string_view name, uint64_t first_byte, uint64_t n_bytes) const {
  size_t tensor = 0;
  const SafetensorsFile& file = FileOf(name, &tensor);
  file.DropPages(file.tensors()[tensor], first_byte, n_bytes);
}

void ModelReader::Prefetch(std::string_view name) const {
  size_t tensor = 0;
  const SafetensorsFile& file = FileOf(name, &tensor);
  file.Prefetch(file.tensors()[tensor]);
}

uint64_t ModelReader::data_bytes() const {
  uint64_t bytes = 0;
  for (const auto& file : files_) bytes += file->data_bytes();
  return bytes;
}

void ValidateFloat(const ModelReader& reader) {
  const std::string dir = reader.dir().string();
  if (reader.format() != FolderFormat::kFloat) {
    throw UserError(
        "{}: is quantized already ({}); the float model was expected. Give the folder of the "
        "original model.",
        dir, FolderFormatName(reader.format()));
  }
  if (reader.tied() && !reader.config().tie_word_embeddings) {
    throw FormatError(
        "{}: tensor lm_head.weight: is missing, and config.json does not say that it is "
        "tied to the embedding. Download the weights again.",
        dir);
  }
  const auto table = TensorTable(reader.config(), reader.tied());
  for (const TensorSpec& spec : table) {
    const TensorInfo* info = reader.Find(spec.name);
    if (info == nullptr) {
      throw FormatError(
          "{}: tensor {}: is missing. The folder is incomplete or config.json belongs to "
          "another model; download it again.",
          dir, spec.name);
    }
    if (info->shape != spec.shape || !IsFloat16Or32(info->dtype)) {
      throw FormatError(
          "{}: tensor {}: is {} {}; BF16, F16 or F32 {} was expected by config.json. The "
          "weights and config.json do not belong together; download both again.",
          dir, spec.name, DTypeName(info->dtype), ShapeText(info->shape), ShapeText(spec.shape));
    }
  }
  WarnAboutExtraTensors(reader, table);
}

}  // namespace ingot
