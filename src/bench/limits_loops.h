// SPDX-License-Identifier: Apache-2.0
// The register loops of each instruction set. Calling one that the CPU lacks is an illegal
// instruction; UsableLoops asks the CPU first.
#pragma once

#include <vector>

#include "bench/limits.h"

namespace ingot::bench {

std::vector<LimitLoop> GenericLoops();  // whatever the compiler makes for the oldest CPU
#if defined(__x86_64__)
std::vector<LimitLoop> Avx2Loops();        // AVX2, FMA
std::vector<LimitLoop> AvxVnniLoops();     // AVX-VNNI (256 bit)
std::vector<LimitLoop> Avx512Loops();      // AVX-512 F, BW
std::vector<LimitLoop> Avx512VnniLoops();  // AVX-512 VNNI
std::vector<LimitLoop> Avx512Bf16Loops();  // AVX-512 BF16
#endif

// XORs the 64-byte lines of `count` lines at `data` as eight streams; the result keeps the loads
// alive. Plain 128-bit loads do: memory is far slower than the load ports.
uint64_t ReadLines(const void* data, size_t count);

}  // namespace ingot::bench
