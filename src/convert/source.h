// SPDX-License-Identifier: Apache-2.0
// A quantized folder opened for conversion: its weight files, its tensors grouped into modules with
// their labels, and the few facts of config.json that a conversion needs. Unlike ModelReader it
// takes a folder whose index is missing or still the float model's, because that is what the
// original quantizer leaves.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "checkpoint/folder_layout.h"
#include "checkpoint/quant_format.h"
#include "checkpoint/safetensors.h"

namespace ingot {

struct SourceTensor {
  const SafetensorsFile* file = nullptr;
  const TensorInfo* info = nullptr;
  TensorView view() const { return file->View(*info); }
  void Drop() const { file->Drop(*info); }
  void DropPart(int64_t first, int64_t count) const { file->DropPart(*info, first, count); }
};

// All tensors "<name>.<suffix>" of one module.
struct SourceModule {
  std::string name;  // "model.language_model.layers.0.mlp.up_proj"
  LinearType type = LinearType::kFloat;
  // Suffixes in description order with their labels; a label without a tensor (lm_head of a tied
  // model) has no entry below.
  std::vector<std::pair<std::string, std::string>> labels;
  std::map<std::string, SourceTensor, std::less<>> tensors;

  const SourceTensor* Find(std::string_view suffix) const;
  // Throws FormatError naming the module, the missing suffix and the remedy.
  const SourceTensor& Get(std::string_view suffix) const;
  bool Has(std::string_view suffix) const { return Find(suffix) != nullptr; }
  // Of the int8 weight [out, in].
  int64_t out() const { return Get("weight").info->shape[0]; }
  int64_t in() const { return Get("weight").info->shape[1]; }
};

class SourceFolder {
 public:
  // `fallback_config`: folder whose config.json is used when `dir` has none. Errors: UserError
  // (nothing to convert, two sets of weights, two copies of a tensor), FormatError (damaged files,
  // labels and tensors that do not match).
  explicit SourceFolder(const std::filesystem::path& dir,
                        const std::filesystem::path& fallback_config = {});

  const std::filesystem::path& dir() const { return dir_; }
  FolderFormat format() const { return format_; }
  const std::vector<SourceModule>& modules() const { return modules_; }
  const SourceModule* FindModule(std::string_view name) const;
  const std::vector<std::unique_ptr<SafetensorsFile>>& files() const { return files_; }

  bool has_description() const { return description_.has_value(); }
  const QuantDescription& description() const { return *description_; }
  const std::string& description_text() const { return description_text_; }  // as it stands on disk

  // config.json.
  const std::string& config_text() const { return config_text_; }
  const std::filesystem::path& config_path() const { return config_path_; }
  const std::string& model_type() const { return model_type_; }    // "qwen3_vl"
  const std::string& torch_dtype() const { return torch_dtype_; }  // "" when absent
  bool config_ties() const { return config_ties_; }
  DType run_dtype() const { return torch_dtype_ == "float16" ? DType::kF16 : DType::kBF16; }

 private:
  void OpenWeights();
  void ReadDescription();
  void ReadConfig(const std::filesystem::path& fallback);
  void GroupModules();
  void SetTypes();
  void DetectFormat();

  std::filesystem::path dir_, config_path_;
  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::map<std::string, SourceTensor, std::less<>> tensors_;
  std::optional<QuantDescription> description_;
  std::string description_text_, config_text_, model_type_, torch_dtype_, quant_method_;
  bool config_ties_ = false;
  std::vector<SourceModule> modules_;
  std::map<std::string, size_t, std::less<>> module_index_;
  FolderFormat format_ = FolderFormat::kFloat;
};

}  // namespace ingot
