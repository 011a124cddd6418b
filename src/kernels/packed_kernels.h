// SPDX-License-Identifier: Apache-2.0
// What a kernel table offers for products with packed weights: the layout and three functions.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ingot {

// Products with packed weights. Outputs lie in panels of `columns`, k in groups of `group`:
//   weights [panels][k groups][columns][group], tails filled with zeros;
//   x       tiles of up to `rows` rows, each [k groups][rows of the tile][group], in the form that
//           the multiply-add wants (x_bytes per group and row).
// Each sum runs over k in order in one lane, so its bits do not depend on how rows and outputs are
// cut. int8 sums are exact.
struct PackedTile {
  const void* x = nullptr;  // one tile of x
  size_t rows = 0;          // 1 .. PackedKernels::rows
  const std::byte* w = nullptr;
  size_t panels = 0;  // 1, 2 or 4; more than one only as PackedKernels::MaxPanels(rows) allows
  size_t groups = 0;  // of k
  size_t n_out = 0;   // columns of y that exist, <= panels * columns
  // int8: y = float(sum + column_sums[n] + quant_bias[n]) * deq[n] * row_scales[m] + bias[n], the
  // integers wrapping; bf16: y = sum + bias[n]. All but deq may be null. Pointers stand at the first
  // column and row.
  const int32_t* column_sums = nullptr;
  const int32_t* quant_bias = nullptr;
  const float* deq = nullptr;
  const float* row_scales = nullptr;
  const float* bias = nullptr;
  bool add = false;  // y += the result
  float* y = nullptr;
  size_t ldy = 0;
  // Asked into the cache while the tile runs: two lines for each group of k, `prefetch_second` bytes
  // apart, prefetch_step bytes further with each group.
  const std::byte* prefetch = nullptr;
  size_t prefetch_step = 0, prefetch_second = 0;
};
struct PackedKernels {
  size_t columns = 0;
  size_t group = 0;
  size_t rows = 0;
  size_t w_bytes = 0;  // of one weight
  size_t x_bytes = 0;  // of one group of one row
  // Panels that a tile of one or two rows takes at once: 1, 2 or 4. One panel is one stream from
  // memory, which prefetching follows best; more keep more sums in flight.
  size_t panels_of_one = 1;
  // w [n_out, k_size] dense, n_out <= columns -> one panel; column_sums [columns]: what the tile
  // adds to each sum (int8 kernels that shift x to unsigned; null else).
  void (*pack_panel)(const void* w, size_t n_out, size_t k_size, std::byte* panel,
                     int32_t* column_sums) = nullptr;
  // One row (int8 codes or bfloat16 bits) into its tile: group g at out + g * stride bytes.
  void (*pack_row)(const void* x, size_t k_size, size_t stride, std::byte* out) = nullptr;
  // A tile of dense rows, n_rows <= rows; null: row by row with pack_row.
  void (*pack_rows)(const void* x, size_t n_rows, size_t k_size, std::byte* tile) = nullptr;
  void (*tile)(const PackedTile& tile) = nullptr;

  void PackTile(const void* x, size_t n_rows, size_t k_size, std::byte* out) const {
    if (pack_rows != nullptr) return pack_rows(x, n_rows, k_size, out);
    for (size_t row = 0; row < n_rows; ++row) {
      pack_row(static_cast<const std::byte*>(x) + row * k_size * w_bytes, k_size, n_rows * x_bytes,
               out + row * x_bytes);
    }
  }
  size_t Groups(size_t k_size) const { return (k_size + group - 1) / group; }
  size_t Panels(size_t n_out) const { return (n_out + columns - 1) / columns; }
  size_t PanelBytes(size_t k_size) const { return Groups(k_size) * columns * group * w_bytes; }
  size_t RowBytes(size_t k_size) const { return Groups(k_size) * x_bytes; }
  static constexpr size_t MaxPanels(size_t n_rows, size_t of_one) {
    return n_rows <= 2 ? of_one : n_rows <= 4 ? (of_one + 1) / 2 : 1;
  }
  size_t MaxPanels(size_t n_rows) const { return MaxPanels(n_rows, panels_of_one); }
};

}  // namespace ingot
