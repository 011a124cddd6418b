// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer.h"

#include <algorithm>
#include <system_error>

#include "base/error.h"
#include "base/files.h"
#include "text/rust_border.h"

namespace ingot {

using text_internal::Collector;
using text_internal::RequireOk;
using text_internal::ToText;

namespace text_internal {

// The handle is the crate's own object; the type only names it in the public header.
IngotTokenizer* RawHandle(const TokenizerHandle* handle) {
  return const_cast<IngotTokenizer*>(reinterpret_cast<const IngotTokenizer*>(handle));
}

void TokenizerDeleter::operator()(TokenizerHandle* handle) const {
  ingot_tokenizer_free(RawHandle(handle));
}

}  // namespace text_internal

namespace {

constexpr char kRemedy[] = "Copy tokenizer.json from the original model folder again";

std::vector<AddedToken> ReadAddedTokens(const IngotTokenizer* handle, int64_t* vocab_size) {
  struct State {
    uint32_t id = 0;
    std::vector<AddedToken> tokens;
  } state;
  const auto sink = [](void* context, int32_t what, const void* data, size_t size) noexcept {
    auto* out = static_cast<State*>(context);
    if (what == kIngotIds) {
      out->id = *static_cast<const uint32_t*>(data);
    } else {
      out->tokens.push_back({.id = static_cast<int32_t>(out->id & 0x7fffffffu),
                             .text = std::string(static_cast<const char*>(data), size),
                             .special = (out->id >> 31) != 0});
    }
  };
  *vocab_size = static_cast<int64_t>(ingot_tokenizer_added(handle, {sink, &state}));
  return std::move(state.tokens);
}

}  // namespace

Tokenizer::Tokenizer(const std::filesystem::path& dir) : file_(dir / "tokenizer.json") {
  std::error_code ignored;
  if (!std::filesystem::exists(file_, ignored)) {
    throw UserError(
        "{}: the model folder has no tokenizer.json. Copy it from the original model folder "
        "(vocab.json and "
        "merges.txt alone are not enough)",
        dir.string());
  }
  const std::string json = ReadFile(file_, kMaxFileBytes);
  IngotTokenizer* raw = nullptr;
  Collector result;
  RequireOk(ingot_tokenizer_new(ToText(json), &raw, result.output()), result, file_.string(),
            kRemedy);
  handle_.reset(reinterpret_cast<text_internal::TokenizerHandle*>(raw));
  added_tokens_ = ReadAddedTokens(raw, &vocab_size_);
}

std::vector<int32_t> Tokenizer::EncodeRanges(std::string_view text,
                                             std::span<const uint64_t> untrusted) const {
  if (text.size() > kMaxTextBytes) {
    throw UserError("the text has {}, more than the limit of {} for one prompt. Shorten it",
                    HumanBytes(text.size()), HumanBytes(kMaxTextBytes));
  }
  Collector result;
  RequireOk(ingot_tokenizer_encode(RawHandle(handle_.get()), ToText(text), untrusted.data(),
                                   untrusted.size() / 2, result.output()),
            result, file_.string(), "");
  return std::move(result.ids);
}

std::vector<int32_t> Tokenizer::EncodeTrusted(std::string_view text) const {
  return EncodeRanges(text, {});
}

std::vector<int32_t> Tokenizer::EncodeUser(std::string_view text) const {
  const uint64_t all[] = {0, text.size()};
  return EncodeRanges(text, all);
}

std::vector<int32_t> Tokenizer::Encode(std::span<const TextSegment> segments) const {
  std::string text;
  std::vector<uint64_t> untrusted;
  for (const TextSegment& segment : segments) {
    if (!segment.trusted) {
      untrusted.push_back(text.size());
      untrusted.push_back(text.size() + segment.text.size());
    }
    text += segment.text;
  }
  return EncodeRanges(text, untrusted);
}

std::string Tokenizer::Decode(std::span<const int32_t> ids, bool skip_special) const {
  std::vector<uint32_t> known;
  known.reserve(ids.size());
  for (const int32_t id : ids) {
    if (id >= 0) known.push_back(static_cast<uint32_t>(id));
  }
  Collector result;
  RequireOk(ingot_tokenizer_decode(RawHandle(handle_.get()), known.data(), known.size(),
                                   skip_special ? 1 : 0, result.output()),
            result, file_.string(), kRemedy);
  return std::move(result.bytes);
}

std::string Tokenizer::TokenBytes(int32_t id) const {
  if (id < 0) return {};
  Collector result;
  RequireOk(ingot_tokenizer_token_bytes(RawHandle(handle_.get()), static_cast<uint32_t>(id),
                                        result.output()),
            result, file_.string(), kRemedy);
  return std::move(result.bytes);
}

std::optional<int32_t> Tokenizer::TokenId(std::string_view token) const {
  const int64_t id = ingot_tokenizer_token_id(RawHandle(handle_.get()), ToText(token));
  return id < 0 ? std::nullopt : std::optional(static_cast<int32_t>(id));
}

bool Tokenizer::IsSpecial(int32_t id) const {
  const auto found = std::ranges::lower_bound(added_tokens_, id, {}, &AddedToken::id);
  return found != added_tokens_.end() && found->id == id && found->special;
}

std::string StreamDecoder::Push(int32_t id) {
  if (skip_special_ && tokenizer_->IsSpecial(id)) return {};
  pending_ += tokenizer_->TokenBytes(id);
  Collector result;
  pending_.erase(0, ingot_utf8_prefix(ToText(pending_), result.output()));
  return std::move(result.bytes);
}

std::string StreamDecoder::Finish() {
  // What is pending is the start of one character: decoding it lossily gives a single replacement
  // character.
  const bool cut = !pending_.empty();
  pending_.clear();
  return cut ? "\xef\xbf\xbd" : "";
}

}  // namespace ingot
