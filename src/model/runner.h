// SPDX-License-Identifier: Apache-2.0
// The text model over a batch: new tokens of several sequences, prompt chunks and single decoded
// tokens mixed, in one forward pass. A token's logits have the same bits whatever else is in the
// batch, however the prompt was cut, and whatever the number of threads.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "model/decoder.h"
#include "model/kv_pool.h"
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

// The next tokens of one sequence.
struct SequenceStep {
  KvSequence* sequence = nullptr;     // continues behind sequence->length()
  std::span<const int32_t> tokens;    // at least one; placeholders where pictures are
  // Of the whole prompt, by slot (TextPositions); slots behind it follow from its delta. Null: slot
  // i has position i (no pictures).
  const RopePositions* positions = nullptr;
  // Of the whole prompt, by slot (PlaceVisualRows); what lies outside of this step is ignored.
  std::span<const VisualRows> visual;
  bool last_logits = true;  // the logits of the last token are wanted
  // When set: called with the logits [vocab] of each token of the step, in order (prompt_logprobs).
  std::function<void(int64_t slot, std::span<const float> logits)> each_logits;
};

class TextRunner {
 public:
  // `model` must outlive the runner. `context` is copied.
  TextRunner(const QwenVlModel& model, RunContext context);

  // Runs all steps as one batch and appends their tokens to their sequences (of one pool or of
  // several). Returns the logits [steps with last_logits, vocab], in the order of the steps, valid
  // until the next call. After the first calls of a size nothing is allocated, apart from pages.
  // Errors: UserError on a token outside the vocabulary or a sequence longer than the model's
  // positions; ResourceError when a pool has no page left (Reserve asks before). The sequences are
  // then as before.
  std::span<const float> Run(std::span<const SequenceStep> steps);

  int64_t vocab() const { return model_.text.head.head.out; }

 private:
  void Check(std::span<const SequenceStep> steps) const;
  void Reserve(std::span<const SequenceStep> steps);
  // Embeddings of all rows, pictures' rows in their places.
  void Embed(std::span<const SequenceStep> steps);
  void AddDeepstack(std::span<const SequenceStep> steps, int64_t layer);
  void RunLayers(std::span<const SequenceStep> steps);
  std::span<const float> RunLogits(std::span<const SequenceStep> steps);
  void RunEachLogits(const SequenceStep& step, const float* rows);
  float* hidden() { return reinterpret_cast<float*>(hidden_.Get(0)); }

  const QwenVlModel& model_;
  RunContext context_;
  TextRope rope_;
  RopeTable table_;
  std::vector<SequenceRows> rows_;  // of the batch
  int64_t n_rows_ = 0;
  Scratch hidden_, last_, logits_, some_rows_, some_logits_;
  LayerWorkspace workspace_;
};

}  // namespace ingot
