// SPDX-License-Identifier: Apache-2.0
// Progress of long work on standard error: a bar with rate and ETA on a terminal, plain lines elsewhere (at most one every
// few seconds), or one JSON object a line.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace ingot {

enum class ProgressStyle { kAuto, kBar, kPlain, kJson, kNone };

// Process-wide style, set once by the command line (--progress auto|bar|plain|json|none).
void SetProgressStyle(ProgressStyle style);
ProgressStyle ParseProgressStyle(std::string_view name);  // UserError on an unknown name

class Progress {
 public:
  // `unit` names what is counted ("blocks", "tensors", "samples"); `stage` what is done ("quantize").
  Progress(std::string stage, std::string unit, uint64_t total);
  ~Progress();  // ends the line
  void Advance(uint64_t count = 1, std::string_view detail = {});  // thread-compatible: one caller at a time
  void SkipTo(uint64_t done);  // resumed work: counts as done, not for the rate
  // A line beside the bar that stays on the screen.
  static void Note(const std::string& line);

 private:
  void Draw(bool final);
  std::string stage_, unit_, detail_;
  uint64_t total_, done_ = 0, skipped_ = 0;
  std::chrono::steady_clock::time_point start_, last_draw_;
  ProgressStyle style_;
  bool drawn_ = false;
};

// Progress in megabytes of work whose pieces are counted in bytes.
class ByteProgress {
 public:
  ByteProgress(std::string stage, uint64_t total_bytes)
      : progress_(std::move(stage), "MB", (total_bytes + kUnit - 1) / kUnit), total_(total_bytes) {}
  // Bytes that are finished.
  void Advance(uint64_t bytes, std::string_view detail = {}) {
    const uint64_t before = Megabytes();
    bytes_ += bytes;
    progress_.Advance(Megabytes() - before, detail);
  }
  void SkipTo(uint64_t bytes) {
    bytes_ = bytes;
    progress_.SkipTo(Megabytes());
  }

 private:
  static constexpr uint64_t kUnit = 1'000'000;
  // Whole ones; the last, broken one counts when everything is done.
  uint64_t Megabytes() const { return (bytes_ + (bytes_ >= total_ ? kUnit - 1 : 0)) / kUnit; }
  Progress progress_;
  uint64_t total_, bytes_ = 0;
};

}  // namespace ingot
