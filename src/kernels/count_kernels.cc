// SPDX-License-Identifier: Apache-2.0
// Runs micro-kernels of the AVX2 table on fixed sizes, each in a function of its own, so that
// check_instruction_counts.sh can count their instructions under callgrind (which knows no AVX-512).
#include <cstdio>
#include <vector>

#include "kernels/kernels.h"
#include "kernels/packed.h"

using ingot::KernelTable;
using ingot::PackedKernels;

namespace {

constexpr size_t kWidth = 2048, kPrime = 1153;

const KernelTable* table;
std::vector<float> floats(kWidth, 0.5f), more(kWidth, 0.25f);
std::vector<int8_t> codes(16 * kWidth, 3);
std::vector<uint16_t> halves(16 * kWidth, 0x3f80);
std::vector<int32_t> sums(kWidth, 1);
std::vector<std::byte> panel, rows;
std::vector<float> results(64 * 16);

void RunTile(const PackedKernels& kernels) {
  kernels.tile({.x = rows.data(),
                .rows = kernels.rows,
                .w = panel.data(),
                .panels = 1,
                .groups = kernels.Groups(kWidth),
                .n_out = kernels.columns,
                .column_sums = sums.data(),
                .deq = floats.data(),
                .y = results.data(),
                .ldy = kernels.columns,
                .prefetch = panel.data()});
}

void Prepare(const PackedKernels& kernels, const void* w) {
  panel.assign(kernels.PanelBytes(kWidth), std::byte{});
  rows.assign(kernels.rows * kernels.RowBytes(kWidth), std::byte{});
  kernels.pack_panel(w, kernels.columns, kWidth, panel.data(), sums.data());
  kernels.PackTile(w, kernels.rows, kWidth, rows.data());
}

}  // namespace

#define COUNTED extern "C" [[gnu::noinline, gnu::noipa]] void

COUNTED CountInt8Tile() { RunTile(*table->packed_i8); }
COUNTED CountInt8Pack() { Prepare(*table->packed_i8, codes.data()); }
COUNTED CountBf16Tile() { RunTile(*table->packed_bf16); }
COUNTED CountBf16Pack() { Prepare(*table->packed_bf16, halves.data()); }
COUNTED CountRmsNorm() {
  table->rms_norm(floats.data(), more.data(), 1e-6f, kPrime, results.data());
}
COUNTED CountLayerNorm() {
  table->layer_norm(floats.data(), more.data(), more.data(), 1e-6f, kPrime / 2, results.data());
}
COUNTED CountSiluMul() { table->silu_mul(floats.data(), more.data(), 1000, results.data()); }
COUNTED CountGeluTanh() { table->gelu_tanh(results.data(), 1000); }
COUNTED CountGeluErf() { table->gelu_erf(results.data(), 1000); }
COUNTED CountSoftmax() { table->softmax(results.data(), 1000); }
COUNTED CountQuantize() {
  const float scale = 0.01f, offset = 3;
  table->quantize_i8(floats.data(), kPrime, {&scale, &offset, false, false}, codes.data());
}
COUNTED CountAbsMax() { results[0] = table->abs_max(floats.data(), kPrime); }
COUNTED CountToBf16() { table->to_bf16(floats.data(), kPrime, halves.data()); }
COUNTED CountRope() { table->rope(results.data(), 7, floats.data(), more.data(), 64); }

int main() {
  table = ingot::FindKernels("avx2");
  if (table == nullptr) {
    std::puts("count_kernels: this CPU lacks AVX2");
    return 77;
  }
  CountInt8Pack();
  CountInt8Tile();
  CountBf16Pack();
  CountBf16Tile();
  results.assign(kWidth, 0.5f);
  CountRmsNorm();
  CountLayerNorm();
  CountSiluMul();
  CountGeluTanh();
  CountGeluErf();
  CountSoftmax();
  CountQuantize();
  CountAbsMax();
  CountToBf16();
  CountRope();
  return 0;
}
