// SPDX-License-Identifier: Apache-2.0
// "*.safetensors.index.json": which file holds which tensor; and the weight files of a folder, with
// or without an index.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace ingot {

struct ShardIndex {
  std::string file_name;  // inside the folder
  std::optional<uint64_t> total_size;
  std::vector<std::pair<std::string, std::string>> weight_map;  // tensor, file; in file order
  std::vector<std::string> FileNames() const;  // distinct, in order of first appearance
};

// Errors: FormatError (no weight_map, a file name that leaves the folder, ...).
ShardIndex ParseShardIndex(const std::filesystem::path& path);

struct WeightFiles {
  std::vector<std::string> names;  // inside the folder
  std::optional<ShardIndex> index;
  std::vector<std::string> unused;  // *.safetensors beside those of the index
};

// The index's files, else the only *.safetensors, else one complete set "stem-00001-of-0000N".
// Errors: UserError (no weights, more than one candidate), FormatError (the index names a missing
// file, a shard of the set is missing).
WeightFiles FindWeightFiles(const std::filesystem::path& dir);

}  // namespace ingot
