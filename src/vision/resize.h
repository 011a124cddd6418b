// SPDX-License-Identifier: Apache-2.0
// The target size rules of the Qwen-VL processors and their bicubic resize, bit-equal to the
// reference programs. Sources: huggingface/transformers:
// src/transformers/models/qwen2_vl/image_processing_qwen2_vl.py and
// models/qwen3_vl/video_processing_qwen3_vl.py; python-pillow/Pillow: src/libImaging/Resample.c;
// pytorch/pytorch: aten/src/ATen/native/cpu/UpSampleKernel.cpp.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "vision/image.h"

namespace ingot {

// The limits and constants of preprocessor_config.json (pictures) or video_preprocessor_config.json
// (videos: the limits count the pixels of all frames together). The defaults are those of Qwen3-VL
// pictures.
struct PreprocessParams {
  int64_t min_pixels = 65'536, max_pixels = 16'777'216;
  int64_t patch = 16, temporal_patch = 2, merge = 2;
  std::array<float, 3> mean{0.5f, 0.5f, 0.5f}, std{0.5f, 0.5f, 0.5f};
  // The sides of a resized picture are multiples of it.
  int64_t factor() const { return patch * merge; }
};

// Which reference implementation is reproduced, resize and normalisation alike.
enum class PreprocessBackend {
  // "Fast" processor, the default of transformers and vLLM: 16-bit weights, width first.
  kTorchvision,
  // "Slow" processor with Pillow >= 13: 22-bit weights, height first where that is less work.
  kPil,
  // "Slow" processor with Pillow <= 12: 22-bit weights, width first.
  kPilClassic,
};
// "torchvision", "pil", "pil-classic"; UserError on another name.
PreprocessBackend ParsePreprocessBackend(std::string_view name);
std::string_view PreprocessBackendName(PreprocessBackend backend);

struct ImageSize {
  int64_t height = 0, width = 0;
  bool operator==(const ImageSize&) const = default;
};

// Errors (all three functions below): UserError when the sides differ by more than a factor of 200
// or a side is not positive; when `params` is impossible (zero patch, min above max).
ImageSize SmartResize(int64_t height, int64_t width, const PreprocessParams& params);

// Qwen3-VL videos: `n_frames` sampled frames share one budget of pixels. `cap_frames` adds the
// limit of 768 tokens per frame of newer transformers (cap_pixels_per_frame, off by default there).
// UserError also when n_frames < temporal_patch.
ImageSize SmartResizeVideo(int64_t n_frames, int64_t height, int64_t width,
                           const PreprocessParams& params, bool cap_frames = false);

// Visual tokens of a picture of this size (before the resize).
int64_t CountImageTokens(int64_t height, int64_t width, const PreprocessParams& params);

// Bicubic (Keys, a = -0.5) with antialiasing; equal sizes give a copy. Rows run on the thread pool,
// the result does not depend on their number. Requires: both sizes positive (InternalError
// otherwise).
Image ResizeBicubic(const Image& image, ImageSize size, PreprocessBackend backend);

}  // namespace ingot
