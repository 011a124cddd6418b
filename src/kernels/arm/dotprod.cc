// SPDX-License-Identifier: Apache-2.0
// int8 products with SDOT (FEAT_DotProd: Kunpeng 920, Neoverse N1): 16 exact products a lane group
// and instruction.
#include <arm_neon.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "kernels/tables.h"

namespace ingot {
namespace {

#include "kernels/arm/simd_int8.h"
#include "kernels/x86/simd_matmul.h"

// Two SDOT a cycle, as for float multiply-adds: the 4 x 6 tile of simd_neon.h.
struct Int8Dot : Int8DotBase {
  static inline Acc MulAdd(Vec x, Vec w, Acc acc) { return vdotq_s32(acc, x, w); }
};

void MatmulI8(const int8_t* x, size_t ldx, size_t rows, const int8_t* w, size_t n_out,
              size_t k_size, const float*, int32_t* y, size_t ldy) {
  MatmulAny<Int8Dot, Int8Dot, 4, 6>(x, ldx, rows, w, n_out, k_size, nullptr, y, ldy);
}

}  // namespace

void AddDotprodKernels(KernelTable* table) { table->matmul_i8 = MatmulI8; }

}  // namespace ingot
