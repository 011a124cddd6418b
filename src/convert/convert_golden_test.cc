// SPDX-License-Identifier: Apache-2.0
// Against the folders that convert_weights.py of the original workflow wrote from the original
// quantizer's folder (MindSpore 2.8.0): SHA-256 of every file.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <fstream>
#include <map>
#include <span>
#include <string>

#include "base/error.h"
#include "base/sha256.h"
#include "convert/convert.h"
#include "convert/test_folders.h"

namespace ingot {
namespace {

namespace fs = std::filesystem;
using namespace ingot::testing;  // NOLINT

constexpr const char* kWeights = "quant_model_weight_w8a8.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";
const fs::path kGoldens = fs::path(INGOT_TEST_DATA) / "goldens/convert";

std::map<std::string, std::string> Recorded(const std::string& folder) {
  std::map<std::string, std::string> sums;
  std::ifstream in(kGoldens / (folder + ".sha256"));
  std::string sum, name;
  while (in >> sum >> name) sums[name] = sum;
  EXPECT_FALSE(sums.empty());
  return sums;
}

std::map<std::string, std::string> Sums(const fs::path& dir) {
  std::map<std::string, std::string> sums;
  for (const auto& [name, content] : Contents(dir))
    sums[name] = Sha256Hex(std::as_bytes(std::span(content)));
  return sums;
}

class ConvertGolden : public ::testing::Test {
 protected:
  void SetUp() override { WriteGoldenV0(quant_.path()); }
  ConvertReport Convert(Target target, bool exact) {
    ConvertOptions options;
    options.original_dir = GoldenOriginal();
    options.exact = exact;
    return ConvertInPlace(quant_.path(), target, options);
  }
  TempFolder quant_;
};

TEST_F(ConvertGolden, FixtureIsTheOriginalQuantizersFolder) {
  EXPECT_EQ(Sums(quant_.path()), Recorded("v0"));
}

TEST_F(ConvertGolden, Exact310GivesEveryByteAndTheMode) {
  Convert(Target::kGoldenStick310, true);
  EXPECT_EQ(Sums(quant_.path()), Recorded("gs310"));
  EXPECT_EQ(fs::status(quant_ / kWeights).permissions(), fs::perms::owner_read);
}

TEST_F(ConvertGolden, Exact910GivesEveryByteAndTheMode) {
  Convert(Target::kGoldenStick910, true);
  EXPECT_EQ(Sums(quant_.path()), Recorded("gs910"));
  EXPECT_EQ(fs::status(quant_ / kWeights).permissions(), fs::perms::owner_read);
}

// By default the weight file of 310 is the script's to the byte; around it only the index (bogus
// key, stale size) and the dtype in config.json differ.
TEST_F(ConvertGolden, Default310KeepsTheScriptsWeightFile) {
  Convert(Target::kGoldenStick310, false);
  auto sums = Sums(quant_.path()), recorded = Recorded("gs310");
  EXPECT_EQ(sums[kWeights], recorded[kWeights]);
  for (const char* mended : {kIndex, "config.json"}) {
    EXPECT_NE(sums[mended], recorded[mended]);
    sums.erase(mended);
    recorded.erase(mended);
  }
  EXPECT_EQ(sums, recorded);
  const std::string index = Slurp(quant_ / kIndex), script = Slurp(kGoldens / "script.index.json");
  std::string mended = script;
  const std::string bogus = std::string("    \"version\": \"") + kWeights + "\",\n";
  ASSERT_NE(mended.find(bogus), std::string::npos);
  mended.erase(mended.find(bogus), bogus.size());
  uint64_t data_bytes = 0;
  for (const auto& [name, tensor] : ReadTensors(quant_ / kWeights))
    data_bytes += tensor.bytes().size();
  const std::string stale = "4709696";
  mended.replace(mended.find(stale), stale.size(), std::to_string(data_bytes));
  EXPECT_EQ(index, mended);
  EXPECT_NE(Slurp(quant_ / "config.json").find("\"torch_dtype\": \"float16\""), std::string::npos);
  EXPECT_NE(fs::status(quant_ / kWeights).permissions() & fs::perms::owner_write, fs::perms::none);
}

// For 910 the script leaves deq_scale in int64, which the engine reads by value. Everything else is
// the script's.
TEST_F(ConvertGolden, Default910DiffersInDeqScaleOnly) {
  TempFolder script;
  CopyFolder(quant_.path(), script.path());
  ConvertOptions options;
  options.original_dir = GoldenOriginal();
  options.exact = true;
  ConvertInPlace(script.path(), Target::kGoldenStick910, options);
  Convert(Target::kGoldenStick910, false);
  const Tensors ours = ReadTensors(quant_ / kWeights), theirs = ReadTensors(script / kWeights);
  ASSERT_EQ(ours.size(), theirs.size());
  int n_deq = 0;
  for (const auto& [name, tensor] : theirs) {
    const Tensor& mine = ours.at(name);
    if (!name.ends_with(".deq_scale")) {
      EXPECT_EQ(mine.dtype(), tensor.dtype()) << name;
      EXPECT_TRUE(std::ranges::equal(mine.bytes(), tensor.bytes())) << name;
      continue;
    }
    ++n_deq;
    ASSERT_EQ(mine.dtype(), DType::kF32);
    ASSERT_EQ(tensor.dtype(), DType::kI64);
    for (size_t i = 0; i < mine.As<float>().size(); ++i) {
      EXPECT_EQ(static_cast<int64_t>(std::bit_cast<uint32_t>(mine.As<float>()[i])),
                tensor.As<int64_t>()[i]);
    }
  }
  EXPECT_EQ(n_deq, 18);
  auto sums = Sums(quant_.path()), recorded = Recorded("gs910");
  EXPECT_EQ(sums["config.json"], recorded["config.json"]);
  EXPECT_EQ(sums["quant_model_description.json"], recorded["quant_model_description.json"]);
}

// A folder that the script converted is completed: 310 gets a proper index and dtype, 910 its
// usable deq_scale.
TEST_F(ConvertGolden, MendsWhatTheScriptLeft) {
  for (const Target target : {Target::kGoldenStick310, Target::kGoldenStick910}) {
    TempFolder fresh, script;
    CopyFolder(quant_.path(), fresh.path());
    CopyFolder(quant_.path(), script.path());
    ConvertOptions options;
    options.original_dir = GoldenOriginal();
    ConvertInPlace(fresh.path(), target, options);
    options.exact = true;
    ConvertInPlace(script.path(), target, options);
    options.exact = false;
    EXPECT_TRUE(ConvertInPlace(script.path(), target, options).changed);
    EXPECT_EQ(Contents(script.path()), Contents(fresh.path()));
  }
}

}  // namespace
}  // namespace ingot
