// SPDX-License-Identifier: Apache-2.0
// The journal of a quantize run: what is finished and safely on disk, one JSON text a line. The
// first line is the fingerprint of the run (source files, plan, calibration data, version): only
// the same command on the same inputs may go on. A line counts when it is complete; a torn last
// line (power loss, kill -9) is cut off.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace ingot {

class Journal {
 public:
  // Opens or starts the journal. `fingerprint` is one line of text. Errors: UserError when an
  // existing journal has another fingerprint (says what to do), ResourceError.
  Journal(const std::filesystem::path& path, const std::string& fingerprint);
  static std::string FingerprintOf(const std::filesystem::path& path);  // "" when its line is torn
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  const std::vector<std::string>& entries() const { return entries_; }  // without the fingerprint
  bool resumed() const { return resumed_; }
  const std::filesystem::path& path() const { return path_; }
  // Requires: no newline in `entry`. Returns after the line is on disk.
  void Append(const std::string& entry);

 private:
  void WriteLine(const std::string& line);
  std::filesystem::path path_;
  std::vector<std::string> entries_;
  bool resumed_ = false;
  int fd_ = -1;
};

}  // namespace ingot
