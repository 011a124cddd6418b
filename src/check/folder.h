// SPDX-License-Identifier: Apache-2.0
// A folder opened for checking: whatever can be read is there, whatever cannot is a finding.
// Nothing here throws for bad content.
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

#include "check/check.h"
#include "check/rules.h"
#include "checkpoint/config.h"
#include "checkpoint/folder_layout.h"
#include "checkpoint/json_value.h"
#include "checkpoint/quant_format.h"
#include "checkpoint/safetensors.h"

namespace ingot {

struct CheckedTensor {
  const SafetensorsFile* file = nullptr;
  const TensorInfo* info = nullptr;
  TensorView view() const { return file->View(*info); }
  void Drop() const { file->Drop(*info); }
  void DropPart(int64_t first, int64_t count) const { file->DropPart(*info, first, count); }
  DType dtype() const { return info->dtype; }
  const Shape& shape() const { return info->shape; }
};

// All tensors and labels "<name>.<suffix>" of one module.
struct CheckedModule {
  std::string name;
  std::vector<std::pair<std::string, std::string>> labels;  // suffix, label; description order
  std::map<std::string, CheckedTensor, std::less<>> tensors;

  const CheckedTensor* Find(std::string_view suffix) const;
  const std::string* Label(std::string_view suffix) const;  // nullptr: none
  bool HasCodes() const;                                    // int8 weight of two dimensions
  bool is_static() const { return HasCodes() && Find("input_scale") != nullptr; }
  int64_t rows() const { return Find("weight")->shape()[0]; }  // Requires: HasCodes()
  int64_t cols() const { return Find("weight")->shape()[1]; }
};

struct CheckedFolder {
  std::filesystem::path dir;
  std::vector<std::string> file_names;  // regular files, sorted
  std::vector<std::unique_ptr<SafetensorsFile>> weights;
  std::map<std::string, CheckedTensor, std::less<>> tensors;
  std::vector<std::string> descriptions;  // file names
  std::optional<QuantDescription> description;
  std::optional<JsonValue> config;   // config.json, when it is an object
  std::optional<ModelConfig> model;  // when config.json is that of a known model
  std::optional<CompressedTensorsConfig> compressed_tensors;
  std::string torch_dtype;  // "" when absent
  bool ties = false;        // config.json
  bool has_quantization_config = false;
  std::optional<FolderFormat> format;  // as detected, or the profile
  std::vector<CheckedModule> modules;  // description order; else file order
  std::map<std::string, size_t, std::less<>> module_index;

  const CheckedModule* FindModule(std::string_view name) const;
  bool HasFile(std::string_view name) const;
  bool HasDense3Table() const { return model && model->family == ModelFamily::kQwen3VL; }
  DType run_dtype() const { return torch_dtype == "float16" ? DType::kF16 : DType::kBF16; }
  bool golden_stick() const {
    return format == FolderFormat::kGoldenStick310 || format == FolderFormat::kGoldenStick910;
  }
  bool ascend() const {
    return format == FolderFormat::kAscendV0 || format == FolderFormat::kAscendV1;
  }
  bool quantized() const { return format && format != FolderFormat::kFloat; }
};

// Opens the folder; rules 0, 1, 2 and what config.json contributes to 21 report on the way.
CheckedFolder OpenForCheck(const std::filesystem::path& dir,
                           const std::optional<FolderFormat>& profile, Findings* findings);

}  // namespace ingot
