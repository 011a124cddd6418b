// SPDX-License-Identifier: Apache-2.0
// One vision block and one decoder layer.
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "bench/cases.h"
#include "checkpoint/synth.h"
#include "model/kv_cache.h"

namespace ingot::bench {
namespace {

RunContext Bf16Context() { return {.precision = Precision::kBF16, .observe = {}, .hook = {}}; }

Case VisionBlockCase(const std::string& shape, const ModelConfig& config, WeightKind kind,
                     int64_t side) {
  const GridThw grid = {1, side, side};
  const VisionLayout layout = MakeVisionLayout(config.vision, {&grid, 1});
  struct State {
    VisionBlock block;
    VisionLayout layout;
    std::vector<float> start, hidden;
  };
  const int64_t pixels = side * config.vision.patch;
  return {
      .name = fmt::format("vision {} block {} {}x{}", shape, WeightKindName(kind), pixels, pixels),
      .unit = "s",
      .steps = VisionBlockWork(config.vision, VisionLinearsOf(config, kind), layout),
      .prepare = [=]() -> Job {
        auto state = std::make_shared<State>();
        state->block = RandomVisionBlock(config, kind);
        state->layout = layout;
        state->start = RandomFloats(layout.n_patches * config.vision.hidden, 1);
        return [state, config] {
          state->hidden = state->start;
          RunVisionBlock(config.vision, state->block, state->layout, state->hidden.data(),
                         Bf16Context());
        };
      }};
}

// Positions 0 to n - 1 on all axes.
RopePositions Positions(int64_t n) {
  RopePositions positions;
  for (auto& axis : positions.axes) {
    for (int64_t i = 0; i < n; ++i) axis.push_back(static_cast<int32_t>(i));
  }
  return positions;
}

struct LayerState {
  TextConfig config;
  std::vector<DecoderLayer> layers;
  std::vector<KvLayer> caches;  // one per layer, `past` tokens before and after each run
  RopeTable rope;
  std::vector<float> start, hidden;
  int64_t n = 0, past = 0;
  size_t next = 0;

  void Run() {
    hidden = start;
    RunDecoderLayer(config, layers[next], rope, hidden.data(), n, &caches[next], Bf16Context());
    caches[next].Truncate(past);
    next = (next + 1) % layers.size();
  }
};

Case DecoderLayerCase(const std::string& bench, const std::string& shape, const ModelConfig& config,
                      WeightKind kind, int64_t n, int64_t past) {
  const std::vector<Work> steps =
      DecoderLayerWork(config.text, DecoderLinearsOf(config, kind), n, past);
  const double bytes = Sum(steps).bytes;
  const double walk = static_cast<double>(StreamBytes()) / (n == 1 ? 1 : 4);
  const int copies = 1 + static_cast<int>(std::min(walk / bytes, 127.0));
  return {.name = fmt::format("{} {} layer {} n={} past={}", bench, shape, WeightKindName(kind), n,
                              past),
          .unit = "s",
          .steps = steps,
          .prepare = [=]() -> Job {
            auto state = std::make_shared<LayerState>();
            state->config = config.text;
            state->n = n;
            state->past = past;
            state->rope = MakeTextRope(config.text, Positions(past + n), past, n);
            state->start = RandomFloats(n * config.text.hidden, 1);
            const int64_t kv_width = config.text.n_kv_heads * config.text.head_dim;
            const std::vector<float> rows = RandomFloats(past * kv_width, 2);
            for (int copy = 0; copy < copies; ++copy) {
              state->layers.push_back(RandomDecoderLayer(config, kind));
              state->caches.emplace_back(config.text.n_kv_heads, config.text.head_dim,
                                         Precision::kBF16);
              if (past > 0) state->caches.back().Append(rows.data(), rows.data(), past);
            }
            return [state] { state->Run(); };
          }};
}

std::vector<Case> LayerCases(const std::string& bench, const CaseOptions& options,
                             std::initializer_list<std::pair<int64_t, int64_t>> sizes) {
  const ModelConfig config = SynthConfig({.shape = options.shape});
  std::vector<Case> cases;
  for (const WeightKind kind : options.weights) {
    for (const auto& [n, past] : sizes)
      cases.push_back(DecoderLayerCase(bench, options.shape, config, kind, n, past));
  }
  return cases;
}

}  // namespace

std::vector<Case> VisionCases(const CaseOptions& options) {
  const ModelConfig config = SynthConfig({.shape = options.shape});
  std::vector<Case> cases;
  for (const WeightKind kind : options.weights) {
    // The formats that this program writes have no static scales for the tower.
    if (kind == WeightKind::kStatic) continue;
    for (const int64_t side : {448, 1024})
      cases.push_back(VisionBlockCase(options.shape, config, kind, side / config.vision.patch));
  }
  return cases;
}

std::vector<Case> PrefillCases(const CaseOptions& options) {
  return LayerCases("prefill", options, {{512, 0}, {512, 1536}});
}

std::vector<Case> DecodeCases(const CaseOptions& options) {
  return LayerCases("decode", options, {{1, 128}, {1, 4096}});
}

}  // namespace ingot::bench
