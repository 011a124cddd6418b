// SPDX-License-Identifier: Apache-2.0
// Positions and rotary tables. Text: three position streams (time, height, width) spread over the
// frequencies (MRoPE); vision: row and column of a patch. A table holds cos and sin of [n_tokens,
// head_dim / 2]; element j of a head pairs with element j + head_dim / 2.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "checkpoint/config.h"

namespace ingot {

using GridThw = std::array<int64_t, 3>;  // frames (temporal patches), rows, columns, in patches

struct RopeTable {
  int64_t n_tokens = 0, half = 0;
  std::vector<float> cos, sin;  // [n_tokens, half]
};

// Positions of a token sequence, one entry a token and axis.
struct RopePositions {
  std::array<std::vector<int32_t>, 3> axes;  // T, H, W
  int64_t delta = 0;  // (largest position + 1) - tokens: a decoded token at cache slot i has
                      // position i + delta on all axes
  int64_t size() const { return static_cast<int64_t>(axes[0].size()); }
};

// How the running position advances over a visual block of merged size (T, Hm, Wm). Equal while T =
// 1, and a Qwen3-VL video is met as T blocks of one frame each.
enum class PositionRule {
  kV5,
  kLegacy
};  // += max(Hm, Wm) (transformers 5.23); = largest used + 1 (4.57)

// Walks the expanded sequence: an image or video token starts a block as large as the next grid
// says. Errors: UserError when grids and placeholder tokens do not agree (names the token index).
// `time_steps`, Qwen2.5-VL only: per video second_per_grid
// * tokens_per_second, the distance of its frames on the time axis (1 when absent).
RopePositions TextPositions(const ModelConfig& config, std::span<const int32_t> token_ids,
                            std::span<const GridThw> images, std::span<const GridThw> videos,
                            PositionRule rule = PositionRule::kV5,
                            std::span<const double> time_steps = {});

// Tables for tokens [first, first + count) of `positions`; for slots behind the last one the decode
// rule applies.
RopeTable MakeTextRope(const TextConfig& config, const RopePositions& positions, int64_t first,
                       int64_t count);
// The same piece by piece, for the rows of a batch, without allocating once a table has grown.
class TextRope {
 public:
  explicit TextRope(const TextConfig& config);
  void Resize(int64_t n_tokens, RopeTable* table) const;
  // Rows [row, row + count) of the table. Null positions: slot i has position i.
  void Fill(const RopePositions* positions, int64_t first, int64_t count, int64_t row,
            RopeTable* table) const;

 private:
  std::vector<float> frequencies_;  // [head_dim / 2]
  std::vector<int> axes_;
};
// The axis (0 T, 1 H, 2 W) of each of the head_dim / 2 frequencies.
std::vector<int> MropeAxes(const TextConfig& config);

// Rotary table of patches in merge-block order, all grids one after another; every frame restarts
// at (0, 0).
RopeTable MakeVisionRope(int64_t head_dim, int64_t merge, std::span<const GridThw> grids);

}  // namespace ingot
