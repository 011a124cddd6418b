// SPDX-License-Identifier: Apache-2.0
// Attention over all threads: the queries of each key/value head are cut into blocks of rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace ingot {

struct AttentionJob {
  size_t n_queries = 0;  // tokens
  size_t n_kv_heads = 0;
  size_t group = 1;  // query heads per key/value head; query head = kv head * group + g
  size_t head_dim = 0;
  const float* q = nullptr;  // token t, head h at q + t * q_stride + h * head_dim
  size_t q_stride = 0;
  float* out = nullptr;  // same layout
  size_t out_stride = 0;
  std::span<const void* const> keys;    // per kv head: [blocks of 16][head_dim][16]
  std::span<const void* const> values;  // per kv head: [n_keys][head_dim]
  bool bf16 = false;                    // keys and values are bfloat16 bits, else float32
  size_t n_keys = 0;
  bool causal = false;  // query t sees keys [0, n_keys - n_queries + t], else all
  float scale = 1.0f;
};
void RunAttention(const AttentionJob& job);

// rows [n_keys][head_dim] (row stride `stride`) -> blocks [n_keys / 16, rounded up][head_dim][16].
void PackKeys(const float* rows, size_t stride, size_t n_keys, size_t head_dim, float* blocks);

}  // namespace ingot
