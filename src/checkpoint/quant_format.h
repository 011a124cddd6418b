// SPDX-License-Identifier: Apache-2.0
// What a folder's weights are: the float original, or one of the written W8A8 formats, with the
// label of every tensor. Formats: docs/formats/.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "checkpoint/config.h"

namespace ingot {

enum class FolderFormat {
  kFloat,     // Hugging Face float checkpoint
  kAscendV0,  // quant_model_weight_w8a8*.safetensors + quant_model_description.json, header first
  kAscendV1,  // quant_model_weights*.safetensors + quant_model_description.json
  kGoldenStick310,     // input_scale F16 [K], input_offset F16 [K], deq_scale F32
  kGoldenStick910,     // input_scale F16 [K], input_offset BF16 [K], deq_scale F32
  kCompressedTensors,  // config.json quantization_config, no description
};
std::string_view FolderFormatName(FolderFormat format);  // "golden-stick-310"

// quant_model_description.json. `labels` keeps file order: tensor name -> "W8A8", "FLOAT", ...
struct QuantDescription {
  std::string file_name;  // inside the folder
  std::string model_quant_type;
  std::string version;
  std::vector<std::pair<std::string, std::string>> labels;
  std::vector<std::string> header_keys;  // keys that are no tensors, in file order
  bool header_first = false;             // a header key stands before the first tensor (V0)
  const std::string* Find(std::string_view tensor) const;  // label; nullptr when absent
  std::map<std::string, size_t, std::less<>> by_name;      // index into labels, made by the parser
};

bool IsDescriptionHeaderKey(std::string_view key);
// Errors: FormatError (no JSON object, a label that is no string, missing model_quant_type, ...).
QuantDescription ParseQuantDescription(const std::filesystem::path& path);
// The text of a description. V0: header first, indent 2. V1: entries first, then the header,
// indent 4.
enum class DescriptionStyle { kV0, kV1 };
std::string QuantDescriptionJson(const std::string& model_quant_type,
                                 const std::vector<std::pair<std::string, std::string>>& labels,
                                 DescriptionStyle style);

// The "quantization_config" of compressed-tensors, the part that we read and write.
struct CompressedTensorsConfig {
  bool dynamic = true;    // per token; else static per tensor
  bool symmetric = true;  // static only
  std::vector<std::string> ignore;
};
// Reads config.json's quantization_config (top level, else text_config); nullopt when there is
// none. Errors: UserError naming the method when it is no int8 W8A8 of compressed-tensors.
std::optional<CompressedTensorsConfig> LoadCompressedTensorsConfig(
    const std::filesystem::path& dir);
// The value of "quantization_config" as JSON text (compact).
std::string CompressedTensorsJson(const CompressedTensorsConfig& config);

}  // namespace ingot
