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
// Packed x is taken in blocks of rows; the panels of all weights pass by once for each block. A panel
// stays in the L2 cache while the block passes by it, from there (K small) or from the L3 cache:
// 2 bytes a cycle, which prefetching hides. Smaller blocks read the weights again and again.
constexpr size_t kRowBlockBytes = 8 << 20;
constexpr size_t kUnitsPerThread = 8;  // so many pieces of work at least, where rows allow
constexpr size_t kPanelScratchKeep = 4 << 20;
constexpr size_t kLine = 64;
// Weights of a single tile come from memory: they are asked for this far ahead of their use.
constexpr size_t kStreamAhead = 4096;

size_t RoundUp(size_t value, size_t unit) { return (value + unit - 1) / unit * unit; }

// Memory of one thread for the weights and results of the panels at hand.
struct RunnerScratch {
  Scratch panels[2], results;
};

// One product, or a gated pair, over some rows and panels.
class ProductRunner {
 public:
  ProductRunner(const PackedRows& x, const PackedProduct& product, const float* row_scales)
      : x_(x),
        kernels_(*x.kernels),
        row_scales_(row_scales),
        row_bytes_(kernels_.RowBytes(x.k_size)),
        panel_bytes_(kernels_.PanelBytes(x.k_size)),
        panels_(kernels_.Panels(product.n_out)) {
    sides_[0].product = &product;
    sides_[1].product = product.gate;
    for (Side& side : sides_) side.tile.groups = kernels_.Groups(x.k_size);
    if (Gated()) {
      const size_t size = kernels_.rows * kernels_.columns;
      results_ = reinterpret_cast<float*>(scratch_.results.Get(2 * size * sizeof(float)));
      std::fill_n(results_, 2 * size, 0.0f);  // columns that do not exist are computed with, too
    }
  }
  ~ProductRunner() {
    for (Scratch& scratch : scratch_.panels) scratch.Trim(kPanelScratchKeep);
  }
  ProductRunner(const ProductRunner&) = delete;
  ProductRunner& operator=(const ProductRunner&) = delete;

  // Tiles [first_tile, last_tile) of x with panels [begin, end).
  void Run(size_t first_tile, size_t last_tile, size_t begin, size_t end) {
    const size_t height = x_.TileBegin(first_tile + 1) - x_.TileBegin(first_tile);
    const bool several = last_tile - first_tile == 1 && !Gated() && sides_[0].product->packed;
    const size_t most = several ? kernels_.MaxPanels(height) : 1;
    for (size_t panel = begin, count; panel < end; panel += count) {
      count = most;
      while (panel + count > end) count /= 2;
      SetPanels(0, panel, count);
      if (Gated()) SetPanels(1, panel, count);
      RunTiles(first_tile, last_tile);
    }
  }

 private:
  // The product, and of a gated pair its gate.
  struct Side {
    const PackedProduct* product = nullptr;
    PackedTile tile;
    const std::byte* next = nullptr;  // the panel behind this one, if packed
    float* y = nullptr;               // of row 0
  };
  bool Gated() const { return sides_[1].product != nullptr; }

  void SetPanels(size_t index, size_t panel, size_t count) {
    Side& side = sides_[index];
    const PackedProduct& product = *side.product;
    const size_t column = panel * kernels_.columns;
    const auto at = [column](auto* p) { return p == nullptr ? nullptr : p + column; };
    if (product.packed != nullptr) {
      side.tile.w = product.packed->panel(panel);
      side.tile.column_sums = product.packed->column_sums(panel);
      side.next = panel + count < panels_ ? product.packed->panel(panel + count) : nullptr;
    } else {
      PackStored(&side, column, &scratch_.panels[index]);
    }
    side.tile.panels = count;
    side.tile.n_out = std::min(count * kernels_.columns, product.n_out - column);
    side.tile.quant_bias = at(product.quant_bias);
    side.tile.deq = at(product.deq);
    side.tile.bias = at(product.bias);
    side.tile.add = product.add && !Gated();
    side.y = at(product.y);
  }

  void PackStored(Side* side, size_t column, Scratch* scratch) {
    const size_t sums_at = RoundUp(panel_bytes_, kLine);
    std::byte* packed = scratch->Get(sums_at + kernels_.columns * sizeof(int32_t));
    auto* sums = reinterpret_cast<int32_t*>(packed + sums_at);
    std::fill_n(sums, kernels_.columns, 0);
    kernels_.pack_panel(
        static_cast<const std::byte*>(side->product->w) + column * x_.k_size * kernels_.w_bytes,
        std::min(kernels_.columns, side->product->n_out - column), x_.k_size, packed, sums);
    side->tile.w = packed;
    side->tile.column_sums = sums;
    side->next = nullptr;
  }

  void RunTiles(size_t first, size_t last) {
    for (size_t tile = first; tile < last; ++tile) {
      const size_t row = x_.TileBegin(tile), rows = x_.TileBegin(tile + 1) - row;
      for (Side& side : sides_) {
        if (side.product == nullptr) continue;
        side.tile.x = x_.data + row * row_bytes_;
        side.tile.rows = rows;
        side.tile.row_scales = row_scales_ == nullptr ? nullptr : row_scales_ + row;
        side.tile.y = side.y + row * side.product->n_out;
        side.tile.ldy = side.product->n_out;
        if (Gated()) {
          side.tile.y = results_ + (&side == sides_ ? 0 : rows * kernels_.columns);
          side.tile.ldy = kernels_.columns;
        }
        Prefetch(tile - first, last - first, &side);
        kernels_.tile(side.tile);
      }
      if (Gated()) FinishGated(row, rows);
    }
  }

  // What a tile asks for while it runs: with one tile the weights further on, else in the first two
  // tiles the next panel.
  void Prefetch(size_t part, size_t tiles, Side* side) const {
    PackedTile& tile = side->tile;
    tile.prefetch = tile.w;
    tile.prefetch_step = tile.prefetch_second = 0;
    if (tiles == 1 && tile.panels == 1) {
      tile.prefetch += kStreamAhead;
      tile.prefetch_step = panel_bytes_ / tile.groups;
      tile.prefetch_second = tile.prefetch_step > kLine ? kLine : 0;
    } else if (side->next != nullptr && part < 2) {
      tile.prefetch = side->next + part * (panel_bytes_ / 2);
      tile.prefetch_step = panel_bytes_ / 2 / tile.groups;
    }
  }

  // y = silu(gate) * y for a tile whose two results lie one behind the other.
  void FinishGated(size_t row, size_t rows) {
    const size_t size = rows * kernels_.columns, width = sides_[0].tile.n_out,
                 ldy = sides_[0].product->n_out;
    Kernels().silu_mul(results_ + size, results_, size, results_);
    for (size_t r = 0; r < rows; ++r)
      std::copy_n(results_ + r * kernels_.columns, width, sides_[0].y + (row + r) * ldy);
  }

  static thread_local RunnerScratch thread_scratch;

  const PackedRows& x_;
  const PackedKernels& kernels_;
  const float* row_scales_;
  size_t row_bytes_, panel_bytes_, panels_;
  RunnerScratch& scratch_ = thread_scratch;
  Side sides_[2];
  float* results_ = nullptr;
};
thread_local RunnerScratch ProductRunner::thread_scratch;

// Into how many blocks the rows are cut, when all products are packed.
size_t RowBlocks(const PackedRows& x, size_t panels) {
  const size_t bytes = x.rows * x.kernels->RowBytes(x.k_size),
               units = kUnitsPerThread * static_cast<size_t>(NumThreads());
  const size_t wanted = std::max((bytes + kRowBlockBytes - 1) / kRowBlockBytes,
                                 (units + panels - 1) / panels);
  return std::min(wanted, x.Tiles());
}

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
  size_t panels = 0;
  bool packed = true;
  for (const PackedProduct& product : products) {
    panels += x.kernels->Panels(product.n_out);
    packed = packed && product.packed != nullptr &&
             (product.gate == nullptr || product.gate->packed != nullptr);
  }
  // Panels that are packed on the way should be packed once.
  const size_t blocks = packed ? RowBlocks(x, panels) : 1;
  // The panels of all products for all blocks in one range, so that a group of linears costs one
  // hand-off.
  ParallelFor(blocks * panels, 1, [&](size_t begin, size_t end) {
    while (begin < end) {
      const size_t block = begin / panels, stop = std::min(end, (block + 1) * panels);
      const size_t first_tile = x.Tiles() * block / blocks,
                   last_tile = x.Tiles() * (block + 1) / blocks;
      size_t first = block * panels;  // the unit of the product's first panel
      for (const PackedProduct& product : products) {
        const size_t count = x.kernels->Panels(product.n_out);
        const size_t from = std::max(begin, first), to = std::min(stop, first + count);
        if (from < to)
          ProductRunner(x, product, row_scales).Run(first_tile, last_tile, from - first, to - first);
        first += count;
      }
      begin = stop;
    }
  });
}

}  // namespace ingot
