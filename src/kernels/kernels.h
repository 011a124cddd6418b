// SPDX-License-Identifier: Apache-2.0
// The compute kernels: functions of pointers and sizes behind one table that is chosen once, by
// what the CPU has. They do not allocate, start no threads and know nothing of tensors;
// kernels/{gemm,attention,ops}.h split work over threads. kernels/ref/scalar.cc is the
// specification; the others must agree with it, the integer ones bit for bit.
//
// Invariants of every table:
//  1. A row of a result depends on that row's inputs alone: the same bits whatever the number of
//  rows of the call.
//  2. Outputs may be computed in any split of the output range: the same bits.
//  3. Sums are kept in float32 (or exact int32) in an order fixed by the reduction length.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "kernels/packed_kernels.h"

namespace ingot {

// Operand of a matrix product: rows of `ld` elements.
//   y[m * ldy + n] = sum_k x[m * ldx + k] w[n * k_size + k] (+ bias[n])
// for m < rows, n < n_out, k < k_size. bias may be null. y must not overlap the inputs.
template <typename X, typename W, typename Y>
using MatmulFn = void (*)(const X* x, size_t ldx, size_t rows, const W* w, size_t n_out,
                          size_t k_size, const float* bias, Y* y, size_t ldy);

// Rows that attend to one key/value head.
//   out[r] = softmax(scale q[r] K^T) V over the first n_keys[r] keys.
// Keys and values lie in pages of kAttentionPage keys. A page of one head consists of 32-bit
// elements: one float32 ("step" 1), two bfloat16 of neighbouring positions, the lower one in the low
// half ("step" 2), or four int8 codes, the lowest one in the low byte ("step" 4), so that a vector
// of elements is an operand of a dot product:
//   keys   [head_dim / step, rounded up][kAttentionPage], neighbours along head_dim;
//   values [kAttentionPage / step][AttentionWidth(head_dim)], neighbours along the keys.
// With int8, kAttentionPage float32 scales follow the keys, and as many the values: an element is
// code * scale of its key, and a NaN scale makes the key NaN. Bytes of keys are code + 128 (the
// unsigned operand of x86), bytes of values signed; codes are -127 to 127.
// bfloat16: values of keys from n_keys on up to the next even number, and the columns behind
// head_dim, must be finite. Other places that no row sees may hold anything.
struct AttentionSums {
  float largest, total;
};
struct AttentionArgs {
  size_t n_rows = 0;                    // <= kAttentionRows
  const float* const* q = nullptr;      // [n_rows] -> [head_dim]
  float* const* out = nullptr;          // [n_rows] -> [head_dim]
  const int32_t* n_keys = nullptr;      // [n_rows], each >= 1
  size_t head_dim = 0;                  // even
  float scale = 1.0f;                   // > 0
  const std::byte* const* pages = nullptr;
  size_t key_offset = 0;  // bytes from the begin of a page to this head's part
  size_t value_offset = 0;
  float* scratch = nullptr;  // n_rows * AttentionScratch(largest n_keys, head_dim), at 64 bytes
  // When set, for each row: its largest score, times `scale`, and the sum of e^(score - largest).
  AttentionSums* sums = nullptr;  // [n_rows]
};
inline constexpr size_t kAttentionRows = 30;
inline constexpr size_t kAttentionPage = 64;
inline constexpr size_t kAttentionTile = 256;  // keys that kernels may take at once
constexpr size_t AttentionWidth(size_t head_dim) { return (head_dim + 15) / 16 * 16; }
constexpr size_t AttentionQuads(size_t head_dim) { return (head_dim + 3) / 4; }
constexpr size_t AttentionScratch(size_t n_keys, size_t head_dim) {
  const size_t scores = (n_keys > kAttentionTile ? n_keys : kAttentionTile) + 63;
  return scores / 64 * 64 + 16 + 2 * AttentionWidth(head_dim);
}

// How activations become int8 codes: q = clamp(rne(x / scale[i]) + offset[i], -128, 127); with
// `reciprocal` x * scale[i]. i is the column when `per_channel`, else 0. NaN gives -128.
struct QuantizeArgs {
  const float* scale = nullptr;
  const float* offset = nullptr;
  bool per_channel = false;
  bool reciprocal = false;
};

struct KernelTable {
  const char* name = "";

  const PackedKernels* packed_i8 = nullptr;    // null: none, use matmul_i8
  const PackedKernels* packed_bf16 = nullptr;  // null: none, use matmul_bf16

  MatmulFn<float, float, float> matmul_f32 = nullptr;
  MatmulFn<float, uint16_t, float> matmul_f32_bf16 = nullptr;  // x float32, w bfloat16 bits
  MatmulFn<float, uint16_t, float> matmul_f32_f16 = nullptr;   // x float32, w float16 bits
  MatmulFn<uint16_t, uint16_t, float> matmul_bf16 = nullptr;   // both bfloat16 bits, float32 sums
  MatmulFn<int8_t, int8_t, int32_t> matmul_i8 = nullptr;  // exact (wraps as int32); bias is ignored

  // Keys and values float32, pairs of bfloat16, int8 codes. With bfloat16 a table may also round q
  // and the weights of the values to bfloat16; sums are float32. With int8 a table may round q to
  // 2^-15 of its largest value, and the weights to 2^-15 of the largest one of kAttentionTile keys;
  // sums over head_dim, and over these keys, are then exact.
  void (*attention_f32)(const AttentionArgs& args) = nullptr;
  void (*attention_bf16)(const AttentionArgs& args) = nullptr;
  void (*attention_i8)(const AttentionArgs& args) = nullptr;

  // y[i] = w[i] * (x[i] * rsqrt(mean(x^2) + eps)), one row; y may be x.
  void (*rms_norm)(const float* x, const float* weight, float eps, size_t width,
                   float* y) = nullptr;
  // y[i] = (x[i] - mean) * rsqrt(var + eps) * w[i] + b[i], biased variance, one row; y may be x.
  void (*layer_norm)(const float* x, const float* weight, const float* bias, float eps,
                     size_t width, float* y) = nullptr;
  void (*softmax)(float* x, size_t n) = nullptr;  // in place, n >= 1
  // y[i] = silu(gate[i]) * up[i]; y may be gate.
  void (*silu_mul)(const float* gate, const float* up, size_t n, float* y) = nullptr;
  // 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), and 0.5 x (1 + erf(x / sqrt 2)); in place.
  void (*gelu_tanh)(float* x, size_t n) = nullptr;
  void (*gelu_erf)(float* x, size_t n) = nullptr;
  // Rotates the heads of one token: pairs (j, j + half) of each head of 2 * half values.
  void (*rope)(float* x, size_t n_heads, const float* cos, const float* sin, size_t half) = nullptr;
  void (*add)(float* x, const float* y, size_t n) = nullptr;  // x += y
  void (*to_bf16)(const float* x, size_t n, uint16_t* y) = nullptr;
  void (*round_bf16)(float* x, size_t n) = nullptr;      // in place
  float (*abs_max)(const float* x, size_t n) = nullptr;  // 0 for n = 0; NaN is skipped
  void (*quantize_i8)(const float* x, size_t n, const QuantizeArgs& args, int8_t* codes) = nullptr;
  // y[i] = float(sum[i] + quant_bias[i]) * deq[i] * row_scale + bias[i]; quant_bias and bias may be
  // null.
  void (*dequantize_i32)(const int32_t* sum, size_t n, const int32_t* quant_bias, const float* deq,
                         float row_scale, const float* bias, float* y) = nullptr;
};

// The table in use. First call: the best one of this CPU, or the one that INGOT_ISA names (scalar,
// avx2, avxvnni, avx512, amx; neon, dotprod, i8mm). Errors: UserError when INGOT_ISA is unknown or the CPU lacks it.
const KernelTable& Kernels();

// The table of a name, nullptr when this CPU (or this build) lacks it. Errors: UserError on an
// unknown name.
const KernelTable* FindKernels(std::string_view name);

const KernelTable& ScalarKernels();

}  // namespace ingot
