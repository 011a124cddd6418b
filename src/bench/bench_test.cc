// SPDX-License-Identifier: Apache-2.0
// Statistics, rooflines, register loops, figures as JSON and back, and the noise band of
// comparisons.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <set>

#include "base/error.h"
#include "base/thread_pool.h"
#include "bench/cases.h"
#include "bench/compare.h"
#include "checkpoint/synth.h"

namespace ingot::bench {
namespace {

using ::testing::HasSubstr;

Peaks MakePeaks(double int8, double bf16, double read) {
  return {.per_second = {int8, bf16, bf16 / 2, read}};
}

TEST(Samples, OrderStatistics) {
  const Samples samples({4, 1, 2, 3, 5});
  EXPECT_EQ(samples.Smallest(), 1);
  EXPECT_EQ(samples.Largest(), 5);
  EXPECT_EQ(samples.Median(), 3);
  EXPECT_DOUBLE_EQ(samples.Spread(), (4.0 - 2.0) / 2 / 3);
  EXPECT_EQ(Samples({7}).Median(), 7);
  EXPECT_EQ(Samples({1, 2}).Median(), 1.5);
  EXPECT_THROW(Samples().Median(), InternalError);
}

TEST(Roofline, TakesTheLongerOfArithmeticAndReading) {
  const Peaks peaks = MakePeaks(1e12, 5e11, 4e10);
  const Work compute{.int8_ops = 2e12, .bytes = 1e9}, read{.int8_ops = 1e9, .bytes = 8e10};
  EXPECT_DOUBLE_EQ(LimitSeconds(std::vector{compute}, peaks), 2);
  EXPECT_STREQ(BoundBy(std::vector{compute}, peaks), "int8");
  EXPECT_DOUBLE_EQ(LimitSeconds(std::vector{read}, peaks), 2);
  EXPECT_STREQ(BoundBy(std::vector{read}, peaks), "read");
  EXPECT_DOUBLE_EQ(LimitSeconds(std::vector{compute, read}, peaks), 4);
  const Work mixed{.int8_ops = 1e12, .bf16_ops = 1e12};
  EXPECT_DOUBLE_EQ(LimitSeconds(std::vector{mixed}, peaks), 3);
  EXPECT_STREQ(BoundBy(std::vector{mixed}, peaks), "bf16");
}

// Tokens a second at the peaks of one machine, worked out by hand from the public configurations:
// 2 * 1409 M products a token, 28 layers of attention of width 2048.
double PrefillLimit(WeightKind kind, int64_t n) {
  const ModelConfig config = SynthConfig({.shape = "2b"});
  const std::vector<Work> steps =
      DecoderLayerWork(config.text, DecoderLinearsOf(config, kind), n, 0);
  const double layer = LimitSeconds(steps, MakePeaks(0.92e12, 0.46e12, 4e10));
  return static_cast<double>(n) / (layer * static_cast<double>(config.text.n_layers));
}

TEST(Roofline, PrefillOf2b) {
  EXPECT_NEAR(PrefillLimit(WeightKind::kStatic, 512), 313, 2);
  EXPECT_NEAR(PrefillLimit(WeightKind::kBf16, 512), 160, 1);
  EXPECT_NEAR(PrefillLimit(WeightKind::kStatic, 2048), 280, 2);
}

TEST(Roofline, DecodeReadsEveryWeightOnce) {
  const ModelConfig config = SynthConfig({.shape = "2b"});
  double bytes = 0;
  for (const Work& work :
       DecoderLayerWork(config.text, DecoderLinearsOf(config, WeightKind::kStatic), 1, 0))
    bytes += work.bytes;
  EXPECT_NEAR(bytes * 28, 1409e6, 2e6);
}

TEST(Roofline, VisionBlockOf2b) {
  const ModelConfig config = SynthConfig({.shape = "2b"});
  const GridThw grid = {1, 28, 28};
  const VisionLayout layout = MakeVisionLayout(config.vision, {&grid, 1});
  double ops = 0;
  for (const Work& work :
       VisionBlockWork(config.vision, VisionLinearsOf(config, WeightKind::kBf16), layout))
    ops += work.bf16_ops;
  const double n = 784, d = 1024;
  EXPECT_DOUBLE_EQ(ops, 2 * n * (4 * d * d + 2 * d * 4096) + 4 * n * n * d);
}

TEST(Roofline, CausalPairs) {
  // Two queries after three keys see 4 and 5 keys; one head of 8.
  EXPECT_DOUBLE_EQ(AttentionWork(2, 5, 1, 1, 8, true).bf16_ops, 4 * 9 * 8);
  EXPECT_DOUBLE_EQ(AttentionWork(2, 5, 1, 1, 8, false).bf16_ops, 4 * 10 * 8);
  EXPECT_DOUBLE_EQ(AttentionWork(1, 5, 4, 2, 8, true).bytes, 2 * 5 * 16 * 2);
  EXPECT_DOUBLE_EQ(AttentionWork(1, 5, 4, 2, 8, true, KvType::kInt8).bytes, 2 * 5 * 2 * (8 + 4));
}

// The work of made layers is the work of their specifications.
TEST(Synthetic, LayersHaveTheWorkOfTheirShape) {
  const ModelConfig config = SynthConfig({.shape = "tiny"});
  for (const WeightKind kind : {WeightKind::kBf16, WeightKind::kStatic, WeightKind::kDynamic}) {
    const DecoderLinears made = LinearsOf(RandomDecoderLayer(config, kind)),
                         wanted = DecoderLinearsOf(config, kind);
    EXPECT_EQ(made.gate_up.bytes, wanted.gate_up.bytes);
    EXPECT_EQ(made.qkv.int8_ops, wanted.qkv.int8_ops);
    EXPECT_EQ(made.down.bf16_ops, wanted.down.bf16_ops);
    EXPECT_EQ(LinearsOf(RandomVisionBlock(config, kind)).fc1.bytes,
              VisionLinearsOf(config, kind).fc1.bytes);
  }
}

TEST(Limits, EveryUsableLoopRuns) {
  LimitMeter meter;
  for (const LimitLoop& loop : UsableLoops()) {
    SCOPED_TRACE(loop.name);
    const double rate = meter.RateOf(loop, /*all_threads=*/false);
    EXPECT_GT(rate, 1e7);   // operations a second
    EXPECT_LT(rate, 1e14);  // a loop that was optimised away
  }
}

TEST(Limits, SamplesOfEveryResource) {
  LimitMeter meter;
  for (const Resource resource : kAllResources) {
    meter.Sample(resource);
    meter.Sample(resource, /*all_threads=*/false);
    EXPECT_EQ(meter.rates(resource).size(), 1u);
    EXPECT_EQ(meter.rates(resource, false).size(), 1u);
  }
  EXPECT_GT(meter.Best()[Resource::kRead], 1e7);
  EXPECT_LT(meter.Best()[Resource::kRead], 1e13);
  EXPECT_THROW(LimitMeter().Best(), InternalError);
}

TEST(Runner, MeasuresWithLimitsAndFilters) {
  int prepared = 0, ran = 0;
  const auto make = [&](const std::string& name) {
    return Case{.name = name,
                .unit = "TOP/s",
                .amount = 1e-12,
                .steps = {{.int8_ops = 1}},
                .prepare = [&]() -> Job {
                  ++prepared;
                  return [&] { ++ran; };
                }};
  };
  const std::vector<Case> cases = {make("one"), make("two")};
  const std::vector<Figure> figures = RunCases(cases, {.repeat = 3, .filter = "two"});
  ASSERT_EQ(figures.size(), kResources + 1);
  EXPECT_EQ(prepared, 1);
  EXPECT_GT(ran, 3);
  EXPECT_EQ(figures.back().name, "two");
  EXPECT_EQ(figures.back().samples.size(), 3u);
  EXPECT_EQ(figures.back().busy.size(), 3u);
  EXPECT_EQ(figures.back().paired.size(), 3u);
  EXPECT_GT(figures.back().PairedShare(), 0);
  EXPECT_EQ(figures.back().bound_by, "int8");
  EXPECT_GT(figures.back().Share(), 0);
  EXPECT_THROW(RunCases(cases, {.filter = "three"}), UserError);
}

// The cases of the smallest model run.
TEST(Cases, Tiny) {
  const CaseOptions options{.shape = "tiny", .rows = {3}};
  for (const auto& cases : {GemmCases(options), GemvCases(options), VisionCases(options),
                            OpsCases(options)}) {
    ASSERT_FALSE(cases.empty());
    const std::vector<Figure> figures = RunCases({cases.front()}, {.repeat = 1, .seconds = 0.1});
    EXPECT_GT(figures.back().Best(), 0);
  }
  for (const auto& cases : {PrefillCases(options), DecodeCases(options)}) {
    std::set<std::string> names;
    for (const Case& test : cases) EXPECT_TRUE(names.insert(test.name).second) << test.name;
    EXPECT_EQ(names.size(), 6u);
  }
}

Figure MakeFigure(const std::string& name, std::vector<double> values, double limit = 0,
                  const std::string& unit = "TOP/s") {
  return {.name = name,
          .unit = unit,
          .samples = Samples(std::move(values)),
          .limit = limit,
          .bound_by = limit > 0 ? "int8" : ""};
}

Report MakeReport(std::vector<Figure> figures) {
  return {.origin = {"abc", "gcc", "2026-01-01T00:00:00Z", "cpu", "avx2", 2},
          .disturbance = 0.5,
          .figures = std::move(figures)};
}

class TempFile {
 public:
  explicit TempFile(const std::string& text)
      : path_(std::filesystem::temp_directory_path() / fmt::format("bench_test.{}", getpid())) {
    std::ofstream(path_) << text;
  }
  ~TempFile() { std::filesystem::remove(path_); }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

TEST(Json, RoundTrip) {
  const Report report = MakeReport({MakeFigure("a", {1.25, 2.5}, 5), MakeFigure("b", {3}, 0, "s")});
  const TempFile file(JsonLines(report) + "\n");
  const std::vector<Record> records = ReadJsonLines(file.path());
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[0].figure.name, "a");
  EXPECT_EQ(records[0].figure.samples.values(), (std::vector<double>{1.25, 2.5}));
  EXPECT_EQ(records[0].figure.limit, 5);
  EXPECT_EQ(records[0].figure.Share(), 0.5);
  EXPECT_EQ(records[0].origin.threads, 2);
  EXPECT_EQ(records[0].origin.commit, "abc");
  EXPECT_EQ(records[0].disturbance, 0.5);
  EXPECT_EQ(records[1].figure.limit, 0);
  EXPECT_TRUE(records[1].figure.LessIsBetter());
}

TEST(Json, BusyTimes) {
  Figure figure = MakeFigure("a", {2}, 8);
  figure.busy = Samples({4});
  EXPECT_EQ(figure.BusyShare(), 0.5);
  EXPECT_EQ(figure.PairedShare(), 0);
  figure.paired = Samples({0.5, 0.9, 0.7});
  const TempFile file(JsonLines(MakeReport({figure})));
  EXPECT_EQ(ReadJsonLines(file.path()).at(0).figure.BusyShare(), 0.5);
  EXPECT_EQ(ReadJsonLines(file.path()).at(0).figure.PairedShare(), 0.7);
  EXPECT_EQ(MakeFigure("a", {2}, 8).BusyShare(), 0);
}

TEST(Json, BadLinesAreNamed) {
  const std::string good = JsonLines(MakeReport({MakeFigure("a", {1})}));
  const auto message = [](const std::string& text) -> std::string {
    const TempFile file(text);
    try {
      ReadJsonLines(file.path());
    } catch (const FormatError& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_THAT(message(good + "{"), HasSubstr("line 2: no JSON object"));
  EXPECT_THAT(message("[1]"), HasSubstr("no JSON object"));
  EXPECT_THAT(message("{\"commit\": 3}"), HasSubstr("\"commit\" is 3, expected a string"));
  EXPECT_THAT(message("{}"), HasSubstr("\"commit\" is missing"));
  EXPECT_THAT(message(""), HasSubstr("holds no figures"));
  std::string bad = good;
  bad.replace(bad.find("[1.0]"), 5, "[-1]");
  EXPECT_THAT(message(bad), HasSubstr("\"samples\" is -1, expected numbers above 0"));
  EXPECT_THROW(ReadJsonLines("/nowhere/at/all"), UserError);
}

std::vector<Record> Records(std::vector<Figure> figures) {
  std::vector<Record> records;
  for (Figure& figure : figures) records.push_back({{}, 0, std::move(figure)});
  return records;
}

Verdict VerdictOf(const Figure& a, const Figure& b) {
  return Compare(Records({a}), Records({b})).at(0).verdict;
}

TEST(Compare, NoiseBand) {
  const Figure base = MakeFigure("x", {100, 101, 99, 100});
  EXPECT_EQ(VerdictOf(base, MakeFigure("x", {98, 99, 98, 99})), Verdict::kSame);
  EXPECT_EQ(VerdictOf(base, MakeFigure("x", {90, 91, 90, 89})), Verdict::kSlower);
  EXPECT_EQ(VerdictOf(base, MakeFigure("x", {110, 111, 110, 112})), Verdict::kFaster);
  // A disturbed run: the median falls, the best does not.
  EXPECT_EQ(VerdictOf(base, MakeFigure("x", {100, 70, 72, 71})), Verdict::kSame);
  // A wide spread hides a small change.
  EXPECT_EQ(
      VerdictOf(MakeFigure("x", {100, 80, 120, 60, 90}), MakeFigure("x", {95, 70, 110, 55, 85})),
      Verdict::kSame);
}

TEST(Compare, SecondsAreBetterWhenFewer) {
  const Figure base = MakeFigure("x", {1.0, 1.01}, 0, "s");
  EXPECT_EQ(VerdictOf(base, MakeFigure("x", {1.2, 1.21}, 0, "s")), Verdict::kSlower);
  EXPECT_EQ(VerdictOf(base, MakeFigure("x", {0.8, 0.81}, 0, "s")), Verdict::kFaster);
}

TEST(Compare, SharesCancelTheClock) {
  // Half the clock in the second run: half the figure, half the limit.
  EXPECT_EQ(VerdictOf(MakeFigure("x", {100, 101}, 200), MakeFigure("x", {50, 50.5}, 100)),
            Verdict::kSame);
  EXPECT_EQ(VerdictOf(MakeFigure("x", {1.0, 1.01}, 0.5, "s"), MakeFigure("x", {2, 2.02}, 1, "s")),
            Verdict::kSame);
  // A limit that was measured too low does not make a program faster.
  EXPECT_EQ(VerdictOf(MakeFigure("x", {100, 101}, 200), MakeFigure("x", {100, 101}, 150)),
            Verdict::kSame);
  // Without a limit on one side the values themselves count.
  EXPECT_EQ(VerdictOf(MakeFigure("x", {100, 101}, 200), MakeFigure("x", {50, 50.5})),
            Verdict::kSlower);
  // The limits describe the machine, not the program.
  EXPECT_EQ(VerdictOf(MakeFigure("limit int8", {100}), MakeFigure("limit int8", {50})),
            Verdict::kSame);
}

TEST(Compare, BusyTimes) {
  std::vector<Record> a = Records({MakeFigure("x", {100})}), b = Records({MakeFigure("x", {50})});
  a[0].figure.busy = Samples({100});
  b[0].figure.busy = Samples({101});
  EXPECT_EQ(Compare(a, b)[0].verdict, Verdict::kSlower);
  EXPECT_EQ(Compare(a, b, {.busy = true})[0].verdict, Verdict::kSame);
}

TEST(Compare, PoolsRunsAndNamesWhatIsMissing) {
  const std::vector<Comparison> rows = Compare(
      Records({MakeFigure("x", {100, 100}), MakeFigure("y", {1}), MakeFigure("x", {80, 80})}),
      Records({MakeFigure("z", {1}), MakeFigure("x", {90, 90})}), {.least_band = 0.01});
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[0].name, "x");
  EXPECT_EQ(rows[0].a, 100);
  EXPECT_DOUBLE_EQ(rows[0].median, 1.0);
  EXPECT_EQ(rows[1].verdict, Verdict::kOnlyA);
  EXPECT_EQ(rows[2].verdict, Verdict::kOnlyB);
  EXPECT_THAT(ComparisonText(rows), HasSubstr("only in the second"));
  EXPECT_THAT(ComparisonJson(rows), HasSubstr("\"verdict\":\"only_first\""));
}

TEST(Compare, OriginsThatDiffer) {
  std::vector<Record> a = Records({MakeFigure("x", {1})}), b = a;
  EXPECT_EQ(DifferentOrigins(a, b), "");
  a[0].origin.isa = "avx2";
  b[0].origin.isa = "avx512";
  EXPECT_EQ(DifferentOrigins(a, b), "isa: avx2, then avx512\n");
}

}  // namespace
}  // namespace ingot::bench
