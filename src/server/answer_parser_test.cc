// SPDX-License-Identifier: Apache-2.0
#include "server/answer_parser.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>
#include <vector>

namespace ingot::server {
namespace {

// An answer put together again from its deltas.
struct Whole {
  std::string reasoning, content;
  std::vector<std::string> names, arguments;
  bool operator==(const Whole&) const = default;
};

void Add(const AnswerDelta& delta, Whole* whole) {
  whole->reasoning += delta.reasoning;
  whole->content += delta.content;
  for (const ToolCallDelta& call : delta.calls) {
    const auto index = static_cast<size_t>(call.index);
    if (index == whole->names.size()) {
      EXPECT_FALSE(call.name.empty()) << "the name comes first";
      EXPECT_TRUE(call.id.starts_with("chatcmpl-tool-"));
      whole->names.push_back(call.name);
      whole->arguments.emplace_back();
    } else {
      EXPECT_EQ(index + 1, whole->names.size()) << "one call after the other";
      EXPECT_TRUE(call.name.empty() && call.id.empty()) << "name and id come once";
    }
    if (index < whole->arguments.size()) whole->arguments[index] += call.arguments;
  }
}

Whole Parse(const AnswerParserOptions& options, const std::vector<std::string>& pieces) {
  AnswerParser parser(options);
  Whole whole;
  for (const std::string& piece : pieces) Add(parser.Push(piece), &whole);
  Add(parser.Finish(), &whole);
  EXPECT_EQ(parser.called(), !whole.names.empty());
  return whole;
}

// The result must not depend on where the text is cut.
Whole ParseAllWays(const AnswerParserOptions& options, const std::string& text) {
  const Whole whole = Parse(options, {text});
  std::vector<std::string> bytes;
  for (const char c : text) bytes.emplace_back(1, c);
  EXPECT_EQ(Parse(options, bytes), whole) << text;
  std::mt19937 random(1);
  for (int round = 0; round < 20; ++round) {
    std::vector<std::string> pieces;
    for (size_t at = 0; at < text.size();) {
      const size_t length = 1 + random() % 9;
      pieces.push_back(text.substr(at, length));
      at += length;
    }
    EXPECT_EQ(Parse(options, pieces), whole) << text;
  }
  return whole;
}

AnswerParserOptions Hermes() {
  return {.tool_choice = {ToolChoice::Kind::kAuto, ""}, .has_tools = true};
}

TEST(AnswerParser, PlainTextPassesUnchanged) {
  const std::string text = "a < b, <tool_call>{} and <think> are just text";
  EXPECT_EQ(ParseAllWays({}, text).content, text);
}

TEST(AnswerParser, HermesCalls) {
  const Whole whole = ParseAllWays(
      Hermes(),
      "Let me look.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"K\\\"öln }\", "
      "\"days\": [1, {\"x\": 2}]}}\n</tool_call>\n<tool_call>\n{\"name\": \"time\"}\n</tool_call>");
  EXPECT_EQ(whole.content, "Let me look.\n");
  EXPECT_EQ(whole.names, (std::vector<std::string>{"weather", "time"}));
  EXPECT_EQ(whole.arguments, (std::vector<std::string>{
                                 "{\"city\": \"K\\\"öln }\", \"days\": [1, {\"x\": 2}]}", "{}"}));
}

TEST(AnswerParser, ArgumentsBeforeTheNameWaitForIt) {
  const Whole whole = ParseAllWays(
      Hermes(), "<tool_call>{\"arguments\": {\"a\": 1}, \"id\": 7, \"name\": \"f\"}</tool_call>");
  EXPECT_EQ(whole.names, std::vector<std::string>{"f"});
  EXPECT_EQ(whole.arguments, std::vector<std::string>{"{\"a\": 1}"});
  EXPECT_EQ(whole.content, "");
}

TEST(AnswerParser, WhatIsNoCallBecomesContent) {
  for (const std::string text :
       {"<tool_call>not json</tool_call>", "<tool_call>\n[1]\n</tool_call>", "<tool_call>{\"na",
        "<tool_call>{\"name\": 3}</tool_call>", "<tool_call>{}</tool_call> after", "<tool_c",
        "text <tool_call>"}) {
    const Whole whole = ParseAllWays(Hermes(), text);
    EXPECT_EQ(whole.content, text);
    EXPECT_TRUE(whole.names.empty());
  }
}

TEST(AnswerParser, ACutCallKeepsWhatItHas) {
  const Whole whole =
      ParseAllWays(Hermes(), "<tool_call>{\"name\": \"f\", \"arguments\": {\"text\": \"abc");
  EXPECT_EQ(whole.names, std::vector<std::string>{"f"});
  EXPECT_EQ(whole.arguments, std::vector<std::string>{"{\"text\": \"abc"});
}

TEST(AnswerParser, OneCallWhenParallelIsOff) {
  AnswerParserOptions options = Hermes();
  options.parallel = false;
  const Whole whole = ParseAllWays(options,
                                   "<tool_call>{\"name\": \"a\", \"arguments\": {}}</tool_call>"
                                   "<tool_call>{\"name\": \"b\", \"arguments\": {}}</tool_call>");
  EXPECT_EQ(whole.names, std::vector<std::string>{"a"});
}

TEST(AnswerParser, RequiredIsAList) {
  const AnswerParserOptions options{.tool_choice = {ToolChoice::Kind::kRequired, ""},
                                    .has_tools = true};
  const Whole whole = ParseAllWays(
      options, "[{\"name\": \"a\", \"parameters\": {\"x\": \"}{\"}} , {\"name\":\"b\"}]");
  EXPECT_EQ(whole.names, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(whole.arguments, (std::vector<std::string>{"{\"x\": \"}{\"}", "{}"}));
  EXPECT_EQ(whole.content, "");
}

TEST(AnswerParser, NamedTakesEverythingAsArguments) {
  const AnswerParserOptions options{.tool_choice = {ToolChoice::Kind::kNamed, "f"},
                                    .has_tools = true};
  const Whole whole = ParseAllWays(options, "{\"a\": [1]}");
  EXPECT_EQ(whole.names, std::vector<std::string>{"f"});
  EXPECT_EQ(whole.arguments, std::vector<std::string>{"{\"a\": [1]}"});
}

TEST(AnswerParser, Reasoning) {
  AnswerParserOptions options{.reasoning = true};
  Whole whole = ParseAllWays(options, "\n<think>\nhm </thin k>\n</think>\n\nFour.");
  EXPECT_EQ(whole.reasoning, "\nhm </thin k>\n");
  EXPECT_EQ(whole.content, "\n\nFour.");
  EXPECT_EQ(ParseAllWays(options, "  Four <think>.").content, "  Four <think>.");
  EXPECT_EQ(ParseAllWays(options, "<think>cut </th").reasoning, "cut </th");
  options.reasoning_open = true;
  whole = ParseAllWays(options, "hm</think>Four.");
  EXPECT_EQ(whole.reasoning, "hm");
  EXPECT_EQ(whole.content, "Four.");
  options.include_reasoning = false;
  whole = ParseAllWays(options, "hm</think>Four.");
  EXPECT_EQ(whole.reasoning, "");
  EXPECT_EQ(whole.content, "Four.");
}

TEST(AnswerParser, ReasoningThenCall) {
  AnswerParserOptions options = Hermes();
  options.reasoning = true;
  const Whole whole = ParseAllWays(
      options,
      "<think>need f</think>\n<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>");
  EXPECT_EQ(whole.reasoning, "need f");
  EXPECT_EQ(whole.content, "\n");
  EXPECT_EQ(whole.names, std::vector<std::string>{"f"});
}

}  // namespace
}  // namespace ingot::server
