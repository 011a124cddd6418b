// SPDX-License-Identifier: Apache-2.0
#include "quant/vector_scales.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "base/thread_pool.h"
#include "quant/linear_quant.h"
#include "quant/range_search.h"

namespace ingot {
namespace {

constexpr std::array<double, 8> kPowers{0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9};
constexpr int64_t kJudgedOutputs = 48;  // of each linear
constexpr double kMaxLossDb = 1.0;
constexpr double kSmallest = 1e-3, kLargest = 1e3;  // of c: input_scale has to fit F16

// Some rows of a weight in float32, evenly spread.
Tensor SomeRows(const TensorView& weight) {
  const int64_t in = weight.shape[1], count = std::min(weight.shape[0], kJudgedOutputs);
  Tensor rows(DType::kF32, {count, in});
  for (int64_t i = 0; i < count; ++i) {
    ToFloats(weight, i * weight.shape[0] / count * in,
             rows.As<float>().subspan(static_cast<size_t>(i * in), static_cast<size_t>(in)));
  }
  return rows;
}

// Noise over signal of the judged outputs, summed over the linears.
using Noise = std::array<double, kModalities>;

Noise NoiseOf(std::span<const Tensor> weights, std::span<const float> factor, const SiteStatistics& statistics,
              const ActivationParams& params, const RuntimeRules& rules) {
  Noise noise{};
  for (const Tensor& weight : weights) {
    const Tensor scaled = factor.empty() ? weight : ScaleColumns(weight, factor);
    const QuantizedLinear linear = QuantizeStatic(scaled, nullptr, params, rules);
    const LinearQuality quality = MeasureLinear(scaled, linear, statistics);
    for (size_t m = 0; m < kModalities; ++m) {
      if (quality.sqnr_db[m]) noise[m] += std::pow(10.0, -*quality.sqnr_db[m] / 10.0);
    }
  }
  return noise;
}

struct Magnitudes {
  std::vector<double> inputs, weights;  // largest of each channel
};

Magnitudes MagnitudesOf(const SiteStatistics& site, std::span<const TensorView> weights) {
  const auto in = static_cast<size_t>(site.in());
  Magnitudes result{std::vector<double>(in, 0.0), std::vector<double>(in, 0.0)};
  for (size_t m = 0; m < kModalities; ++m) {
    const auto& part = site.of(static_cast<Modality>(m));
    if (part.tokens == 0) continue;
    for (size_t c = 0; c < in; ++c) {
      const double largest = std::max(std::abs(part.channel_min[c]), std::abs(part.channel_max[c]));
      result.inputs[c] = std::max(result.inputs[c], largest);
    }
  }
  for (const TensorView& weight : weights) {
    ParallelFor(in, 256, [&](size_t begin, size_t end) {
      std::vector<float> part(end - begin);
      for (int64_t row = 0; row < weight.shape[0]; ++row) {
        ToFloats(weight, row * site.in() + static_cast<int64_t>(begin), part);
        for (size_t c = begin; c < end; ++c) {
          result.weights[c] = std::max(result.weights[c], static_cast<double>(std::abs(part[c - begin])));
        }
      }
    });
  }
  return result;
}

// c with geometric mean 1; channels that are always zero, or that nothing reads, keep 1.
std::vector<float> FactorFor(const Magnitudes& sizes, double power) {
  std::vector<double> c(sizes.inputs.size(), 1.0);
  double log_sum = 0;
  size_t count = 0;
  for (size_t k = 0; k < c.size(); ++k) {
    if (!(sizes.inputs[k] > 0) || !(sizes.weights[k] > 0)) continue;
    c[k] = std::pow(sizes.inputs[k], power) / std::pow(sizes.weights[k], 1.0 - power);
    log_sum += std::log(c[k]);
    ++count;
  }
  const double mean = count > 0 ? std::exp(log_sum / static_cast<double>(count)) : 1.0;
  std::vector<float> factor(c.size(), 1.0f);
  for (size_t k = 0; k < c.size(); ++k) {
    if (sizes.inputs[k] > 0 && sizes.weights[k] > 0) {
      factor[k] = static_cast<float>(std::clamp(c[k] / mean, kSmallest, kLargest));
    }
  }
  return factor;
}

// Scale and offset of x / c from the exact extremes: the sample rows do not hold the few tokens that stand out, so a search
// over them would clip those.
ActivationParams ParamsOf(const SiteStatistics& scaled, const RuntimeRules& rules) {
  float low = 0, high = 0;
  for (size_t m = 0; m < kModalities; ++m) {
    const auto& part = scaled.of(static_cast<Modality>(m));
    if (part.tokens == 0) continue;
    low = std::min(low, part.min);
    high = std::max(high, part.max);
  }
  return FullRangeParams(low, high, rules.input_scale, rules.symmetric);
}

VectorScales Candidate(const SiteStatistics& site, std::vector<float> factor, const RuntimeRules& rules) {
  ActivationParams params = ParamsOf(site.DividedBy(factor), rules);
  std::vector<float> input_scale(factor.size());
  for (size_t k = 0; k < factor.size(); ++k) {
    input_scale[k] = ScaleOnGrid(params.scale * factor[k], rules.input_scale);
    factor[k] = input_scale[k] / params.scale;
  }
  SiteStatistics statistics = site.DividedBy(factor);
  return {std::move(input_scale), std::move(factor), params, std::move(statistics)};
}

}  // namespace

Tensor ScaleColumns(const TensorView& weight, std::span<const float> factor) {
  const int64_t out = weight.shape.at(0), in = weight.shape.at(1);
  Tensor scaled(DType::kF32, {out, in});
  const std::span<float> values = scaled.As<float>();
  ParallelFor(static_cast<size_t>(out), 8, [&](size_t begin, size_t end) {
    for (size_t n = begin; n < end; ++n) {
      const std::span<float> row = values.subspan(n * factor.size(), factor.size());
      ToFloats(weight, static_cast<int64_t>(n) * in, row);
      for (size_t k = 0; k < row.size(); ++k) row[k] *= factor[k];
    }
  });
  return scaled;
}

std::optional<VectorScales> SearchVectorScales(const SiteStatistics& site, std::span<const TensorView> weights,
                                               const ActivationParams& plain, const RuntimeRules& rules) {
  const Magnitudes sizes = MagnitudesOf(site, weights);
  std::vector<Tensor> judged;
  for (const TensorView& weight : weights) judged.push_back(SomeRows(weight));
  const Noise limit = NoiseOf(judged, {}, site, plain, rules);
  double best_cost = limit[0] + limit[1];
  std::optional<VectorScales> best;
  for (const double power : kPowers) {
    VectorScales candidate = Candidate(site, FactorFor(sizes, power), rules);
    const Noise noise = NoiseOf(judged, candidate.factor, candidate.statistics, candidate.params, rules);
    const double allowed = std::pow(10.0, kMaxLossDb / 10.0);
    if (noise[0] > limit[0] * allowed || noise[1] > limit[1] * allowed) continue;
    if (noise[0] + noise[1] >= best_cost) continue;
    best_cost = noise[0] + noise[1];
    best = std::move(candidate);
  }
  return best;
}

}  // namespace ingot
