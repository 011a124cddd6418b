// SPDX-License-Identifier: Apache-2.0
// Attention over all threads: the queries of each key/value head are cut into blocks of rows. Keys
// and values lie in pages (AttentionArgs in kernels/kernels.h); a page holds kAttentionPage tokens
// of all heads, head by head.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace ingot {

// What a page looks like.
struct AttentionLayout {
  size_t n_kv_heads = 0;
  size_t head_dim = 0;  // even
  bool bf16 = false;    // pairs of bfloat16 bits, else float32

  size_t KeyBytes() const;  // of one head in a page
  size_t ValueBytes() const;
};

// Keys and values of a growing row of tokens.
class AttentionPages {
 public:
  explicit AttentionPages(const AttentionLayout& layout) : layout_(layout) {}
  // Puts tokens [first, first + n) in their places (over what may be there); k, v: token t, head h
  // at t * stride + h * head_dim. first is at most the number of tokens put before.
  void Store(size_t first, const float* k, const float* v, size_t stride, size_t n);
  const AttentionLayout& layout() const { return layout_; }
  const void* const* keys() const { return key_list_.data(); }
  const void* const* values() const { return value_list_.data(); }
  size_t bytes() const;

 private:
  struct FreePage {
    void operator()(std::byte* p) const;
  };
  using Page = std::unique_ptr<std::byte[], FreePage>;  // at a multiple of 64
  Page NewPage(size_t head_bytes) const;
  AttentionLayout layout_;
  std::vector<Page> keys_, values_;
  std::vector<const void*> key_list_, value_list_;  // the same as the kernels take them
};

struct AttentionJob {
  AttentionLayout layout;
  size_t n_queries = 0;      // tokens
  size_t group = 1;          // query heads per key/value head; query head = kv head * group + g
  const float* q = nullptr;  // token t, head h at q + t * q_stride + h * head_dim
  size_t q_stride = 0;
  float* out = nullptr;  // same layout
  size_t out_stride = 0;
  const void* const* keys = nullptr;    // pages of KeyBytes() * n_kv_heads
  const void* const* values = nullptr;  // pages of ValueBytes() * n_kv_heads
  size_t n_keys = 0;
  bool causal = false;  // query t sees keys [0, n_keys - n_queries + t], else all
  float scale = 1.0f;   // > 0
};
// Jobs that do not depend on each other. Results do not depend on what else is in the call.
void RunAttention(std::span<const AttentionJob> jobs);

}  // namespace ingot
