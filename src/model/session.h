// SPDX-License-Identifier: Apache-2.0
// The whole model over one sequence: prompt in chunks, then token by token. The same prompt in any
// chunking gives the same bits.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/decoder.h"
#include "model/vision_tower.h"

namespace ingot {

struct QwenVlModel {
  ModelConfig config;
  VisionTower vision;
  TextModel text;
};

// Views into the reader's mapping, which must outlive the model. Errors: as RequireSupported and
// LoadLinear.
QwenVlModel LoadModel(const ModelReader& reader, const LoadOptions& options = {});

class Session {
 public:
  // `model` must outlive the session. `context` is copied.
  Session(const QwenVlModel& model, RunContext context);

  // Starts a new sequence: runs the vision tower and the prompt, `chunk` tokens at a time (0: all
  // at once). Returns the logits [vocab] of the last position, valid until the next call. Errors:
  // UserError as MergePrompt, or when the prompt is empty or longer than the model's positions.
  std::span<const float> Prefill(const ModelInput& input, int64_t chunk = 0);
  // One more token; logits as above.
  std::span<const float> Step(int32_t token);
  // Forgets everything behind the first `n_tokens` tokens (at most n_tokens()): the next Step
  // continues from there.
  void Rewind(int64_t n_tokens) { cache_.Truncate(n_tokens); }

  // Logits of every prompt position [n_tokens, vocab], without a cache.
  std::vector<float> AllLogits(const ModelInput& input);

  int64_t n_tokens() const { return cache_.size(); }
  const RopePositions& positions() const { return positions_; }

 private:
  MergedPrompt Merge(const ModelInput& input);
  void RunChunk(MergedPrompt& prompt, int64_t first, int64_t count, bool cached);
  std::span<const float> LastLogits(float* hidden_row);
  const QwenVlModel& model_;
  RunContext context_;
  KvCache cache_;
  RopePositions positions_;
  std::vector<float> logits_;
};

}  // namespace ingot
