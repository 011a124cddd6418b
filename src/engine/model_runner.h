// SPDX-License-Identifier: Apache-2.0
// The model as the serving engine needs it: a pool of pages, batches of rows, pictures in slices.
// Tests put a small machine of their own behind it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/picture_cache.h"
#include "model/kv_pool.h"
#include "model/runner.h"
#include "prompt/prompt_builder.h"

namespace ingot {

struct ModelFacts {
  int64_t vocab = 0;              // width of a row of logits
  int64_t vocab_limit = 0;        // ids from here on are padding and never chosen
  int64_t max_positions = 0;      // longest sequence; 0: no limit
  std::vector<int32_t> stop_ids;  // the model's ends of turn
};

// One picture (or video) on its way through the vision tower.
class PictureRun {
 public:
  virtual ~PictureRun() = default;
  // Goes on for about this long, one piece of work at least. True when the picture is through.
  virtual bool RunSlice(double seconds) = 0;
  virtual PictureFeatures Take() = 0;  // once, after RunSlice returned true
};

class ModelRunner {
 public:
  virtual ~ModelRunner() = default;
  virtual const ModelFacts& facts() const = 0;
  virtual KvPool* pool() = 0;

  // As TextRunner::Run (model/runner.h): the logits of a row do not depend on what else is in the
  // batch.
  virtual std::span<const float> Run(std::span<const SequenceStep> steps) = 0;
  // Picture (video) number `index` of a prompt that outlives the run.
  virtual std::unique_ptr<PictureRun> StartPicture(const PreparedPrompt& prompt, bool video,
                                                   int64_t index) = 0;

  // These may be called from any thread. Errors: UserError when placeholder tokens and pictures do
  // not agree.
  virtual RopePositions Positions(const PreparedPrompt& prompt) const = 0;
  virtual int64_t PictureTokens(const Grid& grid) const = 0;
};

}  // namespace ingot
