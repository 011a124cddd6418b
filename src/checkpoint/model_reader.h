// SPDX-License-Identifier: Apache-2.0
// A model folder opened for reading: config, all weight files mapped and validated, one name space
// of tensors. Float folders and every quantized format that this program writes.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/config.h"
#include "checkpoint/quant_format.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/shard_index.h"
#include "tensor/tensor.h"

namespace ingot {

class ModelReader {
 public:
  // Opens the index's shards, else the single file, else all *.safetensors of the folder. Errors:
  // UserError (no weights, no config, two candidates), FormatError (index names a missing shard or
  // a tensor that its shard lacks, a tensor in two shards, ...). Does not compare with the tensor
  // table: see ValidateFloat.
  explicit ModelReader(const std::filesystem::path& dir);

  const std::filesystem::path& dir() const { return dir_; }
  const ModelConfig& config() const { return config_; }
  FolderFormat format() const { return format_; }
  const std::optional<QuantDescription>& description() const { return description_; }
  const std::optional<CompressedTensorsConfig>& compressed_tensors() const {
    return compressed_tensors_;
  }
  bool tied() const;  // no lm_head.weight: the embedding is the head

  const std::vector<std::unique_ptr<SafetensorsFile>>& files() const { return files_; }
  const std::optional<ShardIndex>& index() const { return index_; }
  std::vector<std::string> TensorNames() const;  // files in order, header order inside
  const TensorInfo* Find(std::string_view name) const;
  bool Has(std::string_view name) const { return Find(name) != nullptr; }
  TensorView View(
      std::string_view name) const;  // FormatError when absent: names folder, tensor, remedy
  void Drop(std::string_view name) const;
  void DropPages(std::string_view name, uint64_t first_byte, uint64_t n_bytes) const;
  void Prefetch(std::string_view name) const;
  uint64_t data_bytes() const;

 private:
  void OpenFiles();
  void CheckIndex() const;
  void OpenDescription();
  void DetectFormat();
  const SafetensorsFile& FileOf(std::string_view name, size_t* tensor) const;

  std::filesystem::path dir_;
  ModelConfig config_;
  FolderFormat format_ = FolderFormat::kFloat;
  std::optional<QuantDescription> description_;
  std::optional<CompressedTensorsConfig> compressed_tensors_;
  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::optional<ShardIndex> index_;
  std::map<std::string, std::pair<size_t, size_t>, std::less<>> by_name_;  // file, tensor
};

// Names of the quantization descriptions in a folder (readers take exactly one).
std::vector<std::string> FindDescriptions(const std::filesystem::path& dir);

// Every tensor of the table is there with its shape and a float dtype; else FormatError naming the
// tensor. Extra tensors are listed in a warning.
void ValidateFloat(const ModelReader& reader);

}  // namespace ingot
