// SPDX-License-Identifier: Apache-2.0
// Hidden states of all calibration samples on disk: float32 rows at fixed places. Reads and writes
// are explicit (no map), so resident memory stays that of one sample. Two files take turns as input
// and output of a block: a crash in the middle of a block leaves its input whole.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>

namespace ingot {

class SpillFile {
 public:
  // Opens or creates the file; it grows with the writes. Errors: ResourceError.
  explicit SpillFile(const std::filesystem::path& path);
  ~SpillFile();
  SpillFile(SpillFile&& other) noexcept;
  SpillFile(const SpillFile&) = delete;
  SpillFile& operator=(const SpillFile&) = delete;

  // Positions are in float32 values. Requires of Read: the values were written.
  void Read(uint64_t first, std::span<float> out) const;
  void Write(uint64_t first, std::span<const float> values);
  void Sync();

 private:
  std::filesystem::path path_;
  int fd_ = -1;
};

}  // namespace ingot
