// SPDX-License-Identifier: Apache-2.0
// The whole model over one sequence: prompt in chunks, then token by token. The same prompt in any
// chunking gives the same bits.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "model/runner.h"

namespace ingot {

class Session {
 public:
  // `model` must outlive the session. `context` is copied. `kv`: none, as the precision wants it.
  Session(const QwenVlModel& model, RunContext context, std::optional<KvType> kv = {});

  // Starts a new sequence: runs the vision tower and the prompt, `chunk` tokens at a time (0: all
  // at once). Returns the logits [vocab] of the last position, valid until the next call. Errors:
  // UserError as TextRunner, TextPositions and PlaceVisualRows, or when the prompt is empty.
  std::span<const float> Prefill(const ModelInput& input, int64_t chunk = 0);
  // One more token; logits as above.
  std::span<const float> Step(int32_t token);
  // Forgets everything behind the first `n_tokens` tokens (at most n_tokens()): the next Step
  // continues from there.
  void Rewind(int64_t n_tokens) { sequence_.Truncate(n_tokens); }

  // Logits of every prompt position [n_tokens, vocab]; starts a new sequence, too.
  std::vector<float> AllLogits(const ModelInput& input);

  int64_t n_tokens() const { return sequence_.length(); }
  const RopePositions& positions() const { return positions_; }

 private:
  // The outputs of the tower for one prompt.
  struct Visual {
    VisionOutput images, videos;
    std::vector<VisualRows> rows;
  };
  Visual Start(const ModelInput& input);

  const QwenVlModel& model_;
  RunContext context_;
  std::unique_ptr<KvPool> pool_;
  KvSequence sequence_;
  TextRunner runner_, quiet_runner_;  // decoded tokens are not observed
  RopePositions positions_;
};

}  // namespace ingot
