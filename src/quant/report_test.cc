// SPDX-License-Identifier: Apache-2.0
// The report: JSON there and back, summaries, and the check that both modalities were seen.
#include "quant/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "base/error.h"

namespace ingot {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

LinearReport Linear(const std::string& module, LinearKind kind, LinearType type, double text,
                    double vision) {
  LinearReport linear;
  linear.module = module;
  linear.kind = kind;
  linear.layer = 3;
  linear.site = "text.layer.3.attn_in";
  linear.type = type;
  if (type == LinearType::kStatic) {
    linear.range_lo = -1.25f;
    linear.range_hi = 3.1f;
    linear.scale = 0.0171f;
    linear.offset = -55;
  }
  if (type != LinearType::kFloat) {
    LinearQuality quality;
    quality.sqnr_db = {text, vision};
    if (type == LinearType::kStatic) quality.clip_share = {0.001, 0.0};
    quality.weight_sqnr_db = 38.5;
    linear.quality = quality;
  }
  return linear;
}

QuantReport Example() {
  QuantReport report;
  report.source = "/models/a \"b\"";
  report.method = "balanced";
  report.target = "ascend";
  report.run_dtype = "bfloat16";
  report.samples = 4;
  report.pictures = 3;
  report.sites.push_back({"text.layer.3.attn_in", {40, 300}, {-4.5f, -9.0f}, {5.0f, 8.25f}});
  report.sites.push_back(
      {"vision.block.0.attn_in", {0, 1200}, {std::nullopt, -1.0f}, {std::nullopt, 2.0f}});
  report.linears = {Linear("l.q_proj", LinearKind::kQ, LinearType::kStatic, 30, 20),
                    Linear("m.q_proj", LinearKind::kQ, LinearType::kStatic, 20, 28),
                    Linear("l.down_proj", LinearKind::kDown, LinearType::kDynamic, 35, 36),
                    Linear("l.o_proj", LinearKind::kO, LinearType::kFloat, 0, 0)};
  report.linears[3].reason = "kept by --layers";
  report.stages = {{"vision", 1.5}, {"text", 20.25}};
  report.total_seconds = 22;
  report.peak_bytes = 123456789;
  report.source_bytes = 1000;
  report.output_bytes = 600;
  report.notes = {"pictures/b.jpg: skipped"};
  return report;
}

TEST(Report, JsonThereAndBack) {
  const QuantReport report = Example();
  const std::string json = ReportJson(report);
  const QuantReport back = ParseReport(json, "report.json");
  EXPECT_EQ(ReportJson(back), json);
  EXPECT_EQ(back.source, report.source);
  ASSERT_EQ(back.linears.size(), 4u);
  EXPECT_EQ(back.linears[0].scale, report.linears[0].scale);
  EXPECT_EQ(back.linears[0].quality->sqnr_db[1], 20);
  EXPECT_FALSE(back.linears[2].quality->clip_share[0].has_value());
  EXPECT_FALSE(back.linears[3].quality.has_value());
  EXPECT_EQ(back.linears[3].reason, "kept by --layers");
  EXPECT_EQ(back.sites[1].tokens, (std::array<int64_t, 2>{0, 1200}));
  EXPECT_FALSE(back.sites[1].min[0].has_value());
  EXPECT_EQ(back.stages[1].seconds, 20.25);
  EXPECT_EQ(back.notes, report.notes);
  EXPECT_THAT(json, HasSubstr("\"linears_static\": 2"));
}

TEST(Report, TimesAreLeftOutWhenThereAreNone) {
  QuantReport report = Example();
  report.stages.clear();
  report.total_seconds = 0;
  report.peak_bytes = 0;
  EXPECT_THAT(ReportJson(report), Not(HasSubstr("seconds")));
}

TEST(Report, NumbersThatJsonLacksAreLeftOut) {
  LinearReport linear =
      Linear("a", LinearKind::kO, LinearType::kStatic, std::numeric_limits<double>::infinity(), 12);
  linear.scale = std::numeric_limits<float>::quiet_NaN();
  const std::string line = LinearReportLine(linear);
  EXPECT_EQ(line.find('\n'), std::string::npos);
  const LinearReport back = ParseLinearReport(line, "journal");
  EXPECT_FALSE(back.scale.has_value());
  EXPECT_FALSE(back.quality->sqnr_db[0].has_value());
  EXPECT_EQ(*back.quality->sqnr_db[1], 12);
}

TEST(Report, LinesThereAndBack) {
  for (const LinearReport& linear : Example().linears) {
    EXPECT_EQ(LinearReportLine(ParseLinearReport(LinearReportLine(linear), "journal")),
              LinearReportLine(linear));
  }
  for (const SiteReport& site : Example().sites) {
    EXPECT_EQ(SiteReportLine(ParseSiteReport(SiteReportLine(site), "journal")),
              SiteReportLine(site));
  }
}

TEST(Report, BadJsonNamesTheFileAndTheField) {
  for (const char* text :
       {"[]", "{", "{\"module\": \"a\"}", "{\"module\":\"a\",\"kind\":\"nonsense\"}",
        "{\"module\":\"a\",\"kind\":\"q_proj\",\"layer\":\"x\"}"}) {
    try {
      ParseLinearReport(text, "some/journal");
      FAIL() << text;
    } catch (const FormatError& e) {
      EXPECT_THAT(e.what(), HasSubstr("some/journal"));
    }
  }
  EXPECT_THROW(ParseReport("{\"format_version\": 99}", "r"), FormatError);
  EXPECT_THROW(ParseReport("{}", "r"), FormatError);
}

TEST(Report, SummaryByKind) {
  const auto kinds = SqnrByKind(Example().linears);
  ASSERT_EQ(kinds.size(), 3u);  // q, o, down in the order of LinearKind
  EXPECT_EQ(kinds[0].kind, LinearKind::kQ);
  EXPECT_EQ(kinds[0].n_static, 2);
  EXPECT_EQ(*kinds[0].mean_sqnr_db[0], 25);
  EXPECT_EQ(*kinds[0].worst_sqnr_db[1], 20);
  EXPECT_EQ(kinds[0].worst_module[0], "m.q_proj");
  EXPECT_EQ(kinds[0].worst_module[1], "l.q_proj");
  EXPECT_EQ(kinds[1].n_float, 1);
  EXPECT_FALSE(kinds[1].mean_sqnr_db[0].has_value());
  EXPECT_EQ(kinds[2].n_dynamic, 1);
  EXPECT_EQ(*kinds[2].mean_weight_sqnr_db, 38.5);
}

TEST(Report, PicturesThatLeftNoVisionTokenAreAnError) {
  QuantReport report = Example();
  EXPECT_NO_THROW(RequireModalities(report));
  report.sites[0].tokens = {340, 0};
  EXPECT_THROW(RequireModalities(report), UserError);
  report.pictures = 0;  // text-only calibration is allowed
  EXPECT_NO_THROW(RequireModalities(report));
  report.sites[0].tokens = {0, 340};
  EXPECT_THROW(RequireModalities(report), UserError);
  report.sites[0].tokens = {0, 0};
  EXPECT_THROW(RequireModalities(report), UserError);
}

}  // namespace
}  // namespace ingot
