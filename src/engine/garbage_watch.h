// SPDX-License-Identifier: Apache-2.0
// Is this answer garbage? The measures and limits of `ingot check` (check/garbage.h) on a running
// answer: over all of it, and over its last part, so that an answer that starts well and then turns
// in a circle is noticed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "check/garbage.h"

namespace ingot {

class GarbageWatch {
 public:
  explicit GarbageWatch(int64_t vocab);
  // Whether the next token's entropy is worth measuring (it costs a pass over the vocabulary).
  bool WantsEntropy() const;
  // entropy: nats, negative when not measured.
  void Add(int32_t token, float entropy, int64_t bad_logits, bool special);
  void AddText(std::string_view text) { answer_.text += text; }
  // Whether it is time for a look at an answer that goes on.
  bool Due() const;
  // `ended`: the answer is complete.
  GarbageReport Judge(bool ended);

 private:
  GeneratedText answer_;
  size_t judged_ = 0;  // steps at the last look
};

}  // namespace ingot
