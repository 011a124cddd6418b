// SPDX-License-Identifier: Apache-2.0
// What is in a model folder, without judging it: tensors, types, sizes, quantization by layer.
// Works on folders that are broken but can be parsed; what is wrong is listed instead of thrown.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/config.h"
#include "checkpoint/safetensors.h"

namespace ingot {

struct InspectedTensor {
  TensorInfo info;
  std::string file;
  std::string label;  // of the quantization description; "" without one
};

struct InspectedFile {
  std::string name;
  uint64_t bytes = 0;
  size_t tensors = 0;
};

// Tensors of one kind: "text linears", "vision norms", "text quantization parameters".
struct InspectedKind {
  std::string name;
  size_t tensors = 0;
  uint64_t parameters = 0, bytes = 0;
  std::map<std::string, size_t> dtypes;  // "BF16" -> tensors
};

// The linears of one layer, or of consecutive layers that are equal.
struct InspectedLayer {
  std::string part;               // "text", "vision", "other"
  int64_t first = -1, last = -1;  // -1 for "other"
  // Module in the layer -> "BF16", "W8A8", "W8A8_DYNAMIC"; a label that the stored type contradicts
  // is shown as "W8A8 (BF16)".
  std::vector<std::pair<std::string, std::string>> linears;
};

struct Inspection {
  std::filesystem::path path;
  std::optional<ModelConfig> config;
  std::string format;  // FolderFormatName, or "unknown"
  std::string model_quant_type;
  std::vector<InspectedFile> files;
  std::vector<InspectedTensor> tensors;  // files in order, header order inside
  std::vector<InspectedKind> kinds;
  std::vector<InspectedLayer> layers;
  uint64_t parameters = 0;  // without the parameters of quantization
  uint64_t data_bytes = 0;
  std::vector<std::string> problems;
};

// `path`: a folder or one .safetensors file. Errors: UserError when there is nothing to look at.
Inspection Inspect(const std::filesystem::path& path);

struct InspectView {
  std::string filter;        // only tensors whose name contains this (or matches, with * and ?)
  bool all_tensors = false;  // one row a tensor; else equal rows of numbered layers are folded
};
std::string InspectText(const Inspection& inspection, const InspectView& view);
std::string InspectJson(const Inspection& inspection, const InspectView& view);

bool MatchesFilter(std::string_view name, std::string_view filter);
// "model.layers.{}.up_proj.weight" and 3 from "model.layers.3.up_proj.weight": the first number
// between dots.
std::pair<std::string, std::optional<int64_t>> SplitLayerNumber(const std::string& name);

}  // namespace ingot
