// SPDX-License-Identifier: Apache-2.0
// tokenizer.json as Hugging Face `tokenizers` reads it (C++ face of the Rust crate in text/rust).
// Text that a person typed cannot become a control token: segments marked untrusted are encoded as
// plain text even where they spell one. Thread-safe after construction.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ingot {

namespace text_internal {
struct TokenizerHandle;
struct TokenizerDeleter {
  void operator()(TokenizerHandle* handle) const;
};
}  // namespace text_internal

// One entry of added_tokens: matched in text before anything else.
struct AddedToken {
  int32_t id = 0;
  std::string text;
  bool special = false;  // hidden by Decode(skip_special)
};

// A piece of a prompt. Control tokens (special ones, and added tokens of the form <...> or [...])
// are recognised only where their first and last characters are trusted.
struct TextSegment {
  std::string text;
  bool trusted = true;
  bool operator==(const TextSegment&) const = default;
};

class Tokenizer {
 public:
  static constexpr uint64_t kMaxFileBytes = 256u
                                            << 20;  // of tokenizer.json; the released one has 11 MB
  static constexpr size_t kMaxTextBytes = 16u << 20;  // of one text to encode

  // Reads DIR/tokenizer.json. Errors: UserError when missing, too large or of a kind that no Qwen
  // model uses (decoder other than ByteLevel); FormatError when broken.
  explicit Tokenizer(const std::filesystem::path& dir);

  // Ids as the reference gives them, added tokens recognised anywhere. Errors (all Encode*):
  // UserError when the text is larger than kMaxTextBytes or no valid UTF-8.
  std::vector<int32_t> EncodeTrusted(std::string_view text) const;
  // The same, but no control token is recognised: a spelled "<|im_start|>" becomes ordinary text
  // tokens.
  std::vector<int32_t> EncodeUser(std::string_view text) const;
  // The concatenation of the segments as one text; a segment border never changes how ordinary text
  // is split.
  std::vector<int32_t> Encode(std::span<const TextSegment> segments) const;

  // Text of the ids; bytes that are no UTF-8 become U+FFFD. Ids outside of the vocabulary (padding
  // rows of the embedding) add nothing, as in the reference.
  std::string Decode(std::span<const int32_t> ids, bool skip_special) const;
  // The raw bytes that one token stands for; empty for ids outside of the vocabulary.
  std::string TokenBytes(int32_t id) const;

  std::optional<int32_t> TokenId(
      std::string_view token) const;  // exact vocabulary entry or added token
  bool IsSpecial(int32_t id) const;
  // Largest id + 1, added tokens included; config.json's vocab is often larger (padding rows, never
  // to be sampled).
  int64_t vocab_size() const { return vocab_size_; }
  const std::vector<AddedToken>& added_tokens() const { return added_tokens_; }  // ascending ids

 private:
  friend class ChatTemplate;
  friend class GrammarCompiler;
  // `untrusted`: begin and end offsets of the parts in which no control token counts.
  std::vector<int32_t> EncodeRanges(std::string_view text,
                                    std::span<const uint64_t> untrusted) const;

  std::filesystem::path file_;
  std::unique_ptr<text_internal::TokenizerHandle, text_internal::TokenizerDeleter> handle_;
  std::vector<AddedToken> added_tokens_;
  int64_t vocab_size_ = 0;
};

// Text of a growing sequence of ids, never ending inside a UTF-8 character. The concatenation of
// all Push results and Finish equals Tokenizer::Decode of all ids.
class StreamDecoder {
 public:
  StreamDecoder(const Tokenizer& tokenizer, bool skip_special = true)
      : tokenizer_(&tokenizer), skip_special_(skip_special) {}
  std::string Push(int32_t id);
  std::string
  Finish();  // what was held back, as U+FFFD; the decoder can be used for a new sequence then

 private:
  const Tokenizer* tokenizer_;  // outlives this
  bool skip_special_;
  std::string pending_;  // an incomplete character, at most 3 bytes
};

}  // namespace ingot
