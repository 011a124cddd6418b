// SPDX-License-Identifier: Apache-2.0
// Keys and values of one sequence. Keys are kept in blocks of 16 tokens, transposed inside
// ([head_dim][16]), so that the score kernel reads them without a shuffle for one query row as for
// many; values are rows.
#pragma once

#include <cstdint>
#include <vector>

#include "checkpoint/config.h"
#include "model/observe.h"

namespace ingot {

// One layer. Grows on demand; a token's slot is its index in the sequence.
class KvLayer {
 public:
  KvLayer(int64_t n_kv_heads, int64_t head_dim, Precision precision);
  int64_t size() const { return size_; }
  // k, v: [n_tokens, n_kv_heads, head_dim], keys already rotated.
  void Append(const float* k, const float* v, int64_t n_tokens);
  void Truncate(int64_t size);  // forget tokens from `size` on
  Precision precision() const { return precision_; }
  // Per head: keys [blocks of 16][head_dim][16], values [size][head_dim]; float, or bfloat16 bits.
  // Valid until Append.
  std::vector<const void*> Keys() const;
  std::vector<const void*> Values() const;
  int64_t bytes() const;

 private:
  template <typename T>
  struct Head {
    std::vector<T> keys, values;
  };
  template <typename T>
  void Store(Head<T>* head, const float* k, const float* v, int64_t n_tokens);
  int64_t n_kv_heads_, head_dim_, size_ = 0;
  Precision precision_;
  std::vector<Head<float>> f32_;      // one per head when kF32
  std::vector<Head<uint16_t>> bf16_;  // one per head when kBF16
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
