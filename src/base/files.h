// SPDX-License-Identifier: Apache-2.0
// Small helpers around files and folders. Sizes are bounded before anything is read.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace ingot {

// The whole file as bytes. Errors: UserError when missing, unreadable, not a regular file, or larger than `limit`.
std::string ReadFile(const std::filesystem::path& path, uint64_t limit = 64u << 20);

// Regular files directly inside `dir`, names sorted bytewise. Errors: UserError when `dir` is no readable folder.
std::vector<std::filesystem::path> ListFiles(const std::filesystem::path& dir);

// "12.4 GB" (decimal units).
std::string HumanBytes(uint64_t bytes);
// "1 h 03 min", "42 s", "0.8 s".
std::string HumanSeconds(double seconds);

// Peak resident memory of this process in bytes (VmHWM).
uint64_t PeakResidentBytes();
// Free bytes of the file system that holds `path` (or its nearest existing parent).
uint64_t FreeDiskBytes(const std::filesystem::path& path);

}  // namespace ingot
