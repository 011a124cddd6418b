// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/json_value.h"

#include "checkpoint/json_fields.h"
#include "checkpoint/test_files.h"

namespace ingot {
namespace {

using testing::AllOf;
using testing::HasSubstr;

TEST(JsonValue, KeepsKindsAndOrder) {
  const auto json = ParseJson(
      R"({"b":[1,-2,1.5,18446744073709551615],"a":{"t":true,"n":null},"s":"\u00e9"})", "f");
  EXPECT_EQ(json.members[0].key, "b");
  const auto& list = json.Find("b")->items;
  EXPECT_EQ(list[1].integer, -2);
  EXPECT_EQ(list[2].kind, JsonValue::Kind::kNumber);
  EXPECT_EQ(list[3].kind, JsonValue::Kind::kNumber) << "beyond int64";
  EXPECT_TRUE(json.Find("a")->Find("t")->boolean);
  EXPECT_EQ(json.Find("a")->Find("n")->kind, JsonValue::Kind::kNull);
  EXPECT_EQ(json.Find("s")->text, "\xc3\xa9");
  EXPECT_EQ(json.Find("x"), nullptr);
}

TEST(JsonValue, RefusesBadText) {
  const auto fails = [](const std::string& text, const char* message) {
    SCOPED_TRACE(text.substr(0, 40));
    ExpectError<FormatError>([&] { ParseJson(text, "conf.json"); },
                             AllOf(HasSubstr("conf.json: "), HasSubstr(message)));
  };
  fails("", "not valid JSON");
  fails("{\"a\":1", "not valid JSON (byte 7)");
  fails("{\"a\":1} x", "not valid JSON");
  fails("{\"a\":NaN}", "not valid JSON");
  fails("{\"a\":1e999}", "not valid JSON");
  fails("{\"a\":\"\xff\"}", "not valid JSON");
  fails(std::string("{}\0", 3), "zero byte at 2");
  fails("{\"a\":1,\"a\":2}", "\"a\" stands twice");
  fails("{\"x\":{\"a\":1,\"\\u0061\":2}}", "\"a\" stands twice");
  fails(std::string(100000, '['), "deeper than 64");
  std::string many = "[";
  for (int i = 0; i < 2'000'001; ++i) many += "0,";
  fails(many + "0]", "more than 2000000");
  EXPECT_NO_THROW(ParseJson(R"({"x":{"a":1},"y":{"a":2}})", "f"));
}

TEST(JsonFields, NamesFieldFoundAndExpected) {
  const auto json =
      ParseJson(R"({"t":{"n":5,"f":2.5,"s":"x","l":[1,2],"b":true,"z":null}})", "c.json");
  const JsonFields t = JsonFields(json, "c.json", "").Object("t");
  EXPECT_EQ(t.Int("n", 0, 5), 5);
  EXPECT_EQ(t.IntOr("z", 7, 0, 5), 7) << "null counts as absent";
  EXPECT_EQ(t.Number("f", 0, 3), 2.5);
  EXPECT_EQ(t.Ints("l", 2, 0, 9), (std::vector<int64_t>{1, 2}));
  EXPECT_TRUE(t.BoolOr("b", false));
  const auto fails = [](auto body, const char* message) {
    ExpectError<FormatError>(body, AllOf(HasSubstr("c.json: t."), HasSubstr(message)));
  };
  fails([&] { t.Int("n", 0, 4); }, "t.n: is 5; an integer from 0 to 4 was expected");
  fails([&] { t.Int("f", 0, 4); }, "t.f: is 2.5");
  fails([&] { t.Int("q", 0, 4); }, "t.q: is missing");
  fails([&] { t.Number("s", 0, 4); }, "t.s: is \"x\"");
  fails([&] { t.StringOr("n", ""); }, "t.n: is 5; a string");
  fails([&] { t.BoolOr("n", true); }, "true or false");
  fails([&] { t.Ints("l", 1, 0, 9); }, "has 2 entries");
  fails([&] { t.Ints("l", 2, 0, 1); }, "t.l: is 2; an integer from 0 to 1");
  fails([&] { t.Object("n"); }, "an object was expected");
}

TEST(JsonValue, QuotesAndPrintable) {
  EXPECT_EQ(JsonQuote("a\"\\\n\xc3\xa9"), "\"a\\\"\\\\\\n\xc3\xa9\"");
  EXPECT_EQ(JsonQuote("\xc3\xa9", true), "\"\\u00e9\"");
  EXPECT_EQ(Printable("a\x1b[2J"), "a\\x1b[2J");
  EXPECT_EQ(Printable("abcdef", 3), "abc...");
}

}  // namespace
}  // namespace ingot
