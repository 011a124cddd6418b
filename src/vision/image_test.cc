// SPDX-License-Identifier: Apache-2.0
// Decoders: limits, damaged files, orientation, alpha, the less common kinds of each format.
#include "vision/image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "vision/decode_internal.h"
#include "vision/orientation.h"
#include "vision/test_pictures.h"

namespace ingot {
namespace {

using namespace vision_test;
using ::testing::HasSubstr;
using Rgb = std::array<int, 3>;

Image Decode(const std::string& file, AlphaPolicy alpha = AlphaPolicy::kWhite) {
  DecodeOptions options;
  options.alpha = alpha;
  options.max_aspect_ratio = 0;
  return DecodeImage(Bytes(file), options, "the picture");
}

std::string Picture(const std::string& name) { return ReadFile(kPictures + name); }

TEST(ImageFormatTest, ContentDecidesNotTheName) {
  EXPECT_TRUE(LooksLikeImage(Bytes(Picture("baseline.jpg"))));
  EXPECT_TRUE(LooksLikeImage(Bytes(Picture("one.png"))));
  EXPECT_TRUE(LooksLikeImage(Bytes(Picture("lossy.webp"))));
  EXPECT_TRUE(LooksLikeImage(Bytes(Picture("anim.gif"))));
  EXPECT_TRUE(LooksLikeImage(Bytes(MakeBmp({.pixels = std::string(16, 'x')}))));
  EXPECT_FALSE(LooksLikeImage(Bytes(std::string("BMC"))));
  EXPECT_FALSE(LooksLikeImage(Bytes(std::string())));
}

TEST(ImageFormatTest, OtherContentIsNamed) {
  EXPECT_THAT(Refusal(""), HasSubstr("the picture: is empty"));
  EXPECT_THAT(Refusal(std::string("\0\0\0\x18"
                                  "ftypheic....",
                                  16)),
              HasSubstr("HEIC"));
  EXPECT_THAT(Refusal(std::string("\0\0\0\x18"
                                  "ftypavif....",
                                  16)),
              HasSubstr("AVIF"));
  EXPECT_THAT(Refusal("<!DOCTYPE html><html>"), HasSubstr("HTML"));
  EXPECT_THAT(Refusal("version https://git-lfs.github.com/spec/v1"), HasSubstr("Git LFS"));
  EXPECT_THAT(Refusal("hello"), HasSubstr("expected a JPEG, PNG, WebP, GIF or BMP"));
}

TEST(ImageLimitsTest, BombsAreRefusedBeforeMemoryIsAskedFor) {
  EXPECT_THAT(Refusal(PngWithSize(Picture("one.png"), 100'000, 100'000)),
              HasSubstr("100000 x 100000"));
  EXPECT_THAT(Refusal(PngWithSize(Picture("one.png"), 0x7fffffff, 0x7fffffff)),
              HasSubstr("cannot hold"));
  // Within the limit of pixels, but far more than the bytes can hold.
  EXPECT_THAT(Refusal(PngWithSize(Picture("one.png"), 10'000, 10'000)), HasSubstr("cannot hold"));

  std::string gif = Picture("anim.gif");
  gif.replace(6, 4, "\xff\xff\xff\xff");
  EXPECT_THAT(Refusal(gif), HasSubstr("65535"));

  const std::string big_bmp =
      MakeBmp({.width = 100'000, .height = 100'000, .pixels = std::string(64, 'x')});
  EXPECT_THAT(Refusal(big_bmp), HasSubstr("cut short"));
  const std::string rle_bmp = MakeBmp({.width = 100'000,
                                       .height = 100'000,
                                       .bits = 8,
                                       .compression = 1,
                                       .palette = std::string(4, 'x'),
                                       .pixels = std::string("\0\1", 2)});
  EXPECT_THAT(Refusal(rle_bmp), HasSubstr("more than the limit"));
  const std::string huge_bmp =
      MakeBmp({.width = 0x7fffffff, .height = -0x7fffffff - 1, .pixels = "x"});
  EXPECT_NE(Refusal(huge_bmp), "");

  // WebP: an extended header with a canvas of 16777216 x 255 and of 16384 x 16384 pixels.
  const auto webp = [](const std::string& size) {
    const std::string vp8x = "VP8X" + Le32(10) + std::string(4, '\0') + size;
    return "RIFF" + Le32(static_cast<uint32_t>(4 + vp8x.size())) + "WEBP" + vp8x;
  };
  EXPECT_NE(Refusal(webp("\xff\xff\xff\xfe" + std::string(2, '\0'))), "");
  EXPECT_NE(Refusal(webp(std::string("\xff\x3f\0\xff\x3f\0", 6))), "");

  std::string jpeg = Picture("baseline.jpg");
  const size_t frame = jpeg.find("\xff\xc0");
  ASSERT_NE(frame, std::string::npos);
  jpeg.replace(frame + 5, 4, "\xff\xff\xff\xff");
  EXPECT_THAT(Refusal(jpeg), HasSubstr("65535 x 65535"));
}

TEST(ImageLimitsTest, OptionsAreObeyed) {
  DecodeOptions options;
  options.max_pixels = 200 * 150 - 1;
  EXPECT_THAT(Refusal(Picture("baseline.jpg"), options), HasSubstr("limit of 29999 pixels"));
  options.max_pixels = 200 * 150;
  EXPECT_EQ(Refusal(Picture("baseline.jpg"), options), "");
  options.max_file_bytes = 100;
  EXPECT_THAT(Refusal(Picture("baseline.jpg"), options), HasSubstr("limit of 100"));
  EXPECT_EQ(Refusal(Picture("ratio200.png")), "");
  EXPECT_THAT(Refusal(Picture("ratio_over.png")), HasSubstr("too elongated"));
  options = {};
  options.max_aspect_ratio = 0;
  EXPECT_EQ(Refusal(Picture("ratio_over.png"), options), "");
}

TEST(ImageLimitsTest, MissingFileIsAUserError) {
  EXPECT_THROW(LoadImage(kPictures + "absent.png", {}), UserError);
}

// Any cut either refuses the file or loses nothing (an end mark behind the last pixel).
TEST(ImageDamageTest, CutFilesAreRefused) {
  std::vector<std::filesystem::path> files = ListFiles(kPictures);
  files.push_back(kExtra + "anim.webp");
  int n_refused = 0, n_total = 0;
  for (const auto& path : files) {
    SCOPED_TRACE(path.string());
    const std::string file = ReadFile(path);
    const Image whole = Decode(file);
    if (whole.rgb.size() > 1'000'000) continue;  // large.png: the same code as the small ones
    for (int i = 0; i < 24; ++i) {
      const size_t length = i < 20 ? file.size() * i / 20 : file.size() - (1 << (i - 20));
      ++n_total;
      try {
        EXPECT_EQ(Decode(file.substr(0, length)).rgb, whole.rgb)
            << "cut at " << length << " of " << file.size();
      } catch (const FormatError& error) {
        EXPECT_THAT(error.what(), HasSubstr("the picture"));
        ++n_refused;
      }
    }
  }
  EXPECT_GT(n_refused, n_total * 8 / 10);
}

TEST(ImageDamageTest, CutJpegSaysWhere) {
  const std::string file = Picture("baseline.jpg");
  EXPECT_THAT(Refusal(file.substr(0, file.size() / 2)), HasSubstr("cut short"));
}

TEST(ImageDamageTest, DamagedJpegIsRefusedUnlessAccepted) {
  std::string file = Picture("baseline.jpg");
  const size_t scan = file.find("\xff\xda");
  // An end mark in the middle of the scan: the rest of the picture would be grey.
  file.replace(scan + (file.size() - scan) / 2, 2, "\xff\xd9");
  EXPECT_THAT(Refusal(file), HasSubstr("damaged"));
  DecodeOptions options;
  options.accept_damaged = true;
  const Image image =
      DecodeImage(Bytes(file), options, "a damaged picture (expected warning of this test)");
  EXPECT_EQ(image.width, 200);
}

TEST(ImageDamageTest, ChangedPngDataFailsItsChecksum) {
  std::string file = Picture("odd.png");
  file[file.size() / 2] ^= 1;
  EXPECT_THAT(Refusal(file), HasSubstr("damaged PNG"));
}

TEST(ImageDamageTest, BrokenMetadataDoesNotMatter) {
  const std::string file = Picture("odd.png");
  std::string text = PngChunk("zTXt", "Comment");
  text.back() ^= 1;  // checksum of a chunk that nobody reads
  EXPECT_EQ(Decode(PngWithChunk(file, text)).rgb, Decode(file).rgb);
}

TEST(OrientationTest, ExifOfBothByteOrders) {
  for (bool little : {true, false}) {
    for (int value = 1; value <= 8; ++value) {
      const std::string exif = MakeExif(value, little);
      const auto* data = reinterpret_cast<const uint8_t*>(exif.data());
      EXPECT_EQ(vision::ExifOrientation({data, exif.size()}), value);
      // Every cut is survived; the value is found once its entry is complete.
      for (size_t n = 0; n < exif.size(); ++n) {
        const std::vector<uint8_t> cut(data, data + n);
        EXPECT_EQ(vision::ExifOrientation(cut), n < 22 ? 0 : value) << n;
      }
    }
    const std::string nine = MakeExif(9, little);
    EXPECT_EQ(vision::ExifOrientation({reinterpret_cast<const uint8_t*>(nine.data()), nine.size()}),
              0);
  }
}

TEST(OrientationTest, XmpAttributeAndElement) {
  const auto find = [](const std::string& text) {
    return vision::XmpOrientation({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  };
  EXPECT_EQ(find("<x tiff:Orientation=\"6\"/>"), 6);
  EXPECT_EQ(find("<tiff:Orientation>3</tiff:Orientation>"), 3);
  EXPECT_EQ(find("tiff:Orientation"), 0);
  EXPECT_EQ(find("tiff:Orientation=\"9\""), 0);
}

TEST(OrientationTest, EightWaysOfTurning) {
  // a b     The letters are where EXIF says they are: value 6 = row 0 is the right side, column 0
  // the top. c d e f
  Image image{2, 3, {}};
  for (char c : std::string("abcdef"))
    image.rgb.insert(image.rgb.end(), 3, static_cast<uint8_t>(c));
  const char* expected[9] = {"",       "abcdef", "badcfe", "fedcba", "efcdab",
                             "acebdf", "ecafdb", "fdbeca", "bdface"};
  for (int value = 1; value <= 8; ++value) {
    const Image turned = vision::ApplyOrientation(image, value);
    EXPECT_EQ(turned.width, value >= 5 ? 3 : 2);
    EXPECT_EQ(turned.height, value >= 5 ? 2 : 3);
    std::string letters;
    for (size_t i = 0; i < turned.rgb.size(); i += 3) letters += static_cast<char>(turned.rgb[i]);
    EXPECT_EQ(letters, expected[value]) << value;
  }
}

TEST(OrientationTest, PngAndSwitch) {
  const std::string file =
      PngWithChunk(Picture("tiny3x5.png"), PngChunk("eXIf", MakeExif(6, true)));
  DecodeOptions options;
  const ImageInfo info = ProbeImage(Bytes(file), options, "x");
  EXPECT_EQ(info.orientation, 6);
  EXPECT_EQ(info.upright_width(), 5);
  EXPECT_EQ(DecodeImage(Bytes(file), options, "x").width, 5);
  options.apply_orientation = false;
  EXPECT_EQ(DecodeImage(Bytes(file), options, "x").width, 3);
}

TEST(AlphaTest, OnWhiteIsRoundedToNearest) {
  for (uint32_t a = 0; a < 256; ++a) {
    for (uint32_t c = 0; c < 256; ++c) {
      const double exact = (c * a + 255.0 * (255 - a)) / 255.0;
      ASSERT_EQ(vision::OnWhite(c, a), std::floor(exact + 0.5)) << c << " " << a;
    }
  }
}

TEST(AlphaTest, ColourKeyOfGreyPng) {
  // grey.png with a tRNS chunk that makes its first grey level transparent.
  const std::string file = Picture("grey.png");
  const int level = PixelAt(Decode(file), 0, 0)[0];
  const std::string keyed =
      PngWithChunk(file, PngChunk("tRNS", std::string{'\0', static_cast<char>(level)}));
  EXPECT_EQ(PixelAt(Decode(keyed), 0, 0), (Rgb{255, 255, 255}));
  EXPECT_EQ(PixelAt(Decode(keyed, AlphaPolicy::kDrop), 0, 0), (Rgb{level, level, level}));
}

TEST(GifTest, FrameSmallerThanItsCanvas) {
  // Canvas 3 x 2, palette of 4, frame of 2 x 1 at (1, 1) with indices 1 and 2, index 1 transparent.
  const std::string palette("\x0a\x0b\x0c\x14\x15\x16\x1e\x1f\x20\x28\x29\x2a", 12);
  const std::string control("\x21\xf9\x04\x01\0\0\x01\0", 8);
  const std::string frame =
      "\x2c" + Le16(1) + Le16(1) + Le16(2) + Le16(1) + std::string("\0\x02\x02\x8c\x0a\0", 6);
  const std::string head = "GIF89a" + Le16(3) + Le16(2) + std::string("\x81\0\0", 3) + palette;
  const Image opaque = Decode(head + frame + ";");
  EXPECT_EQ(PixelAt(opaque, 0, 0), (Rgb{10, 11, 12}));
  EXPECT_EQ(PixelAt(opaque, 1, 1), (Rgb{20, 21, 22}));
  EXPECT_EQ(PixelAt(opaque, 2, 1), (Rgb{30, 31, 32}));
  const Image white = Decode(head + control + frame + ";");
  EXPECT_EQ(PixelAt(white, 0, 0), (Rgb{255, 255, 255}));
  EXPECT_EQ(PixelAt(white, 1, 1), (Rgb{255, 255, 255}));
  EXPECT_EQ(PixelAt(white, 2, 1), (Rgb{30, 31, 32}));
  EXPECT_EQ(PixelAt(Decode(head + control + frame + ";", AlphaPolicy::kDrop), 0, 0),
            (Rgb{20, 21, 22}));
}

TEST(WebpTest, FirstFrameOfAnAnimation) {
  const Image image = Decode(ReadFile(kExtra + "anim.webp"));
  EXPECT_EQ(image.width, 96);
  EXPECT_EQ(image.height, 64);
  EXPECT_EQ(PixelAt(image, 50, 30), (Rgb{0, 255, 40}));
}

class BmpTest : public ::testing::Test {
 protected:
  // Two rows, the lower one first in the file.
  static constexpr char kPalette[] = "\1\2\3\0\x0b\x0c\x0d\0";
  const std::string palette_{kPalette, 8};
};

TEST_F(BmpTest, IndexedDepths) {
  for (int bits : {1, 4, 8}) {
    const char top = bits == 1 ? '\x40' : bits == 4 ? '\x01' : '\0';     // indices 0 1
    const char bottom = bits == 1 ? '\x80' : bits == 4 ? '\x10' : '\1';  // indices 1 0
    const std::string pixels =
        std::string{bottom, '\0', '\0', '\0'} +
        (bits == 8 ? std::string("\0\1\0\0", 4) : std::string{top, '\0', '\0', '\0'});
    const Image image = Decode(
        MakeBmp({.bits = static_cast<uint16_t>(bits), .palette = palette_, .pixels = pixels}));
    EXPECT_EQ(PixelAt(image, 0, 0), (Rgb{3, 2, 1})) << bits;
    EXPECT_EQ(PixelAt(image, 1, 0), (Rgb{13, 12, 11})) << bits;
    EXPECT_EQ(PixelAt(image, 0, 1), (Rgb{13, 12, 11})) << bits;
    EXPECT_EQ(PixelAt(image, 1, 1), (Rgb{3, 2, 1})) << bits;
  }
}

TEST_F(BmpTest, ColourDepthsAndRowOrder) {
  const std::string rows24("\1\2\3\4\5\6\0\0\7\x8\x9\xa\xb\xc\0\0", 16);
  const Image up = Decode(MakeBmp({.pixels = rows24}));
  EXPECT_EQ(PixelAt(up, 0, 1), (Rgb{3, 2, 1}));
  EXPECT_EQ(PixelAt(up, 1, 0), (Rgb{12, 11, 10}));
  const Image down = Decode(MakeBmp({.height = -2, .pixels = rows24}));
  EXPECT_EQ(PixelAt(down, 0, 0), (Rgb{3, 2, 1}));
  // 16 bits: five each, scaled by 255 / 31 and cut off as in Pillow.
  const Image five =
      Decode(MakeBmp({.height = 1, .bits = 16, .pixels = Le16(31 << 10 | 16 << 5 | 1) + Le16(0)}));
  EXPECT_EQ(PixelAt(five, 0, 0), (Rgb{255, 16 * 255 / 31, 255 / 31}));
  const std::string masks = Le32(0xf800) + Le32(0x07e0) + Le32(0x001f);
  const Image six = Decode(MakeBmp({.height = 1,
                                    .bits = 16,
                                    .compression = 3,
                                    .masks = masks,
                                    .pixels = Le16(33 << 5) + Le16(0xffff)}));
  EXPECT_EQ(PixelAt(six, 0, 0), (Rgb{0, 33 * 255 / 63, 0}));
  EXPECT_EQ(PixelAt(six, 1, 0), (Rgb{255, 255, 255}));
  const Image plain32 =
      Decode(MakeBmp({.height = 1, .bits = 32, .pixels = Le32(0x00010203) + Le32(0xff040506)}));
  EXPECT_EQ(PixelAt(plain32, 0, 0), (Rgb{1, 2, 3}));
  const std::string with_alpha = Le32(0xff0000) + Le32(0xff00) + Le32(0xff) + Le32(0xff000000);
  const std::string alpha32 = MakeBmp({.height = 1,
                                       .bits = 32,
                                       .compression = 6,
                                       .masks = with_alpha,
                                       .pixels = Le32(0x00010203) + Le32(0xff040506)});
  EXPECT_EQ(PixelAt(Decode(alpha32), 0, 0), (Rgb{255, 255, 255}));
  EXPECT_EQ(PixelAt(Decode(alpha32), 1, 0), (Rgb{4, 5, 6}));
  EXPECT_EQ(PixelAt(Decode(alpha32, AlphaPolicy::kDrop), 0, 0), (Rgb{1, 2, 3}));
}

TEST_F(BmpTest, RunLengths) {
  // Lower row: run of two 1s; end of line; upper row: literal 0 1 1 with padding; end.
  const std::string rle8("\3\1\0\0\0\3\0\1\1\0\0\1", 12);
  const Image a = Decode(
      MakeBmp({.width = 3, .bits = 8, .compression = 1, .palette = palette_, .pixels = rle8}));
  EXPECT_EQ(PixelAt(a, 2, 1), (Rgb{13, 12, 11}));
  EXPECT_EQ(PixelAt(a, 0, 0), (Rgb{3, 2, 1}));
  EXPECT_EQ(PixelAt(a, 1, 0), (Rgb{13, 12, 11}));
  // RLE4: five pixels 1 0 1 0 1; jump one right and one up; one pixel 1; end.
  const std::string rle4("\5\x10\0\0\0\2\1\0\1\x10\0\1", 12);
  const Image b = Decode(
      MakeBmp({.width = 5, .bits = 4, .compression = 2, .palette = palette_, .pixels = rle4}));
  EXPECT_EQ(PixelAt(b, 0, 1), (Rgb{13, 12, 11}));
  EXPECT_EQ(PixelAt(b, 1, 1), (Rgb{3, 2, 1}));
  EXPECT_EQ(PixelAt(b, 1, 0), (Rgb{13, 12, 11}));
  EXPECT_EQ(PixelAt(b, 0, 0), (Rgb{3, 2, 1}));
  const std::string outside("\7\1\0\1", 4);
  EXPECT_THAT(
      Refusal(MakeBmp(
          {.width = 5, .bits = 8, .compression = 1, .palette = palette_, .pixels = outside})),
      HasSubstr("leaves the picture"));
  EXPECT_THAT(Refusal(MakeBmp(
                  {.width = 5, .bits = 8, .compression = 1, .palette = palette_, .pixels = "\1"})),
              HasSubstr("cut short"));
}

TEST_F(BmpTest, ImpossibleHeadersAreRefused) {
  EXPECT_THAT(Refusal(MakeBmp({.width = 0, .pixels = "xxxx"})), HasSubstr("0 x 2"));
  EXPECT_THAT(Refusal(MakeBmp({.bits = 7, .pixels = "xxxx"})), HasSubstr("7 bits"));
  EXPECT_THAT(Refusal(MakeBmp({.compression = 4, .pixels = "xxxx"})), HasSubstr("compression 4"));
  EXPECT_THAT(Refusal(MakeBmp({.pixels = "xxxx"})), HasSubstr("cut short"));
  EXPECT_THAT(Refusal(MakeBmp({.height = 1, .bits = 8, .palette = palette_, .pixels = "\5\5\5\5"})),
              HasSubstr("palette entry 5"));
  const std::string masks = Le32(0xff00) + Le32(0xff00) + Le32(0xff);
  EXPECT_THAT(
      Refusal(MakeBmp(
          {.height = 1, .bits = 32, .compression = 3, .masks = masks, .pixels = "12345678"})),
      HasSubstr("masks"));
}

TEST(ImageNamesTest, FormatNames) {
  EXPECT_EQ(ImageFormatName(ImageFormat::kJpeg), "JPEG");
  EXPECT_EQ(ImageFormatName(ImageFormat::kBmp), "BMP");
}

}  // namespace
}  // namespace ingot
