// SPDX-License-Identifier: Apache-2.0
// Order and definitions of the filters: huggingface/transformers:
// src/transformers/generation/{utils,logits_process}.py; presence and frequency penalty:
// vllm-project/vllm: vllm/model_executor/layers/utils.py (generated tokens only).
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/error.h"
#include "model/generate.h"

namespace ingot {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

void RequireRange(const char* name, double value, double low, double high) {
  if (!(value >= low && value <= high))
    throw UserError("{} {}: expected a number from {} to {}", name, value, low, high);
}

// Keeps scores that are not below the k-th largest one.
void KeepTopK(std::span<float> scores, int64_t k) {
  if (k <= 0 || k >= static_cast<int64_t>(scores.size())) return;
  std::vector<float> sorted(scores.begin(), scores.end());
  std::nth_element(sorted.begin(), sorted.begin() + (k - 1), sorted.end(), std::greater<>());
  const float smallest = sorted[static_cast<size_t>(k - 1)];
  for (float& score : scores) {
    if (score < smallest) score = kMinusInfinity;
  }
}

// Softmax in double; -infinity gives 0.
std::vector<double> Probabilities(std::span<const float> scores) {
  const double top = *std::max_element(scores.begin(), scores.end());
  std::vector<double> p(scores.size());
  double sum = 0;
  for (size_t i = 0; i < scores.size(); ++i)
    sum += p[i] = std::exp(static_cast<double>(scores[i]) - top);
  for (double& value : p) value /= sum;
  return p;
}

// Keeps the smallest set of most likely tokens whose probability reaches top_p.
void KeepTopP(std::span<float> scores, float top_p) {
  if (top_p >= 1.0f) return;
  const std::vector<double> p = Probabilities(scores);
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return p[a] > p[b]; });
  double before = 0;
  for (size_t rank = 0; rank < order.size(); ++rank) {
    if (rank > 0 && before >= static_cast<double>(top_p)) scores[order[rank]] = kMinusInfinity;
    before += p[order[rank]];
  }
}

void KeepMinP(std::span<float> scores, float min_p) {
  if (min_p <= 0.0f) return;
  const std::vector<double> p = Probabilities(scores);
  const double smallest = static_cast<double>(min_p) * *std::max_element(p.begin(), p.end());
  for (size_t i = 0; i < p.size(); ++i) {
    if (p[i] < smallest) scores[i] = kMinusInfinity;
  }
}

}  // namespace

void CheckSamplingParams(const SamplingParams& params) {
  RequireRange("temperature", params.temperature, 0, 100);
  RequireRange("top_p", params.top_p, 0, 1);
  RequireRange("min_p", params.min_p, 0, 1);
  RequireRange("top_k", static_cast<double>(params.top_k), 0, 1e9);
  RequireRange("repetition_penalty", params.repetition_penalty, 1e-3, 1e3);
  RequireRange("presence_penalty", params.presence_penalty, -1e3, 1e3);
  RequireRange("frequency_penalty", params.frequency_penalty, -1e3, 1e3);
}

Sampler::Sampler(const SamplingParams& params, std::span<const int32_t> prompt, int64_t vocab_limit)
    : params_(params), vocab_limit_(vocab_limit), random_(params.seed) {
  CheckSamplingParams(params);
  for (const int32_t token : prompt) MarkSeen(token);
}

void Sampler::MarkSeen(int32_t token) {
  if (token < 0) return;
  if (seen_.size() <= static_cast<size_t>(token)) seen_.resize(static_cast<size_t>(token) + 1);
  seen_[static_cast<size_t>(token)] = true;
}

void Sampler::Accept(int32_t token) {
  MarkSeen(token);
  ++output_counts_[token];
}

void Sampler::ApplyPenalties(std::span<float> scores) const {
  if (params_.repetition_penalty != 1.0f) {
    for (size_t id = 0; id < std::min(seen_.size(), scores.size()); ++id) {
      if (!seen_[id]) continue;
      scores[id] = scores[id] < 0 ? scores[id] * params_.repetition_penalty
                                  : scores[id] / params_.repetition_penalty;
    }
  }
  for (const auto& [token, count] : output_counts_) {
    if (static_cast<size_t>(token) >= scores.size()) continue;
    scores[static_cast<size_t>(token)] -=
        params_.presence_penalty + params_.frequency_penalty * static_cast<float>(count);
  }
}

std::vector<float> Sampler::Scores(std::span<const float> logits) const {
  const size_t size =
      vocab_limit_ > 0 ? std::min(logits.size(), static_cast<size_t>(vocab_limit_)) : logits.size();
  std::vector<float> scores(logits.begin(), logits.begin() + static_cast<std::ptrdiff_t>(size));
  for (float& score : scores) {
    if (std::isnan(score)) score = kMinusInfinity;  // a NaN can neither win nor poison the sums
  }
  ApplyPenalties(scores);
  return scores;
}

std::vector<float> Sampler::Distribution(std::span<const float> logits) const {
  std::vector<float> scores = Scores(logits);
  const float temperature = params_.temperature > 0 ? params_.temperature : 1.0f;
  for (float& score : scores) score /= temperature;
  KeepTopK(scores, params_.top_k);
  KeepTopP(scores, params_.top_p);
  KeepMinP(scores, params_.min_p);
  const std::vector<double> p = Probabilities(scores);
  return {p.begin(), p.end()};
}

int32_t Sampler::Next(std::span<const float> logits) {
  int32_t token = 0;
  if (!params_.do_sample || params_.temperature == 0.0f) {
    const std::vector<float> scores = Scores(logits);
    token = static_cast<int32_t>(std::max_element(scores.begin(), scores.end()) - scores.begin());
  } else {
    const std::vector<float> p = Distribution(logits);
    // 53 random bits in [0, 1), the same on every platform; the sum makes up for rounding to float.
    const double sum = std::accumulate(p.begin(), p.end(), 0.0);
    double left = static_cast<double>(random_() >> 11) * 0x1p-53 * sum;
    for (size_t id = 0; id < p.size(); ++id) {
      if (p[id] <= 0) continue;
      token = static_cast<int32_t>(id);
      left -= static_cast<double>(p[id]);
      if (left < 0) break;
    }
  }
  Accept(token);
  return token;
}

}  // namespace ingot
