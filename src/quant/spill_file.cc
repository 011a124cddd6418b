// SPDX-License-Identifier: Apache-2.0
#include "quant/spill_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace ingot {
namespace {

[[noreturn]] void Fail(const std::filesystem::path& path, const char* what, int error) {
  throw ResourceError("{}: cannot {} the file of hidden states: {}. Free some space and run the same command again; "
                      "it goes on where it stopped.",
                      path.string(), what, std::strerror(error));
}

}  // namespace

SpillFile::SpillFile(const std::filesystem::path& path) : path_(path) {
  fd_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd_ < 0) Fail(path, "create", errno);
}

SpillFile::~SpillFile() {
  if (fd_ >= 0) close(fd_);
}

SpillFile::SpillFile(SpillFile&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}

void SpillFile::Read(uint64_t first, std::span<float> out) const {
  auto bytes = std::as_writable_bytes(out);
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = pread(fd_, bytes.data() + done, bytes.size() - done,
                            static_cast<off_t>(first * sizeof(float) + done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) Fail(path_, "read", n == 0 ? EIO : errno);
    done += static_cast<size_t>(n);
  }
}

void SpillFile::Write(uint64_t first, std::span<const float> values) {
  const auto bytes = std::as_bytes(values);
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = pwrite(fd_, bytes.data() + done, bytes.size() - done,
                             static_cast<off_t>(first * sizeof(float) + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) Fail(path_, "write", errno);
    done += static_cast<size_t>(n);
  }
}

void SpillFile::Sync() {
  if (fdatasync(fd_) != 0) Fail(path_, "sync", errno);
}

}  // namespace ingot
