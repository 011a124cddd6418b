// SPDX-License-Identifier: Apache-2.0
// Request validation, identities of pictures, histograms.
#include "engine/request.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "engine/async_engine.h"
#include "engine/stats.h"

namespace ingot {
namespace {

TEST(RequestTest, RangesFollowTheContract) {
  EXPECT_NO_THROW(CheckRequestSampling({}, 100));
  EXPECT_THROW(CheckRequestSampling({.temperature = -0.5f}, 100), UserError);
  EXPECT_THROW(CheckRequestSampling({.top_p = 0}, 100), UserError);
  EXPECT_THROW(CheckRequestSampling({.top_k = -2}, 100), UserError);
  EXPECT_NO_THROW(CheckRequestSampling({.top_k = -1}, 100));
  EXPECT_THROW(CheckRequestSampling({.presence_penalty = 2.5f}, 100), UserError);
  EXPECT_THROW(CheckRequestSampling({.repetition_penalty = 0}, 100), UserError);
  EXPECT_THROW(CheckRequestSampling({.logit_bias = {{100, 1.0f}}}, 100), UserError);
  EXPECT_THROW(CheckRequestSampling({.allowed_token_ids = {-1}}, 100), UserError);
  EXPECT_THROW(CheckRequestSampling({.max_tokens = 3, .min_tokens = 4}, 100), UserError);
  EXPECT_THROW(CheckRequestSampling({.stop = {"a", ""}}, 100), UserError);
  EXPECT_THROW(CheckRequestSampling({.temperature = std::nanf("")}, 100), UserError);
}

// Two pictures of 2 x 2 patches, 3 values each.
PreparedPrompt TwoPictures() {
  PreparedPrompt prompt;
  prompt.images.patch_values = 3;
  prompt.images.grids = {{1, 2, 2}, {1, 2, 2}};
  prompt.images.patches.resize(24);
  for (size_t i = 0; i < 24; ++i) prompt.images.patches[i] = static_cast<float>(i % 12);
  return prompt;
}

TEST(RequestTest, PictureIdsCoverContentShapeAndModality) {
  PreparedPrompt prompt = TwoPictures();
  std::vector<PictureId> ids = PictureIdsOf(prompt);
  ASSERT_EQ(ids.size(), 2u);
  EXPECT_EQ(ids[0], ids[1]);
  prompt.images.patches[20] += 1;
  EXPECT_EQ(PictureIdsOf(prompt)[0], ids[0]);
  EXPECT_NE(PictureIdsOf(prompt)[1], ids[1]);
  prompt = TwoPictures();
  prompt.images.grids[0] = {1, 1, 4};
  EXPECT_NE(PictureIdsOf(prompt)[0], ids[0]);
  prompt = TwoPictures();
  std::swap(prompt.images, prompt.videos);
  EXPECT_NE(PictureIdsOf(prompt)[0], ids[0]);
}

TEST(StatsTest, HistogramBucketsIncludeTheirUpperEdge) {
  Histogram histogram({1, 2, 5});
  for (const double value : {0.5, 1.0, 1.5, 2.0, 5.0, 6.0}) histogram.Add(value);
  EXPECT_EQ(histogram.counts, (std::vector<uint64_t>{2, 2, 1, 1}));
  EXPECT_EQ(histogram.total(), 6u);
  EXPECT_DOUBLE_EQ(histogram.sum, 16);
  EXPECT_EQ(EngineHistograms(100).prompt_tokens.edges,
            (std::vector<double>{1, 2, 5, 10, 20, 50, 100}));
}

TEST(MemoryPlanTest, SaysHowManySequencesFit) {
  const MemoryPlan plan{.kv_pages = 100, .page_tokens = 64};
  EXPECT_DOUBLE_EQ(plan.SequencesOf(640), 10);
  EXPECT_DOUBLE_EQ(plan.SequencesOf(641), 100.0 / 11);
  EXPECT_NE(plan.Describe().find("100 pages of 64 tokens"), std::string::npos);
}

}  // namespace
}  // namespace ingot
