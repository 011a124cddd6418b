// SPDX-License-Identifier: Apache-2.0
// Collects the facts; rendering: inspect_text.cc.
#include "checkpoint/inspect.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "checkpoint/model_reader.h"
#include "checkpoint/tensor_table.h"

namespace ingot {
namespace {

bool IsQuantParameter(const std::string& name) {
  static const std::set<std::string> kSuffixes = {"weight_scale",    "weight_offset", "input_scale",
                                                  "input_offset",    "quant_bias",    "deq_scale",
                                                  "input_zero_point"};
  return kSuffixes.count(SuffixOf(name)) != 0;
}

// The last part of the module: "q_norm" of "a.self_attn.q_norm.weight".
std::string Leaf(const std::string& name) { return SuffixOf(ModuleOf(name)); }

bool IsVision(const std::string& name) { return name.find("visual.") != std::string::npos; }

// Kinds by name alone, so that unknown and broken models are described too.
std::string KindOf(const TensorInfo& info) {
  const std::string& name = info.name;
  const std::string part = IsVision(name) ? "vision " : "text ";
  if (IsQuantParameter(name)) return part + "quantization parameters";
  if (name.find("patch_embed") != std::string::npos ||
      name.find("pos_embed") != std::string::npos) {
    return "vision patch and position tables";
  }
  if (name.find("embed_tokens") != std::string::npos) return "text embedding";
  if (name.starts_with("lm_head")) return "text head";
  if (name.find(".experts.") != std::string::npos) return "text experts";
  const std::string leaf = Leaf(name);
  if (leaf.find("norm") != std::string::npos || leaf == "ln_q") return part + "norms";
  if (SuffixOf(name) == "bias") return part + "biases";
  if (SuffixOf(name) != "weight") return "other tensors";
  return part + (info.shape.size() >= 2 ? "linears" : "others");
}

void AddFile(const std::filesystem::path& path, Inspection* inspection) {
  const std::string name = path.filename().string();
  try {
    const SafetensorsFile file(path);
    inspection->files.push_back({name, file.file_size(), file.tensors().size()});
    inspection->data_bytes += file.data_bytes();
    for (const TensorInfo& info : file.tensors()) {
      inspection->tensors.push_back({info, name, ""});
    }
  } catch (const Error& error) {
    inspection->problems.emplace_back(error.what());
  }
}

void AddLabels(const QuantDescription& description, Inspection* inspection) {
  inspection->model_quant_type = description.model_quant_type;
  size_t unlabelled = 0;
  for (auto& tensor : inspection->tensors) {
    if (const std::string* label = description.Find(tensor.info.name)) {
      tensor.label = *label;
    } else {
      ++unlabelled;
    }
  }
  if (unlabelled > 0) {
    inspection->problems.push_back(fmt::format("{}: has no label for {} of the {} tensors",
                                               description.file_name, unlabelled,
                                               inspection->tensors.size()));
  }
}

bool HasWeights(const std::filesystem::path& dir) {
  const auto files = ListFiles(dir);
  return std::any_of(files.begin(), files.end(),
                     [](const auto& path) { return path.extension() == ".safetensors"; });
}

// Runs one step; what it throws becomes a problem.
template <typename Step>
void Try(Inspection* inspection, Step step) {
  try {
    step();
  } catch (const Error& error) {
    const std::string what = error.what();
    auto& problems = inspection->problems;
    if (std::find(problems.begin(), problems.end(), what) == problems.end())
      problems.push_back(what);
  }
}

void AddFolder(const std::filesystem::path& dir, Inspection* inspection) {
  for (const auto& path : ListFiles(dir)) {
    if (path.extension() == ".safetensors") AddFile(path, inspection);
  }
  Try(inspection, [&] { inspection->config = LoadModelConfig(dir); });
  Try(inspection, [&] {
    const auto names = FindDescriptions(dir);
    if (names.size() == 1) AddLabels(ParseQuantDescription(dir / names[0]), inspection);
  });
  Try(inspection, [&] { inspection->format = FolderFormatName(ModelReader(dir).format()); });
  if (inspection->config && inspection->format == "float") {
    Try(inspection, [&] {
      if (inspection->config->family == ModelFamily::kQwen3VL) ValidateFloat(ModelReader(dir));
    });
  }
}

void AddKinds(Inspection* inspection) {
  std::map<std::string, InspectedKind> kinds;
  for (const auto& tensor : inspection->tensors) {
    InspectedKind& kind = kinds[KindOf(tensor.info)];
    const auto elements = static_cast<uint64_t>(NumElements(tensor.info.shape));
    ++kind.tensors;
    kind.parameters += elements;
    kind.bytes += tensor.info.nbytes;
    ++kind.dtypes[std::string(DTypeName(tensor.info.dtype))];
    if (!IsQuantParameter(tensor.info.name)) inspection->parameters += elements;
  }
  for (auto& [name, kind] : kinds) {
    kind.name = name;
    inspection->kinds.push_back(kind);
  }
  std::stable_sort(inspection->kinds.begin(), inspection->kinds.end(),
                   [](const auto& a, const auto& b) { return a.bytes > b.bytes; });
}

// "W8A8", "BF16"; contradictions show both.
std::string TypeOf(const InspectedTensor& weight, const std::set<std::string>& names) {
  const std::string dtype(DTypeName(weight.info.dtype));
  const bool int8 = weight.info.dtype == DType::kI8;
  if (weight.label.empty()) {
    if (!int8) return dtype;
    return names.count(ModuleOf(weight.info.name) + ".input_scale") != 0 ? "I8 static"
                                                                         : "I8 dynamic";
  }
  if (weight.label == "FLOAT") return int8 ? "FLOAT (I8)" : dtype;
  return int8 ? weight.label : fmt::format("{} ({})", weight.label, dtype);
}

void FoldEqualLayers(std::vector<InspectedLayer>* layers) {
  std::vector<InspectedLayer> folded;
  for (auto& layer : *layers) {
    const bool equal = !folded.empty() && layer.first >= 0 && folded.back().part == layer.part &&
                       folded.back().last + 1 == layer.first &&
                       folded.back().linears == layer.linears;
    if (equal) {
      folded.back().last = layer.last;
    } else {
      folded.push_back(std::move(layer));
    }
  }
  *layers = std::move(folded);
}

// Order inside a layer, whatever the order of the file.
int LinearRank(const std::string& name) {
  static const char* kOrder[] = {"qkv",  "q_proj",  "k_proj",    "v_proj", "o_proj", "attn.proj",
                                 "gate", "up_proj", "down_proj", "fc1",    "fc2"};
  for (int rank = 0; rank < static_cast<int>(std::size(kOrder)); ++rank) {
    if (name.find(kOrder[rank]) != std::string::npos) return rank;
  }
  return 100;
}

void AddLayers(Inspection* inspection) {
  std::set<std::string> names;
  for (const auto& tensor : inspection->tensors) names.insert(tensor.info.name);
  std::map<std::pair<std::string, int64_t>, InspectedLayer> layers;
  for (const auto& tensor : inspection->tensors) {
    const std::string kind = KindOf(tensor.info);
    if (kind != "text linears" && kind != "vision linears" && kind != "text head" &&
        kind != "text experts") {
      continue;
    }
    const bool weight = SuffixOf(tensor.info.name) == "weight" || kind == "text experts";
    if (!weight) continue;
    const auto [pattern, number] = SplitLayerNumber(tensor.info.name);
    const bool in_layer = pattern.find("layers.{}.") != std::string::npos ||
                          pattern.find("blocks.{}.") != std::string::npos;
    const std::string part = !in_layer ? "other" : IsVision(pattern) ? "vision" : "text";
    InspectedLayer& layer = layers[{part, in_layer ? *number : -1}];
    layer.part = part;
    layer.first = layer.last = in_layer ? *number : -1;
    std::string name = kind == "text experts" ? tensor.info.name : ModuleOf(tensor.info.name);
    if (in_layer) name = name.substr(pattern.find("{}.") + fmt::format("{}.", *number).size());
    layer.linears.emplace_back(name, TypeOf(tensor, names));
  }
  for (auto& [key, layer] : layers) {
    std::stable_sort(layer.linears.begin(), layer.linears.end(), [](const auto& a, const auto& b) {
      return std::pair(LinearRank(a.first), a.first) < std::pair(LinearRank(b.first), b.first);
    });
    inspection->layers.push_back(std::move(layer));
  }
  FoldEqualLayers(&inspection->layers);
}

}  // namespace

std::pair<std::string, std::optional<int64_t>> SplitLayerNumber(const std::string& name) {
  for (size_t dot = name.find('.'); dot != std::string::npos; dot = name.find('.', dot + 1)) {
    size_t end = dot + 1;
    while (end < name.size() && name[end] >= '0' && name[end] <= '9') ++end;
    const size_t digits = end - dot - 1;
    if (digits > 0 && digits <= 9 && end < name.size() && name[end] == '.') {
      return {name.substr(0, dot + 1) + "{}" + name.substr(end),
              std::stoll(name.substr(dot + 1, digits))};
    }
  }
  return {name, std::nullopt};
}

bool MatchesFilter(std::string_view name, std::string_view filter) {
  if (filter.find_first_of("*?") == std::string_view::npos) {
    return name.find(filter) != std::string_view::npos;
  }
  // Glob over the whole name, with backtracking to the last star only.
  size_t n = 0, f = 0, star = std::string_view::npos, restart = 0;
  while (n < name.size()) {
    if (f < filter.size() && filter[f] == '*') {
      star = f++;
      restart = n;
    } else if (f < filter.size() && (filter[f] == '?' || filter[f] == name[n])) {
      ++f;
      ++n;
    } else if (star != std::string_view::npos) {
      f = star + 1;
      n = ++restart;
    } else {
      return false;
    }
  }
  while (f < filter.size() && filter[f] == '*') ++f;
  return f == filter.size();
}

Inspection Inspect(const std::filesystem::path& path) {
  Inspection inspection;
  inspection.path = path;
  inspection.format = "unknown";
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    if (!HasWeights(path)) {
      throw UserError(
          "{}: holds no *.safetensors file. Give a model folder or a .safetensors file.",
          path.string());
    }
    AddFolder(path, &inspection);
  } else {
    const SafetensorsFile file(path);  // a single broken file is an error, not a finding
    AddFile(path, &inspection);
  }
  AddKinds(&inspection);
  AddLayers(&inspection);
  return inspection;
}

}  // namespace ingot
