// SPDX-License-Identifier: Apache-2.0
// Whether a folder may be served as it was asked for. What would answer garbage is refused with the
// remedy.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "checkpoint/quant_format.h"

namespace ingot::cli {

// `quantization` as --quantization says it. Errors: NoModelError (no such folder), UserError (the
// folder is something else), FormatError (half converted, or not sound: the first finding of
// `ingot check --quick`). With `load_as_float` only a float folder is refused.
FolderFormat RequireServable(const std::filesystem::path& dir, const std::string& quantization,
                             bool load_as_float);

// What is known to be too much before anything is loaded: the weights of all folders against the
// memory that may be used. Errors: ResourceError with the arithmetic.
void RequireMemory(const std::vector<std::filesystem::path>& dirs, double utilization);

}  // namespace ingot::cli
