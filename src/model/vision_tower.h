// SPDX-License-Identifier: Apache-2.0
// The Qwen3-VL vision tower: patches of pictures or of video frames to embeddings for the text
// model and deepstack features. Blocks can be loaded and run one at a time; RunVisionTower is the
// whole, model/vision_run.h the whole in slices. Formulas: docs/model.md; huggingface/transformers:
// src/transformers/models/qwen3_vl/modeling_qwen3_vl.py.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "checkpoint/config.h"
#include "kernels/attention.h"
#include "model/linear.h"
#include "model/observe.h"
#include "model/rope.h"

namespace ingot {

class ModelReader;

struct VisionPatchEmbed {
  Linear proj;            // [D, C * T * p * p]; site "" (never quantized)
  Weight position_table;  // [n_positions, D], a square grid
};

struct VisionBlock {
  int64_t index = 0;
  std::vector<float> norm1_weight, norm1_bias, norm2_weight, norm2_bias;  // [D]
  Linear qkv, proj, fc1, fc2;
};

// Four neighbouring patches to one text embedding. The main merger normalises each patch, a
// deepstack merger the four together.
struct VisionMerger {
  bool norm_after_merge = false;
  std::vector<float> norm_weight, norm_bias;  // [D] or [4 D]
  Linear fc1, fc2;
};

struct VisionTower {
  VisionConfig config;
  VisionPatchEmbed patch_embed;
  std::vector<VisionBlock> blocks;
  VisionMerger merger;
  std::vector<VisionMerger> deepstack;
};

VisionPatchEmbed LoadVisionPatchEmbed(const ModelReader& reader);
VisionBlock LoadVisionBlock(const ModelReader& reader, int64_t block,
                            const LoadOptions& options = {});
VisionMerger LoadVisionMerger(const ModelReader& reader, const LoadOptions& options = {});
VisionMerger LoadDeepstackMerger(const ModelReader& reader, int64_t index,
                                 const LoadOptions& options = {});
VisionTower LoadVisionTower(const ModelReader& reader, const LoadOptions& options = {});

// What the geometry of a batch of grids fixes, shared by all blocks.
struct VisionLayout {
  std::vector<GridThw> grids;
  int64_t n_patches = 0;
  RopeTable rope;  // [n_patches, head_dim / 2]
  std::vector<int64_t>
      segments;  // first patch of each frame, then n_patches: patches attend inside their frame
};
// Errors: UserError on a grid that is not positive, not a multiple of the merge size, or too large.
VisionLayout MakeVisionLayout(const VisionConfig& config, std::span<const GridThw> grids);

// Rows and weights of the position table for one frame of gh x gw patches, in merge-block order:
// [patches][4].
struct PositionTaps {
  std::vector<int32_t> rows;
  std::vector<float> weights;
};
PositionTaps MakePositionTaps(int64_t table_side, int64_t merge, int64_t gh, int64_t gw);

// pixels [n_patches, patch_values] -> hidden [n_patches, D]: patch embedding plus interpolated
// positions.
void RunVisionPatchEmbed(const VisionConfig& config, const VisionPatchEmbed& weights,
                         const VisionLayout& layout, const float* pixels, float* hidden,
                         const RunContext& context);
// hidden [n_patches, D] in place.
void RunVisionBlock(const VisionConfig& config, const VisionBlock& block,
                    const VisionLayout& layout, float* hidden, const RunContext& context);
// hidden [n_patches, D] -> out [n_patches / merge^2, out_hidden]; hidden is unchanged.
void RunVisionMerger(const VisionConfig& config, const VisionMerger& merger, const float* hidden,
                     int64_t n_patches, float* out, const RunContext& context);
// Number of the deepstack merger that taps the output of `block`, if any.
std::optional<int64_t> DeepstackIndex(const VisionConfig& config, int64_t block);

// Pictures (or videos) of one request, all grids one after another.
struct VisualInput {
  std::vector<GridThw> grids;
  std::vector<float> pixels;  // [sum of t gh gw, patch_values], normalised, merge-block order
  bool empty() const { return grids.empty(); }
};

struct VisionOutput {
  int64_t n_tokens = 0;
  std::vector<float> embeds;                  // [n_tokens, out_hidden]
  std::vector<std::vector<float>> deepstack;  // per tap [n_tokens, out_hidden]
};

// `modality` is "image" or "video" (names of the observed outputs). Errors: UserError when pixels
// do not fit the grids.
VisionOutput RunVisionTower(const VisionTower& tower, const VisualInput& input,
                            std::string_view modality, const RunContext& context);

}  // namespace ingot
