// SPDX-License-Identifier: Apache-2.0
// Range search over a weighted histogram. Noise is computed exactly for values that are uniform
// inside a bin: the quantization error of a rounding-and-clipping quantizer has a closed
// antiderivative.
#include "quant/range_search.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace ingot {
namespace {

constexpr uint32_t kSignBin = 0x8000;
constexpr uint32_t kInfinityBin = 0x7f80;

// Edges of the bin of the magnitude with BF16 bits `bits`: half way to its neighbours.
double LowerEdge(uint32_t bits) {
  return bits == 0 ? 0.0 : static_cast<double>(std::bit_cast<float>((bits << 16) - 0x8000u));
}
double UpperEdge(uint32_t bits) {
  if (bits >= kInfinityBin) return std::numeric_limits<float>::max();
  const double edge = static_cast<double>(std::bit_cast<float>((bits << 16) + 0x8000u));
  return std::isfinite(edge) ? edge : std::numeric_limits<float>::max();
}

// Nearest integer, ties to even, for |t| < 2^51; compiles to two additions.
inline double Nearest(double t) {
  constexpr double kMagic = 0x1.8p52;
  return (t + kMagic) - kMagic;
}

// Scaled quantizer: t = x / s, level = clamp(nearest(t), low, high).
struct Levels {
  double inverse, low, high, square;
  explicit Levels(const ActivationParams& p)
      : inverse(1.0 / p.effective_scale),
        low(-128.0 - p.offset),
        high(127.0 - p.offset),
        square(static_cast<double>(p.effective_scale) * p.effective_scale) {}
  double Level(double t) const { return Nearest(std::clamp(t, low, high)); }
};

// Antiderivative of (t - level(t))^2, continuous, with n = level(t): n/12 + (t - n)^3 / 3.
inline double Antiderivative(double t, double n) {
  const double d = t - n;
  return n * (1.0 / 12.0) + d * d * d * (1.0 / 3.0);
}

// Mean of (t - level(t))^2 over [u, v].
inline double MeanSquare(const Levels& levels, double u, double v) {
  const double nu = levels.Level(u), nv = levels.Level(v);
  if (nu == nv) {  // one cell: also right for a bin without width
    const double middle = 0.5 * (u + v) - nu, width = v - u;
    return middle * middle + width * width * (1.0 / 12.0);
  }
  return (Antiderivative(v, nv) - Antiderivative(u, nu)) / (v - u);
}

double SignalPower(std::span<const WeightedHistogram::Bin> bins) {
  double power = 0;
  for (const auto& bin : bins) {
    power += bin.mass * (bin.lo * bin.lo + bin.lo * bin.hi + bin.hi * bin.hi) / 3.0;
  }
  return power;
}

struct Noise {
  double rounded = 0, clipped = 0;  // of bins inside and beyond the end codes
  double plain() const { return rounded + clipped; }
};

Noise NoisePower(std::span<const WeightedHistogram::Bin> bins, const ActivationParams& params) {
  const Levels levels(params);
  const double lo = levels.low - 0.5, hi = levels.high + 0.5;
  Noise noise;
  for (const auto& bin : bins) {
    const double u = bin.lo * levels.inverse, v = bin.hi * levels.inverse;
    (v < lo || u > hi ? noise.clipped : noise.rounded) += bin.mass * MeanSquare(levels, u, v);
  }
  noise.rounded *= levels.square;
  noise.clipped *= levels.square;
  return noise;
}

ActivationParams MakeParams(double lo, double hi, float scale, double offset, ScaleGrid grid) {
  ActivationParams params;
  params.scale = scale;
  params.effective_scale = EffectiveScale(scale, grid);
  params.offset = static_cast<float>(std::clamp(offset, -128.0, 127.0));
  params.lo = static_cast<float>(lo);
  params.hi = static_cast<float>(hi);
  return params;
}

// Parameters for the range [lo, hi] with lo <= 0 <= hi.
ActivationParams ParamsFor(double lo, double hi, ScaleGrid grid, bool symmetric) {
  const double span = symmetric ? std::max(-lo, hi) / 127.0 : (hi - lo) / 255.0;
  const float scale = ScaleOnGrid(static_cast<float>(span), grid);
  const double offset = symmetric ? 0.0 : -128.0 - std::nearbyint(lo / EffectiveScale(scale, grid));
  return MakeParams(lo, hi, scale, offset, grid);
}

using PerModality = std::array<double, kModalities>;

// The search itself: candidates are compared by the sum of the modalities' noise-to-signal ratios.
// It runs twice: for the plain ratios, and from there with clipped values counting more.
class Search {
 public:
  Search(const RangeProblem& problem, const RangeSearchOptions& options)
      : problem_(problem),
        options_(options),
        lo_(std::min(problem.min, 0.0f)),
        hi_(std::max(problem.max, 0.0f)) {
    for (size_t m = 0; m < kModalities; ++m) power_[m] = SignalPower(problem.bins[m]);
    result_.params = ParamsFor(lo_, hi_, options.grid, options.symmetric);
    result_.full_range = RatiosOf(result_.params).plain;
    result_.noise_to_signal = result_.full_range;
  }

  RangeResult Run() {
    limit_ = Times(result_.full_range, options_.max_loss_db);
    Descend(1.0);
    if (options_.clip_weight != 1.0) {
      const PerModality near_best = Times(result_.noise_to_signal, options_.max_plain_loss_db);
      for (size_t m = 0; m < kModalities; ++m) limit_[m] = std::min(limit_[m], near_best[m]);
      Descend(options_.clip_weight);
    }
    return result_;
  }

 private:
  static constexpr int kSteps = 48;     // factors 2^(-k/8)
  static constexpr int kMaxMoves = 64;  // of the hill climb

  struct Ratios {
    PerModality plain{};
    double cost = 0;  // what is minimized
  };

  static PerModality Times(PerModality ratios, double db) {
    for (double& ratio : ratios) ratio *= std::pow(10.0, db / 10.0);
    return ratios;
  }

  Ratios RatiosOf(const ActivationParams& params) const {
    Ratios ratios;
    for (size_t m = 0; m < kModalities; ++m) {
      if (!(power_[m] > 0)) continue;
      const Noise noise = NoisePower(problem_.bins[m], params);
      ratios.plain[m] = noise.plain() / power_[m];
      ratios.cost += (noise.rounded + clip_weight_ * noise.clipped) / power_[m];
    }
    return ratios;
  }

  void Descend(double clip_weight) {
    clip_weight_ = clip_weight;
    cost_ = RatiosOf(result_.params).cost;
    lo_step_ = hi_step_ = 0;
    Shrink(4, 0, 0);  // halvings of the range by steps of sqrt(2): down to 1/64
    Shrink(1, lo_step_, hi_step_);
    Climb();
  }

  // Takes the candidate when it is better and no modality pays too much for it.
  bool Try(const ActivationParams& params) {
    const Ratios ratios = RatiosOf(params);
    for (size_t m = 0; m < kModalities; ++m) {
      if (ratios.plain[m] > limit_[m]) return false;
    }
    if (!(ratios.cost < cost_)) return false;
    cost_ = ratios.cost;
    result_.params = params;
    result_.noise_to_signal = ratios.plain;
    return true;
  }

  // All pairs of shrink factors on a raster of `stride` (stride 1: within one coarse step of the
  // centre).
  void Shrink(int stride, int lo_centre, int hi_centre) {
    const bool fine = stride == 1;
    const auto first = [&](int centre) { return fine ? std::max(centre - 4, 0) : 0; };
    const auto last = [&](int centre) { return fine ? std::min(centre + 4, kSteps) : kSteps; };
    const bool lo_fixed = lo_ == 0 || options_.symmetric,
               hi_fixed = hi_ == 0 && !options_.symmetric;
    for (int i = first(lo_centre); i <= (lo_fixed ? first(lo_centre) : last(lo_centre));
         i += stride) {
      for (int j = first(hi_centre); j <= (hi_fixed ? first(hi_centre) : last(hi_centre));
           j += stride) {
        const double hi_factor = std::exp2(-j / 8.0);
        const double lo_factor = options_.symmetric ? hi_factor : std::exp2(-i / 8.0);
        if (Try(ParamsFor(lo_ * lo_factor, hi_ * hi_factor, options_.grid, options_.symmetric))) {
          lo_step_ = i;
          hi_step_ = j;
        }
      }
    }
  }

  // Neighbouring scales and offsets while they help.
  void Climb() {
    for (int move = 0; move < kMaxMoves; ++move) {
      const ActivationParams now = result_.params;
      bool better = false;
      for (const float scale : {PreviousScale(now.scale, options_.grid), now.scale,
                                NextScale(now.scale, options_.grid)}) {
        for (const double shift : {0.0, -1.0, 1.0}) {
          if (shift != 0 && options_.symmetric) continue;
          ActivationParams params = MakeParams(0, 0, scale, now.offset + shift, options_.grid);
          params.lo = params.CodeLo();
          params.hi = params.CodeHi();
          better = Try(params) || better;
        }
      }
      if (!better) break;
    }
  }

  const RangeProblem& problem_;
  const RangeSearchOptions& options_;
  double lo_, hi_;
  PerModality power_{};
  RangeResult result_;
  PerModality limit_{};  // of the plain ratios
  double clip_weight_ = 1, cost_ = 0;
  int lo_step_ = 0, hi_step_ = 0;
};

}  // namespace

void WeightedHistogram::Merge(const WeightedHistogram& other) {
  for (size_t b = 0; b < kBins; ++b) mass_[b] += other.mass_[b];
}

std::vector<WeightedHistogram::Bin> WeightedHistogram::Bins() const {
  std::vector<Bin> bins;
  for (uint32_t bits = kInfinityBin; bits > 0; --bits) {
    const uint64_t mass = mass_[kSignBin + bits];
    if (mass != 0) bins.push_back({-UpperEdge(bits), -LowerEdge(bits), static_cast<double>(mass)});
  }
  if (const uint64_t zero = mass_[0] + mass_[kSignBin]; zero != 0) {
    bins.push_back({0.0, 0.0, static_cast<double>(zero)});
  }
  for (uint32_t bits = 1; bits <= kInfinityBin; ++bits) {
    const uint64_t mass = mass_[bits];
    if (mass != 0) bins.push_back({LowerEdge(bits), UpperEdge(bits), static_cast<double>(mass)});
  }
  return bins;
}

bool WeightedHistogram::empty() const {
  return std::all_of(mass_.begin(), mass_.end(), [](uint64_t m) { return m == 0; });
}

ActivationParams FullRangeParams(float min, float max, ScaleGrid grid, bool symmetric) {
  return ParamsFor(std::min(min, 0.0f), std::max(max, 0.0f), grid, symmetric);
}

double NoiseToSignal(std::span<const WeightedHistogram::Bin> bins, const ActivationParams& params) {
  const double power = SignalPower(bins);
  return power > 0 ? NoisePower(bins, params).plain() / power : 0.0;
}

RangeResult SearchRange(const RangeProblem& problem, const RangeSearchOptions& options) {
  return Search(problem, options).Run();
}

}  // namespace ingot
