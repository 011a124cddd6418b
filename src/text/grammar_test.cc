// SPDX-License-Identifier: Apache-2.0
#include "text/grammar.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "text/golden_test_util.h"

namespace ingot {
namespace {

using nlohmann::json;
using testing::HasSubstr;

constexpr int64_t kPadding = 40;  // logits beyond the tokenizer's own ids

class GrammarTest : public testing::Test {
 protected:
  const Tokenizer tokenizer_{MiniDir()};
  const int32_t im_end_ = *tokenizer_.TokenId("<|im_end|>");
  const int64_t vocab_ = tokenizer_.vocab_size() + kPadding;
  GrammarCompiler compiler_{tokenizer_, vocab_, std::vector<int32_t>{im_end_}};

  std::vector<uint32_t> Mask(TokenMatcher& matcher) const {
    std::vector<uint32_t> words(static_cast<size_t>((vocab_ + 31) / 32), 0xffffffffu);
    matcher.FillMask(words);
    return words;
  }
  static bool Allows(const std::vector<uint32_t>& mask, int32_t id) {
    return (mask[static_cast<size_t>(id) / 32] >> (id % 32) & 1) != 0;
  }
  // Whether the grammar takes the text as one whole answer.
  bool Takes(GrammarKind kind, const std::string& grammar, const std::string& text) {
    const auto matcher = compiler_.Compile(kind, grammar);
    for (const int32_t id : tokenizer_.EncodeUser(text)) {
      if (!Allows(Mask(*matcher), id) || !matcher->Accept(id)) return false;
    }
    return Allows(Mask(*matcher), im_end_);
  }
  // Random walk: any allowed token, text of at most `limit` tokens; nullopt when it did not end.
  std::optional<std::string> Walk(TokenMatcher& matcher, uint32_t seed, int limit) {
    std::mt19937 random(seed);
    std::vector<int32_t> ids;
    for (int step = 0; step < limit; ++step) {
      const std::vector<uint32_t> mask = Mask(matcher);
      if (Allows(mask, im_end_)) return tokenizer_.Decode(ids, false);
      std::vector<int32_t> allowed;
      for (int32_t id = 0; id < vocab_; ++id) {
        if (Allows(mask, id)) allowed.push_back(id);
      }
      EXPECT_FALSE(allowed.empty());
      if (allowed.empty()) return std::nullopt;
      const int32_t id = allowed[random() % allowed.size()];
      EXPECT_LT(id, tokenizer_.vocab_size()) << "a padding row";
      EXPECT_TRUE(matcher.Accept(id));
      ids.push_back(id);
    }
    return std::nullopt;
  }
  std::string Refusal(GrammarKind kind, const std::string& grammar) {
    try {
      compiler_.Compile(kind, grammar);
    } catch (const UserError& error) {
      return error.what();
    }
    return "compiled";
  }
};

constexpr char kSchema[] = R"({"type": "object", "properties": {
    "name": {"type": "string", "maxLength": 12}, "age": {"type": "integer", "minimum": 0, "maximum": 150},
    "kind": {"enum": ["cat", "dog"]}}, "required": ["name", "age", "kind"], "additionalProperties": false})";

TEST_F(GrammarTest, RandomAnswersSatisfyTheSchema) {
  int complete = 0;
  for (uint32_t seed = 0; seed < 30; ++seed) {
    const auto matcher = compiler_.Compile(GrammarKind::kJsonSchema, kSchema);
    const std::optional<std::string> text = Walk(*matcher, seed, 300);
    if (!text) continue;  // endless white space
    ++complete;
    const json value = json::parse(*text, nullptr, false);
    ASSERT_TRUE(value.is_object()) << *text;
    EXPECT_EQ(value.size(), 3u) << *text;
    EXPECT_TRUE(value["name"].is_string()) << *text;
    EXPECT_TRUE(value["age"].is_number_integer()) << *text;
    EXPECT_LE(value["age"].get<int>(), 150) << *text;
    EXPECT_TRUE(value["kind"] == "cat" || value["kind"] == "dog") << *text;
  }
  EXPECT_GT(complete, 10);
}

TEST_F(GrammarTest, WhiteSpaceOfJsonHasAnEnd) {
  const std::string schema =
      R"({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]})";
  const auto takes = [&](const std::string& text, const std::string& options = "") {
    return Takes(GrammarKind::kJsonSchema,
                 options.empty() ? schema : schema.substr(0, schema.size() - 1) + options, text);
  };
  EXPECT_TRUE(takes(R"({"a":1})"));
  EXPECT_TRUE(takes(R"({"a": 1})"));
  EXPECT_TRUE(takes("{\n    \"a\": 1\n}"));
  EXPECT_TRUE(takes("{\r\n\t\t\"a\": 1\r\n}"));
  EXPECT_FALSE(takes("{\n\n\n\n\"a\": 1}"));
  EXPECT_FALSE(takes("{" + std::string(50, ' ') + "\"a\": 1}"));
  // The schema's own wish is kept.
  const std::string own = R"(, "x-guidance": {"whitespace_pattern": "\n{1,9}"}})";
  EXPECT_TRUE(takes("{\n\n\n\n\"a\":1}", own));
  EXPECT_FALSE(takes("{ \"a\":1}", own));
}

TEST_F(GrammarTest, RegexChoiceAndGrammarTakeWhatTheySay) {
  EXPECT_TRUE(Takes(GrammarKind::kRegex, "[0-9]{3}-[0-9]{2}", "123-45"));
  EXPECT_FALSE(Takes(GrammarKind::kRegex, "[0-9]{3}-[0-9]{2}", "123-4"));
  const std::string choices = LarkOfChoices(std::vector<std::string>{"yes", "no\n\"quoted\" äß"});
  EXPECT_TRUE(Takes(GrammarKind::kLark, choices, "yes"));
  EXPECT_TRUE(Takes(GrammarKind::kLark, choices, "no\n\"quoted\" äß"));
  EXPECT_FALSE(Takes(GrammarKind::kLark, choices, "no"));
  const std::string sums = "start: term (\"+\" term)*\nterm: /[0-9]+/ | \"(\" start \")\"\n";
  EXPECT_TRUE(Takes(GrammarKind::kLark, sums, "1+(2+33)"));
  EXPECT_FALSE(Takes(GrammarKind::kLark, sums, "1+(2+33"));
}

TEST_F(GrammarTest, EbnfBecomesLark) {
  const std::string ebnf =
      "# a list\nroot ::= \"[\" item (\", \" item){0,2} \"]\"\n"
      "item ::= My-Word | [0-9/]+\nMy-Word ::= [a-z] [a-z]*\n";
  const std::string lark = LarkOfEbnf(ebnf);
  EXPECT_TRUE(Takes(GrammarKind::kLark, lark, "[ab, 1/2]")) << lark;
  EXPECT_FALSE(Takes(GrammarKind::kLark, lark, "[ab, 1, 2, 3]")) << lark;
  EXPECT_EQ(LarkOfEbnf("start: \"a\""), "start: \"a\"");
  EXPECT_THROW(LarkOfEbnf("root ::= \"abc"), UserError);
  EXPECT_THROW(LarkOfEbnf("root ::= ~a"), UserError);
}

TEST_F(GrammarTest, ControlTokensNeverMatchText) {
  const auto matcher = compiler_.Compile(GrammarKind::kRegex, "(.|\\n)*");
  const std::vector<uint32_t> mask = Mask(*matcher);
  for (const AddedToken& token : tokenizer_.added_tokens()) {
    EXPECT_EQ(Allows(mask, token.id), token.id == im_end_) << token.text;
  }
  for (int64_t id = tokenizer_.vocab_size(); id < vocab_; ++id) {
    EXPECT_FALSE(Allows(mask, static_cast<int32_t>(id)));
  }
}

TEST_F(GrammarTest, ClonesAreIndependent) {
  const auto first = compiler_.Compile(GrammarKind::kLark, "start: \"a\" (\"b\" | \"c\")");
  const int32_t a = tokenizer_.EncodeUser("a")[0], b = tokenizer_.EncodeUser("b")[0];
  ASSERT_TRUE(first->Accept(a));
  const auto second = first->Clone();
  ASSERT_TRUE(second->Accept(b));
  EXPECT_TRUE(second->IsFinished());
  EXPECT_FALSE(first->IsFinished());
  EXPECT_TRUE(first->Accept(b));
  EXPECT_FALSE(first->Accept(b));
}

TEST_F(GrammarTest, HostileGrammarsAreRefusedInTime) {
  const auto start = std::chrono::steady_clock::now();
  const std::string deep = std::string(60'000, '(') + "a" + std::string(60'000, ')');
  EXPECT_THAT(Refusal(GrammarKind::kRegex, deep), HasSubstr("nested"));
  EXPECT_THAT(Refusal(GrammarKind::kLark, "start: " + deep), HasSubstr("nested"));
  EXPECT_NE(Refusal(GrammarKind::kRegex, "([a-z"), "compiled");
  EXPECT_NE(Refusal(GrammarKind::kRegex, "(?=look)ahead"), "compiled");
  EXPECT_NE(Refusal(GrammarKind::kLark, "start: missing"), "compiled");
  EXPECT_NE(Refusal(GrammarKind::kLark, ""), "compiled");
  EXPECT_NE(Refusal(GrammarKind::kJsonSchema, "{"), "compiled");
  EXPECT_NE(Refusal(GrammarKind::kJsonSchema, R"({"type": "nothing"})"), "compiled");
  EXPECT_NE(Refusal(GrammarKind::kJsonSchema, R"({"type": "string", "pattern": "([a"})"),
            "compiled");
  EXPECT_NE(Refusal(GrammarKind::kJsonSchema, R"({"$ref": "http://127.0.0.1/x"})"), "compiled");
  EXPECT_NE(Refusal(GrammarKind::kJsonSchema, R"({"not": {"type": "string"}})"), "compiled");
  EXPECT_NE(Refusal(GrammarKind::kJsonSchema, R"({"$ref": "#"})"), "compiled");
  std::string nested = R"({"type": "string"})";
  for (int i = 0; i < 5000; ++i) nested = R"({"type": "array", "items": )" + nested + "}";
  EXPECT_NE(Refusal(GrammarKind::kJsonSchema, nested), "compiled");
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(60));
}

TEST_F(GrammarTest, LargeButHonestGrammarsCompile) {
  json list = json::array();
  for (int i = 0; i < 5000; ++i) list.push_back("value " + std::to_string(i));
  const std::string schema = json{{"enum", list}}.dump();
  EXPECT_EQ(Refusal(GrammarKind::kJsonSchema, schema), "compiled");
  EXPECT_EQ(Refusal(GrammarKind::kJsonSchema, R"({"$defs": {"node": {"type": "object", "properties":
      {"next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}}, "required": ["next"],
      "additionalProperties": false}}, "$ref": "#/$defs/node"})"),
            "compiled");
}

TEST_F(GrammarTest, ThreadsCompileTheSameGrammar) {
  std::vector<std::thread> threads;
  std::atomic<int> good = 0;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      for (int k = 0; k < 5; ++k) good += Takes(GrammarKind::kRegex, "a|b", k % 2 ? "a" : "b");
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 15);
}

}  // namespace
}  // namespace ingot
