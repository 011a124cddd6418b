// SPDX-License-Identifier: Apache-2.0
// Thumbnails: size, content, base64.
#include "eval/thumbnail.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/files.h"

namespace ingot {
namespace {

TEST(ThumbnailTest, Base64OfRfc4648) {
  const auto encode = [](std::string_view text) {
    return EncodeBase64(std::as_bytes(std::span(text)));
  };
  EXPECT_EQ(encode(""), "");
  EXPECT_EQ(encode("f"), "Zg==");
  EXPECT_EQ(encode("fo"), "Zm8=");
  EXPECT_EQ(encode("foobar"), "Zm9vYmFy");
}

TEST(ThumbnailTest, ALargePictureShrinksAndKeepsItsColours) {
  Image image{800, 400, std::vector<uint8_t>(800 * 400 * 3)};
  for (size_t i = 0; i < image.rgb.size(); i += 3) image.rgb[i] = 220;  // red
  const std::string jpeg = EncodeJpeg(image, 95);
  const PictureFigures figures =
      MakeThumbnail(Part::ImageBytes("big.jpg", jpeg), DecodeOptions{}, true);
  EXPECT_EQ(figures.width, 800);
  EXPECT_EQ(figures.height, 400);
  EXPECT_EQ(figures.name, "big.jpg");
  EXPECT_TRUE(figures.thumbnail.starts_with("data:image/jpeg;base64,/9j/"));
  EXPECT_LT(figures.thumbnail.size(), 4000u);

  const Image again = DecodeImage(std::as_bytes(std::span(jpeg)), DecodeOptions{}, "again");
  EXPECT_NEAR(again.rgb[0], 220, 3);
  EXPECT_NEAR(again.rgb[1], 0, 3);
}

TEST(ThumbnailTest, WithoutPixelsTheNameAndSizeRemain) {
  const Image image{3, 2, std::vector<uint8_t>(18)};
  const PictureFigures figures =
      MakeThumbnail(Part::ImageBytes("small.jpg", EncodeJpeg(image, 80)), DecodeOptions{}, false);
  EXPECT_EQ(figures.thumbnail, "");
  EXPECT_EQ(figures.width, 3);
  EXPECT_EQ(MakeThumbnail(Part::Video("clip.mp4"), DecodeOptions{}, true).name, "clip.mp4");
}

}  // namespace
}  // namespace ingot
