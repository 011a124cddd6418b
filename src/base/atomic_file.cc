// SPDX-License-Identifier: Apache-2.0
#include "base/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/files.h"

namespace ingot {
namespace {

[[noreturn]] void Fail(const std::filesystem::path& path, const char* what, int error) {
  const char* remedy = "Check the disk and the permissions of the folder.";
  if (error == ENOSPC || error == EDQUOT) remedy = "Free some space or choose another output folder.";
  if (error == EFBIG) remedy = "Raise the file size limit (ulimit -f) or use --shard-size.";
  throw ResourceError("{}: cannot {}: {}. {}", path.string(), what, std::strerror(error), remedy);
}

void SyncFolder(const std::filesystem::path& path) {
  const auto folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;  // the rename is done; a folder that cannot be opened cannot be synced
  fsync(fd);
  close(fd);
}

}  // namespace

std::filesystem::path AtomicFile::PartialPath(const std::filesystem::path& path) {
  return std::filesystem::path(path.string() + ".partial");
}

AtomicFile::AtomicFile(const std::filesystem::path& path, Mode mode) : path_(path) {
  const auto partial = PartialPath(path);
  int flags = O_RDWR | O_CREAT | O_CLOEXEC;
  if (mode == Mode::kFresh) flags |= O_TRUNC;
  fd_ = open(partial.c_str(), flags, 0644);
  if (fd_ < 0) Fail(partial, "create the file", errno);
}

AtomicFile::~AtomicFile() { Close(); }

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}

void AtomicFile::Close() {
  if (fd_ >= 0) close(std::exchange(fd_, -1));
}

void AtomicFile::Resize(uint64_t size) {
  if (ftruncate(fd_, static_cast<off_t>(size)) != 0) Fail(path_, "set the size of the file", errno);
  if (size == 0) return;
  const int error = posix_fallocate(fd_, 0, static_cast<off_t>(size));
  if (error != 0 && error != EOPNOTSUPP && error != EINVAL) {
    Discard();  // a reserved part of a full disk helps nobody
    Fail(path_, fmt::format("reserve {}", HumanBytes(size)).c_str(), error);
  }
}

void AtomicFile::WriteAt(uint64_t offset, std::span<const std::byte> bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = pwrite(fd_, bytes.data() + done, bytes.size() - done,
                             static_cast<off_t>(offset + done));
    if (n < 0) {
      if (errno == EINTR) continue;
      Fail(path_, "write", errno);
    }
    done += static_cast<size_t>(n);
  }
}

void AtomicFile::Sync() {
  if (fdatasync(fd_) != 0) Fail(path_, "sync", errno);
}

void AtomicFile::Commit() {
  if (fsync(fd_) != 0) Fail(path_, "sync", errno);
  Close();
  const auto partial = PartialPath(path_);
  if (rename(partial.c_str(), path_.c_str()) != 0) Fail(path_, "rename the finished file", errno);
  SyncFolder(path_);
}

void AtomicFile::Discard() {
  Close();
  std::error_code ignored;
  std::filesystem::remove(PartialPath(path_), ignored);
}

void WriteFileAtomically(const std::filesystem::path& path, std::string_view content) {
  AtomicFile file(path, AtomicFile::Mode::kFresh);
  try {
    file.WriteAt(0, std::as_bytes(std::span(content.data(), content.size())));
    file.Commit();
  } catch (...) {
    file.Discard();
    throw;
  }
}

}  // namespace ingot
