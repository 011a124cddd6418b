// SPDX-License-Identifier: Apache-2.0
// Between the written W8A8 formats, without computing anything that the source does not determine.
// Two ways in: ConvertInPlace is the post-processing step of the original workflow (old flags),
// ConvertFolder writes a new folder. Both stage every new file beside the old ones, read the result
// back, and only then rename: a process that dies at any moment leaves either the old folder or one
// that the same command completes. Decisions: docs/design/convert.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/folder_layout.h"

namespace ingot {

struct ConvertOptions {
  // Float model whose side files (tokenizer, templates, processors) are copied when missing.
  // ConvertInPlace needs it.
  std::filesystem::path original_dir;
  // ConvertInPlace: the whole folder as the original script leaves it, its slips included.
  bool exact = false;
  uint64_t shard_bytes = 0;        // 0 = what the target wants
  std::optional<DType> run_dtype;  // ConvertFolder: overrides torch_dtype (kF16, kBF16)
};

struct ConvertReport {
  std::filesystem::path dir;  // the folder that was written
  FolderFormat from = FolderFormat::kFloat;
  FolderFormat to = FolderFormat::kFloat;
  DType run_dtype = DType::kBF16;          // what config.json says now
  bool changed = true;                     // false: the folder was complete already
  std::map<std::string, int64_t> actions;  // "keep" -> tensors, ...
  std::vector<std::string> copied;         // side files that were added
  std::vector<std::string> notes;  // what differs from a plain copy, and what the user should know
  uint64_t bytes_written = 0;
};

// `original_dir`/`quant_dir` of the old flags; the target is golden-stick-310 or golden-stick-910.
// Errors: UserError (folder or option wrong, more than one set of weights, a format that
// golden-stick cannot hold), FormatError (damaged input), ResourceError (disk full, no permission).
// The folder is unchanged after any error.
ConvertReport ConvertInPlace(const std::filesystem::path& quant_dir, Target target,
                             const ConvertOptions& options);

// `dst` must not exist or be empty. Refuses (UserError with the reason) whatever the target cannot
// hold without loss.
ConvertReport ConvertFolder(const std::filesystem::path& src, const std::filesystem::path& dst,
                            Target target, const ConvertOptions& options);

// What was done, what the folder is and how to serve it, as lines for people.
std::string ConvertReportText(const ConvertReport& report);

}  // namespace ingot
