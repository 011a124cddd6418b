// SPDX-License-Identifier: Apache-2.0
// Which kernel table this process uses.
#include "kernels/kernels.h"

#include <cstdlib>

#include "base/error.h"
#include "kernels/tables.h"

namespace ingot {
namespace {

#if defined(__x86_64__)
bool HasAvx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
         __builtin_cpu_supports("f16c");
}
bool HasAvx512() {
  return HasAvx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512vnni");
}

const KernelTable& Avx512Table() {
  static const KernelTable table = [] {
    KernelTable best = Avx512Kernels();
    AddAvx512PackedKernels(&best);
    if (__builtin_cpu_supports("avx512bf16")) {
      AddAvx512Bf16Kernels(&best);
      AddAvx512Bf16Attention(&best);
    }
    return best;
  }();
  return table;
}
#endif

const KernelTable* BestKernels() {
  for (const char* name : {"avx512", "avx2", "i8mm", "dotprod", "neon"}) {
    if (const KernelTable* table = FindKernels(name)) return table;
  }
  return &ScalarKernels();
}

const KernelTable* Choose() {
  const char* wanted = std::getenv("INGOT_ISA");
  if (wanted == nullptr || *wanted == '\0') return BestKernels();
  const KernelTable* table = FindKernels(wanted);
  if (table == nullptr) {
    throw UserError(
        "INGOT_ISA={}: this CPU or this build does not have it; the best one here is {}. Unset "
        "INGOT_ISA.",
        wanted, BestKernels()->name);
  }
  return table;
}

}  // namespace

const KernelTable* FindKernels(std::string_view name) {
  if (name == "scalar") return &ScalarKernels();
#if defined(__x86_64__)
  if (name == "avx2") return HasAvx2() ? &Avx2Kernels() : nullptr;
  if (name == "avx512") return HasAvx512() ? &Avx512Table() : nullptr;
#else
  if (name == "avx2" || name == "avx512") return nullptr;
#endif
#if defined(__aarch64__)
  if (name == "neon" || name == "dotprod" || name == "i8mm") return FindArmKernels(name);
#else
  if (name == "neon" || name == "dotprod" || name == "i8mm") return nullptr;
#endif
  throw UserError(
      "INGOT_ISA={}: unknown; expected scalar, avx2 or avx512 (x86-64), neon, dotprod or i8mm "
      "(aarch64).",
      name);
}

const KernelTable& Kernels() {
  static const KernelTable* const table = Choose();
  return *table;
}

}  // namespace ingot
