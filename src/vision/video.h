// SPDX-License-Identifier: Apache-2.0
// Videos: which frames are taken, when they were shown, and their patches. Files are decoded by
// ffprobe and ffmpeg as child processes (no shell, only local files, limits on time and size); a
// folder of pictures counts as a video too. Sources of the rules: huggingface/transformers:
// src/transformers/models/qwen3_vl/video_processing_qwen3_vl.py,
// models/qwen3_vl/processing_qwen3_vl.py, models/qwen2_vl/video_processing_qwen2_vl.py.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "vision/image.h"
#include "vision/patchify.h"
#include "vision/resize.h"

namespace ingot {

enum class VideoRule {
  // Frames share one pixel budget, indices spread from the first to the last frame, timestamps
  // stand in the prompt.
  kQwen3,
  // Qwen2-VL and Qwen2.5-VL: picture rule per frame, even number of frames.
  kQwen2,
};

struct VideoSampling {
  VideoRule rule = VideoRule::kQwen3;
  double fps = 2.0;  // frames taken per second of video, unless num_frames is given
  // Takes exactly so many (kQwen3 repeats frames when the video has fewer).
  std::optional<int64_t> num_frames;
  bool all_frames = false;  // every frame of the source (a folder of already sampled frames)
  int64_t min_frames = 4, max_frames = 768;
  bool cap_frames = false;  // SmartResizeVideo's cap
};

// Indices of the frames to take from a video of `total` frames; source_fps 0 = unknown (kQwen3
// assumes 24). Errors: UserError (no frames; kQwen2 with more frames wanted than there are or an
// unknown rate; impossible options).
std::vector<int64_t> SampleFrameIndices(int64_t total, double source_fps,
                                        const VideoSampling& sampling);

// Seconds of each temporal patch: mean of the times of its first and last frame; the index list is
// padded with its last element to whole patches.
std::vector<double> FrameTimestamps(std::span<const int64_t> indices, double source_fps,
                                    int64_t temporal_patch = 2);

// "<2.4 seconds>": the text before a temporal patch in a Qwen3-VL prompt.
std::string TimestampText(double seconds);

struct VideoOptions {
  PreprocessBackend backend = PreprocessBackend::kTorchvision;
  // Looked up in PATH unless they contain a slash.
  std::string ffmpeg = "ffmpeg", ffprobe = "ffprobe";
  double timeout_seconds = 300;          // for each child process
  uint64_t max_file_bytes = 4ull << 30;  // of the video file
  uint64_t max_total_frames = 1u << 22;  // frames in the source
  DecodeOptions frame;  // limits of one frame (max_pixels), decoding of the pictures of a folder
  // Frame rate that a folder of pictures stands for (transformers' assumption).
  double folder_fps = 24.0;
};

// What ffprobe says about the first video stream, or a folder's count and first picture.
struct VideoInfo {
  int64_t width = 0, height = 0;  // as stored, before rotation
  int64_t n_frames = 0;
  double fps = 0;
};

// A video as the model gets it.
struct Video {
  Patches patches;
  std::vector<int64_t> indices;  // frames taken, before padding to whole temporal patches
  std::vector<double> seconds;   // one per temporal patch (patches.grid.t values)
  VideoInfo source;
  // Seconds between temporal patches, the position rule of Qwen2.5-VL: temporal_patch / (frames
  // taken per second).
  double second_per_grid = 0;
};

// `path` is a video file or a folder of pictures (natural order of names: frame2 before frame10).
// Errors: UserError (missing, nothing to read, rule violated), FormatError (not a video, damaged,
// beyond a limit), ResourceError (ffmpeg or ffprobe absent, time limit).
VideoInfo ProbeVideo(const std::filesystem::path& path, const VideoOptions& options);
Video LoadVideo(const std::filesystem::path& path, const VideoSampling& sampling,
                const PreprocessParams& params, const VideoOptions& options);

}  // namespace ingot
