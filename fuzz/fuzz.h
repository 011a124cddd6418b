// SPDX-License-Identifier: Apache-2.0
// What the fuzz targets share: a promise that does not hold ends the process, so that the fuzzer
// keeps the input; inputs that begin with a line of text say what the rest is.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>

namespace ingot::fuzz {

inline void Require(bool condition, std::string_view what) {
  if (condition) return;
  std::fprintf(stderr, "broken promise: %.*s\n", static_cast<int>(what.size()), what.data());
  std::abort();
}

inline std::string_view AsText(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// The first line and what follows it. Corpora are readable and mutations stay in their part.
inline std::pair<std::string_view, std::string_view> SplitFirstLine(std::string_view input) {
  const size_t end = input.find('\n');
  if (end == std::string_view::npos) return {input, {}};
  return {input.substr(0, end), input.substr(end + 1)};
}

}  // namespace ingot::fuzz
