// SPDX-License-Identifier: Apache-2.0
#include "check/mutations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <nlohmann/json.hpp>

namespace ingot::check_test {

using ::testing::HasSubstr;

namespace {

// The sound folders that the mutations start from, made once.
class Bases {
 public:
  static const fs::path& Get(const std::string& name) {
    static Bases bases;
    auto& dir = bases.dirs_[name];
    if (!dir) {
      dir = std::make_unique<TempFolder>();
      Make(name, dir->path());
    }
    return dir->path();
  }

 private:
  static void Make(const std::string& name, const fs::path& dir) {
    const fs::path model = TestModel(name == "tied" ? "mini-qwen3-vl" : "mini-qwen3-vl-untied");
    if (name == "float") return CopyFolder(model, dir);
    const std::map<std::string, Target> targets = {{"v0", Target::kAscendV0},
                                                   {"v1", Target::kAscend},
                                                   {"tied", Target::kGoldenStick910},
                                                   {"gs310", Target::kGoldenStick310},
                                                   {"tiny310", Target::kGoldenStick310},
                                                   {"gs910", Target::kGoldenStick910},
                                                   {"ct", Target::kCompressedTensors},
                                                   {"ctdyn", Target::kCompressedTensors}};
    FolderLayout layout{targets.at(name), {}};
    layout.options.run_dtype =
        layout.target == Target::kGoldenStick310 || name == "v0" ? DType::kF16 : DType::kBF16;
    QuantizeOptions options;
    options.vision = name == "v1";
    options.dynamic = name == "ctdyn";
    // Scales far from (or deep inside) the subnormal numbers of float16.
    if (name == "gs310") options.weight_factor = 64;
    if (name == "tiny310") options.weight_factor = 1e-4;
    QuantizeForTest(model, dir, layout, options);
    if (layout.target == Target::kAscendV0) fs::copy(model / "merges.txt", dir / "merges.txt");
  }
  std::map<std::string, std::unique_ptr<TempFolder>> dirs_;
};

}  // namespace

const fs::path& SoundFolder(const std::string& name) { return Bases::Get(name); }

std::set<int> RulesOf(const CheckReport& report, Severity severity) {
  std::set<int> rules;
  for (const Finding& finding : report.findings) {
    if (finding.severity == severity) rules.insert(finding.rule);
  }
  return rules;
}

const Finding* FindingOf(const CheckReport& report, int rule, Severity severity) {
  for (const Finding& finding : report.findings) {
    if (finding.rule == rule && finding.severity == severity) return &finding;
  }
  return nullptr;
}

std::function<void(const fs::path&)> OnTensors(std::function<void(Tensors&)> edit) {
  return [edit](const fs::path& dir) { EditTensors(dir, edit); };
}

std::function<void(const fs::path&)> OnText(const std::string& file, const std::string& from,
                                            const std::string& to) {
  return [=](const fs::path& dir) { EditText(dir / file, from, to); };
}

std::function<void(const fs::path&)> Without(const std::string& file) {
  return [=](const fs::path& dir) { ASSERT_TRUE(fs::remove(dir / file)); };
}

// Drops one whole line of a description or an index.
std::function<void(const fs::path&)> WithoutLine(const std::string& file, const std::string& key) {
  return [=](const fs::path& dir) {
    std::string text = Slurp(dir / file);
    const size_t at = text.find("\"" + key + "\"");
    ASSERT_NE(at, std::string::npos) << key;
    const size_t begin = text.rfind('\n', at), end = text.find('\n', at);
    text.erase(begin, end - begin);
    Spill(dir / file, text);
  };
}

void RunTable(const std::vector<Mutation>& table) {
  for (const Mutation& mutation : table) {
    SCOPED_TRACE(mutation.what);
    TempFolder dir;
    CopyFolder(Bases::Get(mutation.base), dir.path());
    mutation.apply(dir.path());
    CheckOptions options;
    options.deep = true;
    if (mutation.with_source) options.source = TestModel("mini-qwen3-vl-untied");
    const CheckReport report = CheckFolder(dir.path(), options);
    const Finding* finding = FindingOf(report, mutation.rule, mutation.severity);
    ASSERT_NE(finding, nullptr) << CheckReportText(report);
    EXPECT_THAT(finding->found, HasSubstr(mutation.found));
    EXPECT_FALSE(finding->why.empty());
    EXPECT_FALSE(finding->remedy.empty());
    std::set<int> allowed = mutation.also;
    if (mutation.severity == Severity::kError) allowed.insert(mutation.rule);
    for (const int rule : RulesOf(report, Severity::kError))
      EXPECT_TRUE(allowed.count(rule)) << rule << "\n" << CheckReportText(report);
    EXPECT_EQ(report.sound(), RulesOf(report, Severity::kError).empty());
    EXPECT_TRUE(nlohmann::json::accept(CheckReportJson(report)));
  }
}

}  // namespace ingot::check_test
