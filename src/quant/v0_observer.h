// SPDX-License-Identifier: Apache-2.0
// The activation observers of the original tool, bit for bit: the histogram observer (equal to
// torch.ao.quantization.HistogramObserver of torch <= 2.0, with its bounds truncated to integers),
// the mean of extremes, and the rule that mixes both. Source: Ascend/msmodelslim:
// msmodelslim/pytorch/llm_ptq/llm_ptq_tools/quant_modules.py. Every operation is rounded to the
// type that the comments name; the order of float32 additions is that of torch on x86.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "quant/observer.h"

namespace ingot {

// act_method of the original's command line.
enum class V0ActMethod { kMinMax = 1, kHistogram = 2, kMixed = 3 };

struct ValueRange {
  float lo = 0, hi = 0;
};

// 2048 bins over [min, max] of what was seen; the range search runs over the bins.
class V0Histogram {
 public:
  static constexpr int kBins = 2048;
  V0Histogram() : bins_(kBins, 0.0f) {}

  // One sample: all values of the site's input. Requires: x not empty and finite.
  void Update(std::span<const float> x);
  // The searched range of all samples so far.
  ValueRange Range() const;

  std::span<const float> bins() const { return bins_; }
  float min() const { return min_; }
  float max() const { return max_; }

 private:
  void Grow(std::span<const float> x, float low, float high);
  double Error(int first, int last) const;
  std::vector<float> bins_;
  float min_ = 0, max_ = 0;
  bool empty_ = true;
};

// Means over the samples of their smallest and largest value, in the type of the activations.
class V0MinMax {
 public:
  explicit V0MinMax(DType dtype) : dtype_(dtype) {}
  void Update(std::span<const float> x);
  ValueRange Range() const;

 private:
  DType dtype_;
  float sum_lo_ = 0, sum_hi_ = 0;
  int64_t samples_ = 0;
};

// Scale and offset of a range. `dtype` is the type of the activations (F16, BF16 or F32).
ActivationParams V0Params(ValueRange range, V0ActMethod method, DType dtype);

// act_method 3: the range parameter of a site on the first samples of the float model, max(|min|,
// |max|) / sigma with sigma = max over samples of std(x_c - (cmax_c + cmin_c)); <= 50 selects the
// histogram, else the mean of extremes.
class V0RangeParam {
 public:
  explicit V0RangeParam(int64_t in);
  void Update(std::span<const float> x);  // [tokens, in]
  double Value() const;
  V0ActMethod Select() const {
    return Value() <= 50.0 ? V0ActMethod::kHistogram : V0ActMethod::kMinMax;
  }

 private:
  int64_t in_;
  float min_ = 0, max_ = 0;
  double sigma_ = 0;
  std::vector<float> channel_min_, channel_max_;
  bool empty_ = true;
};

// One site: Update with each sample in order, then Params() is what the fake-quantized forward of
// this sample uses; the last Params() counts.
class V0Observer {
 public:
  // Requires: method is kMinMax or kHistogram; dtype F16, BF16 or F32 (the type the model was
  // loaded with). `site` is for messages.
  V0Observer(V0ActMethod method, DType dtype, std::string site = {});
  // x: all values of one sample. FormatError when one is not finite.
  void Observe(std::span<const float> x);
  ActivationParams Params() const;
  int64_t samples() const { return samples_; }
  const V0Histogram& histogram() const { return histogram_; }

 private:
  std::string site_;
  V0ActMethod method_;
  DType dtype_;
  V0Histogram histogram_;
  V0MinMax min_max_;
  int64_t samples_ = 0;
};

}  // namespace ingot
