// SPDX-License-Identifier: Apache-2.0
#include "kernels/packed.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>

#include "base/error.h"
#include "base/thread_pool.h"

namespace ingot {
namespace {

constexpr size_t kHugePage = 2 << 20;
// A block of packed x that stays in the L2 cache together with a panel of weights.
constexpr size_t kRowBlockBytes = 384 << 10;
constexpr size_t kPanelScratchKeep = 4 << 20;

size_t RoundUp(size_t value, size_t unit) { return (value + unit - 1) / unit * unit; }

// The tiles of x against the panels [begin, end) of one product.
class ProductRunner {
 public:
  ProductRunner(const PackedRows& x, const PackedProduct& product, const float* row_scales)
      : x_(x),
        kernels_(*x.kernels),
        product_(product),
        row_scales_(row_scales),
        row_bytes_(kernels_.RowBytes(x.k_size)),
        panel_bytes_(kernels_.PanelBytes(x.k_size)),
        tiles_(x.Tiles()) {
    tile_.groups = kernels_.Groups(x.k_size);
    tile_.ldy = product.n_out;
  }

  void Run(size_t begin, size_t end) {
    if (product_.packed == nullptr) return RunUnpacked(begin, end);
    const size_t per_block =
        std::max<size_t>(1, kRowBlockBytes / std::max<size_t>(1, kernels_.rows * row_bytes_));
    const size_t blocks = (tiles_ + per_block - 1) / per_block;
    for (size_t block = 0; block < blocks; ++block)
      RunBlock(tiles_ * block / blocks, tiles_ * (block + 1) / blocks, begin, end);
  }

 private:
  void RunBlock(size_t first_tile, size_t last_tile, size_t begin, size_t end) {
    const PackedMatrix& packed = *product_.packed;
    const size_t height = x_.TileBegin(first_tile + 1) - x_.TileBegin(first_tile);
    const size_t most = last_tile - first_tile == 1 ? PackedKernels::MaxPanels(height) : 1;
    for (size_t panel = begin, count; panel < end; panel += count) {
      count = most;
      while (panel + count > end) count /= 2;
      SetPanels(panel, count, packed.panel(panel), packed.column_sums(panel));
      const std::byte* next = panel + count < end ? packed.panel(panel + count) : nullptr;
      if (last_tile - first_tile == 1) next = nullptr;
      RunTiles(first_tile, last_tile, next);
    }
  }

  void RunUnpacked(size_t begin, size_t end) {
    thread_local Scratch scratch;
    const size_t sums_at = RoundUp(panel_bytes_, 64);
    std::byte* packed = scratch.Get(sums_at + kernels_.columns * sizeof(int32_t));
    auto* sums = reinterpret_cast<int32_t*>(packed + sums_at);
    for (size_t panel = begin; panel < end; ++panel) {
      const size_t first = panel * kernels_.columns;
      std::fill_n(sums, kernels_.columns, 0);
      kernels_.pack_panel(
          static_cast<const std::byte*>(product_.w) + first * x_.k_size * kernels_.w_bytes,
          std::min(kernels_.columns, product_.n_out - first), x_.k_size, packed, sums);
      SetPanels(panel, 1, packed, sums);
      RunTiles(0, tiles_, nullptr);
    }
    scratch.Trim(kPanelScratchKeep);
  }

  void SetPanels(size_t panel, size_t count, const std::byte* w, const int32_t* sums) {
    const size_t column = panel * kernels_.columns;
    const auto at = [column](auto* p) { return p == nullptr ? nullptr : p + column; };
    tile_.w = w;
    tile_.panels = count;
    tile_.n_out = std::min(count * kernels_.columns, product_.n_out - column);
    tile_.column_sums = sums;
    tile_.quant_bias = at(product_.quant_bias);
    tile_.deq = at(product_.deq);
    tile_.bias = at(product_.bias);
    y_ = product_.y + column;
  }

  // `next`: the panel that comes into the cache while the first two tiles run, or null.
  void RunTiles(size_t first, size_t last, const std::byte* next) {
    size_t row = x_.TileBegin(first);
    for (size_t tile = first; tile < last; ++tile) {
      const size_t end = x_.TileBegin(tile + 1), part = tile - first;
      const bool ahead = next != nullptr && part < 2;
      tile_.x = x_.data + row * row_bytes_;
      tile_.rows = end - row;
      tile_.row_scales = row_scales_ == nullptr ? nullptr : row_scales_ + row;
      tile_.y = y_ + row * product_.n_out;
      tile_.prefetch = ahead ? next + part * (panel_bytes_ / 2) : tile_.w;
      tile_.prefetch_step = ahead ? panel_bytes_ / 2 / tile_.groups : 0;
      kernels_.tile(tile_);
      row = end;
    }
  }

  const PackedRows& x_;
  const PackedKernels& kernels_;
  const PackedProduct& product_;
  const float* row_scales_;
  size_t row_bytes_, panel_bytes_, tiles_;
  PackedTile tile_;
  float* y_ = nullptr;
};

}  // namespace

void AlignedBytes::Free::operator()(std::byte* data) const {
  if (mapped != 0) {
    munmap(data, mapped);
  } else {
    std::free(data);
  }
}

AlignedBytes::AlignedBytes(size_t size) : size_(size) {
  if (size >= kHugePage) {
    // Aligned to huge pages: the mapping is larger, its ends are given back.
    const size_t wanted = RoundUp(size, kHugePage), total = wanted + kHugePage;
    void* raw = mmap(nullptr, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (raw == MAP_FAILED) throw ResourceError("no memory for {} bytes of packed weights", size);
    auto* base = static_cast<std::byte*>(raw);
    const size_t head = RoundUp(reinterpret_cast<uintptr_t>(base), kHugePage) -
                        reinterpret_cast<uintptr_t>(base);
    if (head != 0) munmap(base, head);
    if (head != kHugePage) munmap(base + head + wanted, kHugePage - head);
    madvise(base + head, wanted, MADV_HUGEPAGE);  // a hint: no harm when refused
    data_ = std::unique_ptr<std::byte, Free>(base + head, Free(wanted));
  } else if (size > 0) {
    void* data = std::aligned_alloc(64, RoundUp(size, 64));
    if (data == nullptr) throw ResourceError("no memory for {} bytes", size);
    data_ = std::unique_ptr<std::byte, Free>(static_cast<std::byte*>(data));
  }
}

PackedMatrix::PackedMatrix(const PackedKernels& kernels, const void* w, size_t n_out, size_t k_size)
    : kernels_(&kernels),
      n_out_(n_out),
      k_size_(k_size),
      panel_bytes_(kernels.PanelBytes(k_size)),
      bytes_(kernels.Panels(n_out) * panel_bytes_),
      sums_(kernels.Panels(n_out) * kernels.columns) {
  ParallelFor(kernels.Panels(n_out), 1, [&](size_t begin, size_t end) {
    for (size_t panel = begin; panel < end; ++panel) {
      const size_t first = panel * kernels.columns;
      kernels.pack_panel(static_cast<const std::byte*>(w) + first * k_size * kernels.w_bytes,
                         std::min(kernels.columns, n_out - first), k_size,
                         bytes_.data() + panel * panel_bytes_,
                         sums_.data() + panel * kernels.columns);
    }
  });
}

PackedRows PackRows(const PackedKernels& kernels, const void* x, size_t rows, size_t k_size,
                    std::byte* out) {
  const PackedRows packed{&kernels, out, rows, k_size};
  const size_t element = kernels.w_bytes;  // x comes in the type of the weights
  ParallelFor(packed.Tiles(), 1, [&](size_t begin, size_t end) {
    for (size_t tile = begin; tile < end; ++tile) {
      const size_t row = packed.TileBegin(tile);
      kernels.PackTile(static_cast<const std::byte*>(x) + row * k_size * element,
                       packed.TileBegin(tile + 1) - row, k_size, out + packed.TileOffset(tile));
    }
  });
  return packed;
}

void RunPacked(const PackedRows& x, std::span<const PackedProduct> products,
               const float* row_scales) {
  if (x.rows == 0) return;
  size_t total = 0;
  for (const PackedProduct& product : products) total += x.kernels->Panels(product.n_out);
  // Panels of all products in one range, so that a group of linears costs one hand-off.
  ParallelFor(total, 1, [&](size_t begin, size_t end) {
    size_t first = 0;
    for (const PackedProduct& product : products) {
      const size_t panels = x.kernels->Panels(product.n_out);
      const size_t from = std::max(begin, first), to = std::min(end, first + panels);
      if (from < to) ProductRunner(x, product, row_scales).Run(from - first, to - first);
      first += panels;
    }
  });
}

}  // namespace ingot
