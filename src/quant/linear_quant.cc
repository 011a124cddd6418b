// SPDX-License-Identifier: Apache-2.0
// Rounding of one linear under a target's rules, its dequantized forms, and its accuracy on the
// sample rows of its site.
#include "quant/linear_quant.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "base/numeric.h"
#include "base/thread_pool.h"
#include "checkpoint/w8a8_arithmetic.h"
#include "kernels/kernels.h"
#include "quant/weight_search.h"

namespace ingot {
namespace {

constexpr float kSmallestScale = 0x1p-23f;  // of an all-zero row
constexpr double kMostDb = 200.0;           // reported instead of infinity
// |quant_bias| of the bias alone stays below this, so that the int32 accumulator cannot overflow.
constexpr float kLargestBiasCode = 0x1p28f;

void CheckShapes(const TensorView& weight, const TensorView* bias) {
  if (weight.shape.size() != 2 || !IsFloat16Or32(weight.dtype)) {
    throw InternalError("quantization: weight {} {} is no float matrix", DTypeName(weight.dtype),
                        ShapeText(weight.shape));
  }
  if (bias != nullptr && bias->elements() != weight.shape[0]) {
    throw InternalError("quantization: bias {} for weight {}", ShapeText(bias->shape),
                        ShapeText(weight.shape));
  }
}

QuantizedLinear Prepare(const TensorView& weight, const TensorView* bias, LinearType type,
                        std::string_view name) {
  CheckShapes(weight, bias);
  QuantizedLinear q;
  q.type = type;
  q.out = weight.shape[0];
  q.in = weight.shape[1];
  q.codes.resize(static_cast<size_t>(q.out * q.in));
  q.weight_scale.resize(static_cast<size_t>(q.out));
  if (bias != nullptr) q.bias = ToFloats(*bias);
  RequireFinite(q.bias, name, -1);
  return q;
}

float LargestMagnitude(std::span<const float> row) { return Kernels().abs_max(row.data(), row.size()); }

// Calls scale_of(row index, amax) for the row's scale, then fills the codes.
template <typename ScaleOf>
void RoundRows(const TensorView& weight, std::string_view name, QuantizedLinear* q,
               ScaleOf scale_of) {
  ParallelFor(static_cast<size_t>(q->out), 8, [&](size_t begin, size_t end) {
    std::vector<float> row(static_cast<size_t>(q->in));
    for (size_t n = begin; n < end; ++n) {
      ToFloats(weight, static_cast<int64_t>(n) * q->in, row);
      RequireFinite(row, name, static_cast<int64_t>(n));
      const float scale = scale_of(n, LargestMagnitude(row));
      q->weight_scale[n] = scale;
      int8_t* codes = q->codes.data() + n * row.size();
      const float zero = 0.0f;
      Kernels().quantize_i8(row.data(), row.size(), {&scale, &zero, false, false}, codes);
      for (size_t c = 0; c < row.size(); ++c) codes[c] = std::max<int8_t>(codes[c], -127);
    }
  });
}

// The code that the largest magnitude of each row gets: 127, or what the search on sample rows finds.
std::vector<float> LargestCodes(const TensorView& weight, std::string_view name, const SearchRows* rows,
                                const WeightScaleFn& scale_of) {
  if (rows == nullptr) return std::vector<float>(static_cast<size_t>(weight.shape[0]), 127.0f);
  if (rows->all.in != weight.shape[1]) {
    throw InternalError("{}: weight {} and sample rows of {} values", name, ShapeText(weight.shape), rows->all.in);
  }
  return SearchLargestCodes(weight, *rows, scale_of);
}

double Decibels(double signal, double noise) {
  if (!(noise > 0)) return kMostDb;
  if (!(signal > 0)) return -kMostDb;
  return std::clamp(10.0 * std::log10(signal / noise), -kMostDb, kMostDb);
}

struct Power {
  double signal = 0, noise = 0;
};

// Signal and noise of the measured outputs of one modality, output by output.
class OutputError {
 public:
  OutputError(const TensorView& weight, const QuantizedLinear& linear, int64_t max_outputs)
      : weight_(weight), linear_(linear), count_(std::clamp<int64_t>(max_outputs, 1, linear.out)) {}

  Power Measure(const RowSample& sample, std::span<const float> quantized_rows) const {
    std::vector<Power> by_output(static_cast<size_t>(count_));
    ParallelFor(by_output.size(), kBlock, [&](size_t begin, size_t end) {
      for (size_t first = begin; first < end; first += kBlock) {
        MeasureBlock(sample, quantized_rows, first, std::min(first + kBlock, end), by_output);
      }
    });
    Power total;
    for (const Power& p : by_output) {
      total.signal += p.signal;
      total.noise += p.noise;
    }
    return total;
  }

 private:
  static constexpr size_t kBlock = 8;  // outputs whose weights stay in cache while the rows stream

  void MeasureBlock(const RowSample& sample, std::span<const float> quantized_rows, size_t first,
                    size_t last, std::span<Power> by_output) const {
    const size_t in = static_cast<size_t>(linear_.in);
    std::vector<float> exact((last - first) * in), rounded((last - first) * in);
    for (size_t i = first; i < last; ++i) {
      const int64_t n = static_cast<int64_t>(i) * linear_.out / count_;
      ToFloats(weight_, n * linear_.in, std::span(exact).subspan((i - first) * in, in));
      const int8_t* codes = linear_.codes.data() + n * linear_.in;
      const float scale = linear_.weight_scale[static_cast<size_t>(n)];
      for (size_t c = 0; c < in; ++c)
        rounded[(i - first) * in + c] = static_cast<float>(codes[c]) * scale;
    }
    const size_t n_rows = static_cast<size_t>(sample.n_rows), n_out = last - first;
    std::vector<float> y(n_rows * n_out), z(n_rows * n_out);
    const KernelTable& kernels = Kernels();
    kernels.matmul_f32(sample.rows.data(), in, n_rows, exact.data(), n_out, in, nullptr, y.data(), n_out);
    kernels.matmul_f32(quantized_rows.data(), in, n_rows, rounded.data(), n_out, in, nullptr, z.data(), n_out);
    for (size_t at = 0; at < y.size(); ++at) {
      Power& power = by_output[first + at % n_out];
      const double signal = y[at], noise = signal - z[at];
      power.signal += signal * signal;
      power.noise += noise * noise;
    }
  }

  const TensorView& weight_;
  const QuantizedLinear& linear_;
  int64_t count_;
};

// Sums in lanes of fixed order, so that they compile to vector instructions.
Power RowPower(std::span<const float> row, const int8_t* codes, float scale) {
  constexpr size_t kLanes = 16;
  float signal[kLanes] = {}, noise[kLanes] = {};
  const auto add = [&](size_t lane, size_t c) {
    const float error = row[c] - static_cast<float>(codes[c]) * scale;
    signal[lane] += row[c] * row[c];
    noise[lane] += error * error;
  };
  size_t c = 0;
  for (; c + kLanes <= row.size(); c += kLanes) {
    for (size_t l = 0; l < kLanes; ++l) add(l, c + l);
  }
  for (; c < row.size(); ++c) add(0, c);
  Power power;
  for (size_t l = 0; l < kLanes; ++l) {
    power.signal += static_cast<double>(signal[l]);
    power.noise += static_cast<double>(noise[l]);
  }
  return power;
}

// At most `max_rows` of the rows, evenly spread.
RowSample Thinned(const RowSample& sample, int64_t in, int64_t max_rows) {
  RowSample thin;
  thin.n_rows = std::min(sample.n_rows, max_rows);
  for (int64_t i = 0; i < thin.n_rows; ++i) {
    const auto row = sample.rows.begin() + i * sample.n_rows / thin.n_rows * in;
    thin.rows.insert(thin.rows.end(), row, row + in);
  }
  return thin;
}

double WeightSqnr(const TensorView& weight, const QuantizedLinear& linear) {
  std::vector<Power> by_row(static_cast<size_t>(linear.out));
  ParallelFor(by_row.size(), 8, [&](size_t begin, size_t end) {
    std::vector<float> row(static_cast<size_t>(linear.in));
    for (size_t n = begin; n < end; ++n) {
      ToFloats(weight, static_cast<int64_t>(n) * linear.in, row);
      by_row[n] = RowPower(row, linear.codes.data() + n * row.size(), linear.weight_scale[n]);
    }
  });
  Power total;
  for (const Power& p : by_row) {
    total.signal += p.signal;
    total.noise += p.noise;
  }
  return Decibels(total.signal, total.noise);
}

// Share of values that the end codes cut: beyond half a step outside the covered range.
double ClipShare(std::span<const float> values, const ActivationParams& params) {
  const float half = 0.5f * params.effective_scale;
  const float lo = (-128.0f - params.offset) * params.effective_scale - half;
  const float hi = (127.0f - params.offset) * params.effective_scale + half;
  const auto clipped =
      std::count_if(values.begin(), values.end(), [&](float v) { return v < lo || v > hi; });
  return values.empty() ? 0.0 : static_cast<double>(clipped) / static_cast<double>(values.size());
}

}  // namespace

void RequireFinite(std::span<const float> values, std::string_view name, int64_t row) {
  bool finite = true;  // without branches, so that the scan costs little beside the rounding
  for (const float v : values) finite &= (std::bit_cast<uint32_t>(v) & 0x7f800000u) != 0x7f800000u;
  if (finite) return;
  const auto bad =
      std::find_if(values.begin(), values.end(), [](float v) { return !std::isfinite(v); });
  const std::string where = row < 0 ? fmt::format("bias {}", bad - values.begin())
                                    : fmt::format("row {}, column {}", row, bad - values.begin());
  throw FormatError(
      "{}: {} is {}, which cannot be quantized. Download the model again, or keep the linear "
      "float.",
      name, where, *bad);
}

QuantizedLinear QuantizeDynamic(const TensorView& weight, const TensorView* bias,
                                const RuntimeRules& rules, std::string_view name,
                                const SearchRows* rows) {
  QuantizedLinear q = Prepare(weight, bias, LinearType::kDynamic, name);
  const auto scale_of = [&](size_t, float amax, float code) {
    return WeightScaleOnGrid(std::max(amax / code, kSmallestScale), rules.dynamic_weight_scale);
  };
  const std::vector<float> codes = LargestCodes(weight, name, rows, scale_of);
  RoundRows(weight, name, &q, [&](size_t n, float amax) { return scale_of(n, amax, codes[n]); });
  return q;
}

QuantizedLinear QuantizeStatic(const TensorView& weight, const TensorView* bias,
                               const ActivationParams& params, const RuntimeRules& rules,
                               std::string_view name, const SearchRows* rows) {
  QuantizedLinear q = Prepare(weight, bias, LinearType::kStatic, name);
  q.input = params;
  q.deq.resize(static_cast<size_t>(q.out));
  q.quant_bias.resize(static_cast<size_t>(q.out));
  const bool folded = rules.bias_in_quant_bias && !q.bias.empty();
  const float s_x = params.effective_scale;
  const auto deq_of = [&](size_t n, float amax, float code) {
    float s_w = std::max(amax / code, kSmallestScale);
    // A bias on a row of (nearly) zero weights must not drive its code out of int32.
    if (folded) s_w = std::max(s_w, std::abs(q.bias[n]) / kLargestBiasCode / s_x);
    if (rules.deq == DeqGrid::kF32) s_w = WeightScaleOnGrid(s_w, rules.static_weight_scale);
    return std::pair(DeqOnGrid(s_x * s_w, amax, s_x, rules.deq), s_w);
  };
  const auto scale_of = [&](size_t n, float amax, float code) {
    const auto [deq, s_w] = deq_of(n, amax, code);
    return rules.deq == DeqGrid::kF32 ? s_w : deq / s_x;
  };
  const std::vector<float> codes = LargestCodes(weight, name, rows, scale_of);
  RoundRows(weight, name, &q, [&](size_t n, float amax) {
    q.deq[n] = deq_of(n, amax, codes[n]).first;
    return scale_of(n, amax, codes[n]);
  });
  const std::vector<double> sums =
      WeightedSums(q.codes, q.out, q.in, std::span<const float>(&params.offset, 1));
  for (size_t n = 0; n < sums.size(); ++n) {
    q.quant_bias[n] =
        QuantBiasOf(sums[n], q.deq[n], folded ? std::optional<float>(q.bias[n]) : std::nullopt);
  }
  return q;
}

void DequantizeWeight(const QuantizedLinear& linear, std::span<float> out) {
  if (out.size() != linear.codes.size()) {
    throw InternalError("DequantizeWeight: {} values for [{}, {}]", out.size(), linear.out,
                        linear.in);
  }
  ParallelFor(static_cast<size_t>(linear.out), 8, [&](size_t begin, size_t end) {
    const size_t in = static_cast<size_t>(linear.in);
    for (size_t i = begin * in; i < end * in; ++i) {
      out[i] = static_cast<float>(linear.codes[i]) * linear.weight_scale[i / in];
    }
  });
}

void FakeQuantizeActivations(std::span<const float> x, const ActivationParams& params,
                             std::span<float> out) {
  if (x.size() != out.size())
    throw InternalError("FakeQuantizeActivations: {} values into {}", x.size(), out.size());
  const float scale = params.effective_scale;
  const float low = -128.0f - params.offset, high = 127.0f - params.offset;
  for (size_t i = 0; i < x.size(); ++i) {
    out[i] = RoundToCode(x[i] / scale, low, high) * scale;
  }
}

void FakeQuantizeRows(std::span<const float> x, int64_t in, std::span<float> out) {
  const size_t cols = static_cast<size_t>(in);
  if (x.size() != out.size() || cols == 0 || x.size() % cols != 0) {
    throw InternalError("FakeQuantizeRows: {} values of rows of {} into {}", x.size(), in,
                        out.size());
  }
  for (size_t at = 0; at < x.size(); at += cols) {
    const float amax = LargestMagnitude(x.subspan(at, cols));
    const float scale = amax > 0 ? amax / 127.0f : 1.0f;
    for (size_t c = at; c < at + cols; ++c) {
      out[c] = RoundToCode(x[c] / scale, -127.0f, 127.0f) * scale;
    }
  }
}

LinearQuality MeasureLinear(const TensorView& weight, const QuantizedLinear& linear,
                            const SiteStatistics& site, const QualityOptions& options) {
  CheckShapes(weight, nullptr);
  if (weight.shape[0] != linear.out || weight.shape[1] != linear.in || site.in() != linear.in) {
    throw InternalError("MeasureLinear: weight {}, codes [{}, {}], site of {}",
                        ShapeText(weight.shape), linear.out, linear.in, site.in());
  }
  LinearQuality quality;
  quality.weight_sqnr_db = WeightSqnr(weight, linear);
  const OutputError error(weight, linear, options.max_outputs);
  for (size_t m = 0; m < kModalities; ++m) {
    const RowSample sample = Thinned(site.of(static_cast<Modality>(m)).sample, linear.in, options.max_rows);
    if (sample.n_rows == 0) continue;
    std::vector<float> rows(sample.rows.size());
    if (linear.type == LinearType::kStatic) {
      FakeQuantizeActivations(sample.rows, linear.input, rows);
      quality.clip_share[m] = ClipShare(sample.rows, linear.input);
    } else {
      FakeQuantizeRows(sample.rows, linear.in, rows);
    }
    const Power power = error.Measure(sample, rows);
    quality.sqnr_db[m] = Decibels(power.signal, power.noise);
  }
  return quality;
}

}  // namespace ingot
