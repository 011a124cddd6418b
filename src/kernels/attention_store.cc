// SPDX-License-Identifier: Apache-2.0
// How keys and values get into their pages.
#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "base/thread_pool.h"
#include "kernels/attention.h"
#include "kernels/kernels.h"

namespace ingot {
namespace {

// Values that a thread at least stores: less does not pay waking it.
constexpr size_t kStorePiece = 1 << 13;
constexpr size_t kGroup = 16;  // keys that go in together: whole cache lines

size_t Step(KvType type) { return type == KvType::kF32 ? 1 : type == KvType::kBF16 ? 2 : 4; }

// Codes of one row: x / scale rounded, scale = largest magnitude / 127. A row that is not finite gets
// the scale NaN: what was computed wrong must not look like a number later.
float QuantizeRow(const float* x, size_t n, int8_t* codes) {
  constexpr int32_t kInfinity = 0x7f800000;
  int32_t largest = 0;  // magnitudes are ordered like their bits
  for (size_t i = 0; i < n; ++i)
    largest = std::max(largest, std::bit_cast<int32_t>(x[i]) & 0x7fffffff);
  const float scale = std::bit_cast<float>(largest) / 127.0f, zero = 0.0f;
  if (largest >= kInfinity || !(scale >= std::numeric_limits<float>::min())) {
    std::fill_n(codes, n, int8_t{0});
    return largest >= kInfinity ? std::numeric_limits<float>::quiet_NaN() : 0.0f;
  }
  Kernels().quantize_i8(x, n, {.scale = &scale, .offset = &zero}, codes);
  return scale;
}

// One row of keys as elements of a page; int8: its scale.
float KeyElements(const AttentionLayout& layout, const float* row, uint32_t* elements) {
  const size_t dim = layout.head_dim;
  if (layout.type == KvType::kF32) {
    std::memcpy(elements, row, dim * sizeof(float));
  } else if (layout.type == KvType::kBF16) {
    Kernels().to_bf16(row, dim, reinterpret_cast<uint16_t*>(elements));
  } else {
    elements[AttentionQuads(dim) - 1] = 0;
    const float scale = QuantizeRow(row, dim, reinterpret_cast<int8_t*>(elements));
    for (size_t i = 0; i < AttentionQuads(dim); ++i) elements[i] ^= 0x80808080u;
    return scale;
  }
  return 0;
}

// Tokens [slot, slot + n) of one page; token t of k at t * stride. `part`: the head's keys.
void StoreKeys(const AttentionLayout& layout, const float* k, size_t stride, size_t slot, size_t n,
               std::byte* part, Scratch* scratch) {
  const size_t step = Step(layout.type), width = (layout.head_dim + step - 1) / step;
  auto* rows = reinterpret_cast<uint32_t*>(scratch->Get(kGroup * width * sizeof(uint32_t)));
  auto* page = reinterpret_cast<uint32_t*>(part);
  float* scales = reinterpret_cast<float*>(page + width * kAttentionPage);
  for (size_t i = 0; i < n;) {
    const size_t at = slot + i, count = std::min(n - i, kGroup - at % kGroup);
    for (size_t r = 0; r < count; ++r) {
      const float scale = KeyElements(layout, k + (i + r) * stride, rows + r * width);
      if (layout.type == KvType::kInt8) scales[at + r] = scale;
    }
    for (size_t d = 0; d < width; ++d) {
      for (size_t r = 0; r < count; ++r) page[d * kAttentionPage + at + r] = rows[r * width + d];
    }
    i += count;
  }
}

// The same for values.
void StoreFloatValues(size_t dim, const float* v, size_t stride, size_t slot, size_t n,
                      std::byte* part) {
  const size_t width = AttentionWidth(dim);
  float* to = reinterpret_cast<float*>(part) + slot * width;
  for (size_t i = 0; i < n; ++i) {
    std::copy_n(v + i * stride, dim, to + i * width);
    std::fill_n(to + i * width + dim, width - dim, 0.0f);
  }
}

// The place behind an odd last token becomes zero.
void StoreBf16Values(size_t dim, const float* v, size_t stride, size_t slot, size_t n,
                     std::byte* part, Scratch* scratch) {
  const size_t width = AttentionWidth(dim);
  // Columns behind head_dim stay zero.
  auto* low = reinterpret_cast<uint16_t*>(scratch->Get(2 * width * sizeof(uint16_t)));
  uint16_t* high = low + width;
  std::fill_n(low, 2 * width, uint16_t{0});
  for (size_t i = 0; i < n;) {
    const size_t at = slot + i;
    uint32_t* to = reinterpret_cast<uint32_t*>(part) + at / 2 * width;
    const float* row = v + i * stride;
    if (at % 2 == 1) {  // joins the token before
      Kernels().to_bf16(row, dim, high);
      for (size_t d = 0; d < width; ++d) to[d] = (to[d] & 0xffffu) | uint32_t{high[d]} << 16;
      ++i;
      continue;
    }
    Kernels().to_bf16(row, dim, low);
    if (i + 1 < n) {
      Kernels().to_bf16(row + stride, dim, high);
    } else {
      std::fill_n(high, width, uint16_t{0});
    }
    for (size_t d = 0; d < width; ++d) to[d] = low[d] | uint32_t{high[d]} << 16;
    i += 2;
  }
}


void StoreInt8Values(size_t dim, const float* v, size_t stride, size_t slot, size_t n,
                     std::byte* part, Scratch* scratch) {
  const size_t width = AttentionWidth(dim);
  float* scales = reinterpret_cast<float*>(part + kAttentionPage * width);
  // Four tokens to a row of elements; columns behind head_dim stay zero.
  auto* codes = reinterpret_cast<uint8_t*>(scratch->Get(4 * width));
  std::fill_n(codes, 4 * width, uint8_t{0});
  for (size_t i = 0; i < n;) {
    const size_t at = slot + i, first = at % 4, count = std::min(n - i, 4 - first);
    for (size_t r = 0; r < count; ++r)
      scales[at + r] = QuantizeRow(v + (i + r) * stride, dim,
                                   reinterpret_cast<int8_t*>(codes + (first + r) * width));
    auto* row = reinterpret_cast<uint32_t*>(part) + at / 4 * width;
    if (count == 4) {
      for (size_t d = 0; d < width; ++d) {
        row[d] = uint32_t{codes[d]} | uint32_t{codes[width + d]} << 8 |
                 uint32_t{codes[2 * width + d]} << 16 | uint32_t{codes[3 * width + d]} << 24;
      }
    } else {
      auto* bytes = reinterpret_cast<uint8_t*>(row);
      for (size_t r = first; r < first + count; ++r) {
        for (size_t d = 0; d < width; ++d) bytes[4 * d + r] = codes[r * width + d];
      }
    }
    i += count;
  }
}

void StoreValues(const AttentionLayout& layout, const float* v, size_t stride, size_t slot,
                 size_t n, std::byte* part, Scratch* scratch) {
  switch (layout.type) {
    case KvType::kF32:
      return StoreFloatValues(layout.head_dim, v, stride, slot, n, part);
    case KvType::kBF16:
      return StoreBf16Values(layout.head_dim, v, stride, slot, n, part, scratch);
    case KvType::kInt8:
      return StoreInt8Values(layout.head_dim, v, stride, slot, n, part, scratch);
  }
}

size_t FirstPage(const AttentionStore& store) { return store.first / kAttentionPage; }
size_t Pages(const AttentionStore& store) {
  return (store.first + store.n + kAttentionPage - 1) / kAttentionPage - FirstPage(store);
}

// Item = page * heads + head of one store.
void StoreItem(const AttentionStore& store, size_t item, Scratch* scratch) {
  const AttentionLayout& layout = store.layout;
  const size_t heads = layout.n_kv_heads, page = FirstPage(store) + item / heads,
               head = item % heads, from = std::max(store.first, page * kAttentionPage),
               to = std::min(store.first + store.n, (page + 1) * kAttentionPage),
               slot = from - page * kAttentionPage,
               row = (from - store.first) * store.stride + head * layout.head_dim;
  std::byte* part = store.pages[page] + store.offset;
  StoreKeys(layout, store.k + row, store.stride, slot, to - from, part + head * layout.KeyBytes(),
            scratch);
  StoreValues(layout, store.v + row, store.stride, slot, to - from,
              part + heads * layout.KeyBytes() + head * layout.ValueBytes(), scratch);
}

}  // namespace

size_t AttentionLayout::KeyBytes() const {
  if (type == KvType::kInt8) return kAttentionPage * (4 * AttentionQuads(head_dim) + sizeof(float));
  return kAttentionPage * head_dim * (4 / Step(type));
}
size_t AttentionLayout::ValueBytes() const {
  const size_t scales = type == KvType::kInt8 ? kAttentionPage * sizeof(float) : 0;
  return kAttentionPage * AttentionWidth(head_dim) * (4 / Step(type)) + scales;
}

void AttentionPages::Reset(const AttentionLayout& layout, size_t n_tokens) {
  layout_ = layout;
  pages_.resize((n_tokens + kAttentionPage - 1) / kAttentionPage);
  std::byte* bytes = bytes_.Get(pages_.size() * layout.Bytes());
  for (size_t i = 0; i < pages_.size(); ++i) pages_[i] = bytes + i * layout.Bytes();
}

void RunStores(std::span<const AttentionStore> stores) {
  size_t items = 0, values = 0;
  for (const AttentionStore& store : stores) {
    items += Pages(store) * store.layout.n_kv_heads;
    values += 2 * store.n * store.layout.n_kv_heads * store.layout.head_dim;
  }
  if (items == 0) return;
  const size_t grain = std::max<size_t>(1, kStorePiece * items / std::max<size_t>(1, values));
  ParallelFor(items, grain, [&](size_t begin, size_t end) {
    thread_local Scratch scratch;
    size_t first = 0;  // item of the store
    for (const AttentionStore& store : stores) {
      const size_t count = Pages(store) * store.layout.n_kv_heads;
      for (size_t item = std::max(begin, first); item < std::min(end, first + count); ++item)
        StoreItem(store, item - first, &scratch);
      first += count;
    }
  });
}

}  // namespace ingot
