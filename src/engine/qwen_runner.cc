// SPDX-License-Identifier: Apache-2.0
#include "engine/qwen_runner.h"

#include <utility>
#include <vector>

#include "engine/engine.h"
#include "model/vision_run.h"

namespace ingot {
namespace {

std::vector<GridThw> GridsOf(const VisionInput& input) {
  std::vector<GridThw> grids;
  for (const Grid& grid : input.grids) grids.push_back({grid.t, grid.h, grid.w});
  return grids;
}

// One picture of several.
VisualInput OnePicture(const VisionInput& input, int64_t index) {
  size_t first = 0;  // value
  for (int64_t i = 0; i < index; ++i)
    first +=
        static_cast<size_t>(input.grids[static_cast<size_t>(i)].n_patches() * input.patch_values);
  const Grid& grid = input.grids[static_cast<size_t>(index)];
  const auto begin = input.patches.begin() + static_cast<std::ptrdiff_t>(first);
  VisualInput one;
  one.grids.push_back({grid.t, grid.h, grid.w});
  one.pixels.assign(begin, begin + grid.n_patches() * input.patch_values);
  return one;
}

class QwenPictureRun : public PictureRun {
 public:
  QwenPictureRun(const VisionTower& tower, VisualInput input, bool video, RunContext context)
      : input_(std::move(input)),
        run_(tower, input_, video ? "video" : "image", std::move(context)) {}
  bool RunSlice(double seconds) override { return run_.RunFor(seconds); }
  PictureFeatures Take() override { return std::make_shared<const VisionOutput>(run_.Take()); }

 private:
  VisualInput input_;
  VisionRun run_;
};

class QwenRunner : public ModelRunner {
 public:
  QwenRunner(const Engine& engine, int64_t kv_pages)
      : engine_(engine),
        pool_(engine.model().text.config, engine.options().KvTypeInUse(), kv_pages),
        text_(engine.model(), Context()) {
    facts_ = {.vocab = text_.vocab(),
              .vocab_limit = engine.vocab_limit(),
              .max_positions = engine.model().text.config.max_positions,
              .stop_ids = engine.stop_ids()};
  }
  const ModelFacts& facts() const override { return facts_; }
  KvPool* pool() override { return &pool_; }
  std::span<const float> Run(std::span<const SequenceStep> steps) override {
    return text_.Run(steps);
  }
  std::unique_ptr<PictureRun> StartPicture(const PreparedPrompt& prompt, bool video,
                                           int64_t index) override {
    return std::make_unique<QwenPictureRun>(
        engine_.model().vision, OnePicture(video ? prompt.videos : prompt.images, index), video,
        Context());
  }
  RopePositions Positions(const PreparedPrompt& prompt) const override {
    return TextPositions(engine_.model().config, prompt.ids, GridsOf(prompt.images),
                         GridsOf(prompt.videos));
  }
  int64_t PictureTokens(const Grid& grid) const override {
    return grid.n_tokens(engine_.model().config.vision.merge);
  }

 private:
  RunContext Context() const { return {.precision = engine_.options().precision}; }
  const Engine& engine_;
  KvPool pool_;
  TextRunner text_;
  ModelFacts facts_;
};

}  // namespace

std::unique_ptr<ModelRunner> MakeQwenRunner(const Engine& engine, int64_t kv_pages) {
  return std::make_unique<QwenRunner>(engine, kv_pages);
}

}  // namespace ingot
