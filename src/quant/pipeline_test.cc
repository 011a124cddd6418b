// SPDX-License-Identifier: Apache-2.0
// The whole quantize run on the bundled models: every target, equal bytes for any thread count and after interruptions.
#include "quant/pipeline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <map>
#include <string>
#include <thread>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/files.h"
#include "base/interrupt.h"
#include "base/progress.h"
#include "base/thread_pool.h"
#include "model/linear.h"

namespace ingot {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class PipelineTest : public testing::Test {
 protected:
  PipelineTest() : dir_(fs::temp_directory_path() / ("ingot_pipeline_" + std::to_string(getpid()))) {
    fs::remove_all(dir_);
    fs::create_directories(dir_ / "pictures");
    int copied = 0;
    for (const auto& file : ListFiles(INGOT_TEST_DATA "/calib64/images")) {
      if (copied++ < 4) fs::copy_file(file, dir_ / "pictures" / file.filename());
    }
    SetProgressStyle(ProgressStyle::kNone);
  }
  ~PipelineTest() override {
    fs::remove_all(dir_);
    SetNumThreads(2);
  }

  QuantReport Run(const std::string& out, Target target, Method method = Method::kBalanced,
                  V0ActMethod act_method = V0ActMethod::kHistogram) {
    const ModelReader reader(model_);
    FolderLayout layout = DefaultLayout(target, reader.config());
    layout.options.vector_scales = vector_scales_;
    const QuantPlan plan = MakeDefaultPlan(reader.config(), layout, method);
    QuantizeOptions options{.out_dir = dir_ / out};
    options.calibration.precision = precision_;
    options.report_in_folder = target != Target::kAscendV0;
    options.calibration.act_method = act_method;
    return RunQuantize(reader, plan, LoadDataset(dir_ / "pictures"), options);
  }

  std::map<std::string, std::string> Bytes(const std::string& out) const {
    std::map<std::string, std::string> files;
    for (const auto& file : ListFiles(dir_ / out)) files[file.filename()] = ReadFile(file, 1u << 30);
    return files;
  }
  void ExpectEqual(const std::string& a, const std::string& b) const {
    const auto left = Bytes(a), right = Bytes(b);
    ASSERT_EQ(left.size(), right.size());
    for (const auto& [name, bytes] : left) EXPECT_TRUE(right.at(name) == bytes) << name;
  }

  fs::path model_ = INGOT_TEST_DATA "/models/mini-qwen3-vl-untied";
  fs::path dir_;
  bool vector_scales_ = false;
  Precision precision_ = Precision::kF32;
};

TEST_F(PipelineTest, EveryTargetGivesAFolderOfItsFormat) {
  for (const Target target : AllTargets()) {
    const std::string out(TargetName(target));
    const QuantReport report = Run(out, target);
    const ModelReader written(dir_ / out);
    EXPECT_EQ(written.format(), FormatOf(target)) << out;
    EXPECT_FALSE(fs::exists(WorkDir(dir_ / out)));
    EXPECT_EQ(report.samples, 4);
    EXPECT_EQ(report.pictures, 4);
  }
}

TEST_F(PipelineTest, ReportMeasuresEveryQuantizedLinear) {
  const QuantReport report = Run("out", Target::kAscend);
  int measured = 0;
  for (const auto& linear : report.linears) {
    if (linear.type == LinearType::kFloat) continue;
    ASSERT_TRUE(linear.quality.has_value()) << linear.module;
    for (const auto& sqnr : linear.quality->sqnr_db) {
      ASSERT_TRUE(sqnr.has_value()) << linear.module;
      EXPECT_GT(*sqnr, 15.0) << linear.module;
    }
    ++measured;
  }
  EXPECT_EQ(measured, 6 * 4);
  EXPECT_TRUE(fs::exists(dir_ / "out" / kReportName));
}

TEST_F(PipelineTest, SameBytesForAnyThreadCount) {
  for (const Precision precision : {Precision::kF32, Precision::kBF16}) {
    precision_ = precision;
    const std::string name = precision == Precision::kF32 ? "f32_" : "bf16_";
    SetNumThreads(1);
    Run(name + "one", Target::kAscend);
    SetNumThreads(3);
    Run(name + "three", Target::kAscend);
    ExpectEqual(name + "one", name + "three");
  }
}

double MeanSqnr(const QuantReport& report) {
  double sum = 0;
  int count = 0;
  for (const auto& linear : report.linears) {
    if (!linear.quality) continue;
    for (const auto& sqnr : linear.quality->sqnr_db) sum += *sqnr, ++count;
  }
  return sum / count;
}

// Scales by channel help where they are taken, and the folder is one that loads with vectors.
TEST_F(PipelineTest, VectorScales) {
  const double plain = MeanSqnr(Run("plain", Target::kGoldenStick310));
  vector_scales_ = true;
  EXPECT_GT(MeanSqnr(Run("vector", Target::kGoldenStick310)), plain);
  const ModelReader reader(dir_ / "vector");
  int vectors = 0;
  for (const LinearSpec& spec : LinearTable(reader.config())) {
    if (reader.Has(spec.module + ".input_scale")) vectors += LoadLinear(reader, spec).exec == LinearExec::kStaticVector;
  }
  EXPECT_GT(vectors, 0);
}

// Signals after ever longer times: each run goes on where the one before stopped, the last one finishes.
TEST_F(PipelineTest, InterruptedRunsGiveTheSameBytes) {
  Run("whole", Target::kGoldenStick310);
  InstallInterruptHandler();
  int interruptions = 0;
  for (int delay_ms = 0; !fs::exists(dir_ / "pieces"); delay_ms = delay_ms * 3 / 2 + 5) {
    std::jthread killer([delay_ms] {
      std::this_thread::sleep_for(std::chrono::milliseconds(delay_ms));
      std::raise(SIGINT);
    });
    if (delay_ms == 0) killer.join();
    try {
      Run("pieces", Target::kGoldenStick310);
    } catch (const InterruptedError& error) {
      EXPECT_THAT(error.what(), HasSubstr("same command again"));
      EXPECT_FALSE(fs::exists(dir_ / "pieces"));
      ++interruptions;
    }
    if (killer.joinable()) killer.join();
    ResetInterruptForTest();
  }
  EXPECT_GE(interruptions, 1);
  ExpectEqual("whole", "pieces");
}

TEST_F(PipelineTest, MethodV0WithEveryActMethod) {
  for (const auto act_method : {V0ActMethod::kMinMax, V0ActMethod::kHistogram, V0ActMethod::kMixed}) {
    const std::string out = "v0_" + std::to_string(static_cast<int>(act_method));
    const QuantReport report = Run(out, Target::kAscendV0, Method::kV0, act_method);
    EXPECT_EQ(report.samples, 4);
    EXPECT_TRUE(fs::exists(dir_ / out / "quant_model_weight_w8a8.safetensors"));
    EXPECT_FALSE(fs::exists(dir_ / out / kReportName));
  }
}

TEST_F(PipelineTest, ClearErrors) {
  const auto error_of = [&](auto body) -> std::string {
    try {
      body();
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  Run("out", Target::kAscend);
  EXPECT_THAT(error_of([&] { Run("out", Target::kAscend); }), HasSubstr("not empty"));
  model_ = dir_ / "out";
  EXPECT_THAT(error_of([&] { Run("again", Target::kAscend); }), HasSubstr("quantized already"));
  model_ = INGOT_TEST_DATA "/models/mini-qwen3-vl-untied";
  const std::string whole = ReadFile(ListFiles(dir_ / "pictures").front());
  WriteFileAtomically(dir_ / "pictures" / "broken.png", whole.substr(0, whole.size() / 2));
  EXPECT_THAT(error_of([&] { Run("bad", Target::kAscend); }), HasSubstr("--skip-bad-images"));
  EXPECT_FALSE(fs::exists(dir_ / "bad"));
  EXPECT_FALSE(fs::exists(WorkDir(dir_ / "bad")));
}

}  // namespace
}  // namespace ingot
