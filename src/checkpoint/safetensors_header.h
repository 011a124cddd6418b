// SPDX-License-Identifier: Apache-2.0
// The JSON header of a safetensors file, checked on its own: usable without a file (fuzzing) and by
// the writer's tests.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/safetensors.h"

namespace ingot {

inline constexpr uint64_t kMaxSafetensorsHeader = 100u << 20;  // as the reference reader has it

struct SafetensorsHeader {
  std::vector<TensorInfo> tensors;  // header order; offsets from the start of the file
  std::map<std::string, std::string> metadata;
  uint64_t data_bytes = 0;
};

// Reads and checks the header of a file with these `size` bytes, of which `head` holds at least the
// length field and the header (or everything, when the file is shorter than it claims). `file`
// names it in errors. Errors: FormatError.
SafetensorsHeader ParseSafetensorsHeader(std::string_view head, uint64_t size,
                                         const std::string& file);

}  // namespace ingot
