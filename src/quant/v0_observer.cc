// SPDX-License-Identifier: Apache-2.0
// The original tool's activation observers. The arithmetic follows
// torch/ao/quantization/observer.py (class HistogramObserver, torch <= 2.0) and the order of
// torch's float32 sum on x86, rounding by rounding.
#include "quant/v0_observer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/numeric.h"
#include "checkpoint/w8a8_arithmetic.h"

namespace ingot {
namespace {

constexpr int kBins = V0Histogram::kBins;
constexpr int kUpsample = 128;
constexpr int64_t kFineBins = int64_t{kBins} * kUpsample;
constexpr float kSmallestScale = 0x1p-23f;  // float32 epsilon

// torch.sum of 2048 float32: 8 lanes, 4 streams, partial sums over blocks of 16.
float TorchSum(const float* v) {
  std::array<float, 32> total{};
  for (int block = 0; block < 4; ++block) {
    std::array<float, 32> part{};
    for (int t = 0; t < 16; ++t) {
      const float* row = v + (16 * block + t) * 32;
      for (int lane = 0; lane < 32; ++lane) part[lane] += row[lane];
    }
    for (int lane = 0; lane < 32; ++lane) total[lane] += part[lane];
  }
  float sum = 0;
  for (int m = 0; m < 8; ++m) {
    sum += ((total[m] + total[8 + m]) + total[16 + m]) + total[24 + m];
  }
  return sum;
}

// torch.histc over [low, high] with both bounds truncated to integers (the original passes them as
// int); equal bounds mean the sample's own extremes.
std::vector<float> Count(std::span<const float> x, float low, float high, ValueRange own) {
  float left = std::trunc(low), right = std::trunc(high);
  if (left == right) {
    left = own.lo;
    right = own.hi;
    if (left == right) {
      left -= 1.0f;
      right += 1.0f;
    }
  }
  std::vector<float> counts(kBins, 0.0f);
  const float span = right - left;
  for (const float v : x) {
    if (!(v >= left && v <= right)) continue;
    const int bin = static_cast<int>(((v - left) * 2048.0f) / span);
    counts[std::min(bin, kBins - 1)] += 1.0f;
  }
  return counts;
}

// clamp(floor(q), 0, 255); truncation is floor here, because negative quotients go to level 0
// anyway.
inline float LevelOf(float q) {
  const float clamped = q > 0.0f ? (q < 255.0f ? q : 255.0f) : 0.0f;
  return static_cast<float>(static_cast<int>(clamped));
}

ValueRange Extremes(std::span<const float> x) {
  const auto [low, high] = std::minmax_element(x.begin(), x.end());
  return {*low, *high};
}

}  // namespace

void V0Histogram::Update(std::span<const float> x) {
  const ValueRange own = Extremes(x);
  if (empty_ || min_ == max_) {
    empty_ = false;
    min_ = own.lo;
    max_ = own.hi;
    bins_ = Count(x, min_, max_, own);
    return;
  }
  const float low = std::min(min_, own.lo), high = std::max(max_, own.hi);
  if (low != min_ || high != max_) {
    Grow(x, low, high);
    return;
  }
  const std::vector<float> counts = Count(x, low, high, own);
  for (int i = 0; i < kBins; ++i) bins_[i] += counts[i];
}

// The old bins, each repeated 128 times, are laid into the new and wider range; every `step`-th
// entry of their running sum gives the new bins.
void V0Histogram::Grow(std::span<const float> x, float low, float high) {
  const float fine = (max_ - min_) / static_cast<float>(kFineBins);
  const float wide = 2048.0f * fine;
  const double steps = std::ceil((high - low) / wide);
  if (!(steps < 0x1p40)) {  // the old range is empty against the new one; the original raises an
                            // exception here
    min_ = low;
    max_ = high;
    bins_ = Count(x, low, high, Extremes(x));
    return;
  }
  const int64_t step = static_cast<int64_t>(steps);
  high = high + (static_cast<float>(step) * wide - (high - low));
  const int64_t start = static_cast<int64_t>(Rne((min_ - low) / fine));
  std::vector<float> grown = Count(x, low, high, Extremes(x));
  double running = 0, previous = 0;
  for (int64_t i = 0; i < kBins; ++i) {
    const int64_t first = std::max<int64_t>(i * step - start, 0);
    const int64_t end = std::min((i + 1) * step - start, kFineBins);
    for (int64_t q = first; q < end; ++q) running += static_cast<double>(bins_[q / kUpsample]);
    const double difference = running - static_cast<double>(static_cast<float>(previous));
    grown[i] += static_cast<float>(difference / 128.0);
    previous = running;
  }
  bins_ = std::move(grown);
  min_ = low;
  max_ = high;
}

// Squared error when bins [first, last] are mapped to 256 levels and the rest to the end levels;
// values are uniform inside a bin. One float32 operation per line of the reference.
double V0Histogram::Error(int first, int last) const {
  const double width = (static_cast<double>(max_) - static_cast<double>(min_)) / 2048.0;
  const double level = width * (last - first + 1) / 256.0;
  if (level == 0) return 0;
  const float w = static_cast<float>(width), delta = static_cast<float>(level);
  const float half = static_cast<float>(level / 2);
  const auto cube = [](float t) { return (t * t) * t; };
  const float cube_half = cube(half), cube_minus_half = cube(-half);
  const float full = (cube_half - cube_minus_half) / 3.0f;
  std::array<float, kBins> error;
  for (int i = 0; i < kBins; ++i) {
    const float u = static_cast<float>(i - first) * w;
    const float v = u + w;
    const float j = LevelOf(u / delta);
    const float k = LevelOf(v / delta);
    const float density = bins_[i] / w;
    const float from = u - (j + 0.5f) * delta;
    const float to = v - (k * delta + half);
    float n = density * ((cube_half - cube(from)) / 3.0f);
    n = n + ((k - j) - 1.0f) * (density * full);
    n = n + density * ((cube(to) - cube_minus_half) / 3.0f);
    error[i] = n;
  }
  return static_cast<double>(TorchSum(error.data()));
}

ValueRange V0Histogram::Range() const {
  const float width = (max_ - min_) / 2048.0f;
  const double total = static_cast<double>(TorchSum(bins_.data()));
  std::array<float, kBins> cumulative;
  double running = 0;
  for (int i = 0; i < kBins; ++i) {
    running += static_cast<double>(bins_[i]);
    cumulative[i] = static_cast<float>(running);
  }
  double alpha = 0, beta = 1, best = std::numeric_limits<double>::infinity();
  int first = 0, last = kBins - 1;
  while (alpha < beta) {
    const double next_alpha = alpha + 1e-5, next_beta = beta - 1e-5;
    const float left_mass = static_cast<float>(next_alpha * total);
    const float right_mass = static_cast<float>(next_beta * total);
    int left = first, right = last;
    while (left < last && cumulative[left] < left_mass) ++left;
    while (right > first && cumulative[right] > right_mass) --right;
    int new_first = first, new_last = last;
    if (left - first > last - right) {
      new_first = left;
      alpha = next_alpha;
    } else {
      new_last = right;
      beta = next_beta;
    }
    if (new_first == first && new_last == last) continue;
    const double error = Error(new_first, new_last);
    if (error > best) break;
    best = error;
    first = new_first;
    last = new_last;
  }
  return {min_ + width * static_cast<float>(first), min_ + width * static_cast<float>(last + 1)};
}

void V0MinMax::Update(std::span<const float> x) {
  const ValueRange own = Extremes(x);
  sum_lo_ += own.lo;
  sum_hi_ += own.hi;
  ++samples_;
}

ValueRange V0MinMax::Range() const {
  const float n = static_cast<float>(samples_);
  return {NearestIn(dtype_, sum_lo_ / n), NearestIn(dtype_, sum_hi_ / n)};
}

ActivationParams V0Params(ValueRange range, V0ActMethod method, DType dtype) {
  // With the histogram every step is float32 whatever the activations are; with the extremes every
  // step is of their type.
  const DType step = method == V0ActMethod::kHistogram ? DType::kF32 : dtype;
  const float lo = std::min(range.lo, 0.0f), hi = std::max(range.hi, 0.0f);
  ActivationParams params;
  params.lo = range.lo;
  params.hi = range.hi;
  params.scale = std::max(NearestIn(step, NearestIn(step, hi - lo) / 255.0f), kSmallestScale);
  params.offset = NearestIn(step, -128.0f - Rne(NearestIn(step, lo / params.scale)));
  params.dtype = step;
  if (dtype == DType::kBF16) {  // the offset is that of the unrounded scale
    params.scale = NearestIn(dtype, params.scale);
    params.offset = NearestIn(dtype, params.offset);
    params.dtype = dtype;
  }
  params.effective_scale = params.scale;
  return params;
}

V0RangeParam::V0RangeParam(int64_t in)
    : in_(in),
      channel_min_(static_cast<size_t>(in), 0.0f),
      channel_max_(static_cast<size_t>(in), 0.0f) {}

void V0RangeParam::Update(std::span<const float> x) {
  const size_t in = static_cast<size_t>(in_);
  for (size_t i = 0; i < x.size(); ++i) {
    const size_t c = i % in;
    const bool first = empty_ && i < in;
    channel_min_[c] = first ? x[i] : std::min(channel_min_[c], x[i]);
    channel_max_[c] = first ? x[i] : std::max(channel_max_[c], x[i]);
  }
  empty_ = false;
  min_ = *std::min_element(channel_min_.begin(), channel_min_.end());
  max_ = *std::max_element(channel_max_.begin(), channel_max_.end());
  double sum = 0, squares = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    sum += static_cast<double>(x[i]) -
           (static_cast<double>(channel_max_[i % in]) + channel_min_[i % in]);
  }
  const double mean = sum / static_cast<double>(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    const double shifted = static_cast<double>(x[i]) -
                           (static_cast<double>(channel_max_[i % in]) + channel_min_[i % in]);
    squares += (shifted - mean) * (shifted - mean);
  }
  if (x.size() > 1)
    sigma_ = std::max(sigma_, std::sqrt(squares / static_cast<double>(x.size() - 1)));
}

double V0RangeParam::Value() const {
  const double bound =
      std::max(std::abs(static_cast<double>(min_)), std::abs(static_cast<double>(max_)));
  if (sigma_ == 0) return bound == 0 ? 0 : std::numeric_limits<double>::infinity();
  return bound / sigma_;
}

V0Observer::V0Observer(V0ActMethod method, DType dtype, std::string site)
    : site_(std::move(site)), method_(method), dtype_(dtype), min_max_(dtype) {
  if (method != V0ActMethod::kHistogram && method != V0ActMethod::kMinMax) {
    throw InternalError("V0Observer: site {}: the method must be chosen before (V0RangeParam)",
                        site_);
  }
}

void V0Observer::Observe(std::span<const float> x) {
  if (x.empty()) return;
  for (const float v : x) {
    if (!std::isfinite(v)) {
      throw FormatError(
          "{}: calibration reached the value {} here; the original method computes in float16 and "
          "cannot go on. Use "
          "--method balanced, or check the model's weights.",
          site_, v);
    }
  }
  if (method_ == V0ActMethod::kHistogram) {
    histogram_.Update(x);
  } else {
    min_max_.Update(x);
  }
  ++samples_;
}

ActivationParams V0Observer::Params() const {
  const ValueRange range =
      method_ == V0ActMethod::kHistogram ? histogram_.Range() : min_max_.Range();
  return V0Params(range, method_, dtype_);
}

}  // namespace ingot
