// SPDX-License-Identifier: Apache-2.0
// The tables that dispatch (kernels.cc) chooses from. Calling into one that the CPU lacks is an
// illegal instruction.
#pragma once

#include "kernels/kernels.h"

namespace ingot {

const KernelTable& Avx2Kernels();
const KernelTable& Avx512Kernels();               // F, BW, DQ, VL, VNNI
void AddAvx2PackedKernels(KernelTable* table);    // packed_i8, packed_bf16
void AddAvxVnniPackedKernels(KernelTable* table);  // packed_i8; AVX-VNNI
void AddAvxVnniAttention(KernelTable* table);      // replaces attention_i8; AVX-VNNI
void AddAvx512PackedKernels(KernelTable* table);  // packed_i8, packed_bf16; VNNI
void AddAmxKernels(KernelTable* table, bool int8, bool bf16);  // packed_i8, packed_bf16; AVX-512
// What the tests build besides: the same with emulated instructions.
void AddEvexVnniPackedKernels(KernelTable* table);  // AVX-512 VL, VNNI
void AddEvexVnniAttention(KernelTable* table);      // AVX-512 VL, VNNI
void AddEmulatedAmxKernels(KernelTable* table, bool int8, bool bf16);  // AVX-512
void AddAvx512Bf16Kernels(KernelTable* table);    // matmul_bf16, packed_bf16
void AddAvx512Bf16Attention(KernelTable* table);  // replaces attention_bf16

// aarch64: nullptr when the CPU lacks neon, dotprod or i8mm (arm/tables.cc builds these).
const KernelTable* FindArmKernels(std::string_view name);
const KernelTable& NeonKernels();
void AddDotprodKernels(KernelTable* table);  // int8 products, attention_i8
void AddI8mmKernels(KernelTable* table);     // int8 products
void AddArmBf16Kernels(KernelTable* table);  // bfloat16 products

}  // namespace ingot
