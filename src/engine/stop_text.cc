// SPDX-License-Identifier: Apache-2.0
#include "engine/stop_text.h"

#include <algorithm>
#include <utility>

namespace ingot {
namespace {

// The length of the longest end of `text` that is a beginning of `stop` (and shorter than it).
size_t Overlap(std::string_view text, std::string_view stop) {
  for (size_t n = std::min(text.size(), stop.size() - 1); n > 0; --n) {
    if (text.substr(text.size() - n) == stop.substr(0, n)) return n;
  }
  return 0;
}

// Moves the cut of `text` at `n` bytes back to the beginning of a character.
size_t CharacterStart(std::string_view text, size_t n) {
  while (n > 0 && n < text.size() && (static_cast<unsigned char>(text[n]) & 0xc0) == 0x80) --n;
  return n;
}

}  // namespace

StopText::StopText(std::vector<std::string> stops, bool include)
    : stops_(std::move(stops)), include_(include) {}

StopText::Result StopText::Push(std::string_view piece) {
  held_ += piece;
  size_t at = std::string::npos, which = 0;
  for (size_t i = 0; i < stops_.size(); ++i) {
    const size_t found = held_.find(stops_[i]);
    if (found < at) {
      at = found;
      which = i;
    }
  }
  Result result;
  if (at != std::string::npos) {
    result.text = held_.substr(0, at + (include_ ? stops_[which].size() : 0));
    result.stop = which;
    held_.clear();
    return result;
  }
  size_t keep = 0;
  for (const std::string& stop : stops_) keep = std::max(keep, Overlap(held_, stop));
  const size_t show = CharacterStart(held_, held_.size() - keep);
  result.text = held_.substr(0, show);
  held_.erase(0, show);
  return result;
}

std::string StopText::Pass(std::string_view piece) {
  std::string text = std::exchange(held_, {});
  text += piece;
  return text;
}

std::string StopText::Finish() { return std::exchange(held_, {}); }

}  // namespace ingot
