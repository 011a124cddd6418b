// SPDX-License-Identifier: Apache-2.0
// Scores against those of the official evaluation, and the distances on numbers worked out by hand.
#include "eval/metrics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "eval/answer_text.h"

namespace ingot {
namespace {

using Json = nlohmann::json;

// tests/data/eval/answer_scores.json: what the rules of facebookresearch/mmf:
// mmf/utils/m4c_evaluators.py give.
const Json& Golden() {
  static const Json golden = Json::parse(std::ifstream(INGOT_TEST_DATA "/eval/answer_scores.json"));
  return golden;
}

TEST(AnswerTextTest, NormalizationEqualsTheOfficialOne) {
  ASSERT_GE(Golden()["normalize"].size(), 200u);
  for (const Json& row : Golden()["normalize"]) {
    const std::string text = row[0];
    EXPECT_EQ(NormalizeAnswer(text), row[1].get<std::string>()) << "'" << text << "'";
  }
}

TEST(AnswerTextTest, BrokenUtf8PassesThrough) {
  EXPECT_EQ(LowerText("A\xff\xc3"), "a\xff\xc3");
  EXPECT_EQ(CodePoints("a\xe6\x9d").size(), 3u);
}

TEST(MetricsTest, VqaAccuracyEqualsTheOfficialOne) {
  ASSERT_EQ(Golden()["vqa"].size(), 60u);
  for (const Json& row : Golden()["vqa"]) {
    const std::vector<std::string> references = row[1];
    EXPECT_NEAR(VqaAccuracy(row[0].get<std::string>(), references), row[2].get<double>(), 1e-12);
  }
}

TEST(MetricsTest, AnlsEqualsTheOfficialOne) {
  for (const Json& row : Golden()["anls"]) {
    const std::vector<std::string> references = row[1];
    EXPECT_NEAR(Anls(row[0].get<std::string>(), references), row[2].get<double>(), 1e-12)
        << row.dump();
  }
}

TEST(MetricsTest, FewReferences) {
  EXPECT_EQ(VqaAccuracy("Two.", std::vector<std::string>{"2"}), 1.0);
  EXPECT_EQ(VqaAccuracy("two", std::vector<std::string>{"2", "2"}), 1.0);
  EXPECT_EQ(VqaAccuracy("two", std::vector<std::string>{"2", "3"}), 0.5);
  EXPECT_THROW(VqaAccuracy("two", {}), InternalError);
  EXPECT_EQ(Anls("", std::vector<std::string>{""}), 1.0);
}

TEST(MetricsTest, ExactMatchIsStrictButTrimmed) {
  EXPECT_EQ(ExactMatch(" Stop\n", std::vector<std::string>{"Stop"}), 1.0);
  EXPECT_EQ(ExactMatch("stop", std::vector<std::string>{"Stop"}), 0.0);
}

TEST(MetricsTest, QuestionKinds) {
  EXPECT_EQ(QuestionKind("What color is it?", 1), "what color");
  EXPECT_EQ(QuestionKind("What color is it?", 0), "no picture");
  EXPECT_EQ(QuestionKind("What color is it?", 2), "two pictures");
  EXPECT_EQ(QuestionKind("Why", 1), "why");
}

TEST(MetricsTest, KlOfTwoDistributions) {
  // p = (1/2, 1/2), q = (1/4, 3/4): KL = 1/2 log 2 + 1/2 log(2/3).
  const std::vector<float> p = {7.0f, 7.0f};
  const std::vector<float> q = {0.0f, std::log(3.0f)};
  const double expected = 0.5 * std::log(2.0) + 0.5 * std::log(2.0 / 3.0);
  EXPECT_NEAR(KlDivergence(LogSoftmax(p), LogSoftmax(q)), expected, 1e-7);
  EXPECT_EQ(KlDivergence(LogSoftmax(p), LogSoftmax(p)), 0.0);
}

TEST(MetricsTest, LogSoftmaxSurvivesLargeLogits) {
  const std::vector<double> log_p = LogSoftmax(std::vector<float>{1e30f, 0.0f, 1e30f});
  EXPECT_NEAR(log_p[0], std::log(0.5), 1e-12);
  EXPECT_LT(log_p[1], -1e29);
}

TEST(MetricsTest, SqnrInDecibels) {
  Sqnr sqnr;
  EXPECT_TRUE(sqnr.empty());
  sqnr.Add(std::vector<float>{10, 0}, std::vector<float>{9, 0});
  EXPECT_NEAR(sqnr.Db(), 20.0, 1e-12);
  Sqnr equal;
  equal.Add(std::vector<float>{1, 2}, std::vector<float>{1, 2});
  EXPECT_EQ(equal.Db(), 200.0);
}

TEST(MetricsTest, QuantilesInterpolate) {
  EXPECT_EQ(Quantile({3, 1, 2}, 0.5), 2.0);
  EXPECT_EQ(Quantile({0, 10}, 0.25), 2.5);
  EXPECT_EQ(Quantile({}, 0.5), 0.0);
}

TEST(MetricsTest, ArgMaxTakesTheLowestOnATie) { EXPECT_EQ(ArgMax(std::vector<float>{1, 3, 3}), 1); }

}  // namespace
}  // namespace ingot
