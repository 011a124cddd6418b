// SPDX-License-Identifier: Apache-2.0
// The tower from top to bottom. N patches, D = hidden, shapes beside the buffers.
#include "model/vision_tower.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/thread_pool.h"
#include "kernels/attention.h"
#include "kernels/kernels.h"
#include "kernels/ops.h"
#include "model/buffer.h"

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

// hidden[patch] += the four taps' rows, weighted, summed left to right.
void AddPositions(const VisionConfig& config, const Weight& table, const VisionLayout& layout,
                  float* hidden) {
  const int64_t side =
      static_cast<int64_t>(std::lround(std::sqrt(static_cast<double>(config.n_positions))));
  const int64_t width = config.hidden;
  float* frame_hidden = hidden;
  for (const GridThw& grid : layout.grids) {
    const PositionTaps taps = MakePositionTaps(side, config.merge, grid[1], grid[2]);
    const int64_t frame = grid[1] * grid[2];
    ParallelFor(Size(frame), 32, [&](size_t begin, size_t end) {
      std::vector<float> row(Size(width)), sum(Size(width));
      for (size_t patch = begin; patch < end; ++patch) {
        std::fill(sum.begin(), sum.end(), 0.0f);
        for (size_t tap = 4 * patch; tap < 4 * patch + 4; ++tap) {
          table.WidenRow(taps.rows[tap], row.data());
          for (size_t d = 0; d < row.size(); ++d) sum[d] += taps.weights[tap] * row[d];
        }
        for (int64_t t = 0; t < grid[0]; ++t) {
          Kernels().add(frame_hidden + (t * frame + static_cast<int64_t>(patch)) * width,
                        sum.data(), sum.size());
        }
      }
    });
    frame_hidden += grid[0] * frame * width;
  }
}

// Attention of the patches of each segment among themselves. qkv [N, 3 D] rotated, out [N, D].
void AttendSegments(const VisionConfig& config, const VisionLayout& layout, Precision precision,
                    const float* qkv, float* out) {
  const size_t dim = Size(config.head_dim()), width = Size(config.hidden);
  const AttentionLayout pages_layout{
      .n_kv_heads = Size(config.n_heads), .head_dim = dim, .bf16 = precision == Precision::kBF16};
  const size_t count = layout.segments.size() - 1;
  std::vector<AttentionPages> pages;
  std::vector<AttentionJob> jobs;
  for (size_t segment = 0; segment < count; ++segment) {
    const size_t begin = Size(layout.segments[segment]),
                 n = Size(layout.segments[segment + 1]) - begin;
    const float* rows = qkv + begin * 3 * width;
    pages.emplace_back(pages_layout).Store(0, rows + width, rows + 2 * width, 3 * width, n);
    jobs.push_back({.layout = pages_layout,
                    .n_queries = n,
                    .q = rows,
                    .q_stride = 3 * width,
                    .out = out + begin * width,
                    .out_stride = width,
                    .keys = pages[segment].keys(),
                    .values = pages[segment].values(),
                    .n_keys = n,
                    .scale = 1.0f / std::sqrt(static_cast<float>(dim))});
  }
  RunAttention(jobs);
}

// q and k of a qkv buffer as [N, heads, head_dim], for observers.
void ReportRotated(const VisionConfig& config, const VisionBlock& block, const float* qkv,
                   int64_t n, const RunContext& context) {
  if (!context.observe) return;
  const int64_t width = config.hidden;
  const auto rows = FloatBuffer(n * width);
  for (int64_t part = 0; part < 2; ++part) {
    for (int64_t i = 0; i < n; ++i)
      std::copy_n(qkv + (3 * i + part) * width, width, rows.get() + i * width);
    Report(context, {n, config.n_heads, config.head_dim()}, rows.get(), "vision.block.{}.{}",
           block.index, part == 0 ? "q_rot" : "k_rot");
  }
}

// out = proj(attention(y)), y [N, D] normed. False when a site was the last wanted.
bool RunAttentionPart(const VisionConfig& config, const VisionBlock& block,
                      const VisionLayout& layout, float* y, const RunContext& context) {
  const int64_t n = layout.n_patches, width = config.hidden;
  const auto qkv = FloatBuffer(n * 3 * width);  // [N][q k v][heads][head_dim]
  if (!AtSite(context, block.qkv.site, y, n, width)) return false;
  RunLinear(block.qkv, y, n, qkv.get(), context.precision);
  RopeRows(qkv.get(), Size(3 * width), Size(n), Size(2 * config.n_heads), layout.rope.cos.data(),
           layout.rope.sin.data(), Size(layout.rope.half));
  ReportRotated(config, block, qkv.get(), n, context);
  const auto attended = FloatBuffer(n * width);
  AttendSegments(config, layout, context.precision, qkv.get(), attended.get());
  if (!AtSite(context, block.proj.site, attended.get(), n, width)) return false;
  RunLinear(block.proj, attended.get(), n, y, context.precision);
  return true;
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
  AddPositions(config, weights.position_table, layout, hidden);
  Report(context, {n, config.hidden}, hidden, "vision.block_in");
}

// x += proj(attention(LN1(x)));  x += fc2(gelu_tanh(fc1(LN2(x)))).
void RunVisionBlock(const VisionConfig& config, const VisionBlock& block,
                    const VisionLayout& layout, float* hidden, const RunContext& context) {
  const int64_t n = layout.n_patches, width = config.hidden;
  const auto y = FloatBuffer(n * width);  // [N, D]
  LayerNormRows(hidden, block.norm1_weight.data(), block.norm1_bias.data(), config.norm_eps,
                Size(n), Size(width), y.get());
  if (!RunAttentionPart(config, block, layout, y.get(), context)) return;
  AddInto(hidden, y.get(), Size(n * width));

  LayerNormRows(hidden, block.norm2_weight.data(), block.norm2_bias.data(), config.norm_eps,
                Size(n), Size(width), y.get());
  const auto wide = FloatBuffer(n * block.fc1.out);  // [N, MLP]
  if (!AtSite(context, block.fc1.site, y.get(), n, width)) return;
  RunLinear(block.fc1, y.get(), n, wide.get(), context.precision);
  GeluTanhInPlace(wide.get(), Size(n * block.fc1.out));
  if (!AtSite(context, block.fc2.site, wide.get(), n, block.fc2.in)) return;
  RunLinear(block.fc2, wide.get(), n, y.get(), context.precision);
  AddInto(hidden, y.get(), Size(n * width));
  Report(context, {n, width}, hidden, "vision.block.{}", block.index);
}

void RunVisionMerger(const VisionConfig& config, const VisionMerger& merger, const float* hidden,
                     int64_t n_patches, float* out, const RunContext& context) {
  const int64_t joined = config.hidden * config.merge * config.merge;
  const int64_t n =
      n_patches / (config.merge * config.merge);  // visual tokens; their patches lie side by side
  const int64_t norm_width = merger.norm_after_merge ? joined : config.hidden;
  const auto y = FloatBuffer(n * joined), wide = FloatBuffer(n * merger.fc1.out);  // [n, 4 D]
  LayerNormRows(hidden, merger.norm_weight.data(), merger.norm_bias.data(), config.norm_eps,
                Size(n * joined / norm_width), Size(norm_width), y.get());
  if (!AtSite(context, merger.fc1.site, y.get(), n, joined)) return;
  RunLinear(merger.fc1, y.get(), n, wide.get(), context.precision);
  GeluErfInPlace(wide.get(), Size(n * merger.fc1.out));
  if (!AtSite(context, merger.fc2.site, wide.get(), n, merger.fc2.in)) return;
  RunLinear(merger.fc2, wide.get(), n, out, context.precision);
}

std::optional<int64_t> DeepstackIndex(const VisionConfig& config, int64_t block) {
  const auto& taps = config.deepstack_indexes;
  const auto found = std::find(taps.begin(), taps.end(), block);
  if (found == taps.end()) return std::nullopt;
  return found - taps.begin();
}

VisionOutput RunVisionTower(const VisionTower& tower, const VisualInput& input,
                            std::string_view modality, const RunContext& context) {
  const VisionConfig& config = tower.config;
  const VisionLayout layout = MakeVisionLayout(config, input.grids);
  const int64_t n = layout.n_patches;
  if (input.pixels.size() != Size(n * config.patch_values())) {
    throw UserError("{} values of pixels given, the grids need {} patches of {}",
                    input.pixels.size(), n, config.patch_values());
  }
  VisionOutput output;
  output.n_tokens = n / (config.merge * config.merge);
  output.embeds.resize(Size(output.n_tokens * config.out_hidden));
  output.deepstack.resize(config.deepstack_indexes.size());

  const auto hidden = FloatBuffer(n * config.hidden);
  RunVisionPatchEmbed(config, tower.patch_embed, layout, input.pixels.data(), hidden.get(),
                      context);
  for (const VisionBlock& block : tower.blocks) {
    RunVisionBlock(config, block, layout, hidden.get(), context);
    if (const auto k = DeepstackIndex(config, block.index)) {
      std::vector<float>& features = output.deepstack[Size(*k)];
      features.resize(output.embeds.size());
      RunVisionMerger(config, tower.deepstack[Size(*k)], hidden.get(), n, features.data(), context);
      Report(context, {output.n_tokens, config.out_hidden}, features.data(),
             "vision.deepstack_out.{}.{}", modality, *k);
    }
  }
  RunVisionMerger(config, tower.merger, hidden.get(), n, output.embeds.data(), context);
  Report(context, {output.n_tokens, config.out_hidden}, output.embeds.data(), "vision.out.{}",
         modality);
  return output;
}

}  // namespace ingot
