// SPDX-License-Identifier: Apache-2.0
#include "base/printable.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/log.h"
#include "base/progress.h"

namespace ingot {
namespace {

TEST(PrintableTest, OrdinaryTextStays) {
  for (const char* text : {"", "model.layers.0.weight", "Größe 你好 \xf0\x9f\x98\x80", "a\\b\"c"}) {
    EXPECT_EQ(Printable(text), text);
    EXPECT_EQ(PrintableLines(text), text);
  }
}

TEST(PrintableTest, ControlCharactersAreEscaped) {
  EXPECT_EQ(Printable("a\x1b[31m\r\n\tb\x7f"), "a\\x1b[31m\\x0d\\x0a\\x09b\\x7f");
  EXPECT_EQ(Printable("\xc2\x9b"), "\\xc2\\x9b");  // CSI as one character
  EXPECT_EQ(Printable("\xc2\xa0"), "\xc2\xa0");
  EXPECT_EQ(Printable(std::string_view("a\0b", 3)), "a\\x00b");
  EXPECT_EQ(PrintableLines("one\n\ttwo\r\x1b"), "one\n\ttwo\\x0d\\x1b");
}

TEST(PrintableTest, WhatIsNoUtf8IsEscaped) {
  for (const char* bad : {"\xff", "\x80", "\xc0\xaf", "\xe0\x80\x80", "\xed\xa0\x80", "\xf5\x80\x80\x80",
                          "\xf4\x90\x80\x80", "\xe4\xbd", "\xc3"}) {
    const std::string shown = Printable(bad);
    EXPECT_EQ(shown.size(), 4 * std::string_view(bad).size()) << shown;
    EXPECT_TRUE(shown.starts_with("\\x")) << shown;
  }
}

TEST(PrintableTest, LongTextIsCutBetweenCharacters) {
  EXPECT_EQ(Printable("abcdef", 3), "abc...");
  EXPECT_EQ(Printable("ab\xe4\xbd\xa0\xe4\xbd\xa0", 3), "ab\xe4\xbd\xa0...");
}

// A file name or an excerpt of a file cannot write to the terminal what it likes.
TEST(PrintableTest, MessagesAndProgressAreSafe) {
  testing::internal::CaptureStderr();
  LogText(LogLevel::kWarning, "x\x1b]0;title\x07\xff");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "warning: x\\x1b]0;title\\x07\\xff\n");
  SetProgressStyle(ProgressStyle::kJson);
  testing::internal::CaptureStderr();
  { Progress("s", "u", 1).Advance(1, "name \xff\n"); }
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              testing::HasSubstr("\"detail\":\"name \\\\xff\\\\x0a\""));
  SetProgressStyle(ProgressStyle::kAuto);
}

}  // namespace
}  // namespace ingot
