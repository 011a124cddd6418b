// SPDX-License-Identifier: Apache-2.0
// How the serving engine runs, and what the machine's memory is spent on.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace ingot {

enum class SchedulingPolicy { kFcfs, kPriority };

struct ServeOptions {
  int64_t max_model_len = 0;              // 0: what model and memory allow
  int64_t max_num_seqs = 64;              // choices in one batch
  int64_t max_num_batched_tokens = 2048;  // of one step
  // Prompt tokens of one step while other streams are running, adapted so that a step takes about
  // max_stall_ms at most; 0: chosen by measured speed.
  int64_t prefill_chunk = 0;
  int64_t max_stall_ms = 500;           // bound of one prefill chunk or vision slice
  int64_t max_waiting = 1024;           // requests in the queue
  int64_t max_waiting_bytes = 1 << 30;  // of their pictures (one may always wait)
  SchedulingPolicy policy = SchedulingPolicy::kFcfs;
  bool prefix_caching = true;
  double memory_utilization = 0.9;  // of the smaller of RAM and cgroup limit
  std::optional<int64_t> kv_bytes;  // instead of the arithmetic
  int64_t picture_cache_bytes = 256 << 20;
  bool deterministic = false;  // only said: results never depend on the batch anyway
  // Garbage watch: counted and logged always (unless off); ends the answer with an error on wish.
  bool watch_garbage = true;
  bool end_garbage = false;
};

// Bytes. `kv_pages` of `page_tokens` tokens each are what is left after the rest.
struct MemoryPlan {
  int64_t machine = 0;    // RAM or cgroup limit, the smaller one
  int64_t budget = 0;     // utilization * machine
  int64_t weights = 0;    // mapped or packed
  int64_t workspace = 0;  // activations of the largest step, logits
  int64_t pictures = 0;   // picture cache
  int64_t kv = 0;
  int64_t others = 0;     // everything of other models in this process
  int64_t kv_token = 0;  // bytes of one token
  int64_t kv_pages = 0, page_tokens = 0;
  double SequencesOf(int64_t n_tokens) const;  // how many of this length fit at once
  std::string Describe() const;                // lines for people
};

}  // namespace ingot
