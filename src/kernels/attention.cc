// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention.h"

#include <algorithm>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/kernels.h"

namespace ingot {
namespace {

// Rows [begin, end) of one kv head; row = token * group + g, so that neighbours see almost the same
// keys.
void RunRows(const AttentionJob& job, size_t head, size_t begin, size_t end,
             std::vector<float>* scratch) {
  const float* q[kAttentionRows];
  float* out[kAttentionRows];
  int32_t n_keys[kAttentionRows];
  size_t most = 0;
  for (size_t row = begin; row < end; ++row) {
    const size_t token = row / job.group,
                 offset = (head * job.group + row % job.group) * job.head_dim, i = row - begin;
    q[i] = job.q + token * job.q_stride + offset;
    out[i] = job.out + token * job.out_stride + offset;
    const size_t visible = job.causal ? job.n_keys - job.n_queries + token + 1 : job.n_keys;
    n_keys[i] = static_cast<int32_t>(visible);
    most = std::max(most, visible);
  }
  const size_t need = (end - begin) * AttentionScratchStride(most);
  if (scratch->size() < need) scratch->resize(need);
  const AttentionArgs args = {.n_rows = end - begin,
                              .q = q,
                              .out = out,
                              .n_keys = n_keys,
                              .head_dim = job.head_dim,
                              .scale = job.scale,
                              .keys = job.keys[head],
                              .values = job.values[head],
                              .scratch = scratch->data()};
  (job.bf16 ? Kernels().attention_bf16 : Kernels().attention_f32)(args);
}

}  // namespace

void RunAttention(const AttentionJob& job) {
  if (job.n_queries == 0) return;
  const size_t rows = job.n_queries * job.group;
  const size_t blocks = (rows + kAttentionRows - 1) / kAttentionRows;
  // Item = block * heads + head: the long blocks at the end of a causal sequence are dealt out to
  // all threads in turn only if items are interleaved, so each part takes every n-th item.
  const size_t items = blocks * job.n_kv_heads;
  const size_t parts = std::min(items, static_cast<size_t>(NumThreads()));
  ParallelFor(parts, 1, [&](size_t first, size_t last) {
    std::vector<float> scratch;
    for (size_t part = first; part < last; ++part) {
      for (size_t item = part; item < items; item += parts) {
        const size_t block = item / job.n_kv_heads, head = item % job.n_kv_heads;
        RunRows(job, head, block * kAttentionRows, std::min(rows, (block + 1) * kAttentionRows),
                &scratch);
      }
    }
  });
}

void PackKeys(const float* rows, size_t stride, size_t n_keys, size_t head_dim, float* blocks) {
  for (size_t first = 0; first < n_keys; first += kAttentionKeyBlock) {
    float* block = blocks + first * head_dim;
    const size_t count = std::min(kAttentionKeyBlock, n_keys - first);
    for (size_t d = 0; d < head_dim; ++d) {
      for (size_t i = 0; i < kAttentionKeyBlock; ++i) {
        block[d * kAttentionKeyBlock + i] = i < count ? rows[(first + i) * stride + d] : 0.0f;
      }
    }
  }
}

}  // namespace ingot
