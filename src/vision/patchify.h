// SPDX-License-Identifier: Apache-2.0
// Pictures and frames to the rows that the vision tower reads: rescale, normalise, cut into
// patches. Source: huggingface/transformers:
// src/transformers/models/qwen2_vl/image_processing_qwen2_vl.py (_preprocess).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "vision/image.h"
#include "vision/resize.h"

namespace ingot {

// Size of a picture or video in patches: temporal patches, rows, columns ("grid_thw").
struct PatchGrid {
  int64_t t = 0, h = 0, w = 0;
  int64_t n_patches() const { return t * h * w; }
  int64_t n_tokens(int64_t merge) const { return n_patches() / (merge * merge); }
  bool operator==(const PatchGrid&) const = default;
};

// What the model gets of one picture or video.
struct Patches {
  PatchGrid grid;
  int64_t patch_values = 0;  // values per row: 3 * temporal_patch * patch * patch
  // [grid.n_patches(), patch_values]; row and column order in patchify.cc
  std::vector<float> values;
};

// The normalised value of each byte per channel: (u8 / 255 - mean) / std with the roundings of the
// backend.
using NormalizeTable = std::array<std::array<float, 256>, 3>;
NormalizeTable MakeNormalizeTable(const PreprocessParams& params, PreprocessBackend backend);

// Grid of `n_frames` frames of this size: t = n_frames rounded up to whole temporal patches. A
// still picture is one frame. Errors: InternalError unless both sides are multiples of
// params.factor().
PatchGrid GridOf(int64_t n_frames, ImageSize size, const PreprocessParams& params);

// Cuts resized frames of equal size into rows of `out` (n_patches * 3 * temporal_patch * patch^2
// floats). The last frame is repeated until whole temporal patches are full, so that a still
// picture becomes temporal_patch equal frames.
void Patchify(std::span<const Image> frames, const PreprocessParams& params,
              PreprocessBackend backend, std::span<float> out);

// SmartResize, ResizeBicubic and Patchify of one picture. Errors: those of SmartResize.
Patches PreprocessImage(const Image& image, const PreprocessParams& params,
                        PreprocessBackend backend = PreprocessBackend::kTorchvision);

}  // namespace ingot
