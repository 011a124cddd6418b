// SPDX-License-Identifier: Apache-2.0
// Attention alone: keys and values already in the layout that the kernel reads.
#include <fmt/format.h>

#include <cmath>
#include <memory>

#include "bench/cases.h"
#include "checkpoint/synth.h"
#include "kernels/attention.h"
#include "kernels/kernels.h"
#include "model/kv_cache.h"

namespace ingot::bench {
namespace {

size_t Size(int64_t value) { return static_cast<size_t>(value); }

struct Shape {
  int64_t n_queries, n_keys, n_heads, n_kv_heads, head_dim;
  bool causal;
};

Case AttentionCase(const std::string& name, const Shape& shape, std::function<Job()> prepare) {
  const Work work = AttentionWork(shape.n_queries, shape.n_keys, shape.n_heads, shape.n_kv_heads,
                                  shape.head_dim, shape.causal);
  const bool decode = shape.n_queries == 1;
  return {.name = name,
          .unit = decode ? "GB/s" : "TFLOP/s",
          .amount = decode ? work.bytes / 1e9 : work.bf16_ops / 1e12,
          .steps = {work},
          .prepare = std::move(prepare)};
}

AttentionJob JobOf(const Shape& shape, const std::vector<float>& q, std::vector<float>* out) {
  const size_t width = Size(shape.n_heads * shape.head_dim);
  return {.n_queries = Size(shape.n_queries),
          .n_kv_heads = Size(shape.n_kv_heads),
          .group = Size(shape.n_heads / shape.n_kv_heads),
          .head_dim = Size(shape.head_dim),
          .q = q.data(),
          .q_stride = width,
          .out = out->data(),
          .out_stride = width,
          .n_keys = Size(shape.n_keys),
          .causal = shape.causal,
          .scale = 1.0f / std::sqrt(static_cast<float>(shape.head_dim))};
}

// Patches of one picture among themselves; one key/value head per query head, as the tower has it.
Case VisionCase(int64_t head_dim, int64_t n) {
  const Shape shape{n, n, 16, 16, head_dim, false};
  struct State {
    std::vector<float> q, out, keys, values;
    std::vector<const void*> key_heads, value_heads;
  };
  return AttentionCase(fmt::format("attention vision d={} n={}", head_dim, n), shape, [=]() -> Job {
    auto state = std::make_shared<State>();
    const int64_t all = n * 16 * head_dim, packed = (n + int64_t{kAttentionKeyBlock} - 1) /
                                                    int64_t{kAttentionKeyBlock} *
                                                    int64_t{kAttentionKeyBlock} * head_dim;
    state->q = RandomFloats(all, 1);
    state->values = RandomFloats(all, 2);
    state->out.resize(Size(all));
    state->keys.resize(Size(16 * packed));
    const std::vector<float> rows = RandomFloats(n * head_dim, 3);
    for (int64_t head = 0; head < 16; ++head) {
      PackKeys(rows.data(), Size(head_dim), Size(n), Size(head_dim),
               state->keys.data() + head * packed);
      state->key_heads.push_back(state->keys.data() + head * packed);
      state->value_heads.push_back(state->values.data() + head * n * head_dim);
    }
    return [state, shape] {
      AttentionJob job = JobOf(shape, state->q, &state->out);
      job.keys = state->key_heads;
      job.values = state->value_heads;
      RunAttention(job);
    };
  });
}

// Tokens of a sequence against its cache. Decoding walks over the caches of many layers.
Case TextCase(const std::string& name, const TextConfig& config, int64_t n_queries,
              int64_t n_keys) {
  const Shape shape{n_queries, n_keys, config.n_heads, config.n_kv_heads, config.head_dim, true};
  struct State {
    std::vector<float> q, out;
    std::vector<KvLayer> layers;
    size_t next = 0;
  };
  return AttentionCase(name, shape, [=]() -> Job {
    auto state = std::make_shared<State>();
    state->q = RandomFloats(n_queries * shape.n_heads * shape.head_dim, 1);
    state->out.resize(state->q.size());
    const int64_t width = shape.n_kv_heads * shape.head_dim;
    const std::vector<float> rows = RandomFloats(n_keys * width, 2);
    const int64_t walk = n_queries == 1 ? static_cast<int64_t>(StreamBytes()) : 0;
    for (int64_t bytes = 0; bytes <= walk; bytes += 4 * n_keys * width) {
      KvLayer layer(shape.n_kv_heads, shape.head_dim, Precision::kBF16);
      layer.Append(rows.data(), rows.data(), n_keys);
      state->layers.push_back(std::move(layer));
    }
    return [state, shape] {
      const KvLayer& layer = state->layers[state->next];
      state->next = (state->next + 1) % state->layers.size();
      const std::vector<const void*> keys = layer.Keys(), values = layer.Values();
      AttentionJob job = JobOf(shape, state->q, &state->out);
      job.keys = keys;
      job.values = values;
      job.bf16 = true;
      RunAttention(job);
    };
  });
}

}  // namespace

std::vector<Case> AttentionCases(const CaseOptions& options) {
  std::vector<Case> cases;
  for (const int64_t head_dim : {64, 72, 80}) {
    for (const int64_t n : {784, 3072}) cases.push_back(VisionCase(head_dim, n));
  }
  const TextConfig config = SynthConfig({.shape = options.shape}).text;
  for (const auto& [n_queries, n_keys] : {std::pair{512, 512}, {512, 2048}, {1, 1024}, {1, 4096}}) {
    const char* what = n_queries == 1 ? "decode" : "prefill";
    cases.push_back(TextCase(fmt::format("attention {} {} d={} n={} keys={}", what, options.shape,
                                         config.head_dim, n_queries, n_keys),
                             config, n_queries, n_keys));
  }
  return cases;
}

}  // namespace ingot::bench
