// SPDX-License-Identifier: Apache-2.0
// Folders for the tests of convert and check: the original quantizer's own (rebuilt from recorded
// tensors), small models quantized by plain rounding into any layout, and edits of both.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "checkpoint/folder_layout.h"
#include "tensor/tensor.h"

namespace ingot::testing {

// A folder that goes away at the end of its scope.
class TempFolder {
 public:
  TempFolder();
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

std::filesystem::path TestModel(const std::string& name);  // tests/data/models/NAME
void CopyFolder(const std::filesystem::path& from, const std::filesystem::path& to);
std::string Slurp(const std::filesystem::path& path);
void Spill(const std::filesystem::path& path, const std::string& content);
// Every file of the folder (not of subfolders) with its content.
std::map<std::string, std::string> Contents(const std::filesystem::path& dir);

// The float model and the folder that the original quantizer (V0) made of it, complete and byte for
// byte.
std::filesystem::path GoldenOriginal();
void WriteGoldenV0(const std::filesystem::path& dir);

struct QuantizeOptions {
  bool vision = false;  // also the vision tower's qkv, proj and fc1 (they have biases)
  bool dynamic = false;
  double weight_factor = 1.0;  // scales the weights first (small ones make small scales)
};
// Plain rounding with made-up activation scales that F16 and BF16 hold exactly.
void QuantizeForTest(const std::filesystem::path& model, const std::filesystem::path& dir,
                     FolderLayout layout, const QuantizeOptions& options = {});
// A float model of the Qwen2.5-VL family by its names: biases on q, k, v, old module names. One
// layer, one vision block.
void WriteOldStyleModel(const std::filesystem::path& dir);
// It quantized as the original tool does (V0, bfloat16): text q, k, v, o, gate, up and vision
// attn.qkv.
void QuantizeOldStyle(const std::filesystem::path& model, const std::filesystem::path& dir);

using Tensors = std::map<std::string, Tensor>;
Tensors ReadTensors(const std::filesystem::path& file);
void WriteTensors(const std::filesystem::path& file, const Tensors& tensors);
// Rewrites the folder's only weight file.
void EditTensors(const std::filesystem::path& dir, const std::function<void(Tensors&)>& edit);
// Replaces the first occurrence of `from` in a text file, which must have it.
void EditText(const std::filesystem::path& file, const std::string& from, const std::string& to);
std::filesystem::path WeightFile(const std::filesystem::path& dir);

}  // namespace ingot::testing
