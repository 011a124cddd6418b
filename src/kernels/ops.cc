// SPDX-License-Identifier: Apache-2.0
#include "kernels/ops.h"

#include "base/thread_pool.h"
#include "kernels/kernels.h"

namespace ingot {
namespace {

// Values per piece of work: large enough that waking a thread pays. A multiple of every vector
// length, so that the pieces do not change which values share a vector.
constexpr size_t kPiece = 1 << 14;

size_t RowGrain(size_t width) { return width >= kPiece ? 1 : kPiece / width; }

}  // namespace

void RmsNormRows(const float* x, const float* weight, float eps, size_t rows, size_t width,
                 float* y) {
  ParallelFor(rows, RowGrain(width), [&](size_t begin, size_t end) {
    for (size_t row = begin; row < end; ++row)
      Kernels().rms_norm(x + row * width, weight, eps, width, y + row * width);
  });
}

void LayerNormRows(const float* x, const float* weight, const float* bias, float eps, size_t rows,
                   size_t width, float* y) {
  ParallelFor(rows, RowGrain(width), [&](size_t begin, size_t end) {
    for (size_t row = begin; row < end; ++row)
      Kernels().layer_norm(x + row * width, weight, bias, eps, width, y + row * width);
  });
}

void AddInto(float* x, const float* y, size_t n) {
  ParallelFor(n, kPiece,
              [&](size_t begin, size_t end) { Kernels().add(x + begin, y + begin, end - begin); });
}

void SiluMulInto(const float* gate, const float* up, size_t n, float* y) {
  ParallelFor(n, kPiece, [&](size_t begin, size_t end) {
    Kernels().silu_mul(gate + begin, up + begin, end - begin, y + begin);
  });
}

void GeluTanhInPlace(float* x, size_t n) {
  ParallelFor(n, kPiece,
              [&](size_t begin, size_t end) { Kernels().gelu_tanh(x + begin, end - begin); });
}

void GeluErfInPlace(float* x, size_t n) {
  ParallelFor(n, kPiece / 8,
              [&](size_t begin, size_t end) { Kernels().gelu_erf(x + begin, end - begin); });
}

void RopeRows(float* x, size_t stride, size_t rows, size_t n_heads, const float* cos,
              const float* sin, size_t half) {
  ParallelFor(rows, RowGrain(n_heads * 2 * half), [&](size_t begin, size_t end) {
    for (size_t row = begin; row < end; ++row) {
      Kernels().rope(x + row * stride, n_heads, cos + row * half, sin + row * half, half);
    }
  });
}

}  // namespace ingot
