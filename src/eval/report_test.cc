// SPDX-License-Identifier: Apache-2.0
// Sums of a comparison, report.json there and back, and the page made from it.
#include "eval/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "eval/compare.h"

namespace ingot {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

SampleFigures MakeSample(std::string id, std::string a, std::string b) {
  SampleFigures sample;
  sample.id = std::move(id);
  sample.kind = "what color";
  sample.question = "What color is </script><b>it</b>?";
  sample.references = {"red"};
  sample.text_a = a;
  sample.text_b = b;
  sample.tokens = {a, ""};
  sample.kl = {0.5, 0.25};
  sample.agree = {a == b, true};
  sample.score_a = a == "red" ? 1 : 0;
  sample.score_b = b == "red" ? 1 : 0;
  SummarizeSample(&sample);
  return sample;
}

CompareReport MakeReport() {
  CompareReport report;
  report.program_version = "0.1.0";
  report.created = "2026-01-20T10:00:00Z";
  report.command = {"ingot", "compare", "a", "b"};
  report.data_description = "2 samples";
  report.metric = "VQA accuracy";
  report.max_tokens = 8;
  report.a.name = "float";
  report.b.name = "quantized";
  report.b.weight_bytes = 1u << 20;
  report.stages = {{"text.layer.0.next", "text", 0, {30.5, std::nullopt}}};
  report.linears = {
      {"layers.0.q_proj", "q_proj", "text", 0, "w8a8-static", {31, 29}, PerModality{33, 30}, ""}};
  report.samples = {MakeSample("1", "red", "red"), MakeSample("2", "red", "blue\xe2\x80\xa8")};
  report.notes = {"a note"};
  SummarizeReport(&report);
  return report;
}

TEST(ReportTest, SampleSums) {
  const SampleFigures same = MakeSample("1", "red", "red");
  EXPECT_EQ(same.first_divergence, std::nullopt);
  EXPECT_EQ(same.top1_agree, 1.0);
  const SampleFigures other = MakeSample("2", "red", "blue");
  EXPECT_EQ(other.first_divergence, 0);
  EXPECT_EQ(other.top1_agree, 0.5);
  EXPECT_EQ(other.kl_mean, 0.375);
  EXPECT_EQ(other.kl_max, 0.5);
}

TEST(ReportTest, Totals) {
  const CompareReport report = MakeReport();
  EXPECT_EQ(report.totals.n_samples, 2);
  EXPECT_EQ(report.totals.n_scored, 2);
  EXPECT_EQ(report.totals.n_tokens, 4);
  EXPECT_EQ(report.totals.top1_agree, 0.75);
  EXPECT_EQ(report.totals.n_diverged, 1);
  EXPECT_EQ(report.totals.identical_texts, 1);
  EXPECT_EQ(report.totals.kl_max, 0.5);
  EXPECT_EQ(report.a.accuracy, 1.0);
  EXPECT_EQ(report.b.accuracy, 0.5);
  ASSERT_EQ(report.kinds.size(), 1u);
  EXPECT_EQ(report.kinds[0].n, 2);
  EXPECT_EQ(report.kinds[0].accuracy_b, 0.5);
}

TEST(ReportTest, TokensThatAreNoNumbersAreLeftOutOfSums) {
  SampleFigures sample = MakeSample("1", "red", "red");
  sample.kl = {std::nullopt, 0.25};
  SummarizeSample(&sample);
  EXPECT_EQ(sample.kl_mean, 0.25);
}

TEST(ReportTest, JsonThereAndBack) {
  const std::string json = CompareReportJson(MakeReport(), true);
  EXPECT_EQ(CompareReportJson(ParseCompareReport(json, "report.json"), true), json);
}

TEST(ReportTest, BrokenReportsAreRefusedByField) {
  const auto error_of = [](const std::string& json) -> std::string {
    try {
      ParseCompareReport(json, "x/report.json");
    } catch (const FormatError& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_THAT(error_of("{"), HasSubstr("x/report.json: is no JSON"));
  EXPECT_THAT(error_of("[]"), HasSubstr("expected an object"));
  EXPECT_THAT(error_of("{}"), HasSubstr("format is missing"));
  std::string json = CompareReportJson(MakeReport(), false);
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string changed = json;
    const size_t at = changed.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    changed.replace(at, from.size(), to);
    return error_of(changed);
  };
  EXPECT_THAT(with("\"version\":1", "\"version\":9"), HasSubstr("version 9"));
  EXPECT_THAT(with("\"score_a\":1.0", "\"score_a\":\"1\""),
              HasSubstr("samples[0].score_a is string; expected a number"));
  EXPECT_THAT(with("\"layer\":0", "\"layer\":[]"), HasSubstr("stages[0].layer is array"));
  EXPECT_THAT(with("\"kl\":[0.5,0.25]", "\"kl\":[0.5]"), HasSubstr("as long as kl and agree"));
}

TEST(ReportTest, AThumbnailMustBeAnEmbeddedPicture) {
  CompareReport report = MakeReport();
  report.samples[0].pictures = {{"x.png", 1, 1, "https://example.org/x.png"}};
  EXPECT_THROW(ParseCompareReport(CompareReportJson(report, false), "r"), FormatError);
}

TEST(ReportTest, JsonCannotLeaveItsScriptElement) {
  EXPECT_EQ(EscapeJsonForScript("\"</script>\""), "\"\\u003c/script>\"");
  EXPECT_EQ(EscapeJsonForScript("a\xe2\x80\xa8z\xe2\x80\xa9"), "a\\u2028z\\u2029");
  const std::string page = RenderReportPage(MakeReport());
  EXPECT_THAT(page, Not(HasSubstr("<b>it</b>")));
  EXPECT_THAT(page, Not(HasSubstr("__INGOT_REPORT__")));
}

TEST(ReportTest, ThePageRefersToNothingOutside) {
  const std::string page = RenderReportPage(MakeReport());
  for (const char* reference : {"src=\"http", "href=\"http", "@import", "url(http"}) {
    EXPECT_THAT(page, Not(HasSubstr(reference)));
  }
}

TEST(ReportTest, ThePageDependsOnTheReportAlone) {
  const CompareReport report = MakeReport();
  const CompareReport again = ParseCompareReport(CompareReportJson(report, true), "r");
  EXPECT_EQ(RenderReportPage(report), RenderReportPage(again));
}

TEST(ReportTest, Verdicts) {
  CompareReport report = MakeReport();
  CompareOptions options;
  JudgeReport(options, 0, &report);
  EXPECT_TRUE(report.ok);
  options.min_top1_agree = 0.9;
  options.max_kl_mean = 0.1;
  options.max_accuracy_drop = 0.1;
  JudgeReport(options, 3, &report);
  EXPECT_FALSE(report.ok);
  EXPECT_EQ(report.findings.size(), 4u);
}

// 20 scored answers of which `worse` became wrong and `better` right.
CompareReport Scored(int worse, int better) {
  CompareReport report = MakeReport();
  report.samples.clear();
  for (int i = 0; i < 20; ++i) {
    SampleFigures sample;
    sample.text_a = i < 10 ? "yes" : "no";
    sample.text_b = sample.text_a;
    if (i < worse) sample.text_b = "no";
    if (i >= 20 - better) sample.text_b = "yes";
    sample.references = {"yes"};
    sample.score_a = sample.text_a == "yes" ? 1.0 : 0.0;
    sample.score_b = sample.text_b == "yes" ? 1.0 : 0.0;
    report.samples.push_back(sample);
  }
  report.linears.clear();
  SummarizeReport(&report);
  return report;
}

TEST(ReportTest, AFallOfTheAccuracyIsSaid) {
  EXPECT_TRUE(RemarksOn(Scored(0, 0)).empty());
  EXPECT_TRUE(RemarksOn(Scored(2, 2)).empty());
  EXPECT_TRUE(RemarksOn(Scored(1, 3)).empty());
  const auto few = RemarksOn(Scored(2, 1));
  ASSERT_EQ(few.size(), 1u);
  EXPECT_THAT(few[0], HasSubstr("falls by 5.0 points, from 50.0 % to 45.0 %: of 20 answers 2 are "
                                "worse and 1 better, too few to tell it from chance"));
  const auto many = RemarksOn(Scored(8, 1));
  ASSERT_EQ(many.size(), 1u);
  EXPECT_THAT(many[0], HasSubstr("more than chance explains"));
  const auto json = nlohmann::json::parse(CompareReportJson(Scored(8, 1), false));
  EXPECT_EQ(json["verdict"]["remarks"].size(), 1u);
}

TEST(ReportTest, WeakLinearsAndManyOtherTokensAreSaid) {
  CompareReport report = Scored(0, 0);
  report.totals.n_tokens = 100;
  report.totals.top1_agree = 0.9;
  report.linears.resize(3);
  report.linears[0].module = "fine";
  report.linears[0].sqnr_db = {20, std::nullopt};
  report.linears[1].module = "weak";
  report.linears[1].sqnr_db = {20, 9};
  report.linears[2].module = "weaker";
  report.linears[2].sqnr_db = {7.25, 12};
  const auto remarks = RemarksOn(report);
  ASSERT_EQ(remarks.size(), 2u);
  EXPECT_THAT(remarks[0], HasSubstr("10.0 % of 100 tokens"));
  EXPECT_THAT(remarks[1], HasSubstr("2 of 3 linears have less than 10 dB"));
  EXPECT_THAT(remarks[1], HasSubstr("weaker with 7.2"));
}

}  // namespace
}  // namespace ingot
