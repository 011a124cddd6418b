// SPDX-License-Identifier: Apache-2.0
// Sums of a comparison, report.json there and back, and the page made from it.
#include "eval/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

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

}  // namespace
}  // namespace ingot
