// SPDX-License-Identifier: Apache-2.0
// Stop strings in a growing text. They may begin in one token and end in another, so text that
// could still become one is held back; nothing else is.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ingot {

class StopText {
 public:
  StopText() = default;
  // `include`: the stop string itself belongs to the text.
  StopText(std::vector<std::string> stops, bool include);

  struct Result {
    std::string text;            // to be shown now
    std::optional<size_t> stop;  // index of the stop string that ended the text
  };
  // The text grows by `piece`. The stop string that begins first wins (of these the first in the
  // list).
  Result Push(std::string_view piece);
  // The same without looking for stop strings (min_tokens not reached yet); what was held back is
  // shown.
  std::string Pass(std::string_view piece);
  // The end of the text came without a stop string: what was held back.
  std::string Finish();
  const std::string& stop(size_t index) const { return stops_[index]; }
  bool empty() const { return stops_.empty(); }

 private:
  std::vector<std::string> stops_;
  bool include_ = false;
  std::string held_;
};

}  // namespace ingot
