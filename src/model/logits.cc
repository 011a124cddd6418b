// SPDX-License-Identifier: Apache-2.0
#include "model/logits.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace ingot {
namespace {

constexpr size_t kLanes = 16;
constexpr size_t kBlock = kLogitBlock;  // logits between two looks at float sums
constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();
constexpr float kLargest = std::numeric_limits<float>::max();
constexpr float kSmallestExponent = -87.0f;  // exp of less is below the normal floats

// Four lanes, which every CPU has; sixteen sums are four of them. Written with the compiler's vector
// types because it does not vectorise the same arithmetic on its own.
using F4 = float __attribute__((vector_size(16)));
using I4 = int32_t __attribute__((vector_size(16)));
constexpr size_t kVectors = kLanes / 4;

inline F4 Load(const float* p) {
  F4 v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}
inline F4 All(float x) { return F4{x, x, x, x}; }
inline F4 Select(I4 mask, F4 a, F4 b) {
  return reinterpret_cast<F4>((reinterpret_cast<I4>(a) & mask) |
                              (reinterpret_cast<I4>(b) & ~mask));
}
inline I4 IsFinite(F4 x) {
  return reinterpret_cast<F4>(reinterpret_cast<I4>(x) & 0x7fffffff) <= All(kLargest);
}

// exp(x), x >= kSmallestExponent: exp(r) = 2^n exp(r - n log 2), |rest| <= log(2) / 2, polynomial of
// degree 6 (Taylor coefficients, truncation error below 2^-26 on that range).
inline F4 ExpReduced(F4 x) {
  constexpr float kLog2E = 1.44269504f, kRound = 12582912.0f;  // 1.5 * 2^23: rounds to integer
  constexpr float kLn2High = 0.693145752f, kLn2Low = 1.42860677e-6f;
  const F4 shifted = x * kLog2E + kRound;
  const F4 n = shifted - kRound;
  const F4 r = (x - n * kLn2High) - n * kLn2Low;
  F4 p = All(1.0f / 720.0f);
  p = p * r + 1.0f / 120.0f;
  p = p * r + 1.0f / 24.0f;
  p = p * r + 1.0f / 6.0f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const I4 exponent = (reinterpret_cast<I4>(shifted) << 23) + (127 << 23);
  return p * reinterpret_cast<F4>(exponent);
}

// The distance to the peak, or a value whose exponential is 0; never NaN.
inline F4 Distance(F4 logit, float peak) {
  const F4 d = logit - peak;
  // NaN and anything above the largest finite one
  return Select(d <= All(0.0f), d, All(kMinusInfinity));
}

inline F4 ExpOrZero(F4 x) {
  const I4 inside = x > All(kSmallestExponent);
  return Select(inside, ExpReduced(Select(inside, x, All(kSmallestExponent))), All(0.0f));
}

// Calls body(lane / 4, four values, where they are, how many) on x; lane = place % 16. Behind the
// end values are `fill`.
template <typename Body>
[[gnu::always_inline]] inline void ForFours(std::span<const float> x, float fill, Body body) {
  const size_t whole = x.size() - x.size() % kLanes;
  for (size_t i = 0; i < whole; i += kLanes) {
    for (size_t v = 0; v < kVectors; ++v) body(v, Load(x.data() + i + 4 * v), i + 4 * v, size_t{4});
  }
  for (size_t i = whole; i < x.size(); i += 4) {
    float rest[4] = {fill, fill, fill, fill};
    const size_t count = std::min<size_t>(4, x.size() - i);
    std::copy_n(x.data() + i, count, rest);
    body((i - whole) / 4, Load(rest), i, count);
  }
}

template <typename T, typename V>
T Sum(const V (&lanes)[kVectors]) {
  T sum = 0;
  for (size_t lane = 0; lane < kLanes; ++lane) sum += static_cast<T>(lanes[lane / 4][lane % 4]);
  return sum;
}

}  // namespace

float ExpOfNonPositive(float x) { return ExpOrZero(All(x))[0]; }

LogitPeak FindPeak(std::span<const float> logits) {
  F4 best[kVectors];
  I4 finite[kVectors] = {};  // counted down
  std::fill_n(best, kVectors, All(kMinusInfinity));
  ForFours(logits, kMinusInfinity, [&](size_t v, F4 x, size_t, size_t) {
    const I4 good = IsFinite(x);
    finite[v] += good;
    const F4 candidate = Select(good, x, All(kMinusInfinity));
    best[v] = Select(candidate > best[v], candidate, best[v]);
  });
  LogitPeak peak{.value = kMinusInfinity,
                 .n_bad = static_cast<int64_t>(logits.size()) + Sum<int64_t>(finite)};
  for (size_t lane = 0; lane < kLanes; ++lane)
    peak.value = std::max(peak.value, best[lane / 4][lane % 4]);
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
    F4 sums[kVectors] = {}, products[kVectors] = {};
    const auto block = logits.subspan(first, std::min(kBlock, logits.size() - first));
    ForFours(block, kMinusInfinity, [&](size_t v, F4 x, size_t, size_t) {
      const F4 d = Distance(x, peak), e = ExpOrZero(d);
      sums[v] += e;
      products[v] += e * Select(d > All(kSmallestExponent), d, All(0.0f));
    });
    z += Sum<double>(sums);
    weighted += Sum<double>(products);
  }
  if (!(z > 0)) return {.log_sum = kMinusInfinity, .entropy = 0};
  return {.log_sum = static_cast<double>(peak) + std::log(z),
          .entropy = std::max(0.0, std::log(z) - weighted / z)};
}

double Exponentials(std::span<const float> logits, float peak, float inverse_temperature,
                    std::span<float> e, std::span<double> block_sums) {
  double z = 0;
  for (size_t first = 0; first < logits.size(); first += kBlock) {
    F4 sums[kVectors] = {};
    const auto block = logits.subspan(first, std::min(kBlock, logits.size() - first));
    ForFours(block, kMinusInfinity, [&](size_t v, F4 x, size_t at, size_t count) {
      const F4 result = ExpOrZero(Distance(x, peak) * inverse_temperature);
      std::memcpy(e.data() + first + at, &result, count * sizeof(float));
      sums[v] += result;
    });
    const double sum = Sum<double>(sums);
    block_sums[first / kBlock] = sum;
    z += sum;
  }
  return z;
}

int64_t CountLarger(std::span<const float> logits, float value) {
  I4 larger[kVectors] = {};  // counted down
  ForFours(logits, kMinusInfinity,
           [&](size_t v, F4 x, size_t, size_t) { larger[v] += x > All(value); });
  return -Sum<int64_t>(larger);
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
