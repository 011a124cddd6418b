// SPDX-License-Identifier: Apache-2.0
// AVX-512 register loops. Written in assembly so that 24 accumulators stay in registers whatever
// the compiler: at latencies of 4 to 6 cycles and two instructions a cycle, 12 are needed. The
// operands are ordinary values (zeros would draw less power and allow a higher clock); sums may
// wrap or grow, which costs nothing.
#include "bench/limits_loops.h"

namespace ingot::bench {
namespace {

constexpr double kAccumulators = 24;

// Zeroes zmm0-zmm23, fills zmm30 and zmm31 with the 32-bit pattern, repeats `instruction` once per
// accumulator.
#define INGOT_ZMM_LOOP(instruction, pattern)                                                      \
  asm volatile(                                                                                   \
      ".irp r,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23\n"                    \
      "vpxord %%zmm\\r, %%zmm\\r, %%zmm\\r\n"                                                     \
      ".endr\n"                                                                                   \
      "vpbroadcastd %1, %%zmm30\n"                                                                \
      "vmovdqa64 %%zmm30, %%zmm31\n"                                                              \
      ".p2align 6\n"                                                                              \
      "1:\n"                                                                                      \
      ".irp r,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23\n" instruction        \
      " %%zmm30, %%zmm31, %%zmm\\r\n"                                                             \
      ".endr\n"                                                                                   \
      "dec %0\n"                                                                                  \
      "jnz 1b\n"                                                                                  \
      : "+r"(iterations)                                                                          \
      : "r"(pattern)                                                                              \
      : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",     \
        "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "xmm16", "xmm17", "xmm18", "xmm19", \
        "xmm20", "xmm21", "xmm22", "xmm23", "xmm30", "xmm31")

void Vpdpbusd(uint64_t iterations) { INGOT_ZMM_LOOP("vpdpbusd", 0x53a72b61u); }
void Vdpbf16ps(uint64_t iterations) { INGOT_ZMM_LOOP("vdpbf16ps", 0x3f2abf11u); }  // 0.66, -0.57
void Vfmadd231ps(uint64_t iterations) { INGOT_ZMM_LOOP("vfmadd231ps", 0x3f2aaaabu); }  // 0.67

#undef INGOT_ZMM_LOOP

}  // namespace

std::vector<LimitLoop> Avx512VnniLoops() {
  return {{Resource::kInt8, "vpdpbusd zmm", kAccumulators * 64 * 2, Vpdpbusd}};
}
std::vector<LimitLoop> Avx512Bf16Loops() {
  return {{Resource::kBf16, "vdpbf16ps zmm", kAccumulators * 32 * 2, Vdpbf16ps}};
}
std::vector<LimitLoop> Avx512Loops() {
  return {{Resource::kF32, "vfmadd231ps zmm", kAccumulators * 16 * 2, Vfmadd231ps}};
}

}  // namespace ingot::bench
