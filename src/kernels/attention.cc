// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "base/thread_pool.h"
#include "kernels/kernels.h"

namespace ingot {
namespace {

// Values that a thread at least stores: less does not pay waking it.
constexpr size_t kStorePiece = 1 << 13;

size_t RowBlocks(const AttentionJob& job) {
  return (job.n_queries * job.group + kAttentionRows - 1) / kAttentionRows;
}

// Rows [begin, end) of one kv head; row = token * group + g, so that neighbours see almost the same
// keys and the query heads of a group share one pass over them.
void RunRows(const AttentionJob& job, size_t head, size_t begin, size_t end, Scratch* scratch) {
  const AttentionLayout& layout = job.layout;
  const float* q[kAttentionRows];
  float* out[kAttentionRows];
  int32_t n_keys[kAttentionRows];
  size_t most = 0;
  for (size_t row = begin; row < end; ++row) {
    const size_t token = row / job.group,
                 offset = (head * job.group + row % job.group) * layout.head_dim, i = row - begin;
    q[i] = job.q + token * job.q_stride + offset;
    out[i] = job.out + token * job.out_stride + offset;
    const size_t visible = job.causal ? job.n_keys - job.n_queries + token + 1 : job.n_keys;
    n_keys[i] = static_cast<int32_t>(visible);
    most = std::max(most, visible);
  }
  const AttentionArgs args = {
      .n_rows = end - begin,
      .q = q,
      .out = out,
      .n_keys = n_keys,
      .head_dim = layout.head_dim,
      .scale = job.scale,
      .pages = job.pages,
      .key_offset = job.offset + head * layout.KeyBytes(),
      .value_offset =
          job.offset + layout.n_kv_heads * layout.KeyBytes() + head * layout.ValueBytes(),
      .scratch = reinterpret_cast<float*>(scratch->Get(
          kAttentionRows * AttentionScratch(most, layout.head_dim) * sizeof(float)))};
  (layout.bf16 ? Kernels().attention_bf16 : Kernels().attention_f32)(args);
}

// Tokens [slot, slot + n) of one page; token t of k at t * stride. `part`: the head's keys.
void StoreKeys(const AttentionLayout& layout, const float* k, size_t stride, size_t slot, size_t n,
               std::byte* part, Scratch* scratch) {
  const size_t dim = layout.head_dim, step = layout.bf16 ? 2 : 1, width = dim / step;
  constexpr size_t kGroup = 16;  // keys that go in together: whole cache lines
  auto* rows = reinterpret_cast<uint32_t*>(scratch->Get(kGroup * width * sizeof(uint32_t)));
  for (size_t i = 0; i < n;) {
    const size_t at = slot + i, count = std::min(n - i, kGroup - at % kGroup);
    for (size_t r = 0; r < count; ++r) {
      const float* row = k + (i + r) * stride;
      if (layout.bf16) {
        Kernels().to_bf16(row, dim, reinterpret_cast<uint16_t*>(rows + r * width));
      } else {
        std::memcpy(rows + r * width, row, dim * sizeof(float));
      }
    }
    uint32_t* to = reinterpret_cast<uint32_t*>(part) + at;
    for (size_t d = 0; d < width; ++d) {
      for (size_t r = 0; r < count; ++r) to[d * kAttentionPage + r] = rows[r * width + d];
    }
    i += count;
  }
}

// The same for values. The place behind an odd last token becomes zero.
void StoreValues(const AttentionLayout& layout, const float* v, size_t stride, size_t slot,
                 size_t n, std::byte* part, Scratch* scratch) {
  const size_t dim = layout.head_dim, width = AttentionWidth(dim);
  if (!layout.bf16) {
    float* to = reinterpret_cast<float*>(part) + slot * width;
    for (size_t i = 0; i < n; ++i) {
      std::copy_n(v + i * stride, dim, to + i * width);
      std::fill_n(to + i * width + dim, width - dim, 0.0f);
    }
    return;
  }
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
  return kAttentionPage * head_dim * (bf16 ? sizeof(uint16_t) : sizeof(float));
}
size_t AttentionLayout::ValueBytes() const {
  return kAttentionPage * AttentionWidth(head_dim) * (bf16 ? sizeof(uint16_t) : sizeof(float));
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

void RunAttention(std::span<const AttentionJob> jobs) {
  thread_local std::vector<size_t> ends_of_call;  // items of jobs up to and with this one
  std::vector<size_t>& ends = ends_of_call;
  ends.clear();
  size_t items = 0;
  for (const AttentionJob& job : jobs) {
    if (job.layout.head_dim % 2 != 0)
      throw InternalError("attention: head size {}, expected an even one", job.layout.head_dim);
    items += RowBlocks(job) * job.layout.n_kv_heads;
    ends.push_back(items);
  }
  // Whoever is free takes the next item. Blocks of one head follow each other, so that its keys and
  // values stay in the cache; the last ones of a causal job, the longest, come first.
  std::atomic<size_t> next = 0;
  ParallelFor(std::min(items, static_cast<size_t>(NumThreads())), 1, [&](size_t, size_t) {
    thread_local Scratch scratch;
    for (size_t item = next++; item < items; item = next++) {
      const size_t index =
          static_cast<size_t>(std::upper_bound(ends.begin(), ends.end(), item) - ends.begin());
      const AttentionJob& job = jobs[index];
      const size_t blocks = RowBlocks(job), rows = job.n_queries * job.group,
                   local = item - (index == 0 ? 0 : ends[index - 1]),
                   block = blocks - 1 - local % blocks;
      RunRows(job, local / blocks, block * kAttentionRows,
              std::min(rows, (block + 1) * kAttentionRows), &scratch);
    }
  });
}

}  // namespace ingot
