// SPDX-License-Identifier: Apache-2.0
// Verdicts on whole folders, and that every rule of the checklist has a folder that breaks it
// (mutations.h).
#include "check/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "base/error.h"
#include "base/progress.h"
#include "check/mutations.h"
#include "check/rules.h"
#include "convert/convert.h"

namespace ingot::check_test {
namespace {

using ::testing::HasSubstr;

std::string Text(const CheckReport& report) { return CheckReportText(report); }

TEST(Check, SoundFoldersHaveNothingToReport) {
  const std::map<std::string, FolderFormat> formats = {
      {"float", FolderFormat::kFloat},          {"v0", FolderFormat::kAscendV0},
      {"v1", FolderFormat::kAscendV1},          {"gs310", FolderFormat::kGoldenStick310},
      {"gs910", FolderFormat::kGoldenStick910}, {"tied", FolderFormat::kGoldenStick910},
      {"ct", FolderFormat::kCompressedTensors}, {"ctdyn", FolderFormat::kCompressedTensors}};
  for (const auto& [name, format] : formats) {
    CheckOptions options;
    options.deep = true;
    const CheckReport report = CheckFolder(SoundFolder(name), options);
    EXPECT_TRUE(report.sound()) << name << "\n" << Text(report);
    EXPECT_EQ(report.Count(Severity::kWarning), 0) << name << "\n" << Text(report);
    EXPECT_EQ(report.format, format) << name;
  }
}

TEST(Check, SoundAgainstTheirSource) {
  for (const char* name : {"v0", "v1", "gs910", "ct", "ctdyn", "float"}) {
    CheckOptions options;
    options.source = TestModel("mini-qwen3-vl-untied");
    const CheckReport report = CheckFolder(SoundFolder(name), options);
    EXPECT_TRUE(report.sound()) << name << "\n" << Text(report);
  }
}

TEST(CheckMutations, EveryRuleIsBroken) {
  std::set<int> rules;
  for (const auto& table :
       {FileMutations(), LabelMutations(), LinearMutations(), ConfigMutations()}) {
    for (const Mutation& mutation : table) rules.insert(mutation.rule);
  }
  rules.insert(kAnswersRule);  // TEST(Check, AnswersBecomeFindings)
  for (int rule = 0; rule <= kNumRules; ++rule) EXPECT_TRUE(rules.count(rule)) << rule;
}

TEST(Check, AnswersBecomeFindings) {
  GeneratedText good, bad;
  good.prompt_name = bad.prompt_name = "question";
  good.text = "A short and ordinary answer.";
  good.steps.resize(5);
  good.stopped = true;
  for (int64_t i = 0; i < 5; ++i) good.steps[static_cast<size_t>(i)].token = i;
  bad.text = "the the the";
  bad.steps.resize(40);
  const auto run = [](const GeneratedText& answer, std::optional<SourceAgreement> agreement) {
    CheckReport report;
    AddAnswers({&answer, 1}, agreement, &report);
    return report;
  };
  EXPECT_TRUE(run(good, std::nullopt).findings.empty());
  EXPECT_FALSE(run(bad, std::nullopt).sound());
  EXPECT_EQ(run(bad, std::nullopt).findings[0].rule, kAnswersRule);
  EXPECT_TRUE(run(good, SourceAgreement{50, 49}).findings.empty());
  EXPECT_EQ(run(good, SourceAgreement{50, 35}).Count(Severity::kWarning), 1);
  EXPECT_FALSE(run(good, SourceAgreement{50, 10}).sound());
  EXPECT_TRUE(run(good, SourceAgreement{3, 0}).sound());  // too few tokens to judge
  CheckReport failed;
  AddRunFailure("tokenizer.json: is missing", &failed);
  EXPECT_FALSE(failed.sound());
}

TEST(Check, RuleNumbersAndNamesAreStable) {
  std::set<std::string_view> ids;
  for (size_t i = 0; i < Rules().size(); ++i) {
    EXPECT_EQ(Rules()[i].number, static_cast<int>(i));
    EXPECT_TRUE(ids.insert(Rules()[i].id).second);
  }
}

TEST(Check, ManyFindingsOfOneRuleAreCounted) {
  TempFolder dir;
  CopyFolder(SoundFolder("v0"), dir.path());
  EditTensors(dir.path(), [](Tensors& tensors) {
    for (auto& [name, tensor] : tensors) {
      if (name.ends_with(".input_scale")) tensor.As<float>()[0] = -1;
    }
  });
  CheckOptions options;
  options.max_findings_per_rule = 3;
  const CheckReport report = CheckFolder(dir.path(), options);
  int shown = 0;
  for (const Finding& finding : report.findings) shown += finding.rule == 13 ? 1 : 0;
  EXPECT_EQ(shown, 3);
  EXPECT_EQ(report.omitted[13], 24 - 3);  // 4 layers of 6 linears
  EXPECT_THAT(Text(report), HasSubstr("more of the same kinds"));
}

TEST(Check, NamesTheEngineAndItsCommand) {
  const CheckReport gs = CheckFolder(SoundFolder("gs310"), {});
  ASSERT_FALSE(gs.engines.empty());
  EXPECT_TRUE(gs.engines[0].works);
  EXPECT_THAT(gs.engines[0].command, HasSubstr("--quantization golden-stick"));
  EXPECT_THAT(Text(gs), HasSubstr("answers garbage"));
  const CheckReport v0 = CheckFolder(SoundFolder("v0"), {});
  for (const EngineVerdict& engine : v0.engines) {
    EXPECT_EQ(engine.works, engine.engine == "vLLM-Ascend in float16 (310P)") << engine.engine;
  }
  const CheckReport v1 = CheckFolder(SoundFolder("v1"), {});
  const auto works = [&](const std::string& name) {
    return std::any_of(v1.engines.begin(), v1.engines.end(),
                       [&](const EngineVerdict& e) { return e.engine == name && e.works; });
  };
  EXPECT_TRUE(works("MindIE"));
  EXPECT_TRUE(works("vLLM-Ascend in bfloat16"));
  EXPECT_FALSE(works("vllm-mindspore on 310P"));
}

TEST(Check, AProfileSaysWhatTheFolderShouldBe) {
  CheckOptions options;
  options.profile = FolderFormat::kGoldenStick310;
  EXPECT_FALSE(CheckFolder(SoundFolder("v0"), options).sound());
  options.profile = FolderFormat::kGoldenStick910;
  const CheckReport report = CheckFolder(SoundFolder("gs310"), options);
  EXPECT_NE(FindingOf(report, 11, Severity::kWarning), nullptr) << Text(report);
}

// What converting cannot mend is not answered with "convert".
TEST(Check, TheRemedyFitsTheDamage) {
  TempFolder dir;
  CopyFolder(SoundFolder("gs310"), dir.path());
  EditTensors(dir.path(), [](Tensors& t) { t.at(kO + ".quant_bias").As<int32_t>()[7] += 1000; });
  const CheckReport report = CheckFolder(dir.path(), {});
  const Finding* finding = FindingOf(report, 16, Severity::kError);
  ASSERT_NE(finding, nullptr);
  EXPECT_THAT(finding->remedy, HasSubstr("quantize again"));
}

TEST(Check, QuickLeavesTheWeightsAlone) {
  TempFolder dir;
  CopyFolder(SoundFolder("gs310"), dir.path());
  EditTensors(dir.path(), [](Tensors& t) { t.at(kO + ".quant_bias").As<int32_t>()[7] += 1000; });
  CheckOptions options;
  options.quick = true;
  EXPECT_TRUE(CheckFolder(dir.path(), options).sound());
  options.quick = false;
  EXPECT_FALSE(CheckFolder(dir.path(), options).sound());
}

// Bytes of small files and of headers turned at random: findings or one-line errors, never anything
// else.
TEST(Check, SurvivesRandomDamage) {
  uint32_t state = 12345;
  const auto next = [&state] { return state = 1664525u * state + 1013904223u, state >> 8; };
  const std::vector<std::string> names = {"config.json", kDescription, kGsIndex,
                                          "quant_model_weight_w8a8.safetensors",
                                          "preprocessor_config.json"};
  TempFolder dir;
  CopyFolder(SoundFolder("gs310"), dir.path());
  SetProgressStyle(ProgressStyle::kNone);
  for (int round = 0; round < 60; ++round) {
    SCOPED_TRACE(round);
    const std::string name = names[round % names.size()];
    const std::string good = Slurp(dir / name);
    std::string bad = good;
    const size_t range = std::min<size_t>(bad.size(), 4096);
    for (uint32_t i = 0; i <= next() % 3; ++i) bad[next() % range] = static_cast<char>(next());
    if (next() % 4 == 0) bad.resize(next() % range);
    Spill(dir / name, bad);
    EXPECT_FALSE(CheckReportText(CheckFolder(dir.path(), {})).empty());
    TempFolder out;
    try {
      ConvertFolder(dir.path(), out / "new", Target::kAscend, {});
    } catch (const Error& error) {
      EXPECT_TRUE(error.kind() == ErrorKind::kUser || error.kind() == ErrorKind::kFormat)
          << error.what();
      EXPECT_FALSE(fs::exists(out / "new/config.json"));
    }
    Spill(dir / name, good);
  }
}

TEST(Check, FoldersThatAreNone) {
  EXPECT_THROW(CheckFolder("/no/such/folder", {}), UserError);
  TempFolder empty;
  const CheckReport report = CheckFolder(empty.path(), {});
  EXPECT_FALSE(report.sound());
  EXPECT_FALSE(report.format.has_value());
  CheckOptions options;
  options.source = SoundFolder("v0");
  EXPECT_THROW(CheckFolder(SoundFolder("v0"), options), UserError);
}

}  // namespace
}  // namespace ingot::check_test
