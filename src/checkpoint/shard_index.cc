// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/shard_index.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "checkpoint/json_fields.h"
#include "checkpoint/json_value.h"

namespace ingot {
namespace {

constexpr uint64_t kMaxIndexBytes = 64u << 20;
constexpr std::string_view kIndexSuffix = ".safetensors.index.json";
constexpr std::string_view kWeightSuffix = ".safetensors";

// "stem-00002-of-00005.safetensors"
struct ShardName {
  std::string stem;
  uint64_t number = 0, count = 0;
};

std::optional<uint64_t> ParseDigits(std::string_view text) {
  if (text.empty() || text.size() > 9) return std::nullopt;
  uint64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + static_cast<uint64_t>(c - '0');
  }
  return value;
}

std::optional<ShardName> ParseShardName(std::string_view name) {
  if (!name.ends_with(kWeightSuffix)) return std::nullopt;
  name.remove_suffix(kWeightSuffix.size());
  const size_t of = name.rfind("-of-");
  if (of == std::string_view::npos || of == 0) return std::nullopt;
  const size_t dash = name.rfind('-', of - 1);
  if (dash == std::string_view::npos) return std::nullopt;
  const auto number = ParseDigits(name.substr(dash + 1, of - dash - 1));
  const auto count = ParseDigits(name.substr(of + 4));
  if (!number || !count) return std::nullopt;
  return ShardName{std::string(name.substr(0, dash)), *number, *count};
}

[[noreturn]] void NoWeights(const std::filesystem::path& dir,
                            const std::vector<std::string>& all_names) {
  for (const auto& name : all_names) {
    if (name.ends_with(".safetensors.partial")) {
      throw UserError("{}: holds only unfinished weights ({}). Finish the run that writes them.",
                      dir.string(), name);
    }
    if (name.ends_with(".bin") || name.ends_with(".pt") || name.ends_with(".gguf")) {
      throw UserError(
          "{}: holds weights as {}, not as safetensors. Take the safetensors edition of "
          "the model.",
          dir.string(), name);
    }
  }
  throw UserError("{}: holds no *.safetensors file. Give the folder with the weights.",
                  dir.string());
}

// Several weight files without an index: they must be one complete numbered set.
void CheckSet(const std::filesystem::path& dir, const std::vector<std::string>& names) {
  std::set<std::pair<std::string, uint64_t>> sets;
  std::set<uint64_t> numbers;
  for (const auto& name : names) {
    const auto shard = ParseShardName(name);
    sets.insert(shard ? std::pair(shard->stem, shard->count) : std::pair(name, uint64_t{0}));
    if (shard) numbers.insert(shard->number);
  }
  if (sets.size() > 1) {
    throw UserError(
        "{}: holds several weight files and no index that chooses between them: {}. "
        "Remove those that do not belong to the model.",
        dir.string(), Printable(fmt::format("{}", fmt::join(names, ", ")), 400));
  }
  const uint64_t count = sets.begin()->second;
  if (numbers.size() != count || *numbers.begin() != 1 || *numbers.rbegin() != count) {
    throw FormatError("{}: has {} of the {} shards of {}. Download the missing ones.", dir.string(),
                      numbers.size(), count, sets.begin()->first);
  }
}

void CheckIndexFiles(const std::filesystem::path& dir, const ShardIndex& index,
                     const std::vector<std::string>& present) {
  for (const auto& file : index.FileNames()) {
    if (std::binary_search(present.begin(), present.end(), file)) continue;
    throw FormatError(
        "{}: names the file {}, which is not in the folder ({} *.safetensors files are). Download "
        "it, "
        "or remove the index if it belongs to another model.",
        (dir / index.file_name).string(), Printable(file), present.size());
  }
}

}  // namespace

std::vector<std::string> ShardIndex::FileNames() const {
  std::vector<std::string> names;
  std::set<std::string_view> seen;
  for (const auto& [tensor, file] : weight_map) {
    if (seen.insert(file).second) names.push_back(file);
  }
  return names;
}

ShardIndex ParseShardIndex(const std::filesystem::path& path) {
  const JsonValue json = ReadJsonObject(path, kMaxIndexBytes);
  const JsonFields fields(json, path.string(), "");
  ShardIndex index;
  index.file_name = path.filename().string();
  if (const auto metadata = fields.ObjectIf("metadata")) {
    // Some writers store it as a float.
    if (metadata->Has("total_size")) {
      index.total_size = static_cast<uint64_t>(metadata->Number("total_size", 0, 1e18));
    }
  }
  const JsonFields map = fields.Object("weight_map");
  for (const auto& [tensor, value] : map.object().members) {
    const bool plain = value.IsString() && !value.text.empty() && value.text.size() < 256 &&
                       value.text.find('/') == std::string::npos && value.text[0] != '.';
    if (!plain) {
      map.Fail(Printable(tensor), "names no file of this folder",
               "the plain name of a weight file");
    }
    index.weight_map.emplace_back(tensor, value.text);
  }
  if (index.weight_map.empty()) fields.Fail("weight_map", "is empty", "the tensors of the model");
  return index;
}

WeightFiles FindWeightFiles(const std::filesystem::path& dir) {
  std::vector<std::string> weights, indexes, all_names;
  for (const auto& path : ListFiles(dir)) {
    const std::string name = path.filename().string();
    all_names.push_back(name);
    if (name.ends_with(kWeightSuffix)) weights.push_back(name);
    if (name.ends_with(kIndexSuffix)) indexes.push_back(name);
  }
  if (weights.empty()) NoWeights(dir, all_names);
  if (indexes.size() > 1) {
    throw UserError("{}: holds {} indexes ({}). Keep the one that belongs to the weights.",
                    dir.string(), indexes.size(), fmt::join(indexes, ", "));
  }
  WeightFiles files;
  if (indexes.empty()) {
    if (weights.size() > 1) CheckSet(dir, weights);
    files.names = weights;
    return files;
  }
  files.index = ParseShardIndex(dir / indexes[0]);
  CheckIndexFiles(dir, *files.index, weights);
  files.names = files.index->FileNames();
  std::sort(files.names.begin(), files.names.end());
  std::set_difference(weights.begin(), weights.end(), files.names.begin(), files.names.end(),
                      std::back_inserter(files.unused));
  return files;
}

}  // namespace ingot
