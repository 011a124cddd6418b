// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "base/error.h"
#include "base/thread_pool.h"
#include "kernels/kernels.h"

namespace ingot {
namespace {

constexpr size_t kLine = 64;

// Working memory of one thread, kept between calls: the token loop does not allocate.
class RowScratch {
 public:
  float* Get(size_t count) {
    if (count > size_) {
      data_.reset(new (std::align_val_t{kLine}) float[count]);
      size_ = count;
    }
    return data_.get();
  }

 private:
  struct Free {
    void operator()(float* p) const { ::operator delete[](p, std::align_val_t{kLine}); }
  };
  std::unique_ptr<float[], Free> data_;
  size_t size_ = 0;
};

size_t RowBlocks(const AttentionJob& job) {
  return (job.n_queries * job.group + kAttentionRows - 1) / kAttentionRows;
}

// Rows [begin, end) of one kv head; row = token * group + g, so that neighbours see almost the same
// keys and the query heads of a group share one pass over them.
void RunRows(const AttentionJob& job, size_t head, size_t begin, size_t end, RowScratch* scratch) {
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
      .keys = job.keys,
      .values = job.values,
      .key_offset = head * layout.KeyBytes(),
      .value_offset = head * layout.ValueBytes(),
      .scratch = scratch->Get(kAttentionRows * AttentionScratch(most, layout.head_dim))};
  (layout.bf16 ? Kernels().attention_bf16 : Kernels().attention_f32)(args);
}

// Tokens [slot, slot + n) of one page; token t of k at t * stride.
void StoreKeys(const AttentionLayout& layout, size_t head, const float* k, size_t stride,
               size_t slot, size_t n, std::byte* page) {
  const size_t dim = layout.head_dim, step = layout.bf16 ? 2 : 1, width = dim / step;
  uint32_t* part = reinterpret_cast<uint32_t*>(page + head * layout.KeyBytes());
  constexpr size_t kGroup = 16;  // keys that go in together: whole cache lines
  std::vector<uint32_t> rows(kGroup * width);
  for (size_t i = 0; i < n;) {
    const size_t at = slot + i, lane = at % kAttentionKeyBlock,
                 count = std::min(n - i, kGroup - at % kGroup);
    for (size_t r = 0; r < count; ++r) {
      const float* row = k + (i + r) * stride + head * dim;
      if (layout.bf16) {
        Kernels().to_bf16(row, dim, reinterpret_cast<uint16_t*>(rows.data() + r * width));
      } else {
        std::memcpy(rows.data() + r * width, row, dim * sizeof(float));
      }
    }
    uint32_t* to = part + (at - lane) * width + lane;
    for (size_t d = 0; d < width; ++d) {
      for (size_t r = 0; r < count; ++r) to[d * kAttentionKeyBlock + r] = rows[r * width + d];
    }
    i += count;
  }
}

// The same for values. The place behind an odd last token becomes zero.
void StoreValues(const AttentionLayout& layout, size_t head, const float* v, size_t stride,
                 size_t slot, size_t n, std::byte* page) {
  const size_t dim = layout.head_dim, width = AttentionWidth(dim);
  std::byte* part = page + head * layout.ValueBytes();
  if (!layout.bf16) {
    float* to = reinterpret_cast<float*>(part) + slot * width;
    for (size_t i = 0; i < n; ++i) {
      std::copy_n(v + i * stride + head * dim, dim, to + i * width);
      std::fill_n(to + i * width + dim, width - dim, 0.0f);
    }
    return;
  }
  // Columns behind head_dim stay zero.
  std::vector<uint16_t> low(width), high(width);
  for (size_t i = 0; i < n;) {
    const size_t at = slot + i;
    uint32_t* to = reinterpret_cast<uint32_t*>(part) + at / 2 * width;
    const float* row = v + i * stride + head * dim;
    if (at % 2 == 1) {  // joins the token before
      Kernels().to_bf16(row, dim, high.data());
      for (size_t d = 0; d < width; ++d) to[d] = (to[d] & 0xffffu) | uint32_t{high[d]} << 16;
      ++i;
      continue;
    }
    Kernels().to_bf16(row, dim, low.data());
    if (i + 1 < n) {
      Kernels().to_bf16(row + stride, dim, high.data());
    } else {
      std::fill(high.begin(), high.end(), uint16_t{0});
    }
    for (size_t d = 0; d < width; ++d) to[d] = low[d] | uint32_t{high[d]} << 16;
    i += 2;
  }
}

}  // namespace

size_t AttentionLayout::KeyBytes() const {
  return kAttentionPage * head_dim * (bf16 ? sizeof(uint16_t) : sizeof(float));
}
size_t AttentionLayout::ValueBytes() const {
  return kAttentionPage * AttentionWidth(head_dim) * (bf16 ? sizeof(uint16_t) : sizeof(float));
}

AttentionPages::Page AttentionPages::NewPage(size_t head_bytes) const {
  return Page(new (std::align_val_t{kLine}) std::byte[head_bytes * layout_.n_kv_heads]);
}

void AttentionPages::FreePage::operator()(std::byte* p) const {
  ::operator delete[](p, std::align_val_t{kLine});
}

void AttentionPages::Store(size_t first, const float* k, const float* v, size_t stride, size_t n) {
  if (n == 0) return;
  const size_t begin = first / kAttentionPage,
               end = (first + n + kAttentionPage - 1) / kAttentionPage;
  while (keys_.size() < end) {
    keys_.push_back(NewPage(layout_.KeyBytes()));
    values_.push_back(NewPage(layout_.ValueBytes()));
    key_list_.push_back(keys_.back().get());
    value_list_.push_back(values_.back().get());
  }
  const size_t heads = layout_.n_kv_heads;
  ParallelFor((end - begin) * heads, 1, [&](size_t item, size_t last) {
    for (; item < last; ++item) {
      const size_t page = begin + item / heads, head = item % heads,
                   from = std::max(first, page * kAttentionPage),
                   to = std::min(first + n, (page + 1) * kAttentionPage),
                   slot = from - page * kAttentionPage, row = (from - first) * stride;
      StoreKeys(layout_, head, k + row, stride, slot, to - from, keys_[page].get());
      StoreValues(layout_, head, v + row, stride, slot, to - from, values_[page].get());
    }
  });
}

size_t AttentionPages::bytes() const {
  return keys_.size() * layout_.n_kv_heads * (layout_.KeyBytes() + layout_.ValueBytes());
}

void RunAttention(std::span<const AttentionJob> jobs) {
  std::vector<size_t> ends;  // items of jobs up to and with this one
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
    thread_local RowScratch scratch;
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
