// SPDX-License-Identifier: Apache-2.0
// predictions.jsonl: resumed, cut off, broken.
#include "eval/prediction_log.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "base/files.h"

namespace ingot {
namespace {

class PredictionLogTest : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = std::filesystem::temp_directory_path() /
           ("prediction_log_" +
            std::string(::testing::UnitTest::GetInstance()->current_test_info()->name()));
    std::filesystem::remove_all(dir_);
    std::filesystem::create_directories(dir_);
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }
  std::filesystem::path path() const { return dir_ / "predictions.jsonl"; }

  static Prediction Make(const std::string& key, const std::string& text) {
    Prediction prediction;
    prediction.key = key;
    prediction.id = "id " + key;
    prediction.text = text;
    prediction.references = {"a", "b"};
    prediction.vqa = 0.3;
    return prediction;
  }

  std::filesystem::path dir_;
};

TEST_F(PredictionLogTest, FindsWhatAnEarlierRunWrote) {
  {
    PredictionLog log(path());
    log.Append(Make("1", "first\nline \"quoted\""));
    log.Append(Make("2", "second"));
  }
  PredictionLog log(path());
  ASSERT_NE(log.Find("1"), nullptr);
  EXPECT_EQ(log.Find("1")->text, "first\nline \"quoted\"");
  EXPECT_EQ(log.Find("1")->references.size(), 2u);
  EXPECT_EQ(log.Find("1")->vqa, 0.3);
  EXPECT_EQ(log.Find("3"), nullptr);
}

TEST_F(PredictionLogTest, ACutLastLineIsForgotten) {
  {
    PredictionLog log(path());
    log.Append(Make("1", "one"));
  }
  const std::string whole = ReadFile(path());
  for (const size_t keep : {size_t{1}, size_t{20}, PredictionLine(Make("2", "two")).size()}) {
    std::ofstream(path(), std::ios::binary)
        << whole << PredictionLine(Make("2", "two")).substr(0, keep);
    {
      PredictionLog log(path());
      EXPECT_EQ(log.Find("2"), nullptr);
      log.Append(Make("3", "three"));
    }
    EXPECT_EQ(ReadFile(path()), whole + PredictionLine(Make("3", "three")) + "\n");
  }
}

TEST_F(PredictionLogTest, ABrokenLineInTheMiddleIsAnErrorThatNamesIt) {
  std::ofstream(path()) << PredictionLine(Make("1", "one")) << "\n{\"key\": 7}\n";
  try {
    PredictionLog log(path());
    FAIL();
  } catch (const FormatError& error) {
    EXPECT_NE(std::string(error.what()).find("predictions.jsonl:2"), std::string::npos)
        << error.what();
  }
}

TEST_F(PredictionLogTest, TheLatestLineOfAKeyCounts) {
  PredictionLog log(path());
  log.Append(Make("1", "old"));
  log.Append(Make("1", "new"));
  EXPECT_EQ(PredictionLog(path()).Find("1")->text, "new");
}

}  // namespace
}  // namespace ingot
