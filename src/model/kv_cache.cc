// SPDX-License-Identifier: Apache-2.0
#include "model/kv_cache.h"

#include <algorithm>

namespace ingot {

KvLayer::KvLayer(int64_t n_kv_heads, int64_t head_dim, Precision precision)
    : pages_({.n_kv_heads = static_cast<size_t>(n_kv_heads),
              .head_dim = static_cast<size_t>(head_dim),
              .bf16 = precision == Precision::kBF16}) {}

void KvLayer::Append(const float* k, const float* v, int64_t n_tokens) {
  const AttentionLayout& layout = pages_.layout();
  pages_.Store(static_cast<size_t>(size_), k, v, layout.n_kv_heads * layout.head_dim,
               static_cast<size_t>(n_tokens));
  size_ += n_tokens;
}

void KvLayer::Truncate(int64_t size) { size_ = std::min(size_, size); }

KvCache::KvCache(const TextConfig& config, Precision precision) {
  layers_.reserve(static_cast<size_t>(config.n_layers));
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
