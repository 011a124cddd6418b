// SPDX-License-Identifier: Apache-2.0
#include "model/linear.h"

#include <algorithm>
#include <array>
#include <memory>

#include "base/error.h"
#include "base/numeric.h"
#include "base/thread_pool.h"
#include "kernels/gemm.h"
#include "kernels/kernels.h"
#include "kernels/ops.h"
#include "kernels/packed.h"

namespace ingot {
namespace {

// Without packed products: W8A8 sums are made for this many rows at a time, so that they stay in
// the cache.
constexpr int64_t kSumRows = 256;

// A weight that is used with fewer rows than this is packed and kept (decoding reads it again and
// again); with more it is packed panel by panel on the way, which costs little then.
constexpr int64_t kKeepPackedRows = 32;

// Scratch memory above this is given back after use.
constexpr size_t kScratchKeep = 32 << 20;

size_t Size(int64_t value) { return static_cast<size_t>(value); }

template <typename T>
std::unique_ptr<T[]> Buffer(int64_t count) {
  return std::make_unique_for_overwrite<T[]>(Size(count));
}

const float* BiasOf(const Linear& linear) {
  return linear.bias.empty() ? nullptr : linear.bias.data();
}

const PackedKernels* PackedKernelsOf(const Linear& linear, Precision precision) {
  if (linear.exec != LinearExec::kFloat) return Kernels().packed_i8;
  const bool bf16 = linear.weight.dtype() == DType::kBF16 && precision == Precision::kBF16;
  return bf16 ? Kernels().packed_bf16 : nullptr;
}

// How the codes of one row are made. `scale` is the row's own (kDynamic).
void QuantizeRow(const Linear& linear, const float* x, int8_t* codes, float* scale) {
  const KernelTable& kernels = Kernels();
  const size_t cols = Size(linear.in);
  if (linear.exec == LinearExec::kDynamic) {
    *scale = kernels.abs_max(x, cols) / 127.0f;
    const float divisor = *scale > 0 ? *scale : 1.0f, zero = 0.0f;  // a row of zeros has codes 0
    kernels.quantize_i8(x, cols, {&divisor, &zero, false, false}, codes);
  } else {
    kernels.quantize_i8(x, cols,
                        {linear.input_scale.data(), linear.input_offset.data(),
                         linear.exec == LinearExec::kStaticVector, linear.reciprocal},
                        codes);
  }
}

// Memory of the packed input, kept between calls: generating a token allocates nothing here. One
// per thread that runs linears.
struct InputScratch {
  Scratch bf16, codes, scales, factor;
};
thread_local InputScratch input_scratch;

// One input in the forms that linears want it, each made when first asked for.
class Input {
 public:
  Input(const float* x, int64_t rows, int64_t cols) : x_(x), rows_(rows), cols_(cols) {}
  ~Input() {
    for (Scratch* scratch : {&scratch_.bf16, &scratch_.codes, &scratch_.scales})
      scratch->Trim(kScratchKeep);
  }
  Input(const Input&) = delete;
  Input& operator=(const Input&) = delete;

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

  // For packed products: rounded to bfloat16, or quantized as the linear asks.
  const PackedRows& Packed(const Linear& linear, const PackedKernels& kernels,
                           const float** row_scales) {
    *row_scales = nullptr;
    if (linear.exec == LinearExec::kFloat) {
      if (packed_bf16_.data == nullptr) {
        packed_bf16_ = Pack<uint16_t>(
            kernels, &scratch_.bf16, [&](int64_t row, uint16_t* out) {
              Kernels().to_bf16(x_ + row * cols_, Size(cols_), out);
            });
      }
      return packed_bf16_;
    }
    auto* scales = reinterpret_cast<float*>(scratch_.scales.Get(Size(rows_) * sizeof(float)));
    if (packed_codes_.data == nullptr || !SameParameters(linear, *packed_codes_of_)) {
      packed_codes_ = Pack<int8_t>(kernels, &scratch_.codes, [&](int64_t row, int8_t* out) {
        QuantizeRow(linear, x_ + row * cols_, out, scales + row);
      });
      packed_codes_of_ = &linear;
    }
    if (linear.exec == LinearExec::kDynamic) *row_scales = scales;
    return packed_codes_;
  }
  // Whether `linear` takes the input as `other` does, so that both run in one go.
  static bool SameInput(const Linear& a, const Linear& b) {
    return a.exec == LinearExec::kFloat ? b.exec == LinearExec::kFloat : SameParameters(a, b);
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
  // Tile by tile: each row of a tile is made by convert(row, out) in cache memory, then placed.
  template <typename T, typename Convert>
  PackedRows Pack(const PackedKernels& kernels, Scratch* scratch, Convert convert) const {
    const size_t bytes = PackedRows::Bytes(kernels, Size(rows_), Size(cols_));
    std::byte* out = scratch->Get(bytes);
    const PackedRows packed{&kernels, out, Size(rows_), Size(cols_)};
    ParallelFor(packed.Tiles(), 1, [&](size_t begin, size_t end) {
      thread_local Scratch rows_scratch;
      T* dense = reinterpret_cast<T*>(rows_scratch.Get(kernels.rows * Size(cols_) * sizeof(T)));
      for (size_t tile = begin; tile < end; ++tile) {
        const size_t first = packed.TileBegin(tile), last = packed.TileBegin(tile + 1);
        for (size_t row = first; row < last; ++row)
          convert(static_cast<int64_t>(row), dense + (row - first) * Size(cols_));
        kernels.PackTile(dense, last - first, Size(cols_), out + packed.TileOffset(tile));
      }
    });
    return packed;
  }

  const float* x_;
  int64_t rows_, cols_;
  InputScratch& scratch_ = input_scratch;
  std::unique_ptr<uint16_t[]> bf16_;
  std::unique_ptr<float[]> rounded_, row_scales_;
  std::unique_ptr<int8_t[]> codes_;
  const Linear* codes_of_ = nullptr;
  PackedRows packed_bf16_, packed_codes_;
  const Linear* packed_codes_of_ = nullptr;
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

PackedProduct ProductOf(const LinearOutput& output, const PackedKernels& kernels, int64_t rows) {
  const Linear& linear = *output.linear;
  const bool keep = rows < kKeepPackedRows;
  return {.packed = keep ? &linear.weight.Packed(kernels) : linear.weight.PackedIfMade(),
          .w = linear.weight.view().bytes.data(),
          .n_out = Size(linear.out),
          .quant_bias = linear.quant_bias.empty() ? nullptr : linear.quant_bias.data(),
          .deq = linear.deq.empty() ? nullptr : linear.deq.data(),
          .bias = BiasOf(linear),
          .y = output.y,
          .add = output.add};
}

// Runs the first linear and those behind it that take the same packed input; returns how many.
size_t RunPackedLinears(std::span<const LinearOutput> linears, const PackedKernels& kernels,
                        Input* input, int64_t rows, Precision precision) {
  constexpr size_t kMost = 4;  // q, k, v or gate, up
  std::array<PackedProduct, kMost> products;
  const Linear& first = *linears.front().linear;
  size_t count = 0;
  while (count < std::min(kMost, linears.size())) {
    const Linear& linear = *linears[count].linear;
    if (PackedKernelsOf(linear, precision) != &kernels || !Input::SameInput(first, linear)) break;
    products[count] = ProductOf(linears[count], kernels, rows);
    ++count;
  }
  const float* row_scales = nullptr;
  const PackedRows& x = input->Packed(first, kernels, &row_scales);
  RunPacked(x, {products.data(), count}, row_scales);
  return count;
}

// A linear without packed products.
void RunDense(const LinearOutput& output, Input* input, int64_t rows, Precision precision) {
  const Linear& linear = *output.linear;
  std::unique_ptr<float[]> sum;
  float* y = output.y;
  if (output.add) sum = Buffer<float>(rows * linear.out), y = sum.get();
  if (linear.exec == LinearExec::kFloat) {
    RunFloat(linear, input, rows, y, precision);
  } else {
    RunInt8(linear, input, rows, y);
  }
  if (output.add) AddInto(output.y, y, Size(rows * linear.out));
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
  const int64_t cols = linear.in;
  const bool dynamic = linear.exec == LinearExec::kDynamic;
  ParallelFor(Size(rows), 4, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) {
      const int64_t row = static_cast<int64_t>(i);
      QuantizeRow(linear, x + row * cols, codes + row * cols, dynamic ? row_scales + row : nullptr);
    }
  });
}

bool PackWeight(const Linear& linear) {
  const PackedKernels* kernels = PackedKernelsOf(linear, Precision::kBF16);
  if (kernels != nullptr) linear.weight.Packed(*kernels);
  return kernels != nullptr;
}

void RunLinears(std::span<const LinearOutput> linears, const float* x, int64_t rows,
                Precision precision) {
  if (linears.empty() || rows == 0) return;
  Input input(x, rows, linears.front().linear->in);
  for (size_t i = 0; i < linears.size();) {
    if (const PackedKernels* kernels = PackedKernelsOf(*linears[i].linear, precision)) {
      i += RunPackedLinears(linears.subspan(i), *kernels, &input, rows, precision);
    } else {
      RunDense(linears[i], &input, rows, precision);
      ++i;
    }
  }
}

void RunLinear(const Linear& linear, const float* x, int64_t rows, float* y, Precision precision) {
  const LinearOutput output{&linear, y};
  RunLinears({&output, 1}, x, rows, precision);
}

void RunGated(const Linear& gate, const Linear& up, const float* x, int64_t rows, float* y,
              Precision precision) {
  if (rows == 0) return;
  const PackedKernels* kernels = PackedKernelsOf(gate, precision);
  if (kernels == nullptr || PackedKernelsOf(up, precision) != kernels ||
      !Input::SameInput(gate, up)) {
    Scratch& scratch = input_scratch.factor;
    float* factor = reinterpret_cast<float*>(scratch.Get(Size(rows * up.out) * sizeof(float)));
    const std::array<LinearOutput, 2> outputs{LinearOutput{&gate, y}, {&up, factor}};
    RunLinears(outputs, x, rows, precision);
    SiluMulInto(y, factor, Size(rows * up.out), y);
    return scratch.Trim(kScratchKeep);
  }
  Input input(x, rows, up.in);
  const float* row_scales = nullptr;
  const PackedRows& packed = input.Packed(up, *kernels, &row_scales);
  const PackedProduct gate_product = ProductOf({&gate, y}, *kernels, rows);
  PackedProduct product = ProductOf({&up, y}, *kernels, rows);
  product.gate = &gate_product;
  RunPacked(packed, {&product, 1}, row_scales);
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
