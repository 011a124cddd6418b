// SPDX-License-Identifier: Apache-2.0
// For tests only: avxvnni_attention.cc with vpdpbusd in the encoding of AVX-512 VL and VNNI.
#define INGOT_DPBUSD _mm256_dpbusd_epi32
#define AddAvxVnniAttention AddEvexVnniAttention
#include "kernels/x86/avxvnni_attention.cc"
