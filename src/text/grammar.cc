// SPDX-License-Identifier: Apache-2.0
#include "text/grammar.h"

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/error.h"
#include "text/rust_border.h"

namespace ingot {

using text_internal::Collector;
using text_internal::RequireOk;
using text_internal::ToText;

namespace {

// The handles are the crate's own objects; the types only name them in the public header.
IngotGrammars* Raw(text_internal::GrammarsHandle* handle) {
  return reinterpret_cast<IngotGrammars*>(handle);
}
IngotMatcher* Raw(text_internal::MatcherHandle* handle) {
  return reinterpret_cast<IngotMatcher*>(handle);
}
text_internal::MatcherHandle* Wrap(IngotMatcher* raw) {
  return reinterpret_cast<text_internal::MatcherHandle*>(raw);
}

constexpr char kWhere[] = "structured output";

int32_t Number(GrammarKind kind) {
  switch (kind) {
    case GrammarKind::kJsonSchema:
      return kIngotJsonSchema;
    case GrammarKind::kRegex:
      return kIngotRegex;
    case GrammarKind::kLark:
      return kIngotLark;
  }
  return kIngotLark;
}

}  // namespace

namespace text_internal {
void GrammarsDeleter::operator()(GrammarsHandle* handle) const { ingot_grammars_free(Raw(handle)); }
void MatcherDeleter::operator()(MatcherHandle* handle) const { ingot_matcher_free(Raw(handle)); }
}  // namespace text_internal

std::unique_ptr<TokenMatcher> TokenMatcher::Clone() const {
  IngotMatcher* raw = nullptr;
  Collector result;
  RequireOk(ingot_matcher_clone(Raw(handle_.get()), &raw, result.output()), result, kWhere, "");
  return std::unique_ptr<TokenMatcher>(new TokenMatcher(Handle(Wrap(raw))));
}

void TokenMatcher::FillMask(std::span<uint32_t> words) {
  Collector result;
  RequireOk(ingot_matcher_mask(Raw(handle_.get()), words.data(), words.size(), result.output()),
            result, kWhere, "");
}

bool TokenMatcher::Accept(int32_t token) {
  Collector result;
  return token >= 0 && ingot_matcher_accept(Raw(handle_.get()), static_cast<uint32_t>(token),
                                            result.output()) == 0;
}

bool TokenMatcher::IsFinished() const { return ingot_matcher_stopped(Raw(handle_.get())) != 0; }

GrammarCompiler::GrammarCompiler(const Tokenizer& tokenizer, int64_t vocab,
                                 std::span<const int32_t> ends) {
  std::vector<uint32_t> ids;
  for (const int32_t id : ends) ids.push_back(static_cast<uint32_t>(id));
  IngotGrammars* raw = nullptr;
  Collector result;
  RequireOk(ingot_grammars_new(text_internal::RawHandle(tokenizer.handle_.get()),
                               static_cast<size_t>(vocab), ids.data(), ids.size(),
                               &raw, result.output()),
            result, kWhere, "");
  handle_.reset(reinterpret_cast<text_internal::GrammarsHandle*>(raw));
}

std::unique_ptr<TokenMatcher> GrammarCompiler::FindKept(GrammarKind kind, std::string_view text) {
  const std::lock_guard lock(mutex_);
  for (auto entry = kept_.begin(); entry != kept_.end(); ++entry) {
    if (entry->kind != kind || entry->text != text) continue;
    kept_.splice(kept_.begin(), kept_, entry);
    return entry->matcher->Clone();
  }
  return nullptr;
}

std::unique_ptr<TokenMatcher> GrammarCompiler::Compile(GrammarKind kind, std::string_view text) {
  if (text.size() > kMaxGrammarBytes) {
    throw UserError("{}: the grammar has {} bytes, more than the limit of {}. Make it smaller",
                    kWhere, text.size(), kMaxGrammarBytes);
  }
  if (std::unique_ptr<TokenMatcher> kept = FindKept(kind, text)) return kept;
  IngotMatcher* raw = nullptr;
  Collector result;
  RequireOk(ingot_matcher_new(Raw(handle_.get()), Number(kind), ToText(text), kCompileLimit.count(),
                              &raw, result.output()),
            result, kWhere, "");
  std::unique_ptr<TokenMatcher> matcher(new TokenMatcher(TokenMatcher::Handle(Wrap(raw))));
  std::unique_ptr<TokenMatcher> copy = matcher->Clone();
  const std::lock_guard lock(mutex_);
  kept_.push_front({kind, std::string(text), std::move(matcher)});
  if (kept_.size() > kKept) kept_.pop_back();
  return copy;
}

std::string LarkOfChoices(std::span<const std::string> choices) {
  std::string lark = "start: ";
  for (size_t i = 0; i < choices.size(); ++i) {
    if (i > 0) lark += "\n     | ";
    lark += nlohmann::json(choices[i]).dump();  // Lark strings are written as in JSON
  }
  return lark + "\n";
}

namespace {

// Reads "name ::= alternatives" rules and writes Lark. Both have literals in double quotes,
// character classes, groups, alternatives and the repetitions * + ? {m,n}.
class EbnfReader {
 public:
  explicit EbnfReader(std::string_view text) : text_(text) {}

  std::string Lark() {
    while (SkipBlanks(), at_ < text_.size()) Step();
    if (n_rules_ == 0) Fail("a rule");
    return out_ + "\n";
  }

 private:
  static bool IsNameChar(char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-';
  }

  [[noreturn]] void Fail(std::string_view expected) const {
    throw UserError("the grammar is not understood at byte {}: expected {}", at_, expected);
  }

  void SkipBlanks() {
    while (at_ < text_.size()) {
      if (text_[at_] == '#') {
        at_ = std::min(text_.find('\n', at_), text_.size());
      } else if (std::isspace(static_cast<unsigned char>(text_[at_])) != 0) {
        ++at_;
      } else {
        return;
      }
    }
  }

  // Lark's rule names have lower case and no dashes; its first rule is "start".
  static std::string RuleName(std::string_view name) {
    if (name == "root") return "start";
    std::string rule = "r_";
    for (const char c : name) {
      if (c == '-') {
        rule += "__";
      } else if (std::isupper(static_cast<unsigned char>(c)) != 0) {
        rule += std::string("_u") + static_cast<char>(c - 'A' + 'a');
      } else {
        rule += c;
      }
    }
    return rule;
  }

  void Name() {
    const size_t begin = at_;
    while (at_ < text_.size() && IsNameChar(text_[at_])) ++at_;
    const std::string rule = RuleName(text_.substr(begin, at_ - begin));
    SkipBlanks();
    if (text_.substr(at_).starts_with("::=")) {
      at_ += 3;
      ++n_rules_;
      out_ += (out_.empty() ? "" : "\n") + rule + ":";
    } else {
      out_ += " " + rule;
    }
  }

  // A quoted literal or a bracketed class, backslashes skipped over.
  std::string_view Quoted(char end) {
    const size_t begin = at_++;
    while (at_ < text_.size() && text_[at_] != end) at_ += text_[at_] == '\\' ? 2 : 1;
    if (at_ >= text_.size()) Fail(std::string("a closing ") + end);
    ++at_;
    return text_.substr(begin, at_ - begin);
  }

  void Class() {
    out_ += " /";
    for (const char c : Quoted(']')) {
      if (c == '/') out_ += '\\';
      c == '\n' ? out_ += "\\n" : out_ += c;
    }
    out_ += "/";
  }

  void Step() {
    const char c = text_[at_];
    if (IsNameChar(c)) return Name();
    if (n_rules_ == 0) Fail("the name of a rule");
    switch (c) {
      case '"':
        out_ += " " + std::string(Quoted('"'));
        return;
      case '[':
        return Class();
      case '{':
        out_ += Quoted('}');
        return;
      case '.':
        out_ += " /(.|\\n)/";
        break;
      case '(':
      case '|':
        out_ += std::string(" ") + c;
        break;
      case ')':
      case '*':
      case '+':
      case '?':
        out_ += c;
        break;
      default:
        Fail("a literal, a class, a group or a rule");
    }
    ++at_;
  }

  std::string_view text_;
  size_t at_ = 0, n_rules_ = 0;
  std::string out_;
};

}  // namespace

std::string LarkOfEbnf(std::string_view text) {
  if (text.find("::=") == std::string_view::npos) return std::string(text);
  return EbnfReader(text).Lark();
}

}  // namespace ingot
