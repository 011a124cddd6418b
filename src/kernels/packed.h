// SPDX-License-Identifier: Apache-2.0
// Products with packed weights over all threads (layout: PackedKernels in kernels.h). Weights may be
// packed once and kept (PackedMatrix), or be given as stored: then each panel is packed while it is
// used, which pays from a few dozen rows on. Both give the same bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/kernels.h"

namespace ingot {

// Bytes that start at a multiple of 64, on huge pages where the system grants them. Not cleared.
class AlignedBytes {
 public:
  AlignedBytes() = default;
  // Errors: ResourceError when there is no memory.
  explicit AlignedBytes(size_t size);
  std::byte* data() const { return data_.get(); }
  size_t size() const { return size_; }

 private:
  struct Free {
    Free() : mapped(0) {}
    explicit Free(size_t bytes) : mapped(bytes) {}
    size_t mapped;  // bytes of a mapping of its own, 0: from the heap
    void operator()(std::byte* data) const;
  };
  std::unique_ptr<std::byte, Free> data_;
  size_t size_ = 0;
};

// A scratch buffer that grows when needed and is kept for the next use.
class Scratch {
 public:
  std::byte* Get(size_t size) {
    if (size > bytes_.size()) bytes_ = AlignedBytes(), bytes_ = AlignedBytes(size);
    return bytes_.data();
  }
  // Gives the memory back when it is larger than `keep` bytes.
  void Trim(size_t keep) {
    if (bytes_.size() > keep) bytes_ = AlignedBytes();
  }

 private:
  AlignedBytes bytes_;
};

class PackedMatrix {
 public:
  PackedMatrix() = default;
  // w [n_out, k_size], dense, of the kernels' element type.
  PackedMatrix(const PackedKernels& kernels, const void* w, size_t n_out, size_t k_size);

  bool empty() const { return kernels_ == nullptr; }
  const PackedKernels& kernels() const { return *kernels_; }
  size_t n_out() const { return n_out_; }
  size_t k_size() const { return k_size_; }
  const std::byte* panel(size_t index) const { return bytes_.data() + index * panel_bytes_; }
  const int32_t* column_sums(size_t index) const {
    return sums_.data() + index * kernels_->columns;
  }

 private:
  const PackedKernels* kernels_ = nullptr;
  size_t n_out_ = 0, k_size_ = 0, panel_bytes_ = 0;
  AlignedBytes bytes_;
  std::vector<int32_t> sums_;
};

// Rows of x cut into tiles of nearly equal height and packed.
struct PackedRows {
  const PackedKernels* kernels = nullptr;
  const std::byte* data = nullptr;
  size_t rows = 0, k_size = 0;

  size_t Tiles() const { return (rows + kernels->rows - 1) / kernels->rows; }
  size_t TileBegin(size_t tile) const { return rows * tile / Tiles(); }
  static size_t Bytes(const PackedKernels& kernels, size_t rows, size_t k_size) {
    return rows * kernels.RowBytes(k_size);
  }
  size_t TileOffset(size_t tile) const { return TileBegin(tile) * kernels->RowBytes(k_size); }
};

// x [rows, k_size] dense, of the kernels' element type (int8 codes, bfloat16 bits), into `out`
// (PackedRows::Bytes).
PackedRows PackRows(const PackedKernels& kernels, const void* x, size_t rows, size_t k_size,
                    std::byte* out);

// One product of packed rows: y [rows, n_out] dense. See PackedTile for the formula.
struct PackedProduct {
  const PackedMatrix* packed = nullptr;
  const void* w = nullptr;  // as stored, used when `packed` is null
  size_t n_out = 0;
  const int32_t* quant_bias = nullptr;
  const float* deq = nullptr;
  const float* bias = nullptr;
  float* y = nullptr;
  bool add = false;  // y += the product; not with a gate
  // y = silu(gate product) * product, without either in memory. Of the gate, y is not used; it is as
  // wide and packed or stored likewise.
  const PackedProduct* gate = nullptr;
};
// All products of one x. row_scales [rows] or null.
void RunPacked(const PackedRows& x, std::span<const PackedProduct> products,
               const float* row_scales);

}  // namespace ingot
