// SPDX-License-Identifier: Apache-2.0
// A read-only memory map of a whole file. Pages come and go with use: Drop() gives back those that are finished with, so
// that a model larger than memory streams through.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

namespace ingot {

class MappedFile {
 public:
  // Errors: UserError when the file is missing or unreadable, ResourceError when it cannot be mapped. An empty file maps
  // to an empty span.
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&&) = delete;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::filesystem::path& path() const { return path_; }

  // Hints to the kernel; `part` must lie inside bytes(). Whole pages inside the part are affected.
  void Drop(std::span<const std::byte> part) const;      // will not be read again soon
  void Prefetch(std::span<const std::byte> part) const;  // will be read soon

 private:
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace ingot
