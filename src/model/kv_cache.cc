// SPDX-License-Identifier: Apache-2.0
#include "model/kv_cache.h"

#include <algorithm>

#include "base/numeric.h"
#include "base/thread_pool.h"
#include "kernels/kernels.h"

namespace ingot {
namespace {

constexpr int64_t kBlock = kAttentionKeyBlock;

void Convert(float value, float* out) { *out = value; }
void Convert(float value, uint16_t* out) { *out = F32ToBf16(value); }

template <typename Heads>
void ForEachHead(Heads* heads, const auto& body) {
  ParallelFor(heads->size(), 1, [&](size_t begin, size_t end) {
    for (size_t head = begin; head < end; ++head) body(head, &(*heads)[head]);
  });
}

}  // namespace

KvLayer::KvLayer(int64_t n_kv_heads, int64_t head_dim, Precision precision)
    : n_kv_heads_(n_kv_heads), head_dim_(head_dim), precision_(precision) {
  const size_t heads = static_cast<size_t>(n_kv_heads);
  if (precision == Precision::kF32) {
    f32_.resize(heads);
  } else {
    bf16_.resize(heads);
  }
}

template <typename T>
void KvLayer::Store(Head<T>* head, const float* k, const float* v, int64_t n_tokens) {
  const int64_t total = size_ + n_tokens, blocks = (total + kBlock - 1) / kBlock;
  head->keys.resize(static_cast<size_t>(blocks * kBlock * head_dim_));
  head->values.resize(static_cast<size_t>(total * head_dim_));
  const int64_t stride = n_kv_heads_ * head_dim_;
  for (int64_t i = 0; i < n_tokens; ++i) {
    const int64_t slot = size_ + i;
    T* key = head->keys.data() + slot / kBlock * kBlock * head_dim_ + slot % kBlock;
    T* value = head->values.data() + slot * head_dim_;
    for (int64_t d = 0; d < head_dim_; ++d) {
      Convert(k[i * stride + d], key + d * kBlock);
      Convert(v[i * stride + d], value + d);
    }
  }
}

void KvLayer::Append(const float* k, const float* v, int64_t n_tokens) {
  const auto store = [&](size_t head, auto* to) {
    const int64_t offset = static_cast<int64_t>(head) * head_dim_;
    Store(to, k + offset, v + offset, n_tokens);
  };
  ForEachHead(&f32_, store);
  ForEachHead(&bf16_, store);
  size_ += n_tokens;
}

void KvLayer::Truncate(int64_t size) { size_ = std::min(size_, size); }

std::vector<const void*> KvLayer::Keys() const {
  std::vector<const void*> keys;
  for (const auto& head : f32_) keys.push_back(head.keys.data());
  for (const auto& head : bf16_) keys.push_back(head.keys.data());
  return keys;
}

std::vector<const void*> KvLayer::Values() const {
  std::vector<const void*> values;
  for (const auto& head : f32_) values.push_back(head.values.data());
  for (const auto& head : bf16_) values.push_back(head.values.data());
  return values;
}

int64_t KvLayer::bytes() const {
  size_t total = 0;
  for (const auto& head : f32_)
    total += (head.keys.capacity() + head.values.capacity()) * sizeof(float);
  for (const auto& head : bf16_)
    total += (head.keys.capacity() + head.values.capacity()) * sizeof(uint16_t);
  return static_cast<int64_t>(total);
}

KvCache::KvCache(const TextConfig& config, Precision precision) {
  for (int64_t layer = 0; layer < config.n_layers; ++layer)
    layers_.emplace_back(config.n_kv_heads, config.head_dim, precision);
}

void KvCache::Truncate(int64_t size) {
  for (KvLayer& layer : layers_) layer.Truncate(size);
}

int64_t KvCache::bytes() const {
  int64_t total = 0;
  for (const KvLayer& layer : layers_) total += layer.bytes();
  return total;
}

}  // namespace ingot
