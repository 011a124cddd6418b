// SPDX-License-Identifier: Apache-2.0
// Attention over all threads: the queries of each key/value head are cut into blocks of rows, the
// keys into blocks of kAttentionBlock, whose results are put together in their order. Keys and values
// lie in pages (AttentionArgs in kernels/kernels.h). A page holds kAttentionPage tokens, of one layer
// or of several: each layer's part is the keys of all heads, then the values of all heads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/packed.h"

namespace ingot {

// How keys and values are kept: float32, pairs of bfloat16, or int8 codes with one scale for each
// token and head.
enum class KvType { kF32, kBF16, kInt8 };

// Keys that one call of a kernel takes. A row's result is made of the results of these blocks
// whoever computes them, so threads can share a long sequence.
inline constexpr size_t kAttentionBlock = 1024;
static_assert(kAttentionBlock % kAttentionTile == 0);

// What a layer's part of a page looks like.
struct AttentionLayout {
  size_t n_kv_heads = 0;
  size_t head_dim = 0;  // even
  KvType type = KvType::kF32;

  size_t KeyBytes() const;  // of one head, a multiple of 64
  size_t ValueBytes() const;
  size_t Bytes() const { return n_kv_heads * (KeyBytes() + ValueBytes()); }
};

// Puts tokens [first, first + n) of a sequence into its pages, over what may be there.
struct AttentionStore {
  AttentionLayout layout;
  std::byte* const* pages = nullptr;  // page i holds tokens [i, i + 1) * kAttentionPage
  size_t offset = 0;                  // bytes from the begin of a page to the layer's part
  size_t first = 0, n = 0;
  const float* k = nullptr;  // token t, head h at t * stride + h * head_dim
  const float* v = nullptr;
  size_t stride = 0;
};
void RunStores(std::span<const AttentionStore> stores);

// Pages of one layer for one row of tokens, used again and again: what has no cache.
class AttentionPages {
 public:
  // Pages for n tokens that all will be stored.
  void Reset(const AttentionLayout& layout, size_t n_tokens);
  const AttentionLayout& layout() const { return layout_; }
  std::byte* const* pages() const { return pages_.data(); }

 private:
  AttentionLayout layout_;
  Scratch bytes_;
  std::vector<std::byte*> pages_;
};

struct AttentionJob {
  AttentionLayout layout;
  const std::byte* const* pages = nullptr;
  size_t offset = 0;         // as in AttentionStore
  size_t n_queries = 0;      // tokens
  size_t group = 1;          // query heads per key/value head; query head = kv head * group + g
  const float* q = nullptr;  // token t, head h at q + t * q_stride + h * head_dim
  size_t q_stride = 0;
  float* out = nullptr;  // same layout
  size_t out_stride = 0;
  size_t n_keys = 0;
  bool causal = false;  // query t sees keys [0, n_keys - n_queries + t], else all
  float scale = 1.0f;   // > 0
};
// Jobs that do not depend on each other. Results do not depend on what else is in the call.
void RunAttention(std::span<const AttentionJob> jobs);

}  // namespace ingot
