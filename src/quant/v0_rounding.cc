// SPDX-License-Identifier: Apache-2.0
// Rounding of the original tool: one function per stored number, every step rounded to the type of
// the model.
#include "quant/v0_rounding.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/error.h"
#include "base/numeric.h"
#include "base/thread_pool.h"
#include "checkpoint/w8a8_arithmetic.h"

namespace ingot {
namespace {

constexpr float kSmallestScale = 0x1p-23f;

struct Dims {
  int64_t out, in;
};

Dims MatrixDims(const TensorView& weight) {
  if (weight.shape.size() != 2 || !IsFloat16Or32(weight.dtype)) {
    throw InternalError("quantization: weight {} {} is no float matrix", DTypeName(weight.dtype),
                        ShapeText(weight.shape));
  }
  return {weight.shape[0], weight.shape[1]};
}

// One row of the source as the original loads it: rounded to T.
void LoadRow(const TensorView& weight, int64_t row, DType dtype, std::span<float> out) {
  ToFloats(weight, row * static_cast<int64_t>(out.size()), out);
  if (weight.dtype != dtype) {
    for (float& v : out) v = NearestIn(dtype, v);
  }
}

float RowScale(std::span<const float> row, DType dtype) {
  float amax = 0;
  for (const float v : row) amax = std::max(amax, std::abs(v));
  return std::max(NearestIn(dtype, amax / 127.0f), kSmallestScale);
}

// Calls body(row, values) for every row, values rounded to T.
template <typename Body>
void ForRows(const TensorView& weight, Dims dims, DType dtype, Body body) {
  ParallelFor(static_cast<size_t>(dims.out), 8, [&](size_t begin, size_t end) {
    std::vector<float> row(static_cast<size_t>(dims.in));
    for (size_t n = begin; n < end; ++n) {
      LoadRow(weight, static_cast<int64_t>(n), dtype, row);
      body(n, std::span<const float>(row));
    }
  });
}

std::vector<float> LoadBias(const TensorView* bias, int64_t out, DType dtype) {
  if (bias == nullptr) return {};
  if (bias->elements() != out) {
    throw InternalError("quantization: bias {} for {} outputs", ShapeText(bias->shape), out);
  }
  std::vector<float> values = ToFloats(*bias);
  for (float& v : values) v = NearestIn(dtype, v);
  return values;
}

}  // namespace

float V0DeqScale(const ActivationParams& params, float weight_scale, DType dtype) {
  // A float32 scale promotes the product to float32; equal 16-bit types keep theirs.
  return NearestIn(params.dtype == dtype ? dtype : DType::kF32, params.scale * weight_scale);
}

QuantizedLinear V0QuantizeDynamic(const TensorView& weight, const TensorView* bias, DType dtype,
                                  std::string_view name) {
  const Dims dims = MatrixDims(weight);
  QuantizedLinear q;
  q.type = LinearType::kDynamic;
  q.out = dims.out;
  q.in = dims.in;
  q.codes.resize(static_cast<size_t>(dims.out * dims.in));
  q.weight_scale.resize(static_cast<size_t>(dims.out));
  q.bias = LoadBias(bias, dims.out, dtype);
  RequireFinite(q.bias, name, -1);
  ForRows(weight, dims, dtype, [&](size_t n, std::span<const float> row) {
    RequireFinite(row, name, static_cast<int64_t>(n));  // after the cast: F16 ends at 65504
    const float scale = RowScale(row, dtype);
    q.weight_scale[n] = scale;
    int8_t* codes = q.codes.data() + n * row.size();
    for (size_t c = 0; c < row.size(); ++c) {
      codes[c] =
          static_cast<int8_t>(RoundToCode(NearestIn(dtype, row[c] / scale), -127.0f, 127.0f));
    }
  });
  return q;
}

QuantizedLinear V0QuantizeStatic(const TensorView& weight, const TensorView* bias,
                                 const ActivationParams& params, DType dtype,
                                 std::string_view name) {
  QuantizedLinear q = V0QuantizeDynamic(weight, bias, dtype, name);
  q.type = LinearType::kStatic;
  q.input = params;
  q.deq.resize(static_cast<size_t>(q.out));
  q.quant_bias.resize(static_cast<size_t>(q.out));
  const std::vector<double> sums =
      WeightedSums(q.codes, q.out, q.in, std::span<const float>(&params.offset, 1));
  for (size_t n = 0; n < sums.size(); ++n) {
    q.deq[n] = V0DeqScale(params, q.weight_scale[n], dtype);
    // A linear without bias counts as bias 0: 0/0 of a row whose deq_scale underflowed is NaN in
    // the original too.
    q.quant_bias[n] = QuantBiasOf(sums[n], q.deq[n], q.bias.empty() ? 0.0f : q.bias[n]);
  }
  return q;
}

void V0FakeQuantizeWeight(const TensorView& weight, DType dtype, std::span<float> out) {
  const Dims dims = MatrixDims(weight);
  if (static_cast<int64_t>(out.size()) != dims.out * dims.in) {
    throw InternalError("V0FakeQuantizeWeight: {} values for weight {}", out.size(),
                        ShapeText(weight.shape));
  }
  ForRows(weight, dims, dtype, [&](size_t n, std::span<const float> row) {
    const float scale = RowScale(row, dtype);
    float* target = out.data() + n * row.size();
    for (size_t c = 0; c < row.size(); ++c) {
      const float code = std::clamp(Rne(NearestIn(dtype, row[c] / scale)), -128.0f, 127.0f);
      target[c] = NearestIn(dtype, code * scale);
    }
  });
}

void V0FakeQuantizeActivations(std::span<const float> x, const ActivationParams& params,
                               DType dtype, std::span<float> out) {
  if (x.size() != out.size()) {
    throw InternalError("V0FakeQuantizeActivations: {} values into {}", x.size(), out.size());
  }
  // A float32 scale promotes every step to float32, with one rounding to T at the end.
  const DType step = params.dtype == dtype ? dtype : DType::kF32;
  const float scale = params.scale, offset = params.offset;
  for (size_t i = 0; i < x.size(); ++i) {
    const float shifted = NearestIn(step, NearestIn(step, x[i] / scale) + offset);
    const float code = std::clamp(Rne(shifted), -128.0f, 127.0f);
    out[i] = NearestIn(dtype, NearestIn(step, NearestIn(step, code - offset) * scale));
  }
}

}  // namespace ingot
