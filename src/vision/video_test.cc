// SPDX-License-Identifier: Apache-2.0
// Video files (with ffmpeg, else skipped), folders of frames, the child process helper and the
// frame stream.
#include "vision/video.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>

#include "vision/child_process.h"
#include "vision/ppm_stream.h"
#include "vision/test_pictures.h"

namespace ingot {
namespace {

namespace fs = std::filesystem;
using namespace vision_test;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

PreprocessParams VideoParams() {
  PreprocessParams params;
  params.min_pixels = 4096;
  params.max_pixels = 25'165'824;
  return params;
}

bool HaveFfmpeg() {
  return std::system("ffmpeg -version >/dev/null 2>&1 && ffprobe -version >/dev/null 2>&1") == 0;
}

// A folder of its own, removed at the end.
class TempDir {
 public:
  TempDir() {
    std::string pattern = (fs::temp_directory_path() / "ingot_video_XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~TempDir() { fs::remove_all(path_); }
  fs::path operator/(const std::string& name) const { return path_ / name; }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

void WriteText(const fs::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

template <typename E, typename F>
std::string MessageOf(const F& action) {
  try {
    action();
  } catch (const E& error) {
    return error.what();
  }
  return "no such error";
}

// clip.mkv and clip.mp4: 20 frames of 96 x 64 at 6 per second, frame k has the colour (10 k, 255 -
// 10 k, 40); 20 x 30 s.
float RedOf(int64_t frame) { return (static_cast<float>(10 * frame) - 127.5f) / 127.5f; }

TEST(VideoFileTest, SampledFramesOfALosslessClip) {
  if (!HaveFfmpeg()) GTEST_SKIP() << "ffmpeg is not installed";
  const Video video = LoadVideo(kExtra + "clip.mkv", {}, VideoParams(), {});
  EXPECT_THAT(video.indices, ElementsAre(0, 4, 8, 11, 15, 19));
  EXPECT_EQ(video.source.n_frames, 20);
  EXPECT_DOUBLE_EQ(video.source.fps, 6.0);
  EXPECT_EQ(video.patches.grid, (PatchGrid{3, 4, 6}));
  ASSERT_EQ(video.seconds.size(), 3u);
  EXPECT_DOUBLE_EQ(video.seconds[0], (0.0 + 4.0 / 6) / 2);
  EXPECT_DOUBLE_EQ(video.second_per_grid, 2 / (6.0 / 20 * 6));
  for (int64_t t = 0; t < 3; ++t) {
    for (int64_t dt = 0; dt < 2; ++dt) {
      const float value = video.patches.values[t * 24 * 1536 + dt * 256];
      EXPECT_EQ(value, RedOf(video.indices[2 * t + dt])) << t << " " << dt;
    }
  }
}

TEST(VideoFileTest, RepeatedFramesAndOddCounts) {
  if (!HaveFfmpeg()) GTEST_SKIP() << "ffmpeg is not installed";
  VideoSampling sampling;
  sampling.num_frames = 25;
  const Video video = LoadVideo(kExtra + "clip.mkv", sampling, VideoParams(), {});
  EXPECT_EQ(video.patches.grid, (PatchGrid{13, 4, 6}));
  EXPECT_EQ(video.indices.size(), 25u);
  for (int64_t i = 0; i < 26; ++i) {
    const float value = video.patches.values[i / 2 * 24 * 1536 + i % 2 * 256];
    EXPECT_EQ(value, RedOf(video.indices[std::min<int64_t>(i, 24)])) << i;
  }
}

TEST(VideoFileTest, Mp4AndQwen2Rule) {
  if (!HaveFfmpeg()) GTEST_SKIP() << "ffmpeg is not installed";
  const VideoInfo info = ProbeVideo(kExtra + "clip.mp4", {});
  EXPECT_EQ(info.n_frames, 20);
  EXPECT_EQ(info.width, 96);
  VideoSampling sampling;
  sampling.rule = VideoRule::kQwen2;
  PreprocessParams params;
  params.patch = 14;
  params.min_pixels = 3136;
  const Video video = LoadVideo(kExtra + "clip.mp4", sampling, params, {});
  EXPECT_THAT(video.indices, ElementsAre(0, 3, 6, 10, 13, 16));
  EXPECT_EQ(video.patches.grid, (PatchGrid{3, 4, 6}));  // 56 x 84
}

TEST(VideoFileTest, RotationIsApplied) {
  if (!HaveFfmpeg()) GTEST_SKIP() << "ffmpeg is not installed";
  const Video video = LoadVideo(kExtra + "turned.mp4", {}, VideoParams(), {});
  EXPECT_EQ(video.patches.grid, (PatchGrid{3, 6, 4}));
}

TEST(VideoFileTest, LimitsAndDamage) {
  if (!HaveFfmpeg()) GTEST_SKIP() << "ffmpeg is not installed";
  VideoOptions options;
  options.frame.max_pixels = 96 * 64 - 1;
  EXPECT_THAT(
      MessageOf<FormatError>([&] { LoadVideo(kExtra + "clip.mkv", {}, VideoParams(), options); }),
      HasSubstr("96 x 64"));
  options = {};
  options.max_total_frames = 19;
  EXPECT_THAT(MessageOf<FormatError>([&] { ProbeVideo(kExtra + "clip.mkv", options); }),
              HasSubstr("20 frames"));
  options = {};
  options.max_file_bytes = 100;
  EXPECT_THROW(ProbeVideo(kExtra + "clip.mkv", options), FormatError);
  TempDir dir;
  WriteText(dir / "noise.mp4", std::string(5000, 'x'));
  EXPECT_THAT(MessageOf<FormatError>([&] { ProbeVideo(dir / "noise.mp4", {}); }),
              HasSubstr("noise.mp4"));
  const std::string clip = ReadFile(kExtra + "clip.mp4");
  WriteText(dir / "half.mp4", clip.substr(0, clip.size() / 2));
  EXPECT_THROW(LoadVideo(dir / "half.mp4", {}, VideoParams(), {}), FormatError);
}

TEST(VideoFileTest, PlaylistsCannotNameOtherFiles) {
  if (!HaveFfmpeg()) GTEST_SKIP() << "ffmpeg is not installed";
  TempDir dir;
  fs::copy_file(kExtra + "clip.mkv", dir / "clip.mkv");
  WriteText(dir / "list.ffconcat", "ffconcat version 1.0\nfile clip.mkv\n");
  EXPECT_THROW(ProbeVideo(dir / "list.ffconcat", {}), FormatError);
  WriteText(dir / "list.m3u8", "#EXTM3U\n#EXTINF:1,\nclip.mkv\n#EXT-X-ENDLIST\n");
  EXPECT_THROW(ProbeVideo(dir / "list.m3u8", {}), FormatError);
}

TEST(VideoFileTest, AbsentHelperIsNamed) {
  VideoOptions options;
  options.ffprobe = "ffprobe-that-does-not-exist";
  const std::string message =
      MessageOf<ResourceError>([&] { ProbeVideo(kExtra + "clip.mkv", options); });
  EXPECT_THAT(message, HasSubstr("ffprobe-that-does-not-exist"));
  EXPECT_THAT(message, HasSubstr("Install ffmpeg"));
  EXPECT_THROW(ProbeVideo(kExtra + "absent.mp4", {}), UserError);
}

TEST(VideoFolderTest, NaturalOrderAndContent) {
  TempDir dir;
  for (int k : {0, 1, 2, 10, 11}) {
    const std::string row(96 * 3, static_cast<char>(20 * k));
    std::string pixels;
    for (int y = 0; y < 64; ++y) pixels += row;
    WriteText(dir / ("frame" + std::to_string(k) + ".bmp"),
              MakeBmp({.width = 96, .height = 64, .pixels = pixels}));
  }
  WriteText(dir / "notes.txt", "no picture");
  VideoSampling sampling;
  sampling.all_frames = true;
  VideoOptions options;
  options.folder_fps = 2;
  const Video video = LoadVideo(dir.path(), sampling, VideoParams(), options);
  EXPECT_THAT(video.indices, ElementsAre(0, 1, 2, 3, 4));
  EXPECT_THAT(video.seconds, ElementsAre(0.25, 1.25, 2.0));
  EXPECT_EQ(video.patches.grid, (PatchGrid{3, 4, 6}));
  const std::vector<int> expected = {0, 20, 40, 200, 220, 220};
  for (size_t i = 0; i < expected.size(); ++i) {
    const float value = video.patches.values[i / 2 * 24 * 1536 + i % 2 * 256];
    EXPECT_EQ(value, (static_cast<float>(expected[i]) - 127.5f) / 127.5f) << i;
  }
  WriteText(dir / "frame3.bmp",
            MakeBmp({.width = 32, .height = 64, .pixels = std::string(32 * 64 * 3, 'x')}));
  EXPECT_THAT(
      MessageOf<FormatError>([&] { LoadVideo(dir.path(), sampling, VideoParams(), options); }),
      HasSubstr("32 x 64"));
}

TEST(VideoFolderTest, EmptyFolder) {
  TempDir dir;
  EXPECT_THROW(ProbeVideo(dir.path(), {}), UserError);
}

TEST(VideoRulesTest, ImpossibleSamplingIsRefused) {
  EXPECT_THROW(SampleFrameIndices(0, 25, {}), UserError);
  EXPECT_THROW(SampleFrameIndices(10, -1, {}), UserError);
  VideoSampling sampling;
  sampling.fps = 0;
  EXPECT_THROW(SampleFrameIndices(10, 25, sampling), UserError);
  sampling = {};
  sampling.num_frames = 100'000;
  EXPECT_THROW(SampleFrameIndices(10, 25, sampling), UserError);
  sampling = {};
  sampling.all_frames = true;
  EXPECT_THROW(SampleFrameIndices(769, 25, sampling), UserError);
  EXPECT_EQ(SampleFrameIndices(768, 25, sampling).back(), 767);
}

TEST(ChildProcessTest, OutputErrorsAndExitCode) {
  std::string output;
  const auto collect = [&](std::span<const uint8_t> bytes) {
    output.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  };
  const vision::ChildResult result =
      vision::RunChild({"sh", "-c", "echo out; echo err >&2; cat; exit 3"}, 20, "", collect);
  EXPECT_EQ(output, "out\n");
  EXPECT_EQ(result.errors, "err ");
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_FALSE(result.ok());
}

TEST(ChildProcessTest, TimeLimitKillsTheChild) {
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_THAT(MessageOf<ResourceError>([] {
                vision::RunChild({"sleep", "30"}, 0.3, "", [](auto) {});
              }),
              HasSubstr("time limit"));
  // A child that closes its output and goes on is killed too.
  EXPECT_THROW(vision::RunChild({"sh", "-c", "exec >&- 2>&-; sleep 30"}, 0.3, "", [](auto) {}),
               ResourceError);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
}

TEST(ChildProcessTest, ExceptionOfTheCallbackEndsTheChild) {
  EXPECT_THROW(vision::RunChild({"sh", "-c", "while true; do echo x; done"}, 20, "",
                                [](std::span<const uint8_t>) { throw FormatError("enough"); }),
               FormatError);
}

TEST(PpmStreamTest, PiecesOfAnySize) {
  const std::string stream = "P6\n2 1\n255\nabcdefP6\n2 1\n255\nghijkl";
  for (size_t piece : {1, 2, 7, 100}) {
    std::string seen;
    vision::PpmStream reader(
        "x", 100, [&](Image&& image) { seen.append(image.rgb.begin(), image.rgb.end()); });
    for (size_t i = 0; i < stream.size(); i += piece) {
      const std::string part = stream.substr(i, piece);
      reader.Feed({reinterpret_cast<const uint8_t*>(part.data()), part.size()});
    }
    reader.Finish();
    EXPECT_EQ(seen, "abcdefghijkl");
  }
}

TEST(PpmStreamTest, BadStreamsAreRefused) {
  for (const std::string bad :
       {"P5\n2 1\n255\nab", "P6\n2 -1\n255\nab", "P6\n2 1\n65535\nab",
        "P6\n99999999 99999999\n255\n", "P6\n11 10\n255\n", "P6\n0 0\n255\n", "P6\n2 1\n255 1\n"}) {
    vision::PpmStream reader("x", 100, [](Image&&) {});
    EXPECT_THROW(reader.Feed({reinterpret_cast<const uint8_t*>(bad.data()), bad.size()}),
                 FormatError)
        << bad;
  }
  vision::PpmStream reader("x", 100, [](Image&&) {});
  const std::string cut = "P6\n2 1\n255\nabc";
  reader.Feed({reinterpret_cast<const uint8_t*>(cut.data()), cut.size()});
  EXPECT_THROW(reader.Finish(), FormatError);
}

}  // namespace
}  // namespace ingot
