// SPDX-License-Identifier: Apache-2.0
// N patches, D = hidden.
#include "model/vision_pieces.h"

#include <algorithm>
#include <cmath>

#include "base/thread_pool.h"
#include "kernels/kernels.h"
#include "kernels/ops.h"
#include "model/buffer.h"
#include "model/kv_type.h"

namespace ingot {
namespace {

// Rows of a piece: enough for the matrix products, few enough that the widest rows (4 D floats) stay
// in the last cache level.
constexpr int64_t kPieceRows = 512;
// Multiply-adds of a piece of attention, about what kPieceRows rows need in the linears.
constexpr int64_t kPieceAttention = int64_t{4} << 30;

size_t Size(int64_t value) { return static_cast<size_t>(value); }

// 0, ... n in about equal steps of at most `most`, multiples of `unit`.
std::vector<int64_t> Cuts(int64_t n, int64_t most, int64_t unit) {
  const int64_t units = (n + unit - 1) / unit, per_piece = std::max<int64_t>(1, most / unit),
                pieces = (units + per_piece - 1) / per_piece;
  std::vector<int64_t> cuts;
  for (int64_t i = 0; i <= pieces; ++i) cuts.push_back(std::min(n, units * i / pieces * unit));
  return cuts;
}

// Calls body(segment, first row, rows) for the parts of segments inside of [begin, end).
template <typename Body>
void ForSegments(const VisionLayout& layout, int64_t begin, int64_t end, Body body) {
  for (size_t i = 0; i + 1 < layout.segments.size(); ++i) {
    const int64_t from = std::max(begin, layout.segments[i]),
                  to = std::min(end, layout.segments[i + 1]);
    if (from < to) body(i, from, to - from);
  }
}

// q and k of a qkv buffer as [N, heads, head_dim], for observers.
void ReportRotated(const VisionConfig& config, const VisionBlock& block, const float* qkv,
                   int64_t n, const RunContext& context) {
  if (!context.observe) return;
  const int64_t width = config.hidden;
  std::vector<float> rows(Size(n * width));
  for (int64_t part = 0; part < 2; ++part) {
    for (int64_t i = 0; i < n; ++i)
      std::copy_n(qkv + (3 * i + part) * width, width, rows.data() + i * width);
    Report(context, {n, config.n_heads, config.head_dim()}, rows.data(), "vision.block.{}.{}",
           block.index, part == 0 ? "q_rot" : "k_rot");
  }
}

}  // namespace

VisionPieces::VisionPieces(const VisionConfig& config, const VisionLayout& layout,
                           const RunContext& context)
    : config_(config), layout_(layout), context_(context) {
  const int64_t n = layout.n_patches, unit = config.merge * config.merge;
  if (context.hook || context.observe) {
    rows_ = queries_ = {0, n};
    return;
  }
  int64_t longest = 1;
  for (size_t i = 0; i + 1 < layout.segments.size(); ++i)
    longest = std::max(longest, layout.segments[i + 1] - layout.segments[i]);
  rows_ = Cuts(n, kPieceRows, unit);
  const auto block = static_cast<int64_t>(kAttentionRows);
  queries_ = Cuts(n, std::max(block, kPieceAttention / (2 * longest * config.hidden)), block);
}

AttentionLayout VisionPieces::KvLayout() const {
  return {.n_kv_heads = Size(config_.n_heads),
          .head_dim = Size(config_.head_dim()),
          .type = KvTypeOf(context_.precision)};
}

void VisionPieces::Begin(VisionWorkspace* workspace) const {
  workspace->kv.resize(layout_.segments.size() - 1);
  for (size_t i = 0; i < workspace->kv.size(); ++i)
    workspace->kv[i].Reset(KvLayout(), Size(layout_.segments[i + 1] - layout_.segments[i]));
  Floats(&workspace->attended, layout_.n_patches * config_.hidden);
}

// qkv [end - begin][q k v][heads][head_dim].
void VisionPieces::StoreKeys(const float* qkv, int64_t begin, int64_t end,
                             VisionWorkspace* workspace) const {
  const int64_t width = config_.hidden;
  workspace->stores.clear();
  ForSegments(layout_, begin, end, [&](size_t segment, int64_t first, int64_t n) {
    const float* rows = qkv + (first - begin) * 3 * width;
    workspace->stores.push_back({.layout = KvLayout(),
                                 .pages = workspace->kv[segment].pages(),
                                 .first = Size(first - layout_.segments[segment]),
                                 .n = Size(n),
                                 .k = rows + width,
                                 .v = rows + 2 * width,
                                 .stride = Size(3 * width)});
  });
  RunStores(workspace->stores);
}

bool VisionPieces::Project(const VisionBlock& block, const float* hidden, int64_t begin,
                           int64_t end, VisionWorkspace* workspace) const {
  const int64_t n = end - begin, width = config_.hidden, half = layout_.rope.half;
  float* y = Floats(&workspace->y, n * width);
  float* qkv = Floats(&workspace->qkv, n * 3 * width);
  LayerNormRows(hidden + begin * width, block.norm1_weight.data(), block.norm1_bias.data(),
                config_.norm_eps, Size(n), Size(width), y);
  if (!AtSite(context_, block.qkv.site, y, n, width)) return false;
  RunLinear(block.qkv, y, n, qkv, context_.precision);
  RopeRows(qkv, Size(3 * width), Size(n), Size(2 * config_.n_heads),
           layout_.rope.cos.data() + begin * half, layout_.rope.sin.data() + begin * half,
           Size(half));
  ReportRotated(config_, block, qkv, n, context_);
  StoreKeys(qkv, begin, end, workspace);
  float* queries = reinterpret_cast<float*>(workspace->attended.Get(0)) + begin * width;
  ParallelFor(Size(n), 16, [&](size_t first, size_t last) {
    for (auto i = static_cast<int64_t>(first); i < static_cast<int64_t>(last); ++i)
      std::copy_n(qkv + i * 3 * width, width, queries + i * width);
  });
  return true;
}

void VisionPieces::Attend(int64_t begin, int64_t end, VisionWorkspace* workspace) const {
  const int64_t width = config_.hidden;
  float* rows = reinterpret_cast<float*>(workspace->attended.Get(0));
  workspace->jobs.clear();
  ForSegments(layout_, begin, end, [&](size_t segment, int64_t first, int64_t n) {
    workspace->jobs.push_back(
        {.layout = KvLayout(),
         .pages = workspace->kv[segment].pages(),
         .n_queries = Size(n),
         .q = rows + first * width,
         .q_stride = Size(width),
         .out = rows + first * width,  // over the queries
         .out_stride = Size(width),
         .n_keys = Size(layout_.segments[segment + 1] - layout_.segments[segment]),
         .scale = 1.0f / std::sqrt(static_cast<float>(config_.head_dim()))});
  });
  RunAttention(workspace->jobs);
}

bool VisionPieces::Finish(const VisionBlock& block, float* hidden, int64_t begin, int64_t end,
                          VisionWorkspace* workspace) const {
  const int64_t n = end - begin, width = config_.hidden;
  float* x = hidden + begin * width;
  float* attended = reinterpret_cast<float*>(workspace->attended.Get(0)) + begin * width;
  float* y = Floats(&workspace->y, n * width);
  if (!AtSite(context_, block.proj.site, attended, n, width)) return false;
  RunLinear(block.proj, attended, n, y, context_.precision);
  AddInto(x, y, Size(n * width));

  LayerNormRows(x, block.norm2_weight.data(), block.norm2_bias.data(), config_.norm_eps, Size(n),
                Size(width), y);
  float* wide = Floats(&workspace->wide, n * block.fc1.out);  // [n, MLP]
  if (!AtSite(context_, block.fc1.site, y, n, width)) return false;
  RunLinear(block.fc1, y, n, wide, context_.precision);
  GeluTanhInPlace(wide, Size(n * block.fc1.out));
  if (!AtSite(context_, block.fc2.site, wide, n, block.fc2.in)) return false;
  RunLinear(block.fc2, wide, n, y, context_.precision);
  AddInto(x, y, Size(n * width));
  return true;
}

// The four taps' rows, weighted, summed left to right.
void AddVisionPositions(const VisionConfig& config, const Weight& table,
                        const VisionLayout& layout, int64_t begin, int64_t end, float* hidden) {
  const int64_t side =
      static_cast<int64_t>(std::lround(std::sqrt(static_cast<double>(config.n_positions))));
  const int64_t width = config.hidden;
  int64_t grid_begin = 0;
  for (const GridThw& grid : layout.grids) {
    const int64_t frame = grid[1] * grid[2], from = std::max(begin, grid_begin),
                  to = std::min(end, grid_begin + grid[0] * frame);
    if (from < to) {
      const PositionTaps taps = MakePositionTaps(side, config.merge, grid[1], grid[2]);
      ParallelFor(Size(to - from), 32, [&](size_t first, size_t last) {
        std::vector<float> row(Size(width)), sum(Size(width));
        for (size_t i = first; i < last; ++i) {
          const int64_t patch = from + static_cast<int64_t>(i);
          const size_t tap = 4 * Size((patch - grid_begin) % frame);
          std::fill(sum.begin(), sum.end(), 0.0f);
          for (size_t t = tap; t < tap + 4; ++t) {
            table.WidenRow(taps.rows[t], row.data());
            for (size_t d = 0; d < row.size(); ++d) sum[d] += taps.weights[t] * row[d];
          }
          Kernels().add(hidden + patch * width, sum.data(), sum.size());
        }
      });
    }
    grid_begin += grid[0] * frame;
  }
}

}  // namespace ingot
