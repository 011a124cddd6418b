// SPDX-License-Identifier: Apache-2.0
#include "model/kv_pool.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace ingot {
namespace {

// Memory is asked from the system in pieces of about this size: few mappings, large pages.
constexpr size_t kSlabBytes = 32 << 20;
constexpr size_t kMostSlabPages = 64;
constexpr size_t kMostInt8HeadDim = 256;  // sums of the int8 kernels fit 32 bits

}  // namespace

std::optional<KvType> ParseKvType(std::string_view name) {
  if (name == "auto") return std::nullopt;
  if (name == "bfloat16") return KvType::kBF16;
  if (name == "int8") return KvType::kInt8;
  throw UserError("keys and values of type '{}'; expected auto, bfloat16 or int8.", name);
}

KvPool::KvPool(const TextConfig& config, KvType type, int64_t max_pages)
    : layout_({.n_kv_heads = static_cast<size_t>(config.n_kv_heads),
               .head_dim = static_cast<size_t>(config.head_dim),
               .type = type}),
      n_layers_(config.n_layers),
      max_pages_(max_pages),
      page_bytes_(layout_.Bytes() * static_cast<size_t>(config.n_layers)) {
  if (type == KvType::kInt8 && layout_.head_dim > kMostInt8HeadDim) {
    throw UserError(
        "int8 keys and values: heads of {} values; expected at most {}. Use --kv-cache-dtype auto.",
        layout_.head_dim, kMostInt8HeadDim);
  }
}

void KvPool::AddSlab() {
  size_t count = std::clamp<size_t>(kSlabBytes / page_bytes_, 1, kMostSlabPages);
  if (max_pages_ > 0) count = std::min(count, static_cast<size_t>(max_pages_) - pages_.size());
  slabs_.emplace_back(count * page_bytes_);
  std::byte* data = slabs_.back().data();
  const auto first = static_cast<KvPageId>(pages_.size());
  for (size_t i = 0; i < count; ++i) pages_.push_back({data + i * page_bytes_, 0});
  free_.reserve(pages_.size());
  // The lowest ones are taken first.
  for (size_t i = count; i-- > 0;) free_.push_back(first + static_cast<KvPageId>(i));
  held_.store(static_cast<int64_t>(pages_.size()), std::memory_order_relaxed);
}

std::optional<KvPageId> KvPool::Take() {
  if (max_pages_ > 0 && pages_in_use() >= max_pages_) return std::nullopt;
  if (free_.empty()) AddSlab();
  const KvPageId page = free_.back();
  free_.pop_back();
  pages_[static_cast<size_t>(page)].references = 1;
  in_use_.fetch_add(1, std::memory_order_relaxed);
  return page;
}

void KvPool::Share(KvPageId page) {
  Page& shared = pages_.at(static_cast<size_t>(page));
  if (shared.references < 1) throw InternalError("page {} is shared but not in use", page);
  ++shared.references;
}

void KvPool::Release(KvPageId page) {
  Page& released = pages_[static_cast<size_t>(page)];
  if (released.references < 1) return;  // cannot happen; nothing to give back
  if (--released.references > 0) return;
  free_.push_back(page);  // room was reserved
  in_use_.fetch_sub(1, std::memory_order_relaxed);
}

std::optional<KvPageId> KvPool::Copy(KvPageId page) {
  const auto copy = Take();
  if (copy) std::memcpy(data(*copy), data(page), page_bytes_);
  return copy;
}

KvSequence::KvSequence(KvSequence&& other) noexcept
    : pool_(other.pool_),
      length_(std::exchange(other.length_, 0)),
      pages_(std::exchange(other.pages_, {})),
      data_(std::exchange(other.data_, {})) {}

KvSequence& KvSequence::operator=(KvSequence&& other) noexcept {
  if (this != &other) {
    Clear();
    pool_ = other.pool_;
    length_ = std::exchange(other.length_, 0);
    pages_ = std::exchange(other.pages_, {});
    data_ = std::exchange(other.data_, {});
  }
  return *this;
}

// Whether the page that the next token goes to is partly filled and others use it, too.
bool KvSequence::LastIsShared() const {
  if (length_ % kKvPageTokens == 0) return false;
  return pool_->references(pages_[static_cast<size_t>(length_ / kKvPageTokens)]) > 1;
}

int64_t KvSequence::PagesFor(int64_t n_tokens) const {
  if (n_tokens == 0) return 0;
  const int64_t missing = KvPagesOf(length_ + n_tokens) - static_cast<int64_t>(pages_.size());
  return std::max<int64_t>(missing, 0) + (LastIsShared() ? 1 : 0);
}

bool KvSequence::Reserve(int64_t n_tokens) {
  const int64_t wanted = PagesFor(n_tokens);
  if (wanted == 0) return true;
  if (pool_->max_pages() > 0 && pool_->pages_in_use() + wanted > pool_->max_pages()) return false;
  if (LastIsShared()) {
    const auto at = static_cast<size_t>(length_ / kKvPageTokens);
    const KvPageId own = pool_->Copy(pages_[at]).value();
    pool_->Release(std::exchange(pages_[at], own));
    data_[at] = pool_->data(own);
  }
  while (capacity() < length_ + n_tokens) {
    pages_.push_back(pool_->Take().value());
    data_.push_back(pool_->data(pages_.back()));
  }
  return true;
}

void KvSequence::Adopt(KvPageId page, int64_t n_tokens) {
  if (length_ % kKvPageTokens != 0 || n_tokens < 1 || n_tokens > kKvPageTokens)
    throw InternalError("a page of {} tokens cannot follow {} tokens", n_tokens, length_);
  Truncate(length_);  // pages that were reserved
  pool_->Share(page);
  pages_.push_back(page);
  data_.push_back(pool_->data(page));
  length_ += n_tokens;
}

KvSequence KvSequence::Fork() const {
  KvSequence fork(pool_);
  const auto count = static_cast<size_t>(KvPagesOf(length_));
  fork.pages_.assign(pages_.begin(), pages_.begin() + static_cast<std::ptrdiff_t>(count));
  fork.data_.assign(data_.begin(), data_.begin() + static_cast<std::ptrdiff_t>(count));
  fork.length_ = length_;
  for (const KvPageId page : fork.pages_) pool_->Share(page);
  return fork;
}

void KvSequence::Truncate(int64_t n_tokens) {
  length_ = std::min(length_, n_tokens);
  while (static_cast<int64_t>(pages_.size()) > KvPagesOf(length_)) {
    pool_->Release(pages_.back());
    pages_.pop_back();
    data_.pop_back();
  }
}

void KvSequence::Advance(int64_t n_tokens) {
  if (length_ + n_tokens > capacity())
    throw InternalError("{} tokens in pages for {}", length_ + n_tokens, capacity());
  length_ += n_tokens;
}

}  // namespace ingot
