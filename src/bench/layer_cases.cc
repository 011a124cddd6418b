// SPDX-License-Identifier: Apache-2.0
// One vision block and one decoder layer.
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "bench/cases.h"
#include "checkpoint/synth.h"
#include "model/kv_pool.h"

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
  std::unique_ptr<KvPool> pool;
  std::unique_ptr<KvSequence> sequence;  // `past` tokens before and after each run
  LayerWorkspace workspace;
  RopeTable rope;
  std::vector<float> start, hidden;
  int64_t n = 0, past = 0;
  size_t next = 0;

  LayerKv Kv(size_t layer, std::span<const SequenceRows> rows) const {
    return {.layout = pool->layout(), .offset = layer * pool->layout().Bytes(), .sequences = rows};
  }
  // Pages for past + n tokens in every layer, the past ones filled.
  void FillCache() {
    TextConfig deep = config;
    deep.n_layers = static_cast<int64_t>(layers.size());
    pool = std::make_unique<KvPool>(deep, KvType::kBF16);
    sequence = std::make_unique<KvSequence>(pool.get());
    sequence->Reserve(past + n);
    const int64_t width = config.n_kv_heads * config.head_dim;
    const std::vector<float> rows = RandomFloats(past * width, 2);
    for (size_t layer = 0; layer < layers.size(); ++layer) {
      const AttentionStore store{.layout = pool->layout(),
                                 .pages = sequence->data(),
                                 .offset = layer * pool->layout().Bytes(),
                                 .n = static_cast<size_t>(past),
                                 .k = rows.data(),
                                 .v = rows.data(),
                                 .stride = static_cast<size_t>(width)};
      RunStores({&store, 1});
    }
  }

  void Run() {
    hidden = start;
    const SequenceRows rows{.n = n, .past = past, .pages = sequence->data()};
    RunDecoderLayer(config, layers[next], rope, hidden.data(), n, Kv(next, {&rows, 1}), &workspace,
                    Bf16Context());
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
            for (int copy = 0; copy < copies; ++copy)
              state->layers.push_back(RandomDecoderLayer(config, kind));
            state->FillCache();
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
