// SPDX-License-Identifier: Apache-2.0
// The specification of the kernels: plain loops, float32 sums in 16 interleaved parts (which the
// compiler may vectorise without changing a bit, and which errs less than one running sum).
#include <cmath>
#include <cstddef>
#include <cstring>

#include "base/numeric.h"
#include "kernels/kernels.h"

namespace ingot {
namespace {

#include "kernels/elementwise.h"

constexpr size_t kParts = 16;

float Widen(float value) { return value; }
struct Bf16 {
  uint16_t bits;
};
struct F16 {
  uint16_t bits;
};
float Widen(Bf16 value) { return Bf16ToF32(value.bits); }
float Widen(F16 value) { return F16ToF32(value.bits); }

float SumParts(const float* parts) {
  float sum = 0;
  for (size_t i = 0; i < kParts; ++i) sum += parts[i];
  return sum;
}

template <typename X, typename W>
float Dot(const X* x, const W* w, size_t n) {
  float parts[kParts] = {};
  size_t k = 0;
  for (; k + kParts <= n; k += kParts) {
    for (size_t i = 0; i < kParts; ++i) parts[i] += Widen(x[k + i]) * Widen(w[k + i]);
  }
  for (size_t i = 0; k + i < n; ++i) parts[i] += Widen(x[k + i]) * Widen(w[k + i]);
  return SumParts(parts);
}

template <typename X, typename W>
void Matmul(const X* x, size_t ldx, size_t rows, const W* w, size_t n_out, size_t k_size,
            const float* bias, float* y, size_t ldy) {
  for (size_t n = 0; n < n_out; ++n) {
    for (size_t m = 0; m < rows; ++m) {
      y[m * ldy + n] =
          Dot(x + m * ldx, w + n * k_size, k_size) + (bias != nullptr ? bias[n] : 0.0f);
    }
  }
}

const Bf16* AsBf16(const uint16_t* bits) { return reinterpret_cast<const Bf16*>(bits); }
const F16* AsF16(const uint16_t* bits) { return reinterpret_cast<const F16*>(bits); }

void MatmulF32Bf16(const float* x, size_t ldx, size_t rows, const uint16_t* w, size_t n_out,
                   size_t k_size, const float* bias, float* y, size_t ldy) {
  Matmul(x, ldx, rows, AsBf16(w), n_out, k_size, bias, y, ldy);
}
void MatmulF32F16(const float* x, size_t ldx, size_t rows, const uint16_t* w, size_t n_out,
                  size_t k_size, const float* bias, float* y, size_t ldy) {
  Matmul(x, ldx, rows, AsF16(w), n_out, k_size, bias, y, ldy);
}
void MatmulBf16(const uint16_t* x, size_t ldx, size_t rows, const uint16_t* w, size_t n_out,
                size_t k_size, const float* bias, float* y, size_t ldy) {
  Matmul(AsBf16(x), ldx, rows, AsBf16(w), n_out, k_size, bias, y, ldy);
}

void MatmulI8(const int8_t* x, size_t ldx, size_t rows, const int8_t* w, size_t n_out,
              size_t k_size, const float*, int32_t* y, size_t ldy) {
  for (size_t n = 0; n < n_out; ++n) {
    for (size_t m = 0; m < rows; ++m) {
      uint32_t sum = 0;  // int32 arithmetic that wraps
      for (size_t k = 0; k < k_size; ++k) {
        sum += static_cast<uint32_t>(int32_t{x[m * ldx + k]} * int32_t{w[n * k_size + k]});
      }
      y[m * ldy + n] = static_cast<int32_t>(sum);
    }
  }
}

// e^(x - largest) in place.
AttentionSums ExpSums(float* x, size_t n) {
  float largest = x[0];
  for (size_t i = 1; i < n; ++i) largest = std::fmax(largest, x[i]);
  float parts[kParts] = {};
  for (size_t i = 0; i < n; ++i) {
    x[i] = std::exp(x[i] - largest);
    parts[i % kParts] += x[i];
  }
  return {largest, SumParts(parts)};
}

AttentionSums NormalizedExp(float* x, size_t n) {
  const AttentionSums sums = ExpSums(x, n);
  const float scale = 1.0f / sums.total;
  for (size_t i = 0; i < n; ++i) x[i] *= scale;
  return sums;
}
void Softmax(float* x, size_t n) { NormalizedExp(x, n); }

// How a page of one head is read: Key(its keys, head_dim, slot, d), Value(its values, head_dim, slot, d).
template <typename T>
struct FloatPage {
  static constexpr size_t kStep = 4 / sizeof(T);
  static float Key(const std::byte* keys, size_t, size_t slot, size_t d) {
    return Widen(reinterpret_cast<const T*>(
        keys)[(d / kStep * kAttentionPage + slot) * kStep + d % kStep]);
  }
  static float Value(const std::byte* values, size_t dim, size_t slot, size_t d) {
    return Widen(reinterpret_cast<const T*>(
        values)[(slot / kStep * AttentionWidth(dim) + d) * kStep + slot % kStep]);
  }
};
struct Int8Page {
  static float Scale(const std::byte* scales, size_t slot) {
    return reinterpret_cast<const float*>(scales)[slot];
  }
  static float Key(const std::byte* keys, size_t dim, size_t slot, size_t d) {
    const int byte = static_cast<int>(keys[(d / 4 * kAttentionPage + slot) * 4 + d % 4]);
    return static_cast<float>(byte - 128) *
           Scale(keys + AttentionQuads(dim) * 4 * kAttentionPage, slot);
  }
  static float Value(const std::byte* values, size_t dim, size_t slot, size_t d) {
    const size_t width = AttentionWidth(dim);
    const auto code = static_cast<int8_t>(values[(slot / 4 * width + d) * 4 + slot % 4]);
    return static_cast<float>(code) * Scale(values + kAttentionPage * width, slot);
  }
};

template <typename Page>
void Attention(const AttentionArgs& args) {
  const size_t dim = args.head_dim;
  for (size_t row = 0; row < args.n_rows; ++row) {
    const size_t n_keys = static_cast<size_t>(args.n_keys[row]);
    float* scores = args.scratch;
    for (size_t key = 0; key < n_keys; ++key) {
      const std::byte* keys = args.pages[key / kAttentionPage] + args.key_offset;
      float sum = 0;
      for (size_t d = 0; d < dim; ++d)
        sum += args.q[row][d] * Page::Key(keys, dim, key % kAttentionPage, d);
      scores[key] = sum * args.scale;
    }
    const AttentionSums sums = NormalizedExp(scores, n_keys);
    if (args.sums != nullptr) args.sums[row] = sums;
    float* out = args.out[row];
    std::memset(out, 0, dim * sizeof(float));
    for (size_t key = 0; key < n_keys; ++key) {
      const std::byte* values = args.pages[key / kAttentionPage] + args.value_offset;
      for (size_t d = 0; d < dim; ++d)
        out[d] += scores[key] * Page::Value(values, dim, key % kAttentionPage, d);
    }
  }
}

void RmsNorm(const float* x, const float* weight, float eps, size_t width, float* y) {
  const float mean = Dot(x, x, width) / static_cast<float>(width);
  const float scale = 1.0f / std::sqrt(mean + eps);
  for (size_t i = 0; i < width; ++i) y[i] = weight[i] * (x[i] * scale);
}

void LayerNorm(const float* x, const float* weight, const float* bias, float eps, size_t width,
               float* y) {
  float parts[kParts] = {};
  for (size_t i = 0; i < width; ++i) parts[i % kParts] += x[i];
  const float mean = SumParts(parts) / static_cast<float>(width);
  float squares[kParts] = {};
  for (size_t i = 0; i < width; ++i) squares[i % kParts] += (x[i] - mean) * (x[i] - mean);
  const float scale = 1.0f / std::sqrt(SumParts(squares) / static_cast<float>(width) + eps);
  for (size_t i = 0; i < width; ++i) y[i] = (x[i] - mean) * scale * weight[i] + bias[i];
}

void SiluMul(const float* gate, const float* up, size_t n, float* y) {
  for (size_t i = 0; i < n; ++i) y[i] = gate[i] / (1.0f + std::exp(-gate[i])) * up[i];
}

// x * sigmoid(2 u) is 0.5 x (1 + tanh u) without the cancellation for negative u.
void GeluTanh(float* x, size_t n) {
  constexpr float kTwoRootTwoOverPi = 1.5957691216057308f;
  for (size_t i = 0; i < n; ++i) {
    const float u2 = kTwoRootTwoOverPi * (x[i] + 0.044715f * x[i] * x[i] * x[i]);
    x[i] = x[i] / (1.0f + std::exp(-u2));
  }
}

void GeluErf(float* x, size_t n) {
  for (size_t i = 0; i < n; ++i)
    x[i] = 0.5f * x[i] * (1.0f + std::erf(x[i] * 0.70710678118654752f));
}

float AbsMax(const float* x, size_t n) {
  float largest = 0;
  for (size_t i = 0; i < n; ++i) {
    const float magnitude = std::fabs(x[i]);
    largest = magnitude > largest ? magnitude : largest;
  }
  return largest;
}

}  // namespace

const KernelTable& ScalarKernels() {
  static const KernelTable table = {
      .name = "scalar",
      .matmul_f32 = Matmul<float, float>,
      .matmul_f32_bf16 = MatmulF32Bf16,
      .matmul_f32_f16 = MatmulF32F16,
      .matmul_bf16 = MatmulBf16,
      .matmul_i8 = MatmulI8,
      .attention_f32 = Attention<FloatPage<float>>,
      .attention_bf16 = Attention<FloatPage<Bf16>>,
      .attention_i8 = Attention<Int8Page>,
      .rms_norm = RmsNorm,
      .layer_norm = LayerNorm,
      .softmax = Softmax,
      .silu_mul = SiluMul,
      .gelu_tanh = GeluTanh,
      .gelu_erf = GeluErf,
      .rope = RopeHeads,
      .add = AddTo,
      .to_bf16 = ToBf16,
      .round_bf16 = RoundBf16,
      .abs_max = AbsMax,
      .quantize_i8 = QuantizeI8,
      .dequantize_i32 = DequantizeI32,
  };
  return table;
}

}  // namespace ingot
