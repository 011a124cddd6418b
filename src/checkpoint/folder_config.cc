// SPDX-License-Identifier: Apache-2.0
// The part of folder_layout.h about config.json and the files that go along unchanged.
#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "checkpoint/folder_layout.h"
#include "checkpoint/json_value.h"

namespace ingot {
namespace {

using Json = nlohmann::ordered_json;

constexpr uint64_t kMaxSideFile = 512u << 20;

std::string TorchName(DType dtype) { return dtype == DType::kF16 ? "float16" : "bfloat16"; }

// What transformers takes the model's type to be: "dtype" before "torch_dtype", top level before
// text_config.
std::string EffectiveDType(const Json& root) {
  for (const Json* object : {&root, root.contains("text_config") ? &root["text_config"] : &root}) {
    for (const char* key : {"dtype", "torch_dtype"}) {
      if (object->contains(key) && (*object)[key].is_string()) return (*object)[key];
    }
  }
  return "";
}

bool RemoveQuantizationConfig(Json* root) {
  bool removed = false;
  const auto clean = [&](Json* object) {
    for (const char* key : {"quantization_config", "compression_config"}) {
      removed = object->erase(key) > 0 || removed;
    }
  };
  clean(root);
  if (root->contains("text_config") && (*root)["text_config"].is_object()) {
    clean(&(*root)["text_config"]);
  }
  return removed;
}

void SetTopDType(Json* root, const std::string& dtype) {
  if (root->contains("dtype")) (*root)["dtype"] = dtype;
  (*root)["torch_dtype"] = dtype;  // a new key comes last
}

void SetNestedDTypes(Json* root, const std::string& dtype) {
  for (auto& [name, value] : root->items()) {
    if (!value.is_object()) continue;
    for (const char* key : {"dtype", "torch_dtype"}) {
      if (value.contains(key) && value[key].is_string()) value[key] = dtype;
    }
  }
}

void Untie(Json* root) {
  (*root)["tie_word_embeddings"] = false;
  for (auto& [name, value] : root->items()) {
    if (value.is_object() && value.contains("tie_word_embeddings")) {
      value["tie_word_embeddings"] = false;
    }
  }
}

std::string Dump(const Json& root, int indent) { return root.dump(indent, ' ', true); }

// "self_attn.q_proj" of "model.language_model.layers.3.self_attn.q_proj".
std::string NameInLayer(const LinearSpec& linear) {
  const std::string marker = fmt::format("layers.{}.", linear.layer);
  const size_t at = linear.module.find(marker);
  return linear.module.substr(at + marker.size());
}

std::string EscapeDots(const std::string& text) {
  std::string escaped;
  for (const char c : text) escaped += c == '.' ? std::string("\\.") : std::string(1, c);
  return escaped;
}

bool IsWeightFile(const std::filesystem::path& name) {
  static const std::set<std::string> kExtensions = {
      ".safetensors", ".bin", ".pt",  ".pth", ".gguf",   ".onnx", ".h5",     ".msgpack",
      ".ckpt",        ".npz", ".npy", ".om",  ".mindir", ".tar",  ".partial"};
  return kExtensions.count(name.extension().string()) != 0;
}

bool IsSideFile(const std::string& name, Target target) {
  const std::filesystem::path path(name);
  const std::string extension = path.extension().string();
  if (name.starts_with('.') || name == "config.json" || IsWeightFile(path)) return false;
  if (name.ends_with("index.json") || name.starts_with("quant_model_description") ||
      name.ends_with("quant_model_description.json") ||
      name.ends_with("quantization_description.json")) {
    return false;
  }
  return target != Target::kAscendV0 || extension == ".json" || extension == ".py";
}

}  // namespace

std::string RewriteConfig(const FolderLayout& layout, const std::string& source_json,
                          const ConfigEdits& edits, const std::string& file_for_errors) {
  if (!ParseJson(source_json, file_for_errors).IsObject()) {
    throw FormatError("{}: a JSON object was expected. Take the file of the released model.",
                      file_for_errors);
  }
  Json root = Json::parse(source_json);
  const std::string dtype =
      TorchName(layout.options.declared_dtype.value_or(layout.options.run_dtype));
  bool changed = RemoveQuantizationConfig(&root);
  if (edits.untie) {
    Untie(&root);
    changed = true;
  }
  switch (layout.target) {
    case Target::kAscendV0:
      SetTopDType(&root, dtype);
      return Dump(root, 4);
    case Target::kAscend:
      if (EffectiveDType(root) != dtype) {
        SetNestedDTypes(&root, dtype);
        SetTopDType(&root, dtype);
        changed = true;
      }
      return changed ? Dump(root, 2) : source_json;
    case Target::kGoldenStick310:
    case Target::kGoldenStick910:
      SetNestedDTypes(&root, dtype);
      SetTopDType(&root, dtype);
      return Dump(root, 4);
    case Target::kCompressedTensors:
      root["quantization_config"] = Json::parse(CompressedTensorsJson(
          {layout.options.ct_dynamic, layout.options.ct_symmetric, edits.ct_ignore}));
      return Dump(root, 2);
  }
  throw InternalError("config.json: unknown target");
}

std::vector<std::string> CompressedTensorsIgnore(
    const ModelConfig& config, const std::function<LinearType(const LinearSpec&)>& type_of) {
  // vLLM matches "re:" patterns from the start of its own module names, so each begins with ".*".
  std::vector<std::string> patterns = {"lm_head", "re:.*lm_head", "re:.*visual.*"};
  std::vector<std::string> order;
  std::map<std::string, std::vector<int64_t>> float_layers;
  for (const LinearSpec& linear : LinearTable(config)) {
    if (linear.part != TensorPart::kText || linear.layer < 0) continue;
    if (type_of(linear) != LinearType::kFloat) continue;
    const std::string name = NameInLayer(linear);
    if (float_layers.count(name) == 0) order.push_back(name);
    float_layers[name].push_back(linear.layer);
  }
  for (const std::string& name : order) {
    const auto& layers = float_layers[name];
    const std::string escaped = EscapeDots(name);
    patterns.push_back(
        static_cast<int64_t>(layers.size()) == config.text.n_layers
            ? fmt::format("re:.*{}$", escaped)
            : fmt::format("re:.*layers\\.({})\\.{}$", fmt::join(layers, "|"), escaped));
  }
  return patterns;
}

std::vector<std::string> SideFiles(const std::filesystem::path& src, Target target) {
  std::vector<std::string> names;
  for (const auto& path : ListFiles(src)) {
    const std::string name = path.filename().string();
    if (!IsSideFile(name, target)) continue;
    std::error_code error;
    if (std::filesystem::file_size(path, error) > kMaxSideFile) {
      LogWarning("{}: is larger than {} and is not copied", path.string(),
                 HumanBytes(kMaxSideFile));
      continue;
    }
    names.push_back(name);
  }
  return names;
}

std::vector<std::string> CopySideFiles(const std::filesystem::path& src,
                                       const std::filesystem::path& dst, Target target) {
  const auto names = SideFiles(src, target);
  std::error_code error;
  if (std::filesystem::equivalent(src, dst, error)) return names;
  for (const auto& name : names)
    WriteFileAtomically(dst / name, ReadFile(src / name, kMaxSideFile));
  return names;
}

}  // namespace ingot
