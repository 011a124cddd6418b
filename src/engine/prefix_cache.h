// SPDX-License-Identifier: Apache-2.0
// Keys and values that may be needed again: pages of ended (or still running) sequences, found by
// the hash of the prefix in them. The cache holds one reference on each of its pages. A page that
// nobody else refers to counts as free memory: it is given back, the one unused for longest first,
// when a running sequence needs it.
//
// Invariants (Check verifies them):
// 1. A hash leads to a page only while the cache holds a reference on that page.
// 2. A page in the cache has at least one hash.
// 3. The tokens behind a hash end inside its page, and all of them lie there from its beginning on.
#pragma once

#include <cstdint>
#include <list>
#include <span>
#include <unordered_map>
#include <vector>

#include "engine/prefix_hash.h"
#include "model/kv_pool.h"

namespace ingot {

class PrefixCache {
 public:
  explicit PrefixCache(KvPool* pool) : pool_(pool) {}
  ~PrefixCache() { Clear(); }
  PrefixCache(const PrefixCache&) = delete;
  PrefixCache& operator=(const PrefixCache&) = delete;

  // Tokens at the beginning of a sequence with this chain that are here, at most `limit`.
  int64_t Match(std::span<const PrefixHash> chain, int64_t limit) const;
  // Gives them to an empty sequence; returns how many.
  int64_t Adopt(std::span<const PrefixHash> chain, int64_t limit, KvSequence* sequence);

  // Remembers the pages of a sequence: full ones behind the first `known_pages`, and with
  // `partial`, when the sequence will not be continued, the last one too. Returns the number of
  // full pages.
  int64_t Keep(std::span<const PrefixHash> chain, const KvSequence& sequence, int64_t known_pages,
               bool partial);

  // Gives back pages that only the cache refers to until `n_pages` are available in the pool.
  // False when that cannot be.
  bool MakeRoom(int64_t n_pages);
  // Pages that could be taken now: unused ones and those of MakeRoom.
  int64_t Available() const;
  int64_t n_pages() const { return static_cast<int64_t>(order_.size()); }
  int64_t n_idle() const;  // pages that only the cache refers to
  void Clear();
  void Check() const;  // throws InternalError when an invariant does not hold (tests)

 private:
  struct HashKey {
    size_t operator()(const PrefixHash& hash) const;  // its first bytes: it is a SHA-256
  };
  struct Page {
    KvPageId id = 0;
    std::vector<PrefixHash> hashes;
  };
  using Order = std::list<Page>;  // front: unused for longest
  bool KeepPage(KvPageId id, std::span<const PrefixHash> hashes);
  void Touch(KvPageId id);
  void Drop(Order::iterator page);

  KvPool* pool_;
  Order order_;
  std::unordered_map<KvPageId, Order::iterator> by_id_;
  std::unordered_map<PrefixHash, KvPageId, HashKey> by_hash_;
};

}  // namespace ingot
