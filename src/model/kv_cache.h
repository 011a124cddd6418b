// SPDX-License-Identifier: Apache-2.0
// Keys and values of one sequence, in pages of 256 tokens (kernels/attention.h): growing moves
// nothing and takes no more memory than the tokens need, rounded up to a page.
#pragma once

#include <cstdint>
#include <vector>

#include "checkpoint/config.h"
#include "kernels/attention.h"
#include "model/observe.h"

namespace ingot {

// One layer. A token's slot is its index in the sequence.
class KvLayer {
 public:
  KvLayer(int64_t n_kv_heads, int64_t head_dim, Precision precision);
  int64_t size() const { return size_; }
  // k, v: [n_tokens, n_kv_heads, head_dim], keys already rotated.
  void Append(const float* k, const float* v, int64_t n_tokens);
  void Truncate(int64_t size);  // forget tokens from `size` on
  const AttentionPages& pages() const { return pages_; }
  int64_t bytes() const { return static_cast<int64_t>(pages_.bytes()); }

 private:
  int64_t size_ = 0;
  AttentionPages pages_;
};

class KvCache {
 public:
  KvCache(const TextConfig& config, Precision precision);
  int64_t size() const { return layers_.empty() ? 0 : layers_.front().size(); }
  KvLayer* layer(int64_t index) { return &layers_[static_cast<size_t>(index)]; }
  void Truncate(int64_t size);
  int64_t bytes() const;

 private:
  std::vector<KvLayer> layers_;
};

}  // namespace ingot
