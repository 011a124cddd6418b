// SPDX-License-Identifier: Apache-2.0
// int8 and bfloat16 products with packed weights on AMX (Sapphire Rapids and later). A step
// multiplies 16 rows of 64 bytes of x by 16 outputs; 2 x 2 tiles of sums, 2 of x and 2 of w are all
// eight. Weights lie as for AVX-512 (32 outputs, 4 bytes of each side by side), padded to 64 bytes
// of k, so that a tile of w is 16 rows of 64 bytes, 128 apart; x lies in rows. int8 times int8 is
// signed: x needs no shift. Source: Intel 64 and IA-32 SDM, TDPBSSD, TDPBF16PS, LDTILECFG.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/tables.h"

// The test of this file runs it over tiles in memory (amx_emulated.cc): few CPUs have real ones.
#ifndef INGOT_AMX_EMULATED
#define INGOT_TILE_CONFIGURE(shape) _tile_loadconfig(shape)
#define INGOT_TILE_ZERO(t) _tile_zero(t)
#define INGOT_TILE_LOAD(t, from, stride) _tile_loadd(t, from, stride)
#define INGOT_TILE_STORE(t, to, stride) _tile_stored(t, to, stride)
#define INGOT_TILE_INT8(sums, x, w) _tile_dpbssd(sums, x, w)
#define INGOT_TILE_BF16(sums, x, w) _tile_dpbf16ps(sums, x, w)
#endif

namespace ingot {
namespace {

// Uses nothing of it, but belongs behind it: the order of the other packed products.
#include "kernels/x86/avx512_packed.h"

constexpr size_t kColumns = 32, kTileRows = 16, kRowBytes = 64, kRows = 2 * kTileRows;
constexpr size_t kGroupBytes = kRowBytes * kColumns;  // of w: 64 bytes of k of 32 outputs
constexpr size_t kWStride = 4 * kColumns;

// What LDTILECFG reads.
struct alignas(64) TileShapes {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

// Tiles 0-3: sums [row half][column half]; 4, 5: x; 6, 7: w. Loading shapes costs dozens of cycles:
// each thread does it when the number of rows changes. Nothing else in the program uses tiles.
void Configure(size_t rows) {
  thread_local size_t configured = 0;
  if (configured == rows) return;
  TileShapes shapes;
  const auto set = [&](size_t tile, size_t height) {
    shapes.row_bytes[tile] = height == 0 ? 0 : kRowBytes;
    shapes.rows[tile] = static_cast<uint8_t>(height);
  };
  const size_t first = rows < kTileRows ? rows : kTileRows;
  for (const size_t tile : {0, 1, 4}) set(tile, first);
  for (const size_t tile : {2, 3, 5}) set(tile, rows - first);
  for (const size_t tile : {6, 7}) set(tile, kTileRows);
  INGOT_TILE_CONFIGURE(&shapes);
  configured = rows;
}

// The sums of one panel: 32 bits each, row by row. The steps go through k in order.
#define INGOT_AMX_PANEL(name, multiply)                                                       \
  void name(const PackedTile& tile, const std::byte* w, std::byte* sums) {                    \
    const std::byte* x = static_cast<const std::byte*>(tile.x);                               \
    const std::byte* prefetch = tile.prefetch;                                                \
    const size_t x_stride = tile.groups * kRowBytes;                                          \
    const bool both = tile.rows > kTileRows;                                                  \
    INGOT_TILE_ZERO(0);                                                                       \
    INGOT_TILE_ZERO(1);                                                                       \
    if (both) {                                                                               \
      INGOT_TILE_ZERO(2);                                                                     \
      INGOT_TILE_ZERO(3);                                                                     \
    }                                                                                         \
    for (size_t g = 0; g < tile.groups; ++g, w += kGroupBytes, x += kRowBytes) {              \
      for (size_t at = 0; at < tile.prefetch_step; at += 64)                                  \
        __builtin_prefetch(prefetch + at, 0, 2);                                              \
      prefetch += tile.prefetch_step;                                                         \
      INGOT_TILE_LOAD(6, w, kWStride);                                                        \
      INGOT_TILE_LOAD(4, x, x_stride);                                                        \
      multiply(0, 4, 6);                                                                      \
      INGOT_TILE_LOAD(7, w + kRowBytes, kWStride);                                            \
      multiply(1, 4, 7);                                                                      \
      if (both) {                                                                             \
        INGOT_TILE_LOAD(5, x + kTileRows * x_stride, x_stride);                               \
        multiply(2, 5, 6);                                                                    \
        multiply(3, 5, 7);                                                                    \
      }                                                                                       \
    }                                                                                         \
    INGOT_TILE_STORE(0, sums, 4 * kColumns);                                                  \
    INGOT_TILE_STORE(1, sums + kRowBytes, 4 * kColumns);                                      \
    if (both) {                                                                               \
      INGOT_TILE_STORE(2, sums + kTileRows * 4 * kColumns, 4 * kColumns);                     \
      INGOT_TILE_STORE(3, sums + kTileRows * 4 * kColumns + kRowBytes, 4 * kColumns);         \
    }                                                                                         \
  }
INGOT_AMX_PANEL(Int8Panel, INGOT_TILE_INT8)
INGOT_AMX_PANEL(Bf16Panel, INGOT_TILE_BF16)
#undef INGOT_AMX_PANEL

template <void (*kPanel)(const PackedTile&, const std::byte*, std::byte*), typename Epilogue>
void RunTile(const PackedTile& tile) {
  alignas(64) std::byte sums[kRows * kColumns * 4];
  Configure(tile.rows);
  for (size_t panel = 0; panel < tile.panels; ++panel) {
    kPanel(tile, tile.w + panel * tile.groups * kGroupBytes, sums);
    for (size_t column = panel * kColumns; column < (panel + 1) * kColumns; column += 16) {
      if (column >= tile.n_out) break;
      const size_t count = tile.n_out - column < 16 ? tile.n_out - column : 16;
      const bool whole = count == 16 && !tile.add;
      const Epilogue epilogue(tile, column, count);
      for (size_t m = 0; m < tile.rows; ++m) {
        const std::byte* from = sums + (m * kColumns + column % kColumns) * 4;
        if (whole) {
          epilogue.StoreWhole(_mm512_load_si512(from), m);
        } else {
          epilogue.Store(_mm512_load_si512(from), m);
        }
      }
    }
  }
}

struct IntSums : Int8Epilogue {
  using Int8Epilogue::Int8Epilogue;
  inline void StoreWhole(__m512i sums, size_t m) const {
    Int8Epilogue::StoreWhole((I32x16)sums, m);
  }
  inline void Store(__m512i sums, size_t m) const { Int8Epilogue::Store((I32x16)sums, m); }
};
struct FloatSums : FloatEpilogue {
  using FloatEpilogue::FloatEpilogue;
  inline void StoreWhole(__m512i sums, size_t m) const {
    FloatEpilogue::StoreWhole(_mm512_castsi512_ps(sums), m);
  }
  inline void Store(__m512i sums, size_t m) const {
    FloatEpilogue::Store(_mm512_castsi512_ps(sums), m);
  }
};

template <size_t kBytes>
void PackAmxPanel(const void* w, size_t n_out, size_t k_size, std::byte* panel, int32_t*) {
  PackPanel32(w, n_out, k_size * kBytes, panel, /*whole_lines=*/true);
}

// Rows one after another, each padded with zeros to 64 bytes.
template <size_t kBytes>
void PackAmxRows(const void* x, size_t n_rows, size_t k_size, std::byte* tile) {
  const size_t row_bytes = k_size * kBytes, padded = (row_bytes + 63) / 64 * 64;
  for (size_t row = 0; row < n_rows; ++row) {
    const std::byte* from = static_cast<const std::byte*>(x) + row * row_bytes;
    for (size_t at = 0; at < padded; at += 64) {
      const size_t count = row_bytes - at < 64 ? row_bytes - at : 64;
      const __mmask64 bytes = count == 64 ? ~0ull : (1ull << count) - 1ull;
      _mm512_storeu_si512(tile + row * padded + at, _mm512_maskz_loadu_epi8(bytes, from + at));
    }
  }
}

}  // namespace

void AddAmxKernels(KernelTable* table, bool int8, bool bf16) {
  static const PackedKernels packed_i8 = {.columns = kColumns,
                                          .group = 64,
                                          .rows = kRows,
                                          .w_bytes = 1,
                                          .x_bytes = kRowBytes,
                                          .pack_panel = PackAmxPanel<1>,
                                          .pack_rows = PackAmxRows<1>,
                                          .tile = RunTile<Int8Panel, IntSums>};
  static const PackedKernels packed_bf16 = {.columns = kColumns,
                                            .group = 32,
                                            .rows = kRows,
                                            .w_bytes = sizeof(uint16_t),
                                            .x_bytes = kRowBytes,
                                            .pack_panel = PackAmxPanel<2>,
                                            .pack_rows = PackAmxRows<2>,
                                            .tile = RunTile<Bf16Panel, FloatSums>};
  if (int8) table->packed_i8 = &packed_i8;
  if (bf16) table->packed_bf16 = &packed_bf16;
}

}  // namespace ingot
