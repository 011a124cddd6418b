// SPDX-License-Identifier: Apache-2.0
// Matrix products over all threads. The split is over outputs (columns of y), so each thread reads
// its own part of the weights once; results do not depend on the number of threads.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ingot {

// y[m * n_out + n] = sum_k x[m * k_size + k] w[n * k_size + k] (+ bias[n]); all dense. bias may be
// null.
void GemmF32(const float* x, size_t rows, const float* w, size_t n_out, size_t k_size,
             const float* bias, float* y);
void GemmF32Bf16(const float* x, size_t rows, const uint16_t* w, size_t n_out, size_t k_size,
                 const float* bias, float* y);
void GemmF32F16(const float* x, size_t rows, const uint16_t* w, size_t n_out, size_t k_size,
                const float* bias, float* y);
void GemmBf16(const uint16_t* x, size_t rows, const uint16_t* w, size_t n_out, size_t k_size,
              const float* bias, float* y);
void GemmI8(const int8_t* x, size_t rows, const int8_t* w, size_t n_out, size_t k_size, int32_t* y);

}  // namespace ingot
