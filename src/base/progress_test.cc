// SPDX-License-Identifier: Apache-2.0
#include "base/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/log.h"

#include <csignal>

namespace ingot {
namespace {

TEST(ProgressTest, JsonLinesAreParsable) {
  SetProgressStyle(ProgressStyle::kJson);
  testing::internal::CaptureStderr();
  {
    Progress progress("quantize", "blocks", 4);
    progress.SkipTo(2);
    progress.Advance(2, "layer \"3\"");
  }
  const std::string out = testing::internal::GetCapturedStderr();
  EXPECT_THAT(out, testing::HasSubstr("\"stage\":\"quantize\",\"done\":4,\"total\":4,\"unit\":\"blocks\""));
  EXPECT_THAT(out, testing::HasSubstr("layer \\\"3\\\""));
  SetProgressStyle(ProgressStyle::kAuto);
}

TEST(ProgressTest, PlainEndsWithTheTotal) {
  SetProgressStyle(ProgressStyle::kPlain);
  testing::internal::CaptureStderr();
  { Progress("convert", "tensors", 2).Advance(2); }
  EXPECT_THAT(testing::internal::GetCapturedStderr(), testing::StartsWith("convert: 100 %  2/2 tensors"));
  SetProgressStyle(ProgressStyle::kAuto);
}

TEST(ProgressTest, BytesEndWithTheTotalToo) {
  SetProgressStyle(ProgressStyle::kPlain);
  testing::internal::CaptureStderr();
  {
    ByteProgress progress("copy", 14'600'000);
    progress.Advance(14'000'000);
    progress.Advance(600'000);
  }
  EXPECT_THAT(testing::internal::GetCapturedStderr(), testing::StartsWith("copy: 100 %  15/15 MB"));
  SetProgressStyle(ProgressStyle::kAuto);
}

TEST(ProgressTest, UnknownStyle) { EXPECT_THROW(ParseProgressStyle("fancy"), UserError); }

TEST(LogTest, OnceAndLevels) {
  testing::internal::CaptureStderr();
  LogOnceText(LogLevel::kWarning, "same");
  LogOnceText(LogLevel::kWarning, "same");
  LogText(LogLevel::kDebug, "hidden");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "warning: same\n");
}

TEST(InterruptTest, FlagIsSetBySignal) {
  InstallInterruptHandler();
  EXPECT_FALSE(InterruptRequested());
  std::raise(SIGINT);
  EXPECT_TRUE(InterruptRequested());
  ResetInterruptForTest();
}

}  // namespace
}  // namespace ingot
