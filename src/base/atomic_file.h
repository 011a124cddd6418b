// SPDX-License-Identifier: Apache-2.0
// Files that appear whole or not at all: bytes go to "<path>.partial", Commit() syncs and renames. Writes are positional,
// so a resumed run can reopen the partial file and fill in what is missing.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>

namespace ingot {

class AtomicFile {
 public:
  enum class Mode { kFresh, kResume };  // kResume keeps the bytes of an existing partial file

  // Errors: ResourceError (no permission, disk full) naming the path.
  AtomicFile(const std::filesystem::path& path, Mode mode);
  ~AtomicFile();  // without Commit the partial file stays; Discard() removes it
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void Resize(uint64_t size);  // also reserves the disk space, so that "disk full" shows before the work
  void WriteAt(uint64_t offset, std::span<const std::byte> bytes);
  void Sync();    // bytes written so far survive a power loss
  void Commit();  // sync, rename to the final name, sync the folder
  void Discard();
  const std::filesystem::path& path() const { return path_; }
  static std::filesystem::path PartialPath(const std::filesystem::path& path);

 private:
  void Close();
  std::filesystem::path path_;
  int fd_ = -1;
};

// Whole small files through AtomicFile.
void WriteFileAtomically(const std::filesystem::path& path, std::string_view content);

}  // namespace ingot
