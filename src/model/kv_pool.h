// SPDX-License-Identifier: Apache-2.0
// Keys and values of many sequences: pages of kKvPageTokens tokens of all layers, counted
// references, handed out one by one. Memory is taken from the system when a page is first needed
// and stays in the pool. Not thread-safe, apart from the counters.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "checkpoint/config.h"
#include "kernels/attention.h"
#include "model/kv_type.h"

namespace ingot {

inline constexpr int64_t kKvPageTokens = static_cast<int64_t>(kAttentionPage);

using KvPageId = int32_t;

class KvPool {
 public:
  // At most `max_pages` pages in use (0: no limit). Errors: UserError on int8 with heads of more than
  // 256 values.
  KvPool(const TextConfig& config, KvType type, int64_t max_pages = 0);
  KvPool(const KvPool&) = delete;
  KvPool& operator=(const KvPool&) = delete;

  // A page with one reference; none when the limit is reached. Errors: ResourceError when the
  // system has no memory.
  std::optional<KvPageId> Take();
  void Share(KvPageId page);    // one reference more
  void Release(KvPageId page);  // one less; the last one gives the page back
  int32_t references(KvPageId page) const { return pages_[static_cast<size_t>(page)].references; }
  // A new page with the tokens of another one; none when the limit is reached.
  std::optional<KvPageId> Copy(KvPageId page);

  int64_t page_bytes() const { return static_cast<int64_t>(page_bytes_); }
  int64_t max_pages() const { return max_pages_; }  // 0: no limit
  // These may be read by any thread.
  int64_t pages_in_use() const { return in_use_.load(std::memory_order_relaxed); }
  int64_t pages_held() const { return held_.load(std::memory_order_relaxed); }  // of memory

  // For the layers: layer L's part begins at L * layout().Bytes() of a page.
  const AttentionLayout& layout() const { return layout_; }
  int64_t n_layers() const { return n_layers_; }
  std::byte* data(KvPageId page) const { return pages_[static_cast<size_t>(page)].data; }

 private:
  struct Page {
    std::byte* data;
    int32_t references;
  };
  void AddSlab();
  AttentionLayout layout_;
  int64_t n_layers_, max_pages_;
  size_t page_bytes_;
  std::vector<AlignedBytes> slabs_;
  std::vector<Page> pages_;
  std::vector<KvPageId> free_;
  std::atomic<int64_t> in_use_ = 0, held_ = 0;
};

// Pages that cover n tokens.
constexpr int64_t KvPagesOf(int64_t n_tokens) {
  return (n_tokens + kKvPageTokens - 1) / kKvPageTokens;
}

// The keys and values of one sequence: a list of pages with references, given back when it ends.
class KvSequence {
 public:
  explicit KvSequence(KvPool* pool) : pool_(pool) {}
  ~KvSequence() { Clear(); }
  KvSequence(KvSequence&& other) noexcept;
  KvSequence& operator=(KvSequence&& other) noexcept;

  int64_t length() const { return length_; }  // tokens whose keys and values are there
  std::span<const KvPageId> pages() const { return pages_; }  // may reach behind length()
  KvPool* pool() const { return pool_; }

  // Makes room for n more tokens: takes the pages that are missing, and a copy of the last one when
  // others share it. False, and nothing is taken, when the pool has too few pages.
  bool Reserve(int64_t n_tokens);
  // Pages that Reserve(n_tokens) would take.
  int64_t PagesFor(int64_t n_tokens) const;

  // Continues with the first n tokens of a page of the same pool that holds the keys and values of
  // the very tokens which follow here; length() is a multiple of kKvPageTokens. The page is shared;
  // when it is not full, Reserve copies it before anything is written to it.
  void Adopt(KvPageId page, int64_t n_tokens = kKvPageTokens);
  // A second sequence with the same tokens, which shares all pages.
  KvSequence Fork() const;
  // Forgets tokens from n on and gives the pages behind them back.
  void Truncate(int64_t n_tokens);
  void Clear() { Truncate(0); }

  // For the layers: the pages' memory, and n tokens more when all layers are through.
  std::byte* const* data() const { return data_.data(); }
  int64_t capacity() const { return static_cast<int64_t>(pages_.size()) * kKvPageTokens; }
  void Advance(int64_t n_tokens);

 private:
  bool LastIsShared() const;
  KvPool* pool_;
  int64_t length_ = 0;
  std::vector<KvPageId> pages_;
  std::vector<std::byte*> data_;  // of pages_
};

}  // namespace ingot
