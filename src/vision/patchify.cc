// SPDX-License-Identifier: Apache-2.0
// Patch rows. With merge block (bh, bw) and patch (ih, iw) inside it, a patch at (t, bh * merge +
// ih, bw * merge + iw) is row
//   (((t * (gh / merge) + bh) * (gw / merge) + bw) * merge + ih) * merge + iw
// so that the merge^2 patches of one visual token are consecutive; inside a row the order is
// channel, frame, y, x.
#include "vision/patchify.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/thread_pool.h"

namespace ingot {
namespace {

constexpr int64_t kChannels = 3;

// One patch of one frame: `out` is the start of the patch's row plus the offset of the frame;
// channels are temporal_patch * patch^2 values apart.
void WritePatch(const Image& frame, int64_t top, int64_t left, int64_t patch,
                int64_t channel_stride, const NormalizeTable& table, float* out) {
  for (int64_t y = 0; y < patch; ++y) {
    const uint8_t* pixel = &frame.rgb[((top + y) * frame.width + left) * kChannels];
    float* r = out + y * patch;
    float* g = r + channel_stride;
    float* b = g + channel_stride;
    for (int64_t x = 0; x < patch; ++x, pixel += kChannels) {
      r[x] = table[0][pixel[0]];
      g[x] = table[1][pixel[1]];
      b[x] = table[2][pixel[2]];
    }
  }
}

}  // namespace

NormalizeTable MakeNormalizeTable(const PreprocessParams& params, PreprocessBackend backend) {
  NormalizeTable table;
  for (int c = 0; c < kChannels; ++c) {
    const float mean = params.mean[c], std = params.std[c];
    if (!(std > 0.0f)) {
      throw UserError(
          "picture processor: image_std of channel {} is {}; expected a positive number. Check "
          "preprocessor_config.json.",
          c, std);
    }
    for (int value = 0; value < 256; ++value) {
      if (backend == PreprocessBackend::kTorchvision) {
        // Rescale and normalise in one step; the constants are rounded to float32 before they are
        // multiplied.
        const float fused_mean = mean * 255.0f, fused_std = std * 255.0f;
        table[c][value] = (static_cast<float>(value) - fused_mean) / fused_std;
      } else {
        const float rescaled = static_cast<float>(static_cast<double>(value) * 0.00392156862745098);
        table[c][value] = (rescaled - mean) / std;
      }
    }
  }
  return table;
}

PatchGrid GridOf(int64_t n_frames, ImageSize size, const PreprocessParams& params) {
  if (n_frames < 1 || size.height < 1 || size.width < 1 || size.height % params.factor() != 0 ||
      size.width % params.factor() != 0) {
    throw InternalError("{} frames of {} x {} do not divide into blocks of {}", n_frames,
                        size.width, size.height, params.factor());
  }
  return {(n_frames + params.temporal_patch - 1) / params.temporal_patch,
          size.height / params.patch, size.width / params.patch};
}

void Patchify(std::span<const Image> frames, const PreprocessParams& params,
              PreprocessBackend backend, std::span<float> out) {
  if (frames.empty()) throw InternalError("patches of no frames");
  const ImageSize size{frames[0].height, frames[0].width};
  const PatchGrid grid = GridOf(static_cast<int64_t>(frames.size()), size, params);
  const int64_t p = params.patch, merge = params.merge, plane = p * p;
  const int64_t row_values = kChannels * params.temporal_patch * plane;
  if (static_cast<int64_t>(out.size()) != grid.n_patches() * row_values) {
    throw InternalError("patches of grid {}x{}x{} in {} values", grid.t, grid.h, grid.w,
                        out.size());
  }
  for (const Image& frame : frames) {
    if (frame.height != size.height || frame.width != size.width) {
      throw InternalError("frames of {} x {} and {} x {} in one video", size.width, size.height,
                          frame.width, frame.height);
    }
  }
  const NormalizeTable table = MakeNormalizeTable(params, backend);
  const int64_t blocks_high = grid.h / merge, blocks_wide = grid.w / merge;
  // One unit of work is one row of merge blocks of one temporal patch: a contiguous part of `out`.
  ParallelFor(grid.t * blocks_high, 1, [&](size_t begin, size_t end) {
    for (size_t unit = begin; unit < end; ++unit) {
      const int64_t t = static_cast<int64_t>(unit) / blocks_high,
                    bh = static_cast<int64_t>(unit) % blocks_high;
      float* row =
          out.data() + static_cast<int64_t>(unit) * blocks_wide * merge * merge * row_values;
      for (int64_t patch = 0; patch < blocks_wide * merge * merge; ++patch, row += row_values) {
        const int64_t bw = patch / (merge * merge), ih = patch / merge % merge, iw = patch % merge;
        for (int64_t dt = 0; dt < params.temporal_patch; ++dt) {
          const int64_t index = t * params.temporal_patch + dt;
          const auto n_frames = static_cast<int64_t>(frames.size());
          if (index >= n_frames && dt > 0) {  // the last frame again: copy what was just written
            for (int64_t c = 0; c < kChannels; ++c) {
              float* channel = row + c * params.temporal_patch * plane + dt * plane;
              std::memcpy(channel, channel - plane, plane * sizeof(float));
            }
            continue;
          }
          WritePatch(frames[index], (bh * merge + ih) * p, (bw * merge + iw) * p, p,
                     params.temporal_patch * plane, table, row + dt * plane);
        }
      }
    }
  });
}

Patches PreprocessImage(const Image& image, const PreprocessParams& params,
                        PreprocessBackend backend) {
  const ImageSize size = SmartResize(image.height, image.width, params);
  Patches patches;
  patches.grid = GridOf(1, size, params);
  patches.patch_values = kChannels * params.temporal_patch * params.patch * params.patch;
  patches.values.resize(patches.grid.n_patches() * patches.patch_values);
  const bool same = size.height == image.height && size.width == image.width;
  if (same) {
    Patchify({&image, 1}, params, backend, patches.values);
  } else {
    const Image resized = ResizeBicubic(image, size, backend);
    Patchify({&resized, 1}, params, backend, patches.values);
  }
  return patches;
}

}  // namespace ingot
