// SPDX-License-Identifier: Apache-2.0
// Inspections as aligned tables and as JSON.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <tuple>

#include "base/error.h"
#include "base/files.h"
#include "checkpoint/inspect.h"
#include "checkpoint/json_value.h"
#include "checkpoint/model_reader.h"

namespace ingot {
namespace {

using Json = nlohmann::ordered_json;

// Columns as wide as their widest cell. A '>' in `alignment` puts a column to the right.
class TextTable {
 public:
  explicit TextTable(std::string alignment) : alignment_(std::move(alignment)) {}
  void Row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  std::string Text(const std::string& indent = "") const {
    std::vector<size_t> widths(alignment_.size(), 0);
    for (const auto& row : rows_) {
      for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
    }
    std::string text;
    for (const auto& row : rows_) {
      std::string line = indent;
      for (size_t i = 0; i < row.size(); ++i) {
        const std::string pad(widths[i] - row[i].size(), ' ');
        line += (i == 0 ? "" : "  ") + (alignment_[i] == '>' ? pad + row[i] : row[i] + pad);
      }
      line.erase(line.find_last_not_of(' ') + 1);
      text += line + "\n";
    }
    return text;
  }

 private:
  std::string alignment_;
  std::vector<std::vector<std::string>> rows_;
};

std::string HumanCount(uint64_t count) {
  if (count < 10'000) return fmt::format("{}", count);
  if (count < 1'000'000) return fmt::format("{:.1f} K", static_cast<double>(count) / 1e3);
  if (count < 1'000'000'000) return fmt::format("{:.1f} M", static_cast<double>(count) / 1e6);
  return fmt::format("{:.2f} B", static_cast<double>(count) / 1e9);
}

std::string ModelLine(const ModelConfig& config) {
  const TextConfig& t = config.text;
  const std::string experts =
      t.n_experts > 0 ? fmt::format(", {} experts", t.n_experts) : std::string();
  return fmt::format("{}; text: {} layers of {}, {}/{} heads of {}{}; vision: {} blocks of {}",
                     FamilyName(config.family), t.n_layers, t.hidden, t.n_heads, t.n_kv_heads,
                     t.head_dim, experts, config.vision.depth, config.vision.hidden);
}

std::string Head(const Inspection& inspection) {
  TextTable table("<<");
  if (inspection.config) {
    table.Row({"model", ModelLine(*inspection.config)});
    if (!inspection.config->torch_dtype.empty()) {
      table.Row({"type", inspection.config->torch_dtype});
    }
  }
  table.Row(
      {"format", inspection.format + (inspection.model_quant_type.empty()
                                          ? ""
                                          : " (" + Printable(inspection.model_quant_type) + ")")});
  table.Row({"size", fmt::format("{} parameters, {} tensors, {} in {} file{}",
                                 HumanCount(inspection.parameters), inspection.tensors.size(),
                                 HumanBytes(inspection.data_bytes), inspection.files.size(),
                                 inspection.files.size() == 1 ? "" : "s")});
  return inspection.path.string() + "\n" + table.Text("  ");
}

std::string KindTable(const Inspection& inspection) {
  TextTable table("<>>>><");
  table.Row({"kind", "tensors", "parameters", "size", "share", "types"});
  for (const auto& kind : inspection.kinds) {
    std::vector<std::string> types;
    for (const auto& [name, count] : kind.dtypes) {
      types.push_back(kind.dtypes.size() == 1 ? name : fmt::format("{} ({})", name, count));
    }
    const double share =
        inspection.data_bytes == 0
            ? 0
            : 100.0 * static_cast<double>(kind.bytes) / static_cast<double>(inspection.data_bytes);
    table.Row({kind.name, fmt::format("{}", kind.tensors), HumanCount(kind.parameters),
               HumanBytes(kind.bytes), fmt::format("{:.1f} %", share),
               fmt::format("{}", fmt::join(types, ", "))});
  }
  return table.Text("  ");
}

std::string LayerName(const InspectedLayer& layer) {
  if (layer.first == layer.last) return fmt::format("{} {}", layer.part, layer.first);
  return fmt::format("{} {}-{}", layer.part, layer.first, layer.last);
}

// One table for each run of layers with the same linears; the others as a list.
std::string LayerTables(const Inspection& inspection) {
  std::string text;
  const auto& layers = inspection.layers;
  for (size_t begin = 0; begin < layers.size();) {
    const auto& first = layers[begin];
    size_t end = begin + 1;
    if (first.part == "other") {
      TextTable table("<<");
      for (const auto& [name, type] : first.linears)
        table.Row({Printable(name), Printable(type, 40)});
      text += table.Text("  ");
      begin = end;
      continue;
    }
    const auto same_names = [&](const InspectedLayer& layer) {
      return layer.part == first.part &&
             std::equal(layer.linears.begin(), layer.linears.end(), first.linears.begin(),
                        first.linears.end(),
                        [](const auto& a, const auto& b) { return a.first == b.first; });
    };
    while (end < layers.size() && same_names(layers[end])) ++end;
    TextTable table(std::string(first.linears.size() + 1, '<'));
    std::vector<std::string> header = {"layers"};
    for (const auto& [name, type] : first.linears) header.push_back(Printable(name, 60));
    table.Row(header);
    for (size_t i = begin; i < end; ++i) {
      std::vector<std::string> row = {LayerName(layers[i])};
      for (const auto& [name, type] : layers[i].linears) row.push_back(Printable(type, 40));
      table.Row(row);
    }
    text += table.Text("  ");
    begin = end;
  }
  return text;
}

struct TensorRow {
  std::string name, dtype, shape, label, file;
  uint64_t bytes = 0;
  size_t count = 0;
  int64_t first = 0, last = 0;
};

// By name, numbered layers by number; quantized files are ordered by type, which is hard to read.
std::vector<const InspectedTensor*> SortedTensors(const Inspection& inspection) {
  using Key = std::tuple<std::string, int64_t, std::string>;
  std::vector<std::pair<Key, const InspectedTensor*>> keyed;
  for (const auto& tensor : inspection.tensors) {
    const auto [pattern, number] = SplitLayerNumber(tensor.info.name);
    const size_t at = number ? pattern.find("{}") : pattern.size();
    keyed.emplace_back(Key(pattern.substr(0, at), number.value_or(-1), pattern.substr(at)),
                       &tensor);
  }
  std::stable_sort(keyed.begin(), keyed.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<const InspectedTensor*> sorted;
  for (const auto& [key, tensor] : keyed) sorted.push_back(tensor);
  return sorted;
}

// Equal tensors of numbered layers become one row at the place of the first.
std::vector<TensorRow> TensorRows(const Inspection& inspection, const InspectView& view) {
  std::vector<TensorRow> rows;
  std::map<std::string, size_t> folded;
  for (const InspectedTensor* row_tensor : SortedTensors(inspection)) {
    const InspectedTensor& tensor = *row_tensor;
    const std::string& name = tensor.info.name;
    if (!MatchesFilter(name, view.filter)) continue;
    const auto [pattern, number] = SplitLayerNumber(name);
    TensorRow row{Printable(name),
                  std::string(DTypeName(tensor.info.dtype)),
                  ShapeText(tensor.info.shape),
                  Printable(tensor.label, 40),
                  tensor.file,
                  tensor.info.nbytes,
                  1,
                  number.value_or(0),
                  number.value_or(0)};
    if (number && !view.all_tensors) {
      row.name = Printable(pattern);
      const std::string key =
          fmt::format("{}\n{}\n{}\n{}", pattern, row.dtype, row.shape, row.label);
      const auto [it, fresh] = folded.emplace(key, rows.size());
      if (!fresh) {
        TensorRow& same = rows[it->second];
        same.first = std::min(same.first, *number);
        same.last = std::max(same.last, *number);
        same.bytes += row.bytes;
        ++same.count;
        continue;
      }
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

std::string TensorTableText(const Inspection& inspection, const InspectView& view) {
  auto rows = TensorRows(inspection, view);
  if (rows.empty()) return "  no tensor matches\n";
  const bool labels =
      std::any_of(rows.begin(), rows.end(), [](const auto& row) { return !row.label.empty(); });
  TextTable table(labels ? "<<<><" : "<<<>");
  std::vector<std::string> header = {"tensor", "type", "shape", "size"};
  if (labels) header.push_back("label");
  table.Row(header);
  for (TensorRow& row : rows) {
    if (const size_t at = row.name.find("{}"); at != std::string::npos && !view.all_tensors) {
      const bool whole = row.count == static_cast<size_t>(row.last - row.first + 1);
      row.name.replace(at, 2,
                       row.count == 1 ? fmt::format("{}", row.first)
                       : whole        ? fmt::format("{{{}-{}}}", row.first, row.last)
                               : fmt::format("{{{} of {}-{}}}", row.count, row.first, row.last));
    }
    std::vector<std::string> cells = {row.name, row.dtype, row.shape, HumanBytes(row.bytes)};
    if (labels) cells.push_back(row.label);
    table.Row(cells);
  }
  return table.Text("  ");
}

Json LayersJson(const Inspection& inspection) {
  Json layers = Json::array();
  for (const auto& layer : inspection.layers) {
    Json linears = Json::object();
    for (const auto& [name, type] : layer.linears) linears[name] = type;
    layers.push_back(
        {{"part", layer.part}, {"first", layer.first}, {"last", layer.last}, {"linears", linears}});
  }
  return layers;
}

}  // namespace

std::string InspectText(const Inspection& inspection, const InspectView& view) {
  std::string text = Head(inspection);
  if (view.filter.empty()) {
    text += "\nSummary\n" + KindTable(inspection);
    text += "\nLinears\n" + LayerTables(inspection);
  }
  text += "\nTensors\n" + TensorTableText(inspection, view);
  if (!inspection.problems.empty()) {
    text += "\nProblems\n";
    for (const auto& problem : inspection.problems)
      text += "  - " + Printable(problem, 2000) + "\n";
  }
  return text;
}

std::string InspectJson(const Inspection& inspection, const InspectView& view) {
  Json root;
  root["path"] = inspection.path.string();
  if (inspection.config) {
    root["family"] = FamilyName(inspection.config->family);
    root["torch_dtype"] = inspection.config->torch_dtype;
  }
  root["format"] = inspection.format;
  root["model_quant_type"] = inspection.model_quant_type;
  root["parameters"] = inspection.parameters;
  root["data_bytes"] = inspection.data_bytes;
  root["problems"] = inspection.problems;
  root["files"] = Json::array();
  for (const auto& file : inspection.files) {
    root["files"].push_back(
        {{"name", file.name}, {"bytes", file.bytes}, {"tensors", file.tensors}});
  }
  root["summary"] = Json::array();
  for (const auto& kind : inspection.kinds) {
    root["summary"].push_back({{"kind", kind.name},
                               {"tensors", kind.tensors},
                               {"parameters", kind.parameters},
                               {"bytes", kind.bytes},
                               {"types", kind.dtypes}});
  }
  root["layers"] = LayersJson(inspection);
  root["tensors"] = Json::array();
  for (const auto& tensor : inspection.tensors) {
    if (!MatchesFilter(tensor.info.name, view.filter)) continue;
    Json row = {{"name", tensor.info.name},
                {"dtype", DTypeName(tensor.info.dtype)},
                {"shape", tensor.info.shape},
                {"bytes", tensor.info.nbytes},
                {"file", tensor.file}};
    if (!tensor.label.empty()) row["label"] = tensor.label;
    root["tensors"].push_back(std::move(row));
  }
  return root.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace ingot
