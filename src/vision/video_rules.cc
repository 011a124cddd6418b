// SPDX-License-Identifier: Apache-2.0
// Which frames of a video are taken and when they were shown. Pure arithmetic, in the reference's
// order of operations.
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/numeric.h"
#include "vision/video.h"

namespace ingot {
namespace {

constexpr double kAssumedFps = 24.0;  // of Qwen3-VL's processor when a video names none

void CheckSampling(int64_t total, double source_fps, const VideoSampling& s) {
  if (total < 1) throw UserError("the video has no frames");
  if (!(source_fps >= 0) || source_fps > 1e6) {
    throw UserError("a video of {} frames per second cannot be used", source_fps);
  }
  if (s.min_frames < 1 || s.max_frames < s.min_frames ||
      (!s.num_frames && !(s.fps > 0 && s.fps <= 1e6)) ||
      (s.num_frames && (*s.num_frames < 1 || *s.num_frames > s.max_frames))) {
    throw UserError(
        "video sampling: {} frames per second, {} frames, between {} and {} frames is impossible; "
        "expected positive numbers, minimum <= maximum, frames <= maximum",
        s.fps, s.num_frames.value_or(0), s.min_frames, s.max_frames);
  }
}

// numpy.linspace(0, total - 1, n).round(): the step is rounded once, the last value is exact,
// halves go to even.
std::vector<int64_t> Spread(int64_t total, int64_t n) {
  std::vector<int64_t> indices(n);
  const double step = n > 1 ? static_cast<double>(total - 1) / static_cast<double>(n - 1) : 0.0;
  for (int64_t k = 0; k < n; ++k)
    indices[k] = static_cast<int64_t>(Rne(static_cast<double>(k) * step));
  if (n > 1) indices[n - 1] = total - 1;
  return indices;
}

// Qwen3-VL: min(max(int(total / fps * wanted), 4), 768, total); an explicit number is taken as it
// is.
std::vector<int64_t> SampleQwen3(int64_t total, double source_fps, const VideoSampling& s) {
  if (s.num_frames) return Spread(total, *s.num_frames);
  if (source_fps == 0) source_fps = kAssumedFps;
  const auto wanted =
      static_cast<int64_t>(std::min(static_cast<double>(total) / source_fps * s.fps, 1e15));
  return Spread(total, std::min({std::max(wanted, s.min_frames), s.max_frames, total}));
}

// Qwen2-VL and Qwen2.5-VL: an even number of frames, indices trunc(k * total / n) in float32 as
// torch.arange gives them.
std::vector<int64_t> SampleQwen2(int64_t total, double source_fps, const VideoSampling& s) {
  double n = 0;
  if (s.num_frames) {
    n = Rne(static_cast<double>(*s.num_frames) / 2) * 2;
  } else if (source_fps == 0) {
    throw UserError(
        "the video names no frame rate, so {} frames per second cannot be taken. Give a number of "
        "frames.",
        s.fps);
  } else {
    const auto most = static_cast<double>(std::min(s.max_frames, total) / 2 * 2);
    n = static_cast<double>(total) / source_fps * s.fps;
    n = std::floor(std::min(std::max(n, static_cast<double>(s.min_frames)), most) / 2) * 2;
  }
  if (n < 1 || n > static_cast<double>(total)) {
    throw UserError(
        "{:.0f} frames are wanted of a video of {} frames. Ask for fewer frames (an even number, "
        "at least 2).",
        n, total);
  }
  const double step = static_cast<double>(total) / n;
  std::vector<int64_t> indices(static_cast<size_t>(n));
  for (size_t k = 0; k < indices.size(); ++k) {
    indices[k] = static_cast<int64_t>(static_cast<float>(static_cast<double>(k) * step));
  }
  return indices;
}

}  // namespace

std::vector<int64_t> SampleFrameIndices(int64_t total, double source_fps,
                                        const VideoSampling& sampling) {
  CheckSampling(total, source_fps, sampling);
  if (sampling.all_frames) {
    if (total > sampling.max_frames) {
      throw UserError(
          "all {} frames of the video are wanted, more than the limit of {}. Sample it instead.",
          total, sampling.max_frames);
    }
    return Spread(total, total);
  }
  if (sampling.rule == VideoRule::kQwen2) return SampleQwen2(total, source_fps, sampling);
  return SampleQwen3(total, source_fps, sampling);
}

std::vector<double> FrameTimestamps(std::span<const int64_t> indices, double source_fps,
                                    int64_t temporal_patch) {
  std::vector<double> seconds;
  const auto n = static_cast<int64_t>(indices.size());
  for (int64_t first = 0; first < n; first += temporal_patch) {
    const int64_t last = std::min(first + temporal_patch, n) - 1;
    seconds.push_back((static_cast<double>(indices[first]) / source_fps +
                       static_cast<double>(indices[last]) / source_fps) /
                      2);
  }
  return seconds;
}

std::string TimestampText(double seconds) { return fmt::format("<{:.1f} seconds>", seconds); }

}  // namespace ingot
