// SPDX-License-Identifier: Apache-2.0
// Size rules, one-dimensional rows of the resize, patch order and normalisation. The full goldens
// are in preprocess_golden_test.cc.
#include "vision/resize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "base/error.h"
#include "base/thread_pool.h"
#include "vision/patchify.h"

namespace ingot {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A picture whose channels are v, 255 - v and v / 2, so that a mix-up of channels shows.
Image RowImage(const std::vector<uint8_t>& values, bool column) {
  Image image{column ? 1 : static_cast<int64_t>(values.size()),
              column ? static_cast<int64_t>(values.size()) : 1,
              {}};
  for (uint8_t v : values) image.rgb.insert(image.rgb.end(), {v, static_cast<uint8_t>(255 - v), v});
  return image;
}

std::vector<int> Channel(const Image& image, int c) {
  std::vector<int> values;
  for (size_t i = c; i < image.rgb.size(); i += 3) values.push_back(image.rgb[i]);
  return values;
}

Image RandomImage(int64_t width, int64_t height, uint32_t seed) {
  std::mt19937 random(seed);
  Image image{width, height, std::vector<uint8_t>(width * height * 3)};
  for (uint8_t& byte : image.rgb) byte = static_cast<uint8_t>(random());
  return image;
}

TEST(ResizeTest, ReferenceRows) {
  const std::vector<uint8_t> row = {0, 10, 20, 40, 80, 160, 255, 255};
  for (bool column : {false, true}) {
    const Image image = RowImage(row, column);
    const auto resized = [&](int64_t n) {
      const ImageSize size = column ? ImageSize{n, 1} : ImageSize{1, n};
      return Channel(ResizeBicubic(image, size, PreprocessBackend::kTorchvision), 0);
    };
    EXPECT_THAT(resized(4), ElementsAre(5, 27, 126, 253));
    EXPECT_THAT(resized(12), ElementsAre(0, 4, 12, 18, 28, 45, 71, 117, 176, 244, 255, 255));
  }
}

TEST(ResizeTest, ChannelsAreIndependent) {
  const Image image = RandomImage(37, 23, 1);
  Image swapped = image;
  for (size_t i = 0; i < swapped.rgb.size(); i += 3) std::swap(swapped.rgb[i], swapped.rgb[i + 2]);
  const Image a = ResizeBicubic(image, {32, 64}, PreprocessBackend::kPil);
  const Image b = ResizeBicubic(swapped, {32, 64}, PreprocessBackend::kPil);
  EXPECT_EQ(Channel(a, 0), Channel(b, 2));
  EXPECT_EQ(Channel(a, 1), Channel(b, 1));
}

TEST(ResizeTest, EqualSizesAreUntouchedAndConstantsStayConstant) {
  const Image image = RandomImage(64, 32, 2);
  EXPECT_EQ(ResizeBicubic(image, {32, 64}, PreprocessBackend::kTorchvision).rgb, image.rgb);
  for (auto backend :
       {PreprocessBackend::kTorchvision, PreprocessBackend::kPil, PreprocessBackend::kPilClassic}) {
    for (uint8_t level : {0, 1, 127, 254, 255}) {
      const Image flat{50, 70, std::vector<uint8_t>(50 * 70 * 3, level)};
      const Image out = ResizeBicubic(flat, {96, 32}, backend);
      EXPECT_EQ(out.rgb, std::vector<uint8_t>(96 * 32 * 3, level));
    }
  }
}

TEST(ResizeTest, PassOrderOfPillow13) {
  // Height first when it shrinks by more than twice as many rows as the width loses columns.
  const Image tall = RandomImage(60, 200, 3);
  EXPECT_NE(ResizeBicubic(tall, {64, 32}, PreprocessBackend::kPil).rgb,
            ResizeBicubic(tall, {64, 32}, PreprocessBackend::kPilClassic).rgb);
  const Image wide = RandomImage(200, 60, 4);
  EXPECT_EQ(ResizeBicubic(wide, {32, 64}, PreprocessBackend::kPil).rgb,
            ResizeBicubic(wide, {32, 64}, PreprocessBackend::kPilClassic).rgb);
  // At the border of the rule (difference exactly twice): width first.
  const Image border = RandomImage(80, 112, 5);
  EXPECT_EQ(ResizeBicubic(border, {80, 64}, PreprocessBackend::kPil).rgb,
            ResizeBicubic(border, {80, 64}, PreprocessBackend::kPilClassic).rgb);
}

TEST(ResizeTest, ThreadsDoNotChangeTheResult) {
  const Image image = RandomImage(301, 203, 6);
  const int before = NumThreads();
  PreprocessParams params;
  SetNumThreads(1);
  const Patches one = PreprocessImage(image, params);
  SetNumThreads(3);
  const Patches three = PreprocessImage(image, params);
  SetNumThreads(before);
  EXPECT_EQ(one.values, three.values);
}

TEST(SmartResizeTest, TableOfQwen3) {
  const PreprocessParams params;
  EXPECT_EQ(SmartResize(1080, 1920, params), (ImageSize{1088, 1920}));
  EXPECT_EQ(CountImageTokens(1080, 1920, params), 2040);
  EXPECT_EQ(SmartResize(4320, 7680, params), (ImageSize{3072, 5440}));
  EXPECT_EQ(SmartResize(80, 80, params), (ImageSize{256, 256}));
  EXPECT_EQ(SmartResize(1, 200, params), (ImageSize{32, 3648}));
}

TEST(SmartResizeTest, ImpossibleInputIsRefused) {
  PreprocessParams params;
  EXPECT_THROW(SmartResize(0, 5, params), UserError);
  EXPECT_THROW(SmartResize(10, 2001, params), UserError);
  EXPECT_NO_THROW(SmartResize(10, 2000, params));
  EXPECT_THROW(SmartResizeVideo(1, 64, 64, params), UserError);
  params.patch = 0;
  EXPECT_THROW(SmartResize(64, 64, params), UserError);
  params = {};
  params.max_pixels = params.min_pixels - 1;
  EXPECT_THROW(SmartResize(64, 64, params), UserError);
}

TEST(BackendNamesTest, RoundTrip) {
  for (auto backend :
       {PreprocessBackend::kTorchvision, PreprocessBackend::kPil, PreprocessBackend::kPilClassic}) {
    EXPECT_EQ(ParsePreprocessBackend(PreprocessBackendName(backend)), backend);
  }
  EXPECT_THROW(ParsePreprocessBackend("cv2"), UserError);
}

TEST(NormalizeTest, Formulas) {
  PreprocessParams params;
  const NormalizeTable fused = MakeNormalizeTable(params, PreprocessBackend::kTorchvision);
  EXPECT_EQ(fused[0][0], -1.0f);
  EXPECT_EQ(fused[1][255], 1.0f);
  EXPECT_EQ(fused[2][128], (128.0f - 127.5f) / 127.5f);
  params.std = {0.0f, 1.0f, 1.0f};
  EXPECT_THROW(MakeNormalizeTable(params, PreprocessBackend::kPil), UserError);
}

// Rows against the definition: value (c, dt, y, x) of patch (t, bh, bw, ih, iw) is the pixel at its
// place.
TEST(PatchifyTest, RowAndColumnOrder) {
  PreprocessParams params;
  params.patch = 2;
  const std::vector<Image> frames = {RandomImage(12, 8, 7), RandomImage(12, 8, 8),
                                     RandomImage(12, 8, 9)};
  const PatchGrid grid = GridOf(3, {8, 12}, params);
  EXPECT_EQ(grid, (PatchGrid{2, 4, 6}));
  EXPECT_EQ(grid.n_tokens(2), 12);
  const NormalizeTable table = MakeNormalizeTable(params, PreprocessBackend::kTorchvision);
  std::vector<float> out(grid.n_patches() * 24);
  Patchify(frames, params, PreprocessBackend::kTorchvision, out);
  for (int64_t row = 0; row < grid.n_patches(); ++row) {
    const int64_t iw = row % 2, ih = row / 2 % 2, bw = row / 4 % 3, bh = row / 12 % 2, t = row / 24;
    for (int64_t e = 0; e < 24; ++e) {
      const int64_t x = e % 2, y = e / 2 % 2, dt = e / 4 % 2, c = e / 8;
      const Image& frame = frames[std::min<int64_t>(t * 2 + dt, 2)];
      const uint8_t pixel =
          frame.rgb[(((bh * 2 + ih) * 2 + y) * 12 + (bw * 2 + iw) * 2 + x) * 3 + c];
      ASSERT_EQ(out[row * 24 + e], table[c][pixel]) << row << " " << e;
    }
  }
}

TEST(PatchifyTest, WrongBuffersAreDefects) {
  const PreprocessParams params;
  EXPECT_THROW(GridOf(1, {33, 32}, params), InternalError);
  std::vector<float> out(10);
  const std::vector<Image> frames = {RandomImage(32, 32, 1)};
  EXPECT_THROW(Patchify(frames, params, PreprocessBackend::kPil, out), InternalError);
}

}  // namespace
}  // namespace ingot
