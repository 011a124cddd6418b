// SPDX-License-Identifier: Apache-2.0
// The tables that dispatch (kernels.cc) chooses from. Calling into one that the CPU lacks is an
// illegal instruction.
#pragma once

#include "kernels/kernels.h"

namespace ingot {

const KernelTable& Avx2Kernels();
const KernelTable& Avx512Kernels();             // F, BW, DQ, VL, VNNI
void AddAvx512Bf16Kernels(KernelTable* table);  // replaces matmul_bf16

}  // namespace ingot
