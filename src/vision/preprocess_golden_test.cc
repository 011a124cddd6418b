// SPDX-License-Identifier: Apache-2.0
// Decoding, size rules, resize, normalisation and patch rows against hashes of the reference
// programs (tests/data/preprocess/README.md).
#include <gtest/gtest.h>
#include <png.h>

#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.h"
#include "base/files.h"
#include "base/sha256.h"
#include "vision/image.h"
#include "vision/patchify.h"
#include "vision/resize.h"
#include "vision/video.h"

namespace ingot {
namespace {

using nlohmann::json;

const std::string kData = std::string(INGOT_TEST_DATA) + "/preprocess/";

const json& Golden() {
  static const json golden = json::parse(ReadFile(kData + "preprocess.json"));
  return golden;
}

PreprocessParams ParamsOf(const std::string& processor) {
  const json& p = Golden().at("processors").at(processor);
  PreprocessParams params;
  params.min_pixels = p.at("size").at("shortest_edge");
  params.max_pixels = p.at("size").at("longest_edge");
  params.patch = p.at("patch_size");
  for (int c = 0; c < 3; ++c) {
    params.mean[c] = p.at("image_mean")[c].get<float>();
    params.std[c] = p.at("image_std")[c].get<float>();
  }
  return params;
}

PreprocessBackend BackendOf(const std::string& name) {
  return ParsePreprocessBackend(name == "pil_classic" ? "pil-classic" : name);
}

// The ways of loading in the golden file, as options.
const std::map<std::string, DecodeOptions>& Ways() {
  static const std::map<std::string, DecodeOptions> ways = [] {
    std::map<std::string, DecodeOptions> w;
    for (const char* way : {"path_pil", "pil_object", "plain_rgb", "upright_white"}) {
      DecodeOptions options;
      const std::string name = way;
      options.alpha = name == "pil_object" || name == "upright_white" ? AlphaPolicy::kWhite
                                                                      : AlphaPolicy::kDrop;
      options.apply_orientation = name == "path_pil" || name == "upright_white";
      options.max_aspect_ratio = 0;
      w[name] = options;
    }
    return w;
  }();
  return ways;
}

std::string HashOf(const Image& image) { return Sha256Hex(std::as_bytes(std::span(image.rgb))); }

// Pillow clips 16-bit grey at 255 where we keep the high byte. For the resize goldens of that
// picture: Pillow's pixels.
Image ReadGrey16Clipped(const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "rb");
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  png_init_io(png, file);
  png_read_png(png, info, PNG_TRANSFORM_IDENTITY, nullptr);
  Image image{png_get_image_width(png, info), png_get_image_height(png, info), {}};
  png_bytepp rows = png_get_rows(png, info);
  for (int64_t y = 0; y < image.height; ++y) {
    for (int64_t x = 0; x < image.width; ++x) {
      image.rgb.insert(image.rgb.end(), 3, rows[y][2 * x] != 0 ? 255 : rows[y][2 * x + 1]);
    }
  }
  png_destroy_read_struct(&png, &info, nullptr);
  std::fclose(file);
  return image;
}

bool MayDiffer(const std::string& format) { return format == "JPEG" || format == "WEBP"; }

// Lossy formats: another build of the decoder may differ by a level; then the first pixels must
// still be close.
void ExpectFirstPixelsClose(const json& golden, const Image& image) {
  const json& first = golden.at("first_pixels");
  for (size_t i = 0; i < first.size(); ++i) {
    for (size_t c = 0; c < 3; ++c) EXPECT_NEAR(image.rgb[3 * i + c], first[i][c].get<int>(), 2);
  }
}

TEST(PreprocessGolden, DecodedPixels) {
  int n_equal = 0, n_total = 0;
  for (const json& picture : Golden().at("pictures")) {
    const std::string file = picture.at("file");
    if (file == "grey16.png") continue;  // see HighByteOf16BitGrey
    for (const auto& [way, options] : Ways()) {
      SCOPED_TRACE(file + " " + way);
      const json& golden = picture.at("decode").at(way);
      const Image image = LoadImage(kData + "pictures/" + file, options);
      EXPECT_EQ(image.width, golden.at("width").get<int64_t>());
      EXPECT_EQ(image.height, golden.at("height").get<int64_t>());
      const bool equal = HashOf(image) == golden.at("sha256").get<std::string>();
      ++n_total;
      n_equal += equal;
      if (equal) continue;
      if (MayDiffer(picture.at("format"))) {
        std::printf("%s %s: pixels differ from the reference's decoder build\n", file.c_str(),
                    way.c_str());
        ExpectFirstPixelsClose(golden, image);
      } else {
        ADD_FAILURE() << "other pixels than the reference";
      }
    }
  }
  std::printf("%d of %d decoded pictures are equal to the reference\n", n_equal, n_total);
  EXPECT_EQ(n_total, 28 * 4);
}

TEST(PreprocessGolden, HighByteOf16BitGrey) {
  const std::string path = kData + "pictures/grey16.png";
  const Image image = LoadImage(path, {});
  // 16-bit values of the first pixels according to the golden file: the high byte is kept.
  for (const json& picture : Golden().at("pictures")) {
    if (picture.at("file") != "grey16.png") continue;
    const json& first = picture.at("decode").at("path_torchvision").at("first_pixels");
    for (size_t i = 0; i < first.size(); ++i)
      EXPECT_EQ(image.rgb[3 * i], first[i][0].get<int>() >> 8);
    EXPECT_EQ(HashOf(ReadGrey16Clipped(path)), picture.at("decode").at("path_pil").at("sha256"));
  }
}

// The pixels that a golden result starts from, or nothing when this decoder build gives others.
std::optional<Image> StartOf(const json& picture, const std::string& way) {
  const std::string path = kData + "pictures/" + picture.at("file").get<std::string>();
  Image image = picture.at("file") == "grey16.png" ? ReadGrey16Clipped(path)
                                                   : LoadImage(path, Ways().at(way));
  if (HashOf(image) != picture.at("decode").at(way).at("sha256").get<std::string>()) {
    return std::nullopt;
  }
  return image;
}

void CheckResult(const json& golden, const Image& image) {
  const PreprocessParams params = ParamsOf(golden.at("processor"));
  const PreprocessBackend backend = BackendOf(golden.at("backend"));
  if (golden.contains("error")) {
    EXPECT_THROW(PreprocessImage(image, params, backend), UserError);
    return;
  }
  const ImageSize size = SmartResize(image.height, image.width, params);
  EXPECT_EQ(size, (ImageSize{golden.at("height"), golden.at("width")}));
  EXPECT_EQ(HashOf(ResizeBicubic(image, size, backend)),
            golden.at("sha256_resized").get<std::string>());
  const Patches patches = PreprocessImage(image, params, backend);
  const json& grid = golden.at("grid_thw");
  EXPECT_EQ(patches.grid, (PatchGrid{grid[0], grid[1], grid[2]}));
  EXPECT_EQ(patches.grid.n_patches(), golden.at("shape")[0].get<int64_t>());
  EXPECT_EQ(patches.patch_values, golden.at("shape")[1].get<int64_t>());
  EXPECT_EQ(Sha256Hex(std::as_bytes(std::span(patches.values))),
            golden.at("sha256_pixel_values").get<std::string>());
}

TEST(PreprocessGolden, ResizedBytesAndPatchRows) {
  int n_checked = 0, n_skipped = 0;
  for (const json& picture : Golden().at("pictures")) {
    std::map<std::string, std::optional<Image>> starts;
    for (const json& golden : picture.at("results")) {
      const std::string way = golden.at("decode");
      SCOPED_TRACE(picture.at("file").get<std::string>() + " " + way + " " +
                   golden.at("processor").get<std::string>() + " " +
                   golden.at("backend").get<std::string>());
      if (!starts.contains(way)) starts[way] = StartOf(picture, way);
      if (!starts[way]) {
        ASSERT_TRUE(MayDiffer(picture.at("format")));
        ++n_skipped;
        continue;
      }
      CheckResult(golden, *starts[way]);
      ++n_checked;
    }
  }
  std::printf("%d results checked, %d skipped because the decoder build gives other pixels\n",
              n_checked, n_skipped);
  EXPECT_GE(n_checked, 180);
}

TEST(PreprocessGolden, SmartResize) {
  const json cases = json::parse(ReadFile(kData + "smart_resize.json"));
  EXPECT_EQ(cases.size(), 804u);
  for (const json& c : cases) {
    const PreprocessParams params = ParamsOf(c.at("p"));
    SCOPED_TRACE(c.dump());
    if (c.at("out").is_null()) {
      EXPECT_THROW(SmartResize(c.at("h"), c.at("w"), params), UserError);
    } else {
      EXPECT_EQ(SmartResize(c.at("h"), c.at("w"), params),
                (ImageSize{c.at("out")[0], c.at("out")[1]}));
    }
  }
}

TEST(PreprocessGolden, VideoResize) {
  const json rules = json::parse(ReadFile(kData + "video_rules.json"));
  PreprocessParams params;
  params.min_pixels = 4096;
  params.max_pixels = 25'165'824;
  for (const json& c : rules.at("resize")) {
    SCOPED_TRACE(c.dump());
    if (c.at("out").is_string()) {
      EXPECT_THROW(SmartResizeVideo(c.at("frames"), c.at("h"), c.at("w"), params, c.at("cap")),
                   UserError);
    } else {
      EXPECT_EQ(SmartResizeVideo(c.at("frames"), c.at("h"), c.at("w"), params, c.at("cap")),
                (ImageSize{c.at("out")[0], c.at("out")[1]}));
    }
  }
}

TEST(PreprocessGolden, VideoSampling) {
  const json rules = json::parse(ReadFile(kData + "video_rules.json"));
  for (const json& c : rules.at("sampling")) {
    SCOPED_TRACE(c.dump());
    VideoSampling sampling;
    sampling.rule = c.at("family") == "qwen2" ? VideoRule::kQwen2 : VideoRule::kQwen3;
    if (c.contains("want_fps")) sampling.fps = c.at("want_fps");
    if (c.contains("want_num_frames")) sampling.num_frames = c.at("want_num_frames").get<int64_t>();
    const json& out = c.at("out");
    const double fps = c.at("fps").is_null() ? 0.0 : c.at("fps").get<double>();
    if (out.contains("error")) {
      EXPECT_THROW(SampleFrameIndices(c.at("total"), fps, sampling), UserError);
      continue;
    }
    const std::vector<int64_t> indices = SampleFrameIndices(c.at("total"), fps, sampling);
    ASSERT_EQ(indices.size(), out.at("count").get<size_t>());
    const auto first = out.at("first").get<std::vector<int64_t>>(),
               last = out.at("last").get<std::vector<int64_t>>();
    EXPECT_TRUE(std::equal(first.begin(), first.end(), indices.begin()));
    EXPECT_TRUE(std::equal(last.rbegin(), last.rend(), indices.rbegin()));
    const std::vector<int32_t> narrow(indices.begin(),
                                      indices.end());  // the golden hash is of int32 values
    EXPECT_EQ(Sha256Hex(std::as_bytes(std::span(narrow))), out.at("sha256").get<std::string>());
  }
}

TEST(PreprocessGolden, Timestamps) {
  const json rules = json::parse(ReadFile(kData + "video_rules.json"));
  for (const json& c : rules.at("timestamps")) {
    SCOPED_TRACE(c.dump());
    const std::vector<double> seconds =
        FrameTimestamps(c.at("indices").get<std::vector<int64_t>>(), c.at("fps"));
    EXPECT_EQ(seconds, c.at("seconds").get<std::vector<double>>());
    std::vector<std::string> text;
    for (double s : seconds) text.push_back(TimestampText(s));
    EXPECT_EQ(text, c.at("text").get<std::vector<std::string>>());
  }
}

}  // namespace
}  // namespace ingot
