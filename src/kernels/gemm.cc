// SPDX-License-Identifier: Apache-2.0
#include "kernels/gemm.h"

#include "base/thread_pool.h"
#include "kernels/kernels.h"

namespace ingot {
namespace {

// A multiple of every tile width (4, 6, 8, 48) and of a cache line of y.
constexpr size_t kGrain = 48;

template <typename X, typename W, typename Y>
void Split(MatmulFn<X, W, Y> matmul, const X* x, size_t rows, const W* w, size_t n_out,
           size_t k_size, const float* bias, Y* y) {
  if (rows == 0 || n_out == 0) return;
  ParallelFor(n_out, kGrain, [&](size_t begin, size_t end) {
    matmul(x, k_size, rows, w + begin * k_size, end - begin, k_size,
           bias == nullptr ? nullptr : bias + begin, y + begin, n_out);
  });
}

}  // namespace

void GemmF32(const float* x, size_t rows, const float* w, size_t n_out, size_t k_size,
             const float* bias, float* y) {
  Split(Kernels().matmul_f32, x, rows, w, n_out, k_size, bias, y);
}
void GemmF32Bf16(const float* x, size_t rows, const uint16_t* w, size_t n_out, size_t k_size,
                 const float* bias, float* y) {
  Split(Kernels().matmul_f32_bf16, x, rows, w, n_out, k_size, bias, y);
}
void GemmF32F16(const float* x, size_t rows, const uint16_t* w, size_t n_out, size_t k_size,
                const float* bias, float* y) {
  Split(Kernels().matmul_f32_f16, x, rows, w, n_out, k_size, bias, y);
}
void GemmBf16(const uint16_t* x, size_t rows, const uint16_t* w, size_t n_out, size_t k_size,
              const float* bias, float* y) {
  Split(Kernels().matmul_bf16, x, rows, w, n_out, k_size, bias, y);
}
void GemmI8(const int8_t* x, size_t rows, const int8_t* w, size_t n_out, size_t k_size,
            int32_t* y) {
  Split<int8_t, int8_t, int32_t>(Kernels().matmul_i8, x, rows, w, n_out, k_size, nullptr, y);
}

}  // namespace ingot
