// SPDX-License-Identifier: Apache-2.0
// Keys and values of one sequence. Keys are kept in blocks of 16 tokens, transposed inside ([head_dim][16]), so that the
// score kernel reads them without a shuffle for one query row as for many; values are rows.
#pragma once

#include <cstdint>
#include <vector>

#include "checkpoint/config.h"
#include "model/observe.h"

namespace ingot {

inline constexpr int64_t kKeyBlock = 16;

// One layer. Grows on demand; a token's slot is its index in the sequence.
class KvLayer {
 public:
  KvLayer(int64_t n_kv_heads, int64_t head_dim, Precision precision);
  int64_t size() const { return size_; }
  // k, v: [n_tokens, n_kv_heads, head_dim], keys already rotated.
  void Append(const float* k, const float* v, int64_t n_tokens);
  void Truncate(int64_t size);  // forget tokens behind `size`
  Precision precision() const { return precision_; }
  // Start of a head's keys ([blocks][head_dim][16]) and values ([capacity][head_dim]); float, or bfloat16 bits.
  const void* keys(int64_t head) const;
  const void* values(int64_t head) const;
  int64_t bytes() const;

 private:
  void Reserve(int64_t tokens);
  template <typename T>
  void Store(std::vector<T>& keys, std::vector<T>& values, const float* k, const float* v, int64_t n_tokens);
  int64_t n_kv_heads_, head_dim_, size_ = 0, capacity_ = 0;  // capacity is a multiple of kKeyBlock
  Precision precision_;
  std::vector<float> keys_f32_, values_f32_;
  std::vector<uint16_t> keys_bf16_, values_bf16_;
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
