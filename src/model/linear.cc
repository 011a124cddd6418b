// SPDX-License-Identifier: Apache-2.0
#include "model/linear.h"

#include <algorithm>
#include <memory>

#include "base/error.h"
#include "base/numeric.h"
#include "base/thread_pool.h"
#include "kernels/gemm.h"
#include "kernels/kernels.h"

namespace ingot {
namespace {

// W8A8 sums are made for this many rows at a time, so that they stay in the cache.
constexpr int64_t kSumRows = 256;

size_t Size(int64_t value) { return static_cast<size_t>(value); }

template <typename T>
std::unique_ptr<T[]> Buffer(int64_t count) {
  return std::make_unique_for_overwrite<T[]>(Size(count));
}

const float* BiasOf(const Linear& linear) {
  return linear.bias.empty() ? nullptr : linear.bias.data();
}

// One input in the forms that linears want it, each made when first asked for.
class Input {
 public:
  Input(const float* x, int64_t rows, int64_t cols) : x_(x), rows_(rows), cols_(cols) {}

  const float* F32() const { return x_; }
  const uint16_t* Bf16() {
    if (!bf16_) {
      bf16_ = Buffer<uint16_t>(rows_ * cols_);
      EachRow([&](int64_t row) {
        Kernels().to_bf16(x_ + row * cols_, Size(cols_), bf16_.get() + row * cols_);
      });
    }
    return bf16_.get();
  }
  const float* Rounded() {  // to BF16, as float32
    if (!rounded_) {
      rounded_ = Buffer<float>(rows_ * cols_);
      std::copy_n(x_, rows_ * cols_, rounded_.get());
      EachRow(
          [&](int64_t row) { Kernels().round_bf16(rounded_.get() + row * cols_, Size(cols_)); });
    }
    return rounded_.get();
  }
  // Codes under the linear's parameters; row_scales is null unless dynamic.
  const int8_t* Codes(const Linear& linear, const float** row_scales) {
    if (!codes_ || !SameParameters(linear, *codes_of_)) {
      if (!codes_) codes_ = Buffer<int8_t>(rows_ * cols_), row_scales_ = Buffer<float>(rows_);
      QuantizeInput(linear, x_, rows_, codes_.get(), row_scales_.get());
      codes_of_ = &linear;
    }
    *row_scales = linear.exec == LinearExec::kDynamic ? row_scales_.get() : nullptr;
    return codes_.get();
  }

 private:
  static bool SameParameters(const Linear& a, const Linear& b) {
    return a.exec == b.exec && a.reciprocal == b.reciprocal && a.input_scale == b.input_scale &&
           a.input_offset == b.input_offset;
  }
  template <typename Body>
  void EachRow(Body body) const {
    ParallelFor(Size(rows_), 8, [&](size_t begin, size_t end) {
      for (size_t row = begin; row < end; ++row) body(static_cast<int64_t>(row));
    });
  }
  const float* x_;
  int64_t rows_, cols_;
  std::unique_ptr<uint16_t[]> bf16_;
  std::unique_ptr<float[]> rounded_, row_scales_;
  std::unique_ptr<int8_t[]> codes_;
  const Linear* codes_of_ = nullptr;
};

void RunFloat(const Linear& linear, Input* input, int64_t rows, float* y, Precision precision) {
  const size_t m = Size(rows), n = Size(linear.out), k = Size(linear.in);
  const float* bias = BiasOf(linear);
  const bool bf16 = precision == Precision::kBF16;
  switch (linear.weight.dtype()) {
    case DType::kBF16:
      if (bf16) return GemmBf16(input->Bf16(), m, linear.weight.data<uint16_t>(), n, k, bias, y);
      return GemmF32Bf16(input->F32(), m, linear.weight.data<uint16_t>(), n, k, bias, y);
    case DType::kF16:
      return GemmF32F16(bf16 ? input->Rounded() : input->F32(), m, linear.weight.data<uint16_t>(),
                        n, k, bias, y);
    case DType::kF32:
      return GemmF32(bf16 ? input->Rounded() : input->F32(), m, linear.weight.data<float>(), n, k,
                     bias, y);
    default:
      throw InternalError("{}: float linear with a weight of {}", linear.module,
                          DTypeName(linear.weight.dtype()));
  }
}

void RunInt8(const Linear& linear, Input* input, int64_t rows, float* y) {
  const float* row_scales = nullptr;
  const int8_t* codes = input->Codes(linear, &row_scales);
  const int32_t* quant_bias = linear.quant_bias.empty() ? nullptr : linear.quant_bias.data();
  const auto sums = Buffer<int32_t>(std::min(rows, kSumRows) * linear.out);
  for (int64_t first = 0; first < rows; first += kSumRows) {
    const int64_t count = std::min(kSumRows, rows - first);
    GemmI8(codes + first * linear.in, Size(count), linear.weight.data<int8_t>(), Size(linear.out),
           Size(linear.in), sums.get());
    ParallelFor(Size(count), 4, [&](size_t begin, size_t end) {
      for (size_t row = begin; row < end; ++row) {
        const int64_t at = first + static_cast<int64_t>(row);
        Kernels().dequantize_i32(sums.get() + row * Size(linear.out), Size(linear.out), quant_bias,
                                 linear.deq.data(), row_scales == nullptr ? 1.0f : row_scales[at],
                                 BiasOf(linear), y + at * linear.out);
      }
    });
  }
}

void RequireSize(const LinearSpec& spec, const char* what, size_t found, int64_t expected) {
  if (found != Size(expected))
    throw InternalError("{}: {} has {} values, expected {}", spec.module, what, found, expected);
}

Linear MakeLinear(const LinearSpec& spec, LinearExec exec, Weight weight, std::vector<float> bias) {
  if (weight.rows() != spec.out || weight.cols() != spec.in) {
    throw InternalError("{}: weight {}, expected [{}, {}]", spec.module, ShapeText(weight.shape()),
                        spec.out, spec.in);
  }
  const bool int8 = weight.dtype() == DType::kI8;
  if (int8 != (exec != LinearExec::kFloat) || !(int8 || IsFloat16Or32(weight.dtype()))) {
    throw InternalError("{}: {} linear with a weight of {}", spec.module, LinearExecName(exec),
                        DTypeName(weight.dtype()));
  }
  if (!bias.empty()) RequireSize(spec, "bias", bias.size(), spec.out);
  Linear linear;
  linear.module = spec.module;
  linear.site = spec.site;
  linear.kind = spec.kind;
  linear.out = spec.out;
  linear.in = spec.in;
  linear.exec = exec;
  linear.weight = std::move(weight);
  linear.bias = std::move(bias);
  return linear;
}

}  // namespace

const char* LinearExecName(LinearExec exec) {
  switch (exec) {
    case LinearExec::kFloat:
      return "float";
    case LinearExec::kStatic:
      return "w8a8-static";
    case LinearExec::kStaticVector:
      return "w8a8-static-vector";
    case LinearExec::kDynamic:
      return "w8a8-dynamic";
  }
  return "?";
}

void QuantizeInput(const Linear& linear, const float* x, int64_t rows, int8_t* codes,
                   float* row_scales) {
  const KernelTable& kernels = Kernels();
  const int64_t cols = linear.in;
  ParallelFor(Size(rows), 4, [&](size_t begin, size_t end) {
    for (size_t row = begin; row < end; ++row) {
      const float* from = x + static_cast<int64_t>(row) * cols;
      int8_t* to = codes + static_cast<int64_t>(row) * cols;
      if (linear.exec == LinearExec::kDynamic) {
        const float scale = kernels.abs_max(from, Size(cols)) / 127.0f;
        const float divisor = scale > 0 ? scale : 1.0f, zero = 0.0f;  // a row of zeros has codes 0
        row_scales[row] = scale;
        kernels.quantize_i8(from, Size(cols), {&divisor, &zero, false, false}, to);
      } else {
        kernels.quantize_i8(from, Size(cols),
                            {linear.input_scale.data(), linear.input_offset.data(),
                             linear.exec == LinearExec::kStaticVector, linear.reciprocal},
                            to);
      }
    }
  });
}

void RunLinears(std::span<const LinearOutput> linears, const float* x, int64_t rows,
                Precision precision) {
  if (linears.empty() || rows == 0) return;
  Input input(x, rows, linears.front().linear->in);
  for (const auto& [linear, y] : linears) {
    if (linear->exec == LinearExec::kFloat) {
      RunFloat(*linear, &input, rows, y, precision);
    } else {
      RunInt8(*linear, &input, rows, y);
    }
  }
}

void RunLinear(const Linear& linear, const float* x, int64_t rows, float* y, Precision precision) {
  const LinearOutput output{&linear, y};
  RunLinears({&output, 1}, x, rows, precision);
}

Linear MakeFloatLinear(const LinearSpec& spec, Weight weight, std::vector<float> bias) {
  return MakeLinear(spec, LinearExec::kFloat, std::move(weight), std::move(bias));
}

Linear MakeStaticLinear(const LinearSpec& spec, Weight codes, std::vector<float> input_scale,
                        std::vector<float> input_offset, std::vector<int32_t> quant_bias,
                        std::vector<float> deq, std::vector<float> bias) {
  const bool scalar = input_scale.size() == 1;
  if (!scalar) RequireSize(spec, "input_scale", input_scale.size(), spec.in);
  RequireSize(spec, "input_offset", input_offset.size(), static_cast<int64_t>(input_scale.size()));
  if (!quant_bias.empty()) RequireSize(spec, "quant_bias", quant_bias.size(), spec.out);
  RequireSize(spec, "deq_scale", deq.size(), spec.out);
  Linear linear = MakeLinear(spec, scalar ? LinearExec::kStatic : LinearExec::kStaticVector,
                             std::move(codes), std::move(bias));
  linear.input_scale = std::move(input_scale);
  linear.input_offset = std::move(input_offset);
  linear.quant_bias = std::move(quant_bias);
  linear.deq = std::move(deq);
  return linear;
}

Linear MakeDynamicLinear(const LinearSpec& spec, Weight codes, std::vector<float> weight_scale,
                         std::vector<float> bias) {
  RequireSize(spec, "weight_scale", weight_scale.size(), spec.out);
  Linear linear = MakeLinear(spec, LinearExec::kDynamic, std::move(codes), std::move(bias));
  linear.deq = std::move(weight_scale);
  return linear;
}

}  // namespace ingot
