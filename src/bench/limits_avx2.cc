// SPDX-License-Identifier: Apache-2.0
// AVX2, FMA and AVX-VNNI register loops in assembly; see limits_avx512.cc.
#include "bench/limits_loops.h"

namespace ingot::bench {
namespace {

#define INGOT_YMM_CLOBBERS                                                                       \
  "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", \
      "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"

// Zeroes ymm0-ymm11, fills ymm14 and ymm15 with the 32-bit pattern, repeats `instruction` once per
// accumulator.
#define INGOT_YMM_LOOP(instruction, pattern)           \
  asm volatile(                                        \
      ".irp r,0,1,2,3,4,5,6,7,8,9,10,11\n"             \
      "vpxor %%ymm\\r, %%ymm\\r, %%ymm\\r\n"           \
      ".endr\n"                                        \
      "vmovd %1, %%xmm14\n"                            \
      "vpbroadcastd %%xmm14, %%ymm14\n"                \
      "vmovdqa %%ymm14, %%ymm15\n"                     \
      ".p2align 6\n"                                   \
      "1:\n"                                           \
      ".irp r,0,1,2,3,4,5,6,7,8,9,10,11\n" instruction \
      " %%ymm14, %%ymm15, %%ymm\\r\n"                  \
      ".endr\n"                                        \
      "dec %0\n"                                       \
      "jnz 1b\n"                                       \
      "vzeroupper\n"                                   \
      : "+r"(iterations)                               \
      : "r"(pattern)                                   \
      : INGOT_YMM_CLOBBERS)

void Vfmadd231ps(uint64_t iterations) { INGOT_YMM_LOOP("vfmadd231ps", 0x3f2aaaabu); }
void Vpdpbusd(uint64_t iterations) { INGOT_YMM_LOOP("%{vex%} vpdpbusd", 0x53a72b61u); }

// AVX2 has no four-way dot product: pairs of bytes to 16 bits (vpmaddubsw), pairs of these to 32
// (vpmaddwd by ones), add. An exact product needs more (16-bit sums saturate), so this bounds any
// method. Accumulators ymm0-ymm3, temporaries ymm10-ymm13.
void Vpmaddubsw(uint64_t iterations) {
  asm volatile(
      ".irp r,0,1,2,3\n"
      "vpxor %%ymm\\r, %%ymm\\r, %%ymm\\r\n"
      ".endr\n"
      "vmovd %1, %%xmm14\n"
      "vpbroadcastd %%xmm14, %%ymm14\n"
      "vmovdqa %%ymm14, %%ymm15\n"
      "vmovd %2, %%xmm9\n"
      "vpbroadcastd %%xmm9, %%ymm9\n"
      ".p2align 6\n"
      "1:\n"
      ".irp r,0,1,2,3\n"
      "vpmaddubsw %%ymm14, %%ymm15, %%ymm1\\r\n"
      ".endr\n"
      ".irp r,0,1,2,3\n"
      "vpmaddwd %%ymm9, %%ymm1\\r, %%ymm1\\r\n"
      ".endr\n"
      ".irp r,0,1,2,3\n"
      "vpaddd %%ymm1\\r, %%ymm\\r, %%ymm\\r\n"
      ".endr\n"
      "dec %0\n"
      "jnz 1b\n"
      "vzeroupper\n"
      : "+r"(iterations)
      : "r"(0x53a72b61u), "r"(0x00010001u)
      : INGOT_YMM_CLOBBERS);
}

#undef INGOT_YMM_LOOP
#undef INGOT_YMM_CLOBBERS

}  // namespace

std::vector<LimitLoop> Avx2Loops() {
  return {{Resource::kInt8, "vpmaddubsw+vpmaddwd+vpaddd ymm", 4 * 32 * 2, Vpmaddubsw},
          {Resource::kF32, "vfmadd231ps ymm", 12 * 8 * 2, Vfmadd231ps}};
}
std::vector<LimitLoop> AvxVnniLoops() {
  return {{Resource::kInt8, "vpdpbusd ymm", 12 * 32 * 2, Vpdpbusd}};
}

}  // namespace ingot::bench
