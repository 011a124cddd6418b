// SPDX-License-Identifier: Apache-2.0
// Structured output: a JSON schema, regular expression or Lark grammar, compiled for one tokenizer,
// says which tokens may come next (llguidance, behind the Rust crate in text/rust). Grammars come
// from clients: size, nesting, work and time of the compiler are bounded, and what it cannot
// express is an error, never a looser constraint.
#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "text/tokenizer.h"

namespace ingot {

namespace text_internal {
struct GrammarsHandle;
struct GrammarsDeleter {
  void operator()(GrammarsHandle* handle) const;
};
struct MatcherHandle;
struct MatcherDeleter {
  void operator()(MatcherHandle* handle) const;
};
}  // namespace text_internal

enum class GrammarKind {
  kJsonSchema,  // JSON Schema text; keywords that cannot be enforced are refused
  kRegex,       // the whole answer matches (syntax of the Rust crate `regex`)
  kLark,        // Lark with llguidance's extensions (%json, %regex, ...)
};

// One answer's way through a grammar. Used by one thread at a time.
class TokenMatcher {
 public:
  // In the same state as this one and independent of it.
  std::unique_ptr<TokenMatcher> Clone() const;
  // Bit i % 32 of word i / 32: token i may come next. Errors: UserError when the grammar turns out
  // to be too complex to go on.
  void FillMask(std::span<uint32_t> words);
  // False when the grammar does not allow the token.
  bool Accept(int32_t token);
  // The text is complete; nothing but the end of the answer can follow.
  bool IsFinished() const;

 private:
  friend class GrammarCompiler;
  using Handle = std::unique_ptr<text_internal::MatcherHandle, text_internal::MatcherDeleter>;
  explicit TokenMatcher(Handle handle) : handle_(std::move(handle)) {}
  Handle handle_;
};

// Thread-safe. Keeps the last few compiled grammars, since clients repeat theirs.
class GrammarCompiler {
 public:
  static constexpr size_t kMaxGrammarBytes = 1u << 20;
  static constexpr std::chrono::milliseconds kCompileLimit{10'000};

  // `vocab`: number of logits; `ends`: tokens that end an answer, allowed where the text may end.
  // Errors: FormatError when `ends` is empty or outside of the vocabulary.
  GrammarCompiler(const Tokenizer& tokenizer, int64_t vocab, std::span<const int32_t> ends);

  // Errors: UserError saying why the grammar cannot be compiled.
  std::unique_ptr<TokenMatcher> Compile(GrammarKind kind, std::string_view text);

 private:
  struct Entry {
    GrammarKind kind;
    std::string text;
    std::unique_ptr<TokenMatcher> matcher;  // fresh; answers get clones
  };
  static constexpr size_t kKept = 16;

  std::unique_ptr<TokenMatcher> FindKept(GrammarKind kind, std::string_view text);

  std::unique_ptr<text_internal::GrammarsHandle, text_internal::GrammarsDeleter> handle_;
  std::mutex mutex_;
  std::list<Entry> kept_;  // the most recently used one first
};

// A Lark grammar that allows exactly these texts.
std::string LarkOfChoices(std::span<const std::string> choices);

// The EBNF dialect of llama.cpp and xgrammar ("root ::= ...") as Lark; text that is no such grammar
// passes unchanged. Errors: UserError naming what is not understood.
std::string LarkOfEbnf(std::string_view text);

}  // namespace ingot
