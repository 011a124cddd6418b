// SPDX-License-Identifier: Apache-2.0
#include "model/logits.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

namespace ingot {
namespace {

constexpr size_t kLanes = 16;
constexpr size_t kBlock = 1024;  // logits between two looks at float sums
constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();
constexpr float kLargest = std::numeric_limits<float>::max();
constexpr float kSmallestExponent = -87.0f;  // exp of less is below the normal floats

bool IsFinite(float x) { return std::fabs(x) <= kLargest; }

// exp(r) = 2^n exp(r - n log 2), |rest| <= log(2) / 2, polynomial of degree 6 (Taylor coefficients,
// truncation error below 2^-26 on that range).
inline float ExpReduced(float x) {
  constexpr float kLog2E = 1.44269504f, kRound = 12582912.0f;  // 1.5 * 2^23: rounds to integer
  constexpr float kLn2High = 0.693145752f, kLn2Low = 1.42860677e-6f;
  const float shifted = x * kLog2E + kRound;
  const float n = shifted - kRound;
  const float r = (x - n * kLn2High) - n * kLn2Low;
  float p = 1.0f / 720.0f;
  p = p * r + 1.0f / 120.0f;
  p = p * r + 1.0f / 24.0f;
  p = p * r + 1.0f / 6.0f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const int32_t exponent = (std::bit_cast<int32_t>(shifted) << 23) + (127 << 23);
  return p * std::bit_cast<float>(exponent);
}

// The distance to the peak, or a value whose exponential is 0; never NaN.
inline float Distance(float logit, float peak) {
  const float d = logit - peak;
  return d <= 0.0f ? d : kMinusInfinity;  // NaN and anything above the largest finite one
}

inline float ExpOrZero(float x) {
  const float inside = x > kSmallestExponent ? x : kSmallestExponent;
  const float e = ExpReduced(inside);
  return x > kSmallestExponent ? e : 0.0f;
}

double Sum(const std::array<float, kLanes>& lanes) {
  return std::accumulate(lanes.begin(), lanes.end(), 0.0);
}

}  // namespace

float ExpOfNonPositive(float x) { return ExpOrZero(x); }

LogitPeak FindPeak(std::span<const float> logits) {
  std::array<float, kLanes> best;
  best.fill(kMinusInfinity);
  std::array<int32_t, kLanes> bad{};
  const size_t n = logits.size(), whole = n - n % kLanes;
  const auto take = [&](size_t lane, float x) {
    const bool finite = IsFinite(x);
    bad[lane] += finite ? 0 : 1;
    const float candidate = finite ? x : kMinusInfinity;
    best[lane] = candidate > best[lane] ? candidate : best[lane];
  };
  for (size_t i = 0; i < whole; i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) take(lane, logits[i + lane]);
  }
  for (size_t i = whole; i < n; ++i) take(i - whole, logits[i]);
  LogitPeak peak{.value = *std::max_element(best.begin(), best.end()),
                 .n_bad = std::accumulate(bad.begin(), bad.end(), int64_t{0})};
  if (peak.value > kMinusInfinity) {
    peak.index =
        static_cast<int32_t>(std::find(logits.begin(), logits.end(), peak.value) - logits.begin());
  }
  return peak;
}

// With Z = sum e^d, d = logit - peak: log_sum = peak + log Z, entropy = log Z - sum(d e^d) / Z.
LogitSpread MeasureSpread(std::span<const float> logits, float peak) {
  double z = 0, weighted = 0;
  for (size_t first = 0; first < logits.size(); first += kBlock) {
    const size_t end = std::min(first + kBlock, logits.size());
    std::array<float, kLanes> sums{}, products{};
    const auto take = [&](size_t lane, float logit) {
      const float d = Distance(logit, peak), e = ExpOrZero(d);
      sums[lane] += e;
      products[lane] += e * (d > kSmallestExponent ? d : 0.0f);
    };
    size_t i = first;
    for (; i + kLanes <= end; i += kLanes) {
      for (size_t lane = 0; lane < kLanes; ++lane) take(lane, logits[i + lane]);
    }
    for (; i < end; ++i) take(i % kLanes, logits[i]);
    z += Sum(sums);
    weighted += Sum(products);
  }
  if (!(z > 0)) return {.log_sum = kMinusInfinity, .entropy = 0};
  return {.log_sum = static_cast<double>(peak) + std::log(z),
          .entropy = std::max(0.0, std::log(z) - weighted / z)};
}

double Exponentials(std::span<const float> logits, float peak, float inverse_temperature,
                    std::span<float> e) {
  double z = 0;
  for (size_t first = 0; first < logits.size(); first += kBlock) {
    const size_t end = std::min(first + kBlock, logits.size());
    std::array<float, kLanes> sums{};
    const auto take = [&](size_t lane, size_t i) {
      e[i] = ExpOrZero(Distance(logits[i], peak) * inverse_temperature);
      sums[lane] += e[i];
    };
    size_t i = first;
    for (; i + kLanes <= end; i += kLanes) {
      for (size_t lane = 0; lane < kLanes; ++lane) take(lane, i + lane);
    }
    for (; i < end; ++i) take(i % kLanes, i);
    z += Sum(sums);
  }
  return z;
}

int64_t CountLarger(std::span<const float> logits, float value) {
  std::array<int32_t, kLanes> larger{};
  const size_t n = logits.size(), whole = n - n % kLanes;
  for (size_t i = 0; i < whole; i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) larger[lane] += logits[i + lane] > value ? 1 : 0;
  }
  for (size_t i = whole; i < n; ++i) larger[0] += logits[i] > value ? 1 : 0;
  return std::accumulate(larger.begin(), larger.end(), int64_t{0});
}

std::vector<int32_t> LargestLogits(std::span<const float> logits, int64_t count) {
  const auto better = [&](int32_t a, int32_t b) {
    const float x = logits[static_cast<size_t>(a)], y = logits[static_cast<size_t>(b)];
    return x > y || (x == y && a < b);
  };
  const size_t wanted = std::min(logits.size(), static_cast<size_t>(std::max<int64_t>(count, 0)));
  std::vector<int32_t> best;  // a heap whose front is the worst of them
  if (wanted == 0) return best;
  best.reserve(wanted);
  for (size_t i = 0; i < logits.size(); ++i) {
    const auto index = static_cast<int32_t>(i);
    if (std::isnan(logits[i])) continue;
    if (best.size() < wanted) {
      best.push_back(index);
      std::push_heap(best.begin(), best.end(), better);
    } else if (logits[i] > logits[static_cast<size_t>(best.front())]) {
      std::pop_heap(best.begin(), best.end(), better);
      best.back() = index;
      std::push_heap(best.begin(), best.end(), better);
    }
  }
  std::sort_heap(best.begin(), best.end(), better);
  return best;
}

}  // namespace ingot
