// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/quant_format.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "checkpoint/json_fields.h"
#include "checkpoint/json_value.h"

namespace ingot {
namespace {

constexpr uint64_t kMaxDescriptionBytes = 64u << 20;
constexpr uint64_t kMaxConfigBytes = 4u << 20;
constexpr std::array<std::string_view, 9> kHeaderKeys = {
    "version",       "model_quant_type",  "group_size", "kv_quant_type", "kv_cache_type",
    "fa_quant_type", "reduce_quant_type", "metadata",   "optional"};

std::string ConfigPath(const std::filesystem::path& dir) { return (dir / "config.json").string(); }

[[noreturn]] void Unsupported(const std::string& file, const std::string& what) {
  throw UserError(
      "{}: quantization_config: {}. This program reads int8 weights per channel with int8 "
      "activations per token (dynamic) or per tensor (static).",
      file, what);
}

void CheckWeights(const JsonFields& weights) {
  if (weights.IntOr("num_bits", 8, 1, 64) != 8 || weights.StringOr("type", "int") != "int") {
    Unsupported(weights.file(), "weights are not int8");
  }
  const std::string strategy = weights.StringOr("strategy", "");
  if (strategy != "channel") {
    Unsupported(weights.file(),
                fmt::format("weights have the strategy \"{}\"", Printable(strategy, 40)));
  }
  if (!weights.BoolOr("symmetric", true)) Unsupported(weights.file(), "weights are asymmetric");
}

void ReadActivations(const JsonFields& activations, CompressedTensorsConfig* config) {
  if (activations.IntOr("num_bits", 8, 1, 64) != 8 ||
      activations.StringOr("type", "int") != "int") {
    Unsupported(activations.file(), "activations are not int8");
  }
  config->dynamic = activations.BoolOr("dynamic", false);
  config->symmetric = activations.BoolOr("symmetric", true);
  const std::string strategy = activations.StringOr("strategy", "");
  if (strategy != (config->dynamic ? "token" : "tensor")) {
    Unsupported(activations.file(),
                fmt::format("{} activations have the strategy \"{}\"",
                            config->dynamic ? "dynamic" : "static", Printable(strategy, 40)));
  }
  if (config->dynamic && !config->symmetric) {
    Unsupported(activations.file(), "dynamic activations are asymmetric");
  }
}

CompressedTensorsConfig ReadCompressedTensors(const JsonFields& quant) {
  const std::string method = quant.StringOr("quant_method", "");
  if (method != "compressed-tensors") {
    Unsupported(quant.file(), fmt::format("quant_method is \"{}\"", Printable(method, 40)));
  }
  const std::string format = quant.StringOr("format", "int-quantized");
  if (format != "int-quantized") {
    Unsupported(quant.file(), fmt::format("format is \"{}\"", Printable(format, 40)));
  }
  const JsonFields groups = quant.Object("config_groups");
  if (groups.object().members.size() != 1) {
    Unsupported(quant.file(), fmt::format("has {} config_groups", groups.object().members.size()));
  }
  const JsonFields group = groups.Object(groups.object().members[0].key);
  CompressedTensorsConfig config;
  CheckWeights(group.Object("weights"));
  ReadActivations(group.Object("input_activations"), &config);
  if (const JsonValue* ignore = quant.Find("ignore"); ignore != nullptr) {
    for (const JsonValue& item : ignore->items) {
      if (!item.IsString()) quant.Fail("ignore", "holds something else", "a list of strings");
      config.ignore.push_back(item.text);
    }
  }
  return config;
}

// Members in alphabetic order, as the reference library saves them.
std::string QuantizationArgs(bool dynamic, bool symmetric, std::string_view strategy,
                             std::string_view observer) {
  return fmt::format(
      R"({{"actorder":null,"block_structure":null,"dynamic":{},"group_size":null,"num_bits":8,)"
      R"("observer":{},"observer_kwargs":{{}},"strategy":"{}","symmetric":{},"type":"int"{}}})",
      dynamic, observer.empty() ? "null" : JsonQuote(observer), strategy, symmetric,
      symmetric ? "" : R"(,"zp_dtype":"torch.int8")");
}

}  // namespace

std::string_view FolderFormatName(FolderFormat format) {
  switch (format) {
    case FolderFormat::kFloat:
      return "float";
    case FolderFormat::kAscendV0:
      return "ascend-v0";
    case FolderFormat::kAscendV1:
      return "ascend";
    case FolderFormat::kGoldenStick310:
      return "golden-stick-310";
    case FolderFormat::kGoldenStick910:
      return "golden-stick-910";
    case FolderFormat::kCompressedTensors:
      return "compressed-tensors";
  }
  return "?";
}

const std::string* QuantDescription::Find(std::string_view tensor) const {
  if (by_name.size() == labels.size()) {
    const auto it = by_name.find(tensor);
    return it == by_name.end() ? nullptr : &labels[it->second].second;
  }
  for (const auto& [name, label] : labels) {
    if (name == tensor) return &label;
  }
  return nullptr;
}

bool IsDescriptionHeaderKey(std::string_view key) {
  return std::find(kHeaderKeys.begin(), kHeaderKeys.end(), key) != kHeaderKeys.end() ||
         key.ends_with(".quant_type");
}

QuantDescription ParseQuantDescription(const std::filesystem::path& path) {
  const JsonValue json = ReadJsonObject(path, kMaxDescriptionBytes);
  const JsonFields fields(json, path.string(), "");
  QuantDescription description;
  description.file_name = path.filename().string();
  for (const auto& [key, value] : json.members) {
    if (IsDescriptionHeaderKey(key)) {
      if (description.labels.empty()) description.header_first = true;
      description.header_keys.push_back(key);
      continue;
    }
    if (!value.IsString()) {
      throw FormatError(
          "{}: {}: the label is {}, a string such as \"W8A8\" or \"FLOAT\" was expected. Restore "
          "the "
          "file from its source.",
          path.string(), Printable(key), JsonKindName(value.kind));
    }
    description.by_name.emplace(key, description.labels.size());
    description.labels.emplace_back(key, value.text);
  }
  if (!fields.Has("model_quant_type")) {
    fields.Fail("model_quant_type", "is missing", "the type of the whole model, such as \"W8A8\"");
  }
  description.model_quant_type = fields.StringOr("model_quant_type", "");
  description.version = fields.StringOr("version", "");
  return description;
}

std::string QuantDescriptionJson(const std::string& model_quant_type,
                                 const std::vector<std::pair<std::string, std::string>>& labels,
                                 DescriptionStyle style) {
  const bool v0 = style == DescriptionStyle::kV0;
  const std::string_view indent = v0 ? "  " : "    ";
  std::string text = "{";
  const auto add = [&](std::string_view key, std::string_view raw_value) {
    text += fmt::format("{}\n{}{}: {}", text.size() > 1 ? "," : "", indent, JsonQuote(key, true),
                        raw_value);
  };
  const auto add_header = [&] {
    add("version", "\"1.0.0\"");
    add("model_quant_type", JsonQuote(model_quant_type, true));
  };
  if (v0) add_header();
  for (const auto& [name, label] : labels) add(name, JsonQuote(label, true));
  if (!v0) {
    add_header();
    add("metadata", "{}");
    add("group_size", "0");
    add("optional", "{}");
  }
  return text + "\n}";
}

std::optional<CompressedTensorsConfig> LoadCompressedTensorsConfig(
    const std::filesystem::path& dir) {
  const JsonValue json = ReadJsonObject(dir / "config.json", kMaxConfigBytes);
  const JsonFields root(json, ConfigPath(dir), "");
  const auto text = root.ObjectIf("text_config");
  for (const JsonFields* fields : {&root, text ? &*text : &root}) {
    for (const char* key : {"quantization_config", "compression_config"}) {
      if (const auto quant = fields->ObjectIf(key)) return ReadCompressedTensors(*quant);
    }
  }
  return std::nullopt;
}

std::string CompressedTensorsJson(const CompressedTensorsConfig& config) {
  const std::string activations =
      config.dynamic ? QuantizationArgs(true, true, "token", "")
                     : QuantizationArgs(false, config.symmetric, "tensor", "minmax");
  std::string ignore;
  for (const auto& pattern : config.ignore) {
    ignore += (ignore.empty() ? "" : ",") + JsonQuote(pattern, true);
  }
  return fmt::format(
      R"({{"config_groups":{{"group_0":{{"format":"int-quantized","input_activations":{},)"
      R"("output_activations":null,"targets":["Linear"],"weights":{}}}}},)"
      R"("format":"int-quantized","global_compression_ratio":null,"ignore":[{}],)"
      R"("kv_cache_scheme":null,"quant_method":"compressed-tensors",)"
      R"("quantization_status":"compressed","sparsity_config":{{}},"transform_config":{{}},)"
      R"("version":"0.13.0"}})",
      activations, QuantizationArgs(false, true, "channel", "minmax"), ignore);
}

}  // namespace ingot
