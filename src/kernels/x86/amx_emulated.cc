// SPDX-License-Identifier: Apache-2.0
// For tests only: the products of amx.cc over tiles in memory, with the meaning of the instructions
// as the Intel SDM writes it down and the faults that they raise as failed checks.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#define INGOT_AMX_EMULATED
#define AddAmxKernels AddEmulatedAmxKernels

namespace ingot::amx_emulation {
namespace {

struct Tile {
  size_t rows = 0, row_bytes = 0;
  unsigned char data[16][64] = {};
};
thread_local Tile tiles[8];

void Require(bool holds) {
  if (!holds) std::abort();  // the CPU would raise #GP or #UD
}

void Configure(const void* shapes) {
  unsigned char bytes[64];
  std::memcpy(bytes, shapes, sizeof(bytes));
  Require(bytes[0] == 1 && bytes[1] == 0);
  for (size_t i = 2; i < 16; ++i) Require(bytes[i] == 0);
  for (size_t i = 0; i < 16; ++i) {
    uint16_t row_bytes;
    std::memcpy(&row_bytes, bytes + 16 + 2 * i, 2);
    const size_t rows = bytes[48 + i];
    Require(row_bytes <= 64 && rows <= 16 && (row_bytes == 0) == (rows == 0));
    if (i >= 8) Require(rows == 0);
    if (i < 8) tiles[i] = Tile{rows, row_bytes, {}};
  }
}
void Zero(int t) {
  Require(tiles[t].rows > 0);
  std::memset(tiles[t].data, 0, sizeof(tiles[t].data));
}
void Load(int t, const std::byte* from, size_t stride) {
  Require(tiles[t].rows > 0);
  for (size_t r = 0; r < tiles[t].rows; ++r)
    std::memcpy(tiles[t].data[r], from + r * stride, tiles[t].row_bytes);
}
void Store(int t, std::byte* to, size_t stride) {
  Require(tiles[t].rows > 0);
  for (size_t r = 0; r < tiles[t].rows; ++r)
    std::memcpy(to + r * stride, tiles[t].data[r], tiles[t].row_bytes);
}

// sum(&lane of sums, 4 bytes of x, 4 bytes of w) for every row, step of k and column.
template <typename Lane, typename Sum>
void Multiply(int sums, int x, int w, Sum sum) {
  Tile& c = tiles[sums];
  const Tile &a = tiles[x], &b = tiles[w];
  Require(sums != x && sums != w && x != w);
  Require(c.rows > 0 && a.rows == c.rows && b.row_bytes == c.row_bytes && b.rows * 4 == a.row_bytes);
  for (size_t m = 0; m < c.rows; ++m) {
    for (size_t k = 0; k < b.rows; ++k) {
      for (size_t n = 0; n < c.row_bytes / 4; ++n) {
        Lane lane;
        std::memcpy(&lane, c.data[m] + 4 * n, 4);
        sum(&lane, a.data[m] + 4 * k, b.data[k] + 4 * n);
        std::memcpy(c.data[m] + 4 * n, &lane, 4);
      }
    }
  }
}
void Int8(int sums, int x, int w) {
  Multiply<uint32_t>(sums, x, w, [](uint32_t* lane, const unsigned char* a, const unsigned char* b) {
    for (int i = 0; i < 4; ++i)
      *lane += static_cast<uint32_t>(static_cast<int8_t>(a[i]) * static_cast<int8_t>(b[i]));
  });
}
float Widen(const unsigned char* p) {
  const uint32_t bits = uint32_t{p[0]} << 16 | uint32_t{p[1]} << 24;
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}
void Bf16(int sums, int x, int w) {
  Multiply<float>(sums, x, w, [](float* lane, const unsigned char* a, const unsigned char* b) {
    for (int i = 0; i < 2; ++i) *lane += Widen(a + 2 * i) * Widen(b + 2 * i);
  });
}

}  // namespace
}  // namespace ingot::amx_emulation

#define INGOT_TILE_CONFIGURE(shape) amx_emulation::Configure(shape)
#define INGOT_TILE_ZERO(t) amx_emulation::Zero(t)
#define INGOT_TILE_LOAD(t, from, stride) amx_emulation::Load(t, from, stride)
#define INGOT_TILE_STORE(t, to, stride) amx_emulation::Store(t, to, stride)
#define INGOT_TILE_INT8(sums, x, w) amx_emulation::Int8(sums, x, w)
#define INGOT_TILE_BF16(sums, x, w) amx_emulation::Bf16(sums, x, w)
#include "kernels/x86/amx.cc"
