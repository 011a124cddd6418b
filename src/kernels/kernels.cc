// SPDX-License-Identifier: Apache-2.0
// Which kernel table this process uses.
#include "kernels/kernels.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

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
bool HasAvxVnni() {  // CPUID 7.1, EAX bit 4; gcc 12 has no name for it
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return HasAvx2() && __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax >> 4 & 1) != 0;
}
bool HasAvx512() {
  return HasAvx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512vnni");
}

// AMX as CPUID 7.0 tells (EDX bits 22, 24, 25), once the kernel let this process use its registers
// (Linux: Documentation/arch/x86/xstate.rst).
struct Amx {
  bool int8 = false, bf16 = false;
};
Amx FindAmx() {
  constexpr int kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr int kTileData = 18;               // XFEATURE_XTILEDATA
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (!HasAvx512() || __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0) return {};
  const auto has = [edx](int bit) { return (edx >> bit & 1) != 0; };
  if (!has(24) || !(has(22) || has(25))) return {};
  if (syscall(SYS_arch_prctl, kRequestPermission, kTileData) != 0) return {};
  return {.int8 = has(25), .bf16 = has(22)};
}

const KernelTable& Avx2Table() {
  static const KernelTable table = [] {
    KernelTable best = Avx2Kernels();
    AddAvx2PackedKernels(&best);
    return best;
  }();
  return table;
}
const KernelTable& AvxVnniTable() {
  static const KernelTable table = [] {
    KernelTable best = Avx2Table();
    AddAvxVnniPackedKernels(&best);
    AddAvxVnniAttention(&best);
    best.name = "avxvnni";
    return best;
  }();
  return table;
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
const KernelTable* AmxTable() {
  struct Found {
    KernelTable table;
    bool usable = false;
  };
  static const Found found = [] {
    const Amx amx = FindAmx();
    Found result{Avx512Table(), amx.int8 || amx.bf16};
    if (result.usable) AddAmxKernels(&result.table, amx.int8, amx.bf16);
    result.table.name = "amx";
    return result;
  }();
  return found.usable ? &found.table : nullptr;
}

const KernelTable* FindX86Kernels(std::string_view name) {
  if (name == "avx2") return HasAvx2() ? &Avx2Table() : nullptr;
  if (name == "avxvnni") return HasAvxVnni() ? &AvxVnniTable() : nullptr;
  if (name == "avx512") return HasAvx512() ? &Avx512Table() : nullptr;
  return HasAvx512() ? AmxTable() : nullptr;
}
#else
const KernelTable* FindX86Kernels(std::string_view) { return nullptr; }
#endif

const KernelTable* BestKernels() {
  for (const char* name : {"amx", "avx512", "avxvnni", "avx2", "i8mm", "dotprod", "neon"}) {
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
  if (name == "avx2" || name == "avxvnni" || name == "avx512" || name == "amx")
    return FindX86Kernels(name);
  if (name == "neon" || name == "dotprod" || name == "i8mm") {
#if defined(__aarch64__)
    return FindArmKernels(name);
#else
    return nullptr;
#endif
  }
  throw UserError(
      "INGOT_ISA={}: unknown; expected scalar, avx2, avxvnni, avx512 or amx (x86-64), neon, dotprod "
      "or i8mm (aarch64).",
      name);
}

const KernelTable& Kernels() {
  static const KernelTable* const table = Choose();
  return *table;
}

}  // namespace ingot
