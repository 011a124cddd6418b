// SPDX-License-Identifier: Apache-2.0
#include "base/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <system_error>

#include "base/error.h"

namespace ingot {

std::string ReadFile(const std::filesystem::path& path, uint64_t limit) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // never hangs on a FIFO
  if (fd < 0) {
    const int error = errno;
    throw UserError("{}: cannot read the file: {}. Check the path and its permissions.", path.string(),
                    std::strerror(error));
  }
  struct stat status {};
  const bool regular = fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
  if (!regular || static_cast<uint64_t>(status.st_size) > limit) {
    close(fd);
    if (!regular) throw UserError("{}: is not a regular file.", path.string());
    throw UserError("{}: is {}, more than the limit of {} for this kind of file. Is it the right file?",
                    path.string(), HumanBytes(static_cast<uint64_t>(status.st_size)), HumanBytes(limit));
  }
  std::string content(static_cast<size_t>(status.st_size), '\0');
  size_t done = 0;
  while (done < content.size()) {
    const ssize_t n = read(fd, content.data() + done, content.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    done += static_cast<size_t>(n);
  }
  close(fd);
  if (done != content.size()) throw UserError("{}: the file shrank or failed while it was read.", path.string());
  return content;
}

std::vector<std::filesystem::path> ListFiles(const std::filesystem::path& dir) {
  std::error_code error;
  std::filesystem::directory_iterator it(dir, error);
  if (error) {
    throw UserError("{}: cannot list the folder: {}. Check the path and its permissions.", dir.string(),
                    error.message());
  }
  std::vector<std::filesystem::path> files;
  for (const auto& entry : it) {
    std::error_code ignored;
    if (entry.is_regular_file(ignored)) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end(),
            [](const auto& a, const auto& b) { return a.filename().string() < b.filename().string(); });
  return files;
}

std::string HumanBytes(uint64_t bytes) {
  if (bytes < 1000) return fmt::format("{} B", bytes);
  const char* units[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
  double value = static_cast<double>(bytes);
  int unit = -1;
  do {
    value /= 1000;
    ++unit;
  } while (value >= 999.5 && unit < 5);
  return value < 9.995 ? fmt::format("{:.2f} {}", value, units[unit])
         : value < 99.95 ? fmt::format("{:.1f} {}", value, units[unit])
                         : fmt::format("{:.0f} {}", value, units[unit]);
}

std::string HumanSeconds(double seconds) {
  if (!(seconds >= 0)) return "?";
  if (seconds < 9.95) return fmt::format("{:.1f} s", seconds);
  if (seconds < 119.5) return fmt::format("{:.0f} s", seconds);
  const auto minutes = static_cast<int64_t>(std::llround(seconds / 60));
  if (minutes < 60) {
    const auto total = static_cast<int64_t>(std::llround(seconds));
    return fmt::format("{} min {:02} s", total / 60, total % 60);
  }
  return fmt::format("{} h {:02} min", minutes / 60, minutes % 60);
}

uint64_t PeakResidentBytes() {
  std::ifstream status("/proc/self/status");
  std::string line;
  while (std::getline(status, line)) {
    if (line.rfind("VmHWM:", 0) == 0) return std::stoull(line.substr(6)) * 1024;
  }
  return 0;
}

uint64_t FreeDiskBytes(const std::filesystem::path& path) {
  auto existing = std::filesystem::absolute(path);
  std::error_code ignored;
  while (!std::filesystem::exists(existing, ignored) && existing.has_relative_path()) {
    existing = existing.parent_path();
  }
  struct statvfs status {};
  if (statvfs(existing.c_str(), &status) != 0) return 0;
  return static_cast<uint64_t>(status.f_bavail) * status.f_frsize;
}

}  // namespace ingot
