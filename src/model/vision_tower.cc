// SPDX-License-Identifier: Apache-2.0
// The tower from top to bottom. N patches, D = hidden, shapes beside the buffers.
#include "model/vision_tower.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "kernels/ops.h"
#include "model/buffer.h"
#include "model/vision_pieces.h"
#include "model/vision_run.h"

namespace ingot {
namespace {

constexpr int64_t kMaxGridSide = 1 << 16;
constexpr int64_t kMaxPatches =
    1 << 22;  // 16 M pixels are 2^16 patches; this bounds memory, not pictures

size_t Size(int64_t value) { return static_cast<size_t>(value); }

// Source coordinate of output index i of n on a table side of `side`: aligned corners, float32
// steps as in the reference.
float TableCoordinate(int64_t i, int64_t n, int64_t side) {
  if (n == 1) return 0.0f;
  return static_cast<float>(i) * static_cast<float>(side - 1) / static_cast<float>(n - 1);
}

}  // namespace

VisionLayout MakeVisionLayout(const VisionConfig& config, std::span<const GridThw> grids) {
  VisionLayout layout;
  layout.grids.assign(grids.begin(), grids.end());
  for (const auto& [t, rows, cols] : grids) {
    const int64_t largest = std::max({t, rows, cols});
    if (std::min({t, rows, cols}) < 1 || largest > kMaxGridSide || rows % config.merge != 0 ||
        cols % config.merge != 0 || t * rows > kMaxPatches ||
        layout.n_patches + t * rows * cols > kMaxPatches) {
      throw UserError(
          "grid ({}, {}, {}): expected positive sides, rows and columns divisible by {}, at most "
          "{} patches in all",
          t, rows, cols, config.merge, kMaxPatches);
    }
    for (int64_t frame = 0; frame < t; ++frame) {
      layout.segments.push_back(layout.n_patches);
      layout.n_patches += rows * cols;
    }
  }
  layout.segments.push_back(layout.n_patches);
  layout.rope = MakeVisionRope(config.head_dim(), config.merge, grids);
  return layout;
}

PositionTaps MakePositionTaps(int64_t table_side, int64_t merge, int64_t gh, int64_t gw) {
  PositionTaps taps;
  taps.rows.reserve(Size(4 * gh * gw));
  taps.weights.reserve(Size(4 * gh * gw));
  const auto put = [&](int64_t i, int64_t j) {
    const float y = TableCoordinate(i, gh, table_side), x = TableCoordinate(j, gw, table_side);
    const int64_t y0 = static_cast<int64_t>(y), x0 = static_cast<int64_t>(x);
    const int64_t y1 = std::min(y0 + 1, table_side - 1), x1 = std::min(x0 + 1, table_side - 1);
    const float dy = y - static_cast<float>(y0), dx = x - static_cast<float>(x0);
    for (const int64_t row :
         {y0 * table_side + x0, y0 * table_side + x1, y1 * table_side + x0, y1 * table_side + x1}) {
      taps.rows.push_back(static_cast<int32_t>(row));
    }
    for (const float weight :
         {(1.0f - dy) * (1.0f - dx), (1.0f - dy) * dx, dy * (1.0f - dx), dy * dx}) {
      taps.weights.push_back(weight);
    }
  };
  for (int64_t block_row = 0; block_row < gh; block_row += merge) {
    for (int64_t block_col = 0; block_col < gw; block_col += merge) {
      for (int64_t i = 0; i < merge * merge; ++i) put(block_row + i / merge, block_col + i % merge);
    }
  }
  return taps;
}

void RunVisionPatchEmbed(const VisionConfig& config, const VisionPatchEmbed& weights,
                         const VisionLayout& layout, const float* pixels, float* hidden,
                         const RunContext& context) {
  const int64_t n = layout.n_patches;
  RunLinear(weights.proj, pixels, n, hidden, context.precision);
  Report(context, {n, config.hidden}, hidden, "vision.patch_embed");
  AddVisionPositions(config, weights.position_table, layout, 0, n, hidden);
  Report(context, {n, config.hidden}, hidden, "vision.block_in");
}

void RunVisionBlock(const VisionConfig& config, const VisionBlock& block,
                    const VisionLayout& layout, float* hidden, const RunContext& context) {
  VisionWorkspace workspace;
  const VisionPieces pieces(config, layout, context);
  pieces.Begin(&workspace);
  const std::vector<int64_t>&rows = pieces.rows(), &queries = pieces.queries();
  for (size_t i = 0; i + 1 < rows.size(); ++i) {
    if (!pieces.Project(block, hidden, rows[i], rows[i + 1], &workspace)) return;
  }
  for (size_t i = 0; i + 1 < queries.size(); ++i)
    pieces.Attend(queries[i], queries[i + 1], &workspace);
  for (size_t i = 0; i + 1 < rows.size(); ++i) {
    if (!pieces.Finish(block, hidden, rows[i], rows[i + 1], &workspace)) return;
  }
  Report(context, {layout.n_patches, config.hidden}, hidden, "vision.block.{}", block.index);
}

void RunVisionMerger(const VisionConfig& config, const VisionMerger& merger, const float* hidden,
                     int64_t n_patches, float* out, const RunContext& context) {
  VisionWorkspace workspace;
  RunVisionMerger(config, merger, hidden, n_patches, out, &workspace, context);
}

void RunVisionMerger(const VisionConfig& config, const VisionMerger& merger, const float* hidden,
                     int64_t n_patches, float* out, VisionWorkspace* workspace,
                     const RunContext& context) {
  const int64_t joined = config.hidden * config.merge * config.merge;
  const int64_t n =
      n_patches / (config.merge * config.merge);  // visual tokens; their patches lie side by side
  const int64_t norm_width = merger.norm_after_merge ? joined : config.hidden;
  float* y = Floats(&workspace->y, n * joined);  // [n, 4 D]
  float* wide = Floats(&workspace->wide, n * merger.fc1.out);
  LayerNormRows(hidden, merger.norm_weight.data(), merger.norm_bias.data(), config.norm_eps,
                Size(n * joined / norm_width), Size(norm_width), y);
  if (!AtSite(context, merger.fc1.site, y, n, joined)) return;
  RunLinear(merger.fc1, y, n, wide, context.precision);
  GeluErfInPlace(wide, Size(n * merger.fc1.out));
  if (!AtSite(context, merger.fc2.site, wide, n, merger.fc2.in)) return;
  RunLinear(merger.fc2, wide, n, out, context.precision);
}

std::optional<int64_t> DeepstackIndex(const VisionConfig& config, int64_t block) {
  const auto& taps = config.deepstack_indexes;
  const auto found = std::find(taps.begin(), taps.end(), block);
  if (found == taps.end()) return std::nullopt;
  return found - taps.begin();
}

VisionOutput RunVisionTower(const VisionTower& tower, const VisualInput& input,
                            std::string_view modality, const RunContext& context) {
  VisionRun run(tower, input, modality, context);
  while (!run.RunPiece()) {
  }
  return run.Take();
}

}  // namespace ingot
