// SPDX-License-Identifier: Apache-2.0
// Attention alone: keys and values already in the layout that the kernel reads.
#include <fmt/format.h>

#include <cmath>
#include <memory>

#include "bench/cases.h"
#include "checkpoint/synth.h"
#include "kernels/attention.h"

namespace ingot::bench {
namespace {

size_t Size(int64_t value) { return static_cast<size_t>(value); }

struct Shape {
  int64_t n_queries, n_keys, n_heads, n_kv_heads, head_dim;
  bool causal;
  KvType type = KvType::kBF16;
};

// Queries and caches; the caches are used in turn.
struct State {
  Shape shape;
  std::vector<float> q, out;  // [n_queries, n_heads, head_dim]
  std::vector<AttentionPages> layers;
  size_t next = 0;
};

void Attend(State* state, const AttentionPages& kv) {
  const Shape& shape = state->shape;
  const size_t width = Size(shape.n_heads * shape.head_dim);
  const AttentionJob job{.layout = kv.layout(),
                         .pages = kv.pages(),
                         .n_queries = Size(shape.n_queries),
                         .group = Size(shape.n_heads / shape.n_kv_heads),
                         .q = state->q.data(),
                         .q_stride = width,
                         .out = state->out.data(),
                         .out_stride = width,
                         .n_keys = Size(shape.n_keys),
                         .causal = shape.causal,
                         .scale = 1.0f / std::sqrt(static_cast<float>(shape.head_dim))};
  RunAttention({&job, 1});
}

size_t LayerBytes(const Shape& shape) {
  const AttentionLayout layout{.n_kv_heads = Size(shape.n_kv_heads),
                               .head_dim = Size(shape.head_dim),
                               .type = shape.type};
  return layout.Bytes() * ((Size(shape.n_keys) + kAttentionPage - 1) / kAttentionPage);
}

// One token walks over the caches of many layers; many tokens stay on one.
Job Prepare(const Shape& shape) {
  auto state = std::make_shared<State>();
  state->shape = shape;
  state->q = RandomFloats(shape.n_queries * shape.n_heads * shape.head_dim, 1);
  state->out.resize(state->q.size());
  const int64_t width = shape.n_kv_heads * shape.head_dim;
  const std::vector<float> rows = RandomFloats(shape.n_keys * width, 2);
  const int64_t walk = shape.n_queries == 1 ? static_cast<int64_t>(StreamBytes()) : 0;
  for (int64_t bytes = 0; bytes <= walk; bytes += static_cast<int64_t>(LayerBytes(shape))) {
    AttentionPages& layer = state->layers.emplace_back();
    layer.Reset({.n_kv_heads = Size(shape.n_kv_heads), .head_dim = Size(shape.head_dim), .type = shape.type},
                Size(shape.n_keys));
    const AttentionStore store{.layout = layer.layout(),
                               .pages = layer.pages(),
                               .n = Size(shape.n_keys),
                               .k = rows.data(),
                               .v = rows.data(),
                               .stride = Size(width)};
    RunStores({&store, 1});
  }
  return [state] {
    Attend(state.get(), state->layers[state->next]);
    state->next = (state->next + 1) % state->layers.size();
  };
}

Case AttentionCase(const std::string& name, const Shape& shape) {
  const Work work = AttentionWork(shape.n_queries, shape.n_keys, shape.n_heads, shape.n_kv_heads,
                                  shape.head_dim, shape.causal, shape.type);
  const bool decode = shape.n_queries == 1;
  return {.name = "attention " + name,
          .unit = decode ? "GB/s" : "TFLOP/s",
          .amount = decode ? work.bytes / 1e9 : work.bf16_ops / 1e12,
          .steps = {work},
          .prepare = [=] { return Prepare(shape); }};
}

}  // namespace

std::vector<Case> AttentionCases(const CaseOptions& options) {
  std::vector<Case> cases;
  // Patches of one picture among themselves; the tower has one key/value head per query head.
  for (const int64_t head_dim : {64, 72, 80}) {
    for (const int64_t n : {784, 3072}) {
      cases.push_back(AttentionCase(fmt::format("vision d={} n={}", head_dim, n),
                                    {n, n, 16, 16, head_dim, false}));
    }
  }
  // Tokens of a sequence against its cache.
  const TextConfig config = SynthConfig({.shape = options.shape}).text;
  for (const KvType type : {KvType::kBF16, KvType::kInt8}) {
    for (const auto& [n_queries, n_keys] : {std::pair{512, 512},
                                            {512, 2048},
                                            {2048, 2048},
                                            {1, 1024},
                                            {1, 4096},
                                            {1, 16384},
                                            {1, 32768}}) {
      cases.push_back(AttentionCase(
          fmt::format("{} {}{} d={} n={} keys={}", n_queries == 1 ? "decode" : "prefill",
                      options.shape, type == KvType::kInt8 ? " int8" : "", config.head_dim,
                      n_queries, n_keys),
          {n_queries, n_keys, config.n_heads, config.n_kv_heads, config.head_dim, true, type}));
    }
  }
  return cases;
}

}  // namespace ingot::bench
