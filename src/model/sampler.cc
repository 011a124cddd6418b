// SPDX-License-Identifier: Apache-2.0
// Definitions of the filters: huggingface/transformers:
// src/transformers/generation/logits_process.py; presence and frequency penalty:
// vllm-project/vllm: vllm/model_executor/layers/utils.py (generated tokens only).
#include "model/sampler.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/error.h"
#include "model/logits.h"

namespace ingot {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

void RequireRange(const char* name, double value, double low, double high) {
  if (!(value >= low && value <= high))
    throw UserError("{} {}: expected a number from {} to {}", name, value, low, high);
}

// Working memory of one thread, kept between tokens.
std::span<float> ScoreScratch(size_t size) {
  thread_local std::vector<float> scratch;
  if (scratch.size() < size) scratch.resize(size);
  return {scratch.data(), size};
}
std::span<float> WeightScratch(size_t size) {
  thread_local std::vector<float> scratch;
  if (scratch.size() < size) scratch.resize(size);
  return {scratch.data(), size};
}

// The k-th largest weight; all are >= 0.
float KthLargest(std::span<const float> weights, int64_t k) {
  thread_local std::vector<float> heap;  // front: the smallest of the k largest so far
  heap.assign(weights.begin(), weights.begin() + k);
  std::make_heap(heap.begin(), heap.end(), std::greater<>());
  for (size_t i = static_cast<size_t>(k); i < weights.size(); ++i) {
    if (weights[i] <= heap.front()) continue;
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    heap.back() = weights[i];
    std::push_heap(heap.begin(), heap.end(), std::greater<>());
  }
  return heap.front();
}

void DropBelow(std::span<float> weights, float smallest) {
  for (float& weight : weights) weight = weight >= smallest ? weight : 0.0f;
}

// Keeps the smallest set of heaviest tokens whose share reaches top_p (at least one; the lower id
// on a tie). Weights lie in [0, 1]. They are counted into classes of nearly equal weight first, and
// only the class in which the border falls is sorted.
void KeepTopP(std::span<float> weights, float top_p) {
  constexpr int kShift = 18;  // 32 classes a power of two
  constexpr size_t kClasses = (std::bit_cast<uint32_t>(1.0f) >> kShift) + 1;
  const auto class_of = [](float w) {
    return static_cast<size_t>(std::bit_cast<uint32_t>(w) >> kShift);
  };
  std::array<double, kClasses> mass{};
  for (const float w : weights) mass[class_of(w)] += static_cast<double>(w);
  const double total = std::accumulate(mass.begin(), mass.end(), 0.0),
               wanted = static_cast<double>(top_p) * total;
  double before = 0;  // mass of the classes above
  size_t border = kClasses - 1;
  while (border > 0 && before + mass[border] < wanted) before += mass[border--];
  thread_local std::vector<std::pair<float, int32_t>> inside;
  inside.clear();
  for (size_t i = 0; i < weights.size(); ++i) {
    const size_t own = class_of(weights[i]);
    if (own == border && weights[i] > 0) inside.emplace_back(weights[i], static_cast<int32_t>(i));
    if (own < border) weights[i] = 0;
  }
  std::sort(inside.begin(), inside.end(), [](const auto& a, const auto& b) {
    return a.first > b.first || (a.first == b.first && a.second < b.second);
  });
  for (const auto& [weight, id] : inside) {
    if (before > 0 && before >= wanted) weights[static_cast<size_t>(id)] = 0;
    before += static_cast<double>(weight);
  }
}

// splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
uint64_t Mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// The token at which the running sum of weights first exceeds u times their total.
int32_t Draw(std::span<const float> weights, double u) {
  constexpr size_t kBlock = 256;
  thread_local std::vector<double> sums;
  sums.clear();
  double total = 0;
  for (size_t first = 0; first < weights.size(); first += kBlock) {
    double sum = 0;
    for (const float w : weights.subspan(first, std::min(kBlock, weights.size() - first)))
      sum += static_cast<double>(w);
    sums.push_back(sum);
    total += sum;
  }
  double left = u * total;
  int32_t token = -1;
  for (size_t block = 0; block < sums.size(); ++block) {
    if (sums[block] <= 0) continue;
    const bool last_chance = left < sums[block];
    if (!last_chance) {
      left -= sums[block];
      // Rounding may leave nothing behind the last weight: it is the answer then.
      if (std::any_of(sums.begin() + static_cast<std::ptrdiff_t>(block) + 1, sums.end(),
                      [](double sum) { return sum > 0; }))
        continue;
    }
    const size_t end = std::min((block + 1) * kBlock, weights.size());
    for (size_t i = block * kBlock; i < end; ++i) {
      if (weights[i] <= 0) continue;
      token = static_cast<int32_t>(i);
      left -= static_cast<double>(weights[i]);
      if (left < 0) break;
    }
    break;
  }
  return token;
}

}  // namespace

void CheckSamplingParams(const SamplingParams& params) {
  RequireRange("temperature", params.temperature, 0, 1e6);
  RequireRange("top_p", params.top_p, 0, 1);
  RequireRange("min_p", params.min_p, 0, 1);
  RequireRange("top_k", static_cast<double>(params.top_k), 0, 1e9);
  RequireRange("repetition_penalty", params.repetition_penalty, 1e-3, 1e3);
  RequireRange("presence_penalty", params.presence_penalty, -1e3, 1e3);
  RequireRange("frequency_penalty", params.frequency_penalty, -1e3, 1e3);
}

Sampler::Sampler(const SamplingParams& params, std::span<const int32_t> prompt, int64_t vocab_limit)
    : params_(params), vocab_limit_(vocab_limit) {
  CheckSamplingParams(params);
  if (params.repetition_penalty == 1.0f) return;
  for (const int32_t token : prompt) {
    if (token >= 0) seen_.push_back(token);
  }
  std::sort(seen_.begin(), seen_.end());
  seen_.erase(std::unique(seen_.begin(), seen_.end()), seen_.end());
}

void Sampler::Accept(int32_t token) {
  if (params_.presence_penalty != 0.0f || params_.frequency_penalty != 0.0f)
    ++output_counts_[token];
  if (params_.repetition_penalty == 1.0f) return;
  const auto place = std::lower_bound(seen_.begin(), seen_.end(), token);
  if (place == seen_.end() || *place != token) seen_.insert(place, token);
}

bool Sampler::ChangesLogits() const {
  return !params_.logit_bias.empty() || !output_counts_.empty() || !seen_.empty();
}

std::span<const float> Sampler::Scores(std::span<const float> logits,
                                       const StepConstraints& constraints, bool any_bad) const {
  const std::span<float> scores = ScoreScratch(logits.size());
  std::copy(logits.begin(), logits.end(), scores.begin());
  if (any_bad) {  // neither can win nor poison the sums
    for (float& score : scores) score = std::isfinite(score) ? score : kMinusInfinity;
  }
  const auto at = [&](int32_t id) -> float* {
    return id >= 0 && static_cast<size_t>(id) < scores.size() ? &scores[static_cast<size_t>(id)]
                                                              : nullptr;
  };
  for (size_t i = 0; i < scores.size() && !constraints.mask.empty(); ++i) {
    const size_t word = i / 32;
    if (word >= constraints.mask.size() || ((constraints.mask[word] >> (i % 32)) & 1) == 0)
      scores[i] = kMinusInfinity;
  }
  for (const int32_t id : constraints.forbidden) {
    if (float* score = at(id)) *score = kMinusInfinity;
  }
  for (const auto& [id, bias] : params_.logit_bias) {
    if (float* score = at(id)) *score += bias;
  }
  for (const int32_t id : seen_) {
    if (float* score = at(id))
      *score =
          *score < 0 ? *score * params_.repetition_penalty : *score / params_.repetition_penalty;
  }
  for (const auto& [id, count] : output_counts_) {
    if (float* score = at(id))
      *score -= params_.presence_penalty + params_.frequency_penalty * static_cast<float>(count);
  }
  return scores;
}

void Sampler::Weigh(std::span<const float> scores, float peak, std::span<float> weights) const {
  const float temperature = params_.temperature > 0 ? params_.temperature : 1.0f;
  Exponentials(scores, peak, 1.0f / temperature, weights);
  if (params_.min_p > 0.0f) DropBelow(weights, params_.min_p);  // the largest weight is 1
  if (params_.top_k > 0 && params_.top_k < static_cast<int64_t>(weights.size()))
    DropBelow(weights, KthLargest(weights, params_.top_k));
  if (params_.top_p < 1.0f) KeepTopP(weights, params_.top_p);
}

std::vector<float> Sampler::Distribution(std::span<const float> logits) const {
  if (vocab_limit_ > 0 && static_cast<int64_t>(logits.size()) > vocab_limit_)
    logits = logits.first(static_cast<size_t>(vocab_limit_));
  const std::span<const float> scores = Scores(logits, {}, true);
  std::vector<float> weights(scores.size());
  Weigh(scores, FindPeak(scores).value, weights);
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  for (float& weight : weights) weight = static_cast<float>(static_cast<double>(weight) / total);
  return weights;
}

double Sampler::NextUniform() {
  return static_cast<double>(Mix(Mix(params_.seed) + n_drawn_++) >> 11) * 0x1p-53;
}

SampledToken Sampler::Choose(std::span<const float> logits, const StepConstraints& constraints) {
  if (vocab_limit_ > 0 && static_cast<int64_t>(logits.size()) > vocab_limit_)
    logits = logits.first(static_cast<size_t>(vocab_limit_));
  LogitPeak peak = FindPeak(logits);
  SampledToken result{.bad_logits = peak.n_bad};
  std::span<const float> scores = logits;
  const bool constrained = !constraints.mask.empty() || !constraints.forbidden.empty();
  if (constrained || ChangesLogits() || (peak.n_bad > 0 && !Greedy())) {
    scores = Scores(logits, constraints, peak.n_bad > 0);
    peak = FindPeak(scores);
  }
  if (peak.index < 0) return result;
  if (Greedy()) {
    result.token = peak.index;
  } else {
    const std::span<float> weights = WeightScratch(scores.size());
    Weigh(scores, peak.value, weights);
    result.token = Draw(weights, NextUniform());
  }
  Accept(result.token);
  return result;
}

}  // namespace ingot
