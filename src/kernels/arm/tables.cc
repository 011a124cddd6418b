// SPDX-License-Identifier: Apache-2.0
// The tables of aarch64: each adds to the one before it, and a CPU has one when the kernel reports
// its instructions.
#include <asm/hwcap.h>
#include <sys/auxv.h>

#include "kernels/tables.h"

namespace ingot {
namespace {

bool HasDotprod() { return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0; }
bool HasI8mm() { return HasDotprod() && (getauxval(AT_HWCAP2) & HWCAP2_I8MM) != 0; }
bool HasBf16() { return (getauxval(AT_HWCAP2) & HWCAP2_BF16) != 0; }

const KernelTable& DotprodTable() {
  static const KernelTable table = [] {
    KernelTable best = NeonKernels();
    best.name = "dotprod";
    AddDotprodKernels(&best);
    return best;
  }();
  return table;
}

const KernelTable& I8mmTable() {
  static const KernelTable table = [] {
    KernelTable best = DotprodTable();
    best.name = "i8mm";
    AddI8mmKernels(&best);
    if (HasBf16()) AddArmBf16Kernels(&best);
    return best;
  }();
  return table;
}

}  // namespace

const KernelTable* FindArmKernels(std::string_view name) {
  if (name == "neon") return &NeonKernels();
  if (name == "dotprod" && HasDotprod()) return &DotprodTable();
  if (name == "i8mm" && HasI8mm()) return &I8mmTable();
  return nullptr;
}

}  // namespace ingot
