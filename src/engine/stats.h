// SPDX-License-Identifier: Apache-2.0
// What the engine counts. Names and bucket edges: vllm-project/vllm: vllm/v1/metrics/loggers.py.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

namespace ingot {

// counts[i]: observations in (edges[i - 1], edges[i]]; the last one is what lies above all edges.
struct Histogram {
  Histogram() = default;
  explicit Histogram(std::vector<double> upper_edges)
      : edges(std::move(upper_edges)), counts(edges.size() + 1) {}
  void Add(double value);
  uint64_t total() const;
  std::vector<double> edges;
  std::vector<uint64_t> counts;
  double sum = 0;
};

struct EngineHistograms {
  explicit EngineHistograms(int64_t max_model_len = 32768);
  // Seconds.
  Histogram time_to_first_token, inter_token, time_per_output_token;  // the last: mean of a request
  Histogram e2e, queue, inference, prefill, decode;
  // Tokens (params_n: choices).
  Histogram prompt_tokens, generation_tokens, max_generation_tokens, params_max_tokens, params_n;
  Histogram iteration_tokens;
};

// Answers, by what was wrong with them.
struct GarbageCounts {
  uint64_t bad_logits = 0;      // NaN or infinite logits
  uint64_t repetition = 0;      // ran in a circle
  uint64_t entropy = 0;         // the next token was nearly arbitrary
  uint64_t broken_utf8 = 0;     // much broken UTF-8
  uint64_t control_tokens = 0;  // many control tokens
  uint64_t scripts = 0;         // letters of many writing systems alternate
  uint64_t requests = 0;        // answers with at least one of these
  uint64_t requests_ended = 0;  // answers ended early for it
};

// One consistent picture. Counters only grow.
struct EngineStats {
  // Now.
  int64_t running = 0, waiting = 0;  // choices in the batch, requests in the queue
  int64_t kv_pages = 0, kv_pages_used = 0, kv_pages_cached = 0;  // cached ones count as free
  int64_t picture_cache_bytes = 0, picture_cache_entries = 0;
  double KvUsage() const;  // 0 to 1
  // Since the start.
  uint64_t prefix_queries = 0, prefix_hits = 0;    // tokens
  uint64_t picture_queries = 0, picture_hits = 0;  // pictures
  uint64_t preemptions = 0;
  uint64_t prompt_tokens = 0, generation_tokens = 0, cached_prompt_tokens = 0;
  uint64_t ended_stop = 0, ended_length = 0, ended_abort = 0, ended_error = 0;  // choices
  uint64_t steps = 0;
  double busy_seconds = 0;           // in steps and vision slices
  double model_seconds = 0;          // of these in the model itself; the rest is the engine's
  double longest_slice_seconds = 0;  // longest piece of work between two looks at running streams
  GarbageCounts garbage;
  EngineHistograms histograms;
};

}  // namespace ingot
