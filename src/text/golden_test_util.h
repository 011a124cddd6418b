// SPDX-License-Identifier: Apache-2.0
// Recorded results of the reference, for the golden tests of this folder.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "base/files.h"

namespace ingot {

inline nlohmann::ordered_json ReadGolden(const std::string& name) {
  return nlohmann::ordered_json::parse(ReadFile(std::filesystem::path(INGOT_TEST_DATA) / name));
}

// The tokenizer of the small models, and the real one of Qwen3 (unpacked when the build is
// configured).
inline std::filesystem::path MiniDir() {
  return std::filesystem::path(INGOT_TEST_DATA) / "models/mini-qwen3-vl";
}
inline std::filesystem::path Qwen3Dir() { return INGOT_QWEN3_TOKENIZER; }

}  // namespace ingot
