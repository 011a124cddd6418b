// SPDX-License-Identifier: Apache-2.0
// Positions: huggingface/transformers: src/transformers/models/qwen3_vl/modeling_qwen3_vl.py
// (get_rope_index); tables: the rotary embedding classes there. Angles are float32 products, cos
// and sin of that float32 number.
#include "model/rope.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace ingot {
namespace {

// 1 / base^(2 j / dim), each step rounded to float32 as the reference does.
std::vector<float> InverseFrequencies(double base, int64_t dim, int64_t count) {
  std::vector<float> frequencies(static_cast<size_t>(count));
  for (int64_t j = 0; j < count; ++j) {
    const float exponent = static_cast<float>(2 * j) / static_cast<float>(dim);
    frequencies[static_cast<size_t>(j)] =
        1.0f / static_cast<float>(std::pow(base, static_cast<double>(exponent)));
  }
  return frequencies;
}

void PutAngle(float angle, size_t at, RopeTable* table) {
  table->cos[at] = static_cast<float>(std::cos(static_cast<double>(angle)));
  table->sin[at] = static_cast<float>(std::sin(static_cast<double>(angle)));
}

RopeTable EmptyTable(int64_t n_tokens, int64_t half) {
  const size_t size = static_cast<size_t>(n_tokens * half);
  return {n_tokens, half, std::vector<float>(size), std::vector<float>(size)};
}

// Builds the three streams while walking over the tokens.
class PositionWalk {
 public:
  PositionWalk(const ModelConfig& config, std::span<const int32_t> ids, PositionRule rule)
      : merge_(config.vision.merge), ids_(ids), rule_(rule) {
    for (auto& axis : result_.axes) axis.reserve(ids.size());
  }

  void Text() { Put(next_, next_, next_), largest_ = std::max(largest_, next_), ++next_; }

  // A block of grid (t, gh, gw) that begins at the current token and consists of `placeholder`;
  // frames are `time_step` apart.
  void Block(const GridThw& grid, int32_t placeholder, double time_step) {
    const int64_t t = grid[0], rows = grid[1] / merge_, cols = grid[2] / merge_;
    const size_t first = result_.axes[0].size(), count = static_cast<size_t>(t * rows * cols);
    if (count == 0) throw UserError("token {}: a visual block with an empty grid", first);
    for (size_t i = first; i < first + count; ++i) {
      if (i >= ids_.size() || ids_[i] != placeholder) {
        throw UserError(
            "token {}: the grid ({}, {}, {}) needs {} placeholder tokens from token {} on, found "
            "{}",
            i, grid[0], grid[1], grid[2], count, first, i - first);
      }
    }
    const auto time = [&](int64_t frame) {
      return static_cast<int64_t>(static_cast<double>(frame) * time_step);
    };
    for (int64_t frame = 0; frame < t; ++frame) {
      for (int64_t row = 0; row < rows; ++row) {
        for (int64_t col = 0; col < cols; ++col) Put(next_ + time(frame), next_ + row, next_ + col);
      }
    }
    const int64_t last = next_ + std::max({time(t - 1) + 1, rows, cols}) - 1;
    largest_ = std::max(largest_, last);
    next_ = rule_ == PositionRule::kV5 ? next_ + std::max(rows, cols) : last + 1;
  }

  size_t token() const { return result_.axes[0].size(); }
  RopePositions Finish() {
    result_.delta = largest_ + 1 - static_cast<int64_t>(ids_.size());
    return std::move(result_);
  }

 private:
  void Put(int64_t t, int64_t h, int64_t w) {
    result_.axes[0].push_back(static_cast<int32_t>(t));
    result_.axes[1].push_back(static_cast<int32_t>(h));
    result_.axes[2].push_back(static_cast<int32_t>(w));
  }
  int64_t merge_;
  std::span<const int32_t> ids_;
  PositionRule rule_;
  int64_t next_ = 0, largest_ = -1;
  RopePositions result_;
};

// A Qwen3-VL video is met frame by frame, with its time stamps as text between.
std::vector<GridThw> SingleFrames(std::span<const GridThw> videos) {
  std::vector<GridThw> frames;
  for (const GridThw& grid : videos) {
    for (int64_t t = 0; t < grid[0]; ++t) frames.push_back({1, grid[1], grid[2]});
  }
  return frames;
}

bool SplitsVideos(ModelFamily family) {
  return family == ModelFamily::kQwen3VL || family == ModelFamily::kQwen3VLMoe;
}

void RequireAllUsed(const char* what, size_t used, size_t given) {
  if (used != given)
    throw UserError("{} {} grids given, the prompt has placeholders for {}", given, what, used);
}

}  // namespace

RopePositions TextPositions(const ModelConfig& config, std::span<const int32_t> token_ids,
                            std::span<const GridThw> images, std::span<const GridThw> videos,
                            PositionRule rule, std::span<const double> time_steps) {
  const std::vector<GridThw> video_blocks =
      SplitsVideos(config.family) ? SingleFrames(videos)
                                  : std::vector<GridThw>(videos.begin(), videos.end());
  PositionWalk walk(config, token_ids, rule);
  size_t image = 0, video = 0;
  while (walk.token() < token_ids.size()) {
    const int32_t id = token_ids[walk.token()];
    if (id == config.image_token) {
      if (image == images.size())
        throw UserError("token {}: image token behind the last of {} pictures", walk.token(),
                        image);
      walk.Block(images[image++], id, 1.0);
    } else if (id == config.video_token) {
      if (video == video_blocks.size())
        throw UserError("token {}: video token behind the last of {} frames", walk.token(), video);
      walk.Block(video_blocks[video], id, video < time_steps.size() ? time_steps[video] : 1.0);
      ++video;
    } else {
      walk.Text();
    }
  }
  RequireAllUsed("picture", image, images.size());
  RequireAllUsed("video frame", video, video_blocks.size());
  return walk.Finish();
}

std::vector<int> MropeAxes(const TextConfig& config) {
  const int64_t half = config.head_dim / 2;
  std::vector<int> axes(static_cast<size_t>(half), 0);
  for (int64_t j = 0; j < half; ++j) {
    int& axis = axes[static_cast<size_t>(j)];
    if (config.mrope_interleaved) {
      if (j % 3 == 1 && j < 3 * config.mrope_section[1]) axis = 1;
      if (j % 3 == 2 && j < 3 * config.mrope_section[2]) axis = 2;
    } else {
      if (j >= config.mrope_section[0]) axis = 1;
      if (j >= config.mrope_section[0] + config.mrope_section[1]) axis = 2;
    }
  }
  return axes;
}

TextRope::TextRope(const TextConfig& config)
    : frequencies_(InverseFrequencies(config.rope_theta, config.head_dim, config.head_dim / 2)),
      axes_(MropeAxes(config)) {}

void TextRope::Resize(int64_t n_tokens, RopeTable* table) const {
  table->n_tokens = n_tokens;
  table->half = static_cast<int64_t>(frequencies_.size());
  table->cos.resize(static_cast<size_t>(n_tokens) * frequencies_.size());
  table->sin.resize(table->cos.size());
}

void TextRope::Fill(const RopePositions* positions, int64_t first, int64_t count, int64_t row,
                    RopeTable* table) const {
  for (int64_t slot = first; slot < first + count; ++slot) {
    const size_t at = static_cast<size_t>(row + slot - first) * frequencies_.size();
    for (size_t j = 0; j < frequencies_.size(); ++j) {
      int64_t position = slot;
      if (positions != nullptr) {
        const auto& axis = positions->axes[static_cast<size_t>(axes_[j])];
        position = slot < positions->size() ? axis[static_cast<size_t>(slot)]
                                            : slot + positions->delta;
      }
      PutAngle(frequencies_[j] * static_cast<float>(position), at + j, table);
    }
  }
}

RopeTable MakeTextRope(const TextConfig& config, const RopePositions& positions, int64_t first,
                       int64_t count) {
  const TextRope rope(config);
  RopeTable table;
  rope.Resize(count, &table);
  rope.Fill(&positions, first, count, 0, &table);
  return table;
}

RopeTable MakeVisionRope(int64_t head_dim, int64_t merge, std::span<const GridThw> grids) {
  const int64_t half = head_dim / 2, quarter = half / 2;
  const std::vector<float> frequencies = InverseFrequencies(10000.0, half, quarter);
  int64_t n_patches = 0;
  for (const GridThw& grid : grids) n_patches += grid[0] * grid[1] * grid[2];
  RopeTable table = EmptyTable(n_patches, half);
  size_t at = 0;
  const auto put = [&](int64_t coordinate) {
    for (const float frequency : frequencies)
      PutAngle(static_cast<float>(coordinate) * frequency, at++, &table);
  };
  for (const GridThw& grid : grids) {
    for (int64_t frame = 0; frame < grid[0]; ++frame) {
      for (int64_t block_row = 0; block_row < grid[1]; block_row += merge) {
        for (int64_t block_col = 0; block_col < grid[2]; block_col += merge) {
          for (int64_t i = 0; i < merge * merge; ++i) {
            put(block_row + i / merge);
            put(block_col + i % merge);
          }
        }
      }
    }
  }
  return table;
}

}  // namespace ingot
