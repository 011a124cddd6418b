// SPDX-License-Identifier: Apache-2.0
#include "quant/journal.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "base/files.h"

namespace ingot {
namespace {

constexpr uint64_t kMaxJournalBytes = 256u << 20;

// Complete lines of `text`; sets `kept` to the bytes they cover.
std::vector<std::string> CompleteLines(const std::string& text, size_t* kept) {
  std::vector<std::string> lines;
  size_t begin = 0;
  for (size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    lines.push_back(text.substr(begin, end - begin));
  }
  *kept = begin;
  return lines;
}

}  // namespace

Journal::Journal(const std::filesystem::path& path, const std::string& fingerprint) : path_(path) {
  std::vector<std::string> lines;
  size_t kept = 0;
  if (std::filesystem::exists(path)) lines = CompleteLines(ReadFile(path, kMaxJournalBytes), &kept);
  if (!lines.empty() && lines.front() != fingerprint) {
    throw UserError(
        "{}: an unfinished run with other inputs or options is there. Run that command again to finish it, or delete "
        "the folder {} to start afresh.",
        path.string(), path.parent_path().string());
  }
  fd_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd_ < 0) throw ResourceError("{}: cannot open the journal: {}.", path.string(), std::strerror(errno));
  if (ftruncate(fd_, static_cast<off_t>(kept)) != 0 || lseek(fd_, 0, SEEK_END) < 0) {
    const int error = errno;
    close(fd_);
    throw ResourceError("{}: cannot repair the journal: {}.", path.string(), std::strerror(error));
  }
  if (lines.empty()) {
    WriteLine(fingerprint);
  } else {
    resumed_ = true;
    entries_.assign(lines.begin() + 1, lines.end());
  }
}

std::string Journal::FingerprintOf(const std::filesystem::path& path) {
  size_t kept = 0;
  const auto lines = CompleteLines(ReadFile(path, kMaxJournalBytes), &kept);
  return lines.empty() ? "" : lines.front();
}

Journal::~Journal() { close(fd_); }

void Journal::Append(const std::string& entry) {
  WriteLine(entry);
  entries_.push_back(entry);
}

void Journal::WriteLine(const std::string& line) {
  const std::string text = line + "\n";
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t n = write(fd_, text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw ResourceError("{}: cannot write the journal: {}.", path_.string(), std::strerror(errno));
    done += static_cast<size_t>(n);
  }
  if (fdatasync(fd_) != 0) {
    throw ResourceError("{}: cannot sync the journal: {}.", path_.string(), std::strerror(errno));
  }
}

}  // namespace ingot
