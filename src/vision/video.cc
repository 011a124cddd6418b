// SPDX-License-Identifier: Apache-2.0
// Video files through ffprobe and ffmpeg, folders of pictures directly. Each frame is resized as it
// arrives, so memory holds one decoded frame and the small resized ones.
#include "vision/video.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <functional>
#include <map>
#include <string_view>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "vision/child_process.h"
#include "vision/ppm_stream.h"

namespace ingot {
namespace {

namespace fs = std::filesystem;

constexpr double kAssumedFps = 24.0;  // transformers' assumption when a video does not say

const char kRemedy[] =
    "Install ffmpeg (it brings ffprobe), or give a folder of pictures instead of a video file.";

// Containers that hold their data themselves. Playlists and scripts (hls, concat, dash, ...) could
// name other files of this machine or of the network and stay out.
const char kFormats[] =
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,ogg,asf,gif,apng,ivf,h264,"
    "hevc,m4v,av1,obu,mjpeg,mxf,nut,yuv4mpegpipe,rm,dv,wtv";

std::vector<std::string> InputArguments(const fs::path& path) {
  return {"-v",
          "error",
          "-protocol_whitelist",
          "file",
          "-format_whitelist",
          kFormats,
          "-i",
          "file:" + fs::absolute(path).string()};
}

std::string Shorten(const std::string& text) {
  return text.size() > 300 ? "..." + text.substr(text.size() - 300)
                           : (text.empty() ? "no message" : text);
}

// Both programs conceal small damage and go on; what they say about it must not get lost.
void WarnOfComplaints(const fs::path& path, const std::string& program,
                      const vision::ChildResult& result) {
  if (!result.errors.empty()) {
    LogWarning("{}: {} reports: {}", path.string(), program, Shorten(result.errors));
  }
}

// "key=value" lines of ffprobe.
std::map<std::string, std::string> ParseProbe(const std::string& text) {
  std::map<std::string, std::string> values;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string line = text.substr(at, end - at);
    if (const size_t equals = line.find('='); equals != std::string::npos) {
      values.emplace(line.substr(0, equals), line.substr(equals + 1));  // the first stream wins
    }
    at = end + 1;
  }
  return values;
}

int64_t ParseCount(const std::string& text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end != text.data() ? value : 0;
}

// "30000/1001"; 0 when unknown.
double ParseRate(const std::string& text) {
  const size_t slash = text.find('/');
  if (slash == std::string::npos) return 0;
  const int64_t numerator = ParseCount(text.substr(0, slash)),
                denominator = ParseCount(text.substr(slash + 1));
  if (numerator <= 0 || denominator <= 0) return 0;
  return static_cast<double>(numerator) / static_cast<double>(denominator);
}

void CheckFile(const fs::path& path, const VideoOptions& options) {
  std::error_code error;
  const auto status = fs::status(path, error);
  if (error || !fs::is_regular_file(status)) {
    throw UserError("{}: no such video file or folder of pictures", path.string());
  }
  const uint64_t size = fs::file_size(path, error);
  if (error) throw UserError("{}: cannot read the size: {}", path.string(), error.message());
  if (size > options.max_file_bytes) {
    throw FormatError("{}: {} of video are more than the limit of {}", path.string(),
                      HumanBytes(size), HumanBytes(options.max_file_bytes));
  }
}

// `decode_all` counts decoded frames (slow, exact) instead of packets.
VideoInfo ProbeFile(const fs::path& path, const VideoOptions& options, bool decode_all) {
  CheckFile(path, options);
  std::vector<std::string> argv = {options.ffprobe};
  const std::vector<std::string> input = InputArguments(path);
  argv.insert(argv.end(), input.begin(), input.end());
  const std::vector<std::string> rest = {
      "-select_streams",
      "v:0",
      decode_all ? "-count_frames" : "-count_packets",
      "-show_entries",
      "stream=width,height,avg_frame_rate,r_frame_rate,nb_read_packets,nb_read_frames",
      "-of",
      "default=noprint_wrappers=1"};
  argv.insert(argv.end(), rest.begin(), rest.end());
  std::string output;
  const vision::ChildResult result =
      vision::RunChild(argv, options.timeout_seconds, kRemedy, [&](std::span<const uint8_t> bytes) {
        if (output.size() + bytes.size() > (1u << 20)) {
          throw FormatError("{}: ffprobe says too much", path.string());
        }
        output.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      });
  if (!result.ok()) {
    throw FormatError("{}: ffprobe cannot read the video (exit code {}): {}", path.string(),
                      result.exit_code, Shorten(result.errors));
  }
  WarnOfComplaints(path, options.ffprobe, result);
  auto values = ParseProbe(output);
  VideoInfo info;
  info.width = ParseCount(values["width"]);
  info.height = ParseCount(values["height"]);
  info.n_frames = ParseCount(values[decode_all ? "nb_read_frames" : "nb_read_packets"]);
  info.fps = ParseRate(values["avg_frame_rate"]);
  if (info.fps <= 0) info.fps = ParseRate(values["r_frame_rate"]);
  if (info.width < 1 || info.height < 1 || info.n_frames < 1) {
    throw FormatError("{}: the file has no video frames in it (ffprobe: {} x {} pixels, {} frames)",
                      path.string(), info.width, info.height, info.n_frames);
  }
  if (static_cast<uint64_t>(info.n_frames) > options.max_total_frames) {
    throw FormatError("{}: {} frames are more than the limit of {}. Cut the video.", path.string(),
                      info.n_frames, options.max_total_frames);
  }
  if (info.fps <= 0) {
    info.fps = kAssumedFps;
    LogWarning("{}: the video names no frame rate; {} frames per second are assumed", path.string(),
               kAssumedFps);
  }
  return info;
}

// Digit runs compare as numbers, so that frame2 stands before frame10.
bool NaturalLess(const std::string& a, const std::string& b) {
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  size_t i = 0, j = 0;
  while (i < a.size() && j < b.size()) {
    if (!digit(a[i]) || !digit(b[j])) {
      if (a[i] != b[j]) return static_cast<unsigned char>(a[i]) < static_cast<unsigned char>(b[j]);
      ++i, ++j;
      continue;
    }
    while (i < a.size() && a[i] == '0') ++i;
    while (j < b.size() && b[j] == '0') ++j;
    const size_t i0 = i, j0 = j;
    while (i < a.size() && digit(a[i])) ++i;
    while (j < b.size() && digit(b[j])) ++j;
    if (i - i0 != j - j0) return i - i0 < j - j0;
    if (const int order = a.compare(i0, i - i0, b, j0, j - j0); order != 0) return order < 0;
  }
  if (i < a.size() || j < b.size()) return i == a.size();
  return a < b;  // equal but for leading zeros
}

// The pictures of a folder by content, in natural order of their names.
std::vector<fs::path> FolderFrames(const fs::path& path) {
  std::vector<fs::path> frames;
  for (const fs::path& file : ListFiles(path)) {
    const std::string name = file.filename().string();
    if (name.starts_with(".")) continue;
    std::string extension = file.extension().string();
    std::transform(extension.begin(), extension.end(), extension.begin(),
                   [](unsigned char c) { return std::tolower(c); });
    for (const char* known : {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif"}) {
      if (extension == known) frames.push_back(file);
    }
  }
  if (frames.empty()) {
    throw UserError(
        "{}: no pictures in the folder; expected .jpg, .png, .webp, .bmp or .gif files, one per "
        "frame",
        path.string());
  }
  std::sort(frames.begin(), frames.end(), [](const fs::path& a, const fs::path& b) {
    return NaturalLess(a.filename().string(), b.filename().string());
  });
  return frames;
}

VideoInfo ProbeFolder(const fs::path& path, const std::vector<fs::path>& frames,
                      const VideoOptions& options) {
  if (frames.size() > options.max_total_frames) {
    throw UserError("{}: {} pictures are more than the limit of {} frames", path.string(),
                    frames.size(), options.max_total_frames);
  }
  const std::string content = ReadFile(frames[0], options.frame.max_file_bytes);
  const ImageInfo first =
      ProbeImage(std::as_bytes(std::span(content)), options.frame, frames[0].string());
  return {first.width, first.height, static_cast<int64_t>(frames.size()), options.folder_fps};
}

using OnFrame = std::function<void(Image&&)>;

// "select" keeps a frame when the sum of its conditions is not zero; n is the index of the frame.
std::string SelectFilter(const std::vector<int64_t>& wanted) {
  std::string filter = "select='";
  for (size_t i = 0; i < wanted.size(); ++i)
    filter += fmt::format("{}eq(n,{})", i == 0 ? "" : "+", wanted[i]);
  return filter + "'";
}

vision::ChildResult RunFfmpeg(const fs::path& path, const std::vector<int64_t>& wanted,
                              const VideoOptions& options, bool old_option,
                              const OnFrame& on_frame) {
  std::vector<std::string> argv = {options.ffmpeg, "-nostdin"};
  const std::vector<std::string> input = InputArguments(path);
  argv.insert(argv.end(), input.begin(), input.end());
  const std::vector<std::string> rest = {"-map",
                                         "0:v:0",
                                         "-an",
                                         "-sn",
                                         "-dn",
                                         "-vf",
                                         SelectFilter(wanted),
                                         old_option ? "-vsync" : "-fps_mode",
                                         "passthrough",
                                         "-frames:v",
                                         std::to_string(wanted.size()),
                                         "-pix_fmt",
                                         "rgb24",
                                         "-c:v",
                                         "ppm",
                                         "-f",
                                         "image2pipe",
                                         "pipe:1"};
  argv.insert(argv.end(), rest.begin(), rest.end());
  vision::PpmStream stream(path.string(), options.frame.max_pixels, on_frame);
  vision::ChildResult result =
      vision::RunChild(argv, options.timeout_seconds, kRemedy,
                       [&](std::span<const uint8_t> bytes) { stream.Feed(bytes); });
  if (result.ok()) stream.Finish();
  return result;
}

// The wanted frames (increasing indices) of a file, upright.
void DecodeFile(const fs::path& path, const std::vector<int64_t>& wanted,
                const VideoOptions& options, const OnFrame& on_frame) {
  vision::ChildResult result = RunFfmpeg(path, wanted, options, false, on_frame);
  if (!result.ok() && result.errors.find("fps_mode") != std::string::npos) {
    result = RunFfmpeg(path, wanted, options, true, on_frame);  // before ffmpeg 5.1
  }
  if (!result.ok()) {
    throw FormatError("{}: ffmpeg cannot decode the video (exit code {}, signal {}): {}",
                      path.string(), result.exit_code, result.signal, Shorten(result.errors));
  }
  WarnOfComplaints(path, options.ffmpeg, result);
}

// Resizes frames as they come; the first one decides the size.
class FrameCollector {
 public:
  FrameCollector(const fs::path& path, int64_t n_frames, const VideoSampling& sampling,
                 const PreprocessParams& params, const VideoOptions& options)
      : path_(path), n_frames_(n_frames), sampling_(sampling), params_(params), options_(options) {}

  void Add(const Image& frame) {
    if (frames.empty()) {
      source_ = {frame.height, frame.width};
      target_ = sampling_.rule == VideoRule::kQwen2
                    ? SmartResize(frame.height, frame.width, params_)
                    : SmartResizeVideo(n_frames_, frame.height, frame.width, params_,
                                       sampling_.cap_frames);
    } else if (frame.height != source_.height || frame.width != source_.width) {
      throw FormatError(
          "{}: frame {} of {} x {} pixels follows frames of {} x {}; expected one size in a video",
          path_.string(), frames.size(), frame.width, frame.height, source_.width, source_.height);
    }
    frames.push_back(ResizeBicubic(frame, target_, options_.backend));
  }
  ImageSize target() const { return target_; }

  std::vector<Image> frames;

 private:
  const fs::path& path_;
  int64_t n_frames_;
  const VideoSampling& sampling_;
  const PreprocessParams& params_;
  const VideoOptions& options_;
  ImageSize source_, target_;
};

// `frames[i]` belongs to the i-th different index; an index that repeats takes the same frame
// again.
Patches MakePatches(std::vector<Image>&& frames, const std::vector<int64_t>& indices,
                    const PreprocessParams& params, const VideoOptions& options) {
  std::vector<Image> expanded;
  if (frames.size() == indices.size()) {
    expanded = std::move(frames);
  } else {
    size_t at = 0;
    for (size_t i = 0; i < indices.size(); ++i) {
      if (i > 0 && indices[i] != indices[i - 1]) ++at;
      expanded.push_back(frames.at(at));
    }
  }
  Patches patches;
  patches.grid = GridOf(static_cast<int64_t>(expanded.size()),
                        {expanded[0].height, expanded[0].width}, params);
  patches.patch_values = 3 * params.temporal_patch * params.patch * params.patch;
  patches.values.resize(patches.grid.n_patches() * patches.patch_values);
  Patchify(expanded, params, options.backend, patches.values);
  return patches;
}

std::vector<int64_t> Unique(std::vector<int64_t> indices) {
  indices.erase(std::unique(indices.begin(), indices.end()), indices.end());
  return indices;
}

Video Assemble(const VideoInfo& source, std::vector<int64_t> indices, std::vector<Image>&& frames,
               const PreprocessParams& params, const VideoOptions& options) {
  Video video;
  video.source = source;
  video.patches = MakePatches(std::move(frames), indices, params, options);
  video.seconds = FrameTimestamps(indices, source.fps, params.temporal_patch);
  const double sampled_fps =
      static_cast<double>(indices.size()) / static_cast<double>(source.n_frames) * source.fps;
  video.second_per_grid = static_cast<double>(params.temporal_patch) / sampled_fps;
  video.indices = std::move(indices);
  return video;
}

Video LoadFolder(const fs::path& path, const VideoSampling& sampling,
                 const PreprocessParams& params, const VideoOptions& options) {
  const std::vector<fs::path> files = FolderFrames(path);
  const VideoInfo source = ProbeFolder(path, files, options);
  const std::vector<int64_t> indices = SampleFrameIndices(source.n_frames, source.fps, sampling);
  FrameCollector collector(path, static_cast<int64_t>(indices.size()), sampling, params, options);
  for (int64_t index : Unique(indices)) collector.Add(LoadImage(files[index], options.frame));
  return Assemble(source, indices, std::move(collector.frames), params, options);
}

// Packets are counted first because that is fast. A file with packets that give no frame is counted
// again by decoding it.
Video LoadFile(const fs::path& path, const VideoSampling& sampling, const PreprocessParams& params,
               const VideoOptions& options) {
  size_t n_wanted = 0, n_decoded = 0;
  for (const bool decode_all : {false, true}) {
    const VideoInfo source = ProbeFile(path, options, decode_all);
    const std::vector<int64_t> indices = SampleFrameIndices(source.n_frames, source.fps, sampling);
    const std::vector<int64_t> wanted = Unique(indices);
    FrameCollector collector(path, static_cast<int64_t>(indices.size()), sampling, params, options);
    DecodeFile(path, wanted, options, [&](Image&& frame) { collector.Add(frame); });
    n_wanted = wanted.size();
    n_decoded = collector.frames.size();
    if (n_decoded == n_wanted) {
      return Assemble(source, indices, std::move(collector.frames), params, options);
    }
  }
  throw FormatError("{}: ffmpeg gave {} of {} wanted frames. The video is damaged.", path.string(),
                    n_decoded, n_wanted);
}

}  // namespace

VideoInfo ProbeVideo(const fs::path& path, const VideoOptions& options) {
  if (fs::is_directory(path)) return ProbeFolder(path, FolderFrames(path), options);
  return ProbeFile(path, options, false);
}

Video LoadVideo(const fs::path& path, const VideoSampling& sampling, const PreprocessParams& params,
                const VideoOptions& options) {
  if (fs::is_directory(path)) return LoadFolder(path, sampling, params, options);
  return LoadFile(path, sampling, params, options);
}

}  // namespace ingot
