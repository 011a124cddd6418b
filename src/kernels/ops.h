// SPDX-License-Identifier: Apache-2.0
// Row-wise kernels over all threads. x and y are [rows, width], dense; y may be x.
#pragma once

#include <cstddef>

namespace ingot {

void RmsNormRows(const float* x, const float* weight, float eps, size_t rows, size_t width,
                 float* y);
void LayerNormRows(const float* x, const float* weight, const float* bias, float eps, size_t rows,
                   size_t width, float* y);
void AddInto(float* x, const float* y, size_t n);                          // x += y
void SiluMulInto(const float* gate, const float* up, size_t n, float* y);  // y = silu(gate) * up
void GeluTanhInPlace(float* x, size_t n);
void GeluErfInPlace(float* x, size_t n);
// Rotates n_heads heads of 2 * half values in each row of x (rows `stride` apart); cos, sin: [rows,
// half].
void RopeRows(float* x, size_t stride, size_t rows, size_t n_heads, const float* cos,
              const float* sin, size_t half);

}  // namespace ingot
