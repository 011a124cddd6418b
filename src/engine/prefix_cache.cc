// SPDX-License-Identifier: Apache-2.0
#include "engine/prefix_cache.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"

namespace ingot {
namespace {

constexpr int64_t kBlocksPerPage = kKvPageTokens / kHashBlock;
static_assert(kKvPageTokens % kHashBlock == 0);

size_t Index(int64_t value) { return static_cast<size_t>(value); }

}  // namespace

size_t PrefixCache::HashKey::operator()(const PrefixHash& hash) const {
  size_t key = 0;
  std::memcpy(&key, hash.data(), sizeof key);
  return key;
}

int64_t PrefixCache::Match(std::span<const PrefixHash> chain, int64_t limit) const {
  const int64_t n_blocks =
      std::min(static_cast<int64_t>(chain.size()), std::max<int64_t>(limit, 0) / kHashBlock);
  int64_t found = 0;  // blocks, whole pages first
  while (found + kBlocksPerPage <= n_blocks &&
         by_hash_.contains(chain[Index(found + kBlocksPerPage - 1)]))
    found += kBlocksPerPage;
  const int64_t most = std::min(n_blocks - found, kBlocksPerPage - 1);
  for (int64_t more = most; more > 0; --more) {
    if (by_hash_.contains(chain[Index(found + more - 1)])) return (found + more) * kHashBlock;
  }
  return found * kHashBlock;
}

int64_t PrefixCache::Adopt(std::span<const PrefixHash> chain, int64_t limit, KvSequence* sequence) {
  const int64_t n_tokens = Match(chain, limit);
  for (int64_t first = 0; first < n_tokens; first += kKvPageTokens) {
    const int64_t count = std::min(kKvPageTokens, n_tokens - first);
    const KvPageId page = by_hash_.at(chain[Index((first + count) / kHashBlock - 1)]);
    sequence->Adopt(page, count);
  }
  const std::span<const KvPageId> pages = sequence->pages();
  for (auto page = pages.rbegin(); page != pages.rend(); ++page) Touch(*page);
  return n_tokens;
}

void PrefixCache::Touch(KvPageId id) {
  const auto found = by_id_.find(id);
  if (found != by_id_.end()) order_.splice(order_.end(), order_, found->second);
}

bool PrefixCache::KeepPage(KvPageId id, std::span<const PrefixHash> hashes) {
  auto known = by_id_.find(id);
  for (const PrefixHash& hash : hashes) {
    if (!by_hash_.try_emplace(hash, id).second) continue;  // the same content is here already
    if (known == by_id_.end()) {
      pool_->Share(id);
      known = by_id_.emplace(id, order_.insert(order_.end(), Page{.id = id})).first;
    }
    known->second->hashes.push_back(hash);
  }
  return known != by_id_.end();
}

int64_t PrefixCache::Keep(std::span<const PrefixHash> chain, const KvSequence& sequence,
                          int64_t known_pages, bool partial) {
  const int64_t full = sequence.length() / kKvPageTokens;
  const int64_t n_blocks =
      std::min(static_cast<int64_t>(chain.size()), sequence.length() / kHashBlock);
  const int64_t last = partial ? (n_blocks + kBlocksPerPage - 1) / kBlocksPerPage : full;
  // The end of a sequence becomes the first to go.
  for (int64_t page = last - 1; page >= known_pages; --page) {
    const int64_t begin = page * kBlocksPerPage, end = std::min(begin + kBlocksPerPage, n_blocks);
    if (begin < end)
      KeepPage(sequence.pages()[Index(page)], chain.subspan(Index(begin), Index(end - begin)));
  }
  if (partial) {
    for (int64_t page = last - 1; page >= 0; --page) Touch(sequence.pages()[Index(page)]);
  }
  return full;
}

void PrefixCache::Drop(Order::iterator page) {
  for (const PrefixHash& hash : page->hashes) by_hash_.erase(hash);
  by_id_.erase(page->id);
  pool_->Release(page->id);
  order_.erase(page);
}

bool PrefixCache::MakeRoom(int64_t n_pages) {
  if (pool_->max_pages() == 0) return true;
  for (auto page = order_.begin();
       page != order_.end() && pool_->max_pages() - pool_->pages_in_use() < n_pages;) {
    const auto next = std::next(page);
    if (pool_->references(page->id) == 1) Drop(page);
    page = next;
  }
  return pool_->max_pages() - pool_->pages_in_use() >= n_pages;
}

int64_t PrefixCache::n_idle() const {
  return std::count_if(order_.begin(), order_.end(),
                       [&](const Page& page) { return pool_->references(page.id) == 1; });
}

int64_t PrefixCache::Available() const {
  return pool_->max_pages() - pool_->pages_in_use() + n_idle();
}

void PrefixCache::Clear() {
  while (!order_.empty()) Drop(order_.begin());
}

void PrefixCache::Check() const {
  size_t n_hashes = 0;
  for (const Page& page : order_) {
    if (page.hashes.empty() || pool_->references(page.id) < 1 || !by_id_.contains(page.id))
      throw InternalError("cached page {} has no hash or no reference", page.id);
    for (const PrefixHash& hash : page.hashes) {
      const auto found = by_hash_.find(hash);
      if (found == by_hash_.end() || found->second != page.id)
        throw InternalError("page {} has a hash that does not lead to it", page.id);
    }
    n_hashes += page.hashes.size();
  }
  if (n_hashes != by_hash_.size() || order_.size() != by_id_.size())
    throw InternalError("{} hashes in pages, {} known", n_hashes, by_hash_.size());
}

}  // namespace ingot
