// SPDX-License-Identifier: Apache-2.0
#include "quant/cost.h"

namespace ingot {

double VisionBlockFlops(const VisionConfig& config, int64_t n_patches) {
  const double n = static_cast<double>(n_patches), d = static_cast<double>(config.hidden);
  const double m = static_cast<double>(config.intermediate);
  return 2 * n * (4 * d * d + 2 * d * m) + 4 * n * n * d;
}

double MergerFlops(const VisionConfig& config, int64_t n_patches) {
  const double tokens = static_cast<double>(n_patches) / static_cast<double>(config.merge * config.merge);
  const double wide = static_cast<double>(config.hidden * config.merge * config.merge);
  return 2 * tokens * (wide * wide + wide * static_cast<double>(config.out_hidden));
}

double TextLayerFlops(const TextConfig& config, int64_t n_tokens) {
  const double t = static_cast<double>(n_tokens), h = static_cast<double>(config.hidden);
  const double q = static_cast<double>(config.n_heads * config.head_dim);
  const double kv = static_cast<double>(config.n_kv_heads * config.head_dim);
  const double linears = 2 * h * q + 2 * h * kv + 3 * h * static_cast<double>(config.intermediate);
  return 2 * t * linears + 2 * t * (t + 1) * q;
}

uint64_t TextLayerBytes(const TextConfig& config) {
  const int64_t q = config.n_heads * config.head_dim, kv = config.n_kv_heads * config.head_dim;
  const int64_t weights = 2 * config.hidden * q + 2 * config.hidden * kv + 3 * config.hidden * config.intermediate;
  return static_cast<uint64_t>(2 * weights);
}

}  // namespace ingot
