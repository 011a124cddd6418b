// SPDX-License-Identifier: Apache-2.0
// The whole v0 run, from checkpoint and pictures, against the folder that the original tool wrote from them. What depends on
// the weights alone is equal byte for byte. Ranges come from our own forward (float32, the original's is float16), and the
// original's range search magnifies tiny differences: the same model calibrated from BF16 and from F32 gives scales up to
// 7.9 % apart and offsets up to 10 apart. Gate: 10 % and 12.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <string>

#include "base/files.h"
#include "base/progress.h"
#include "checkpoint/safetensors.h"
#include "quant/pipeline.h"

namespace ingot {
namespace {

namespace fs = std::filesystem;

bool EndsWith(const std::string& text, const std::string& tail) {
  return text.size() >= tail.size() && text.compare(text.size() - tail.size(), tail.size(), tail) == 0;
}

class PipelineGoldenTest : public testing::Test {
 protected:
  PipelineGoldenTest() : out_(fs::temp_directory_path() / ("ingot_v0_golden_" + std::to_string(getpid()))) {
    fs::remove_all(out_);
    SetProgressStyle(ProgressStyle::kNone);
    const ModelReader reader(goldens_ / "inputs" / "s_untied");
    FolderLayout layout = DefaultLayout(Target::kAscendV0, reader.config());
    layout.options.run_dtype = DType::kF16;
    const QuantPlan plan = MakeDefaultPlan(reader.config(), layout, Method::kV0);
    QuantizeOptions options{.out_dir = out_};
    options.report_in_folder = false;
    options.v0_torch_dtype = "bfloat16";
    options.prompt.decode.alpha = AlphaPolicy::kDrop;
    RunQuantize(reader, plan, LoadPictureFolder(goldens_ / "inputs" / "pics"), options);
  }
  ~PipelineGoldenTest() override { fs::remove_all(out_); }

  fs::path goldens_ = INGOT_TEST_DATA "/goldens/quant";
  fs::path out_;
};

TEST_F(PipelineGoldenTest, SmallFilesAreEqual) {
  for (const char* name : {"config.json", "quant_model_description.json", "chat_template.json", "generation_config.json",
                           "preprocessor_config.json", "tokenizer_config.json", "video_preprocessor_config.json"}) {
    EXPECT_TRUE(ReadFile(out_ / name) == ReadFile(goldens_ / "v0" / name)) << name;
  }
}

TEST_F(PipelineGoldenTest, RangesAreWithinTheOriginalsOwnSpread) {
  const SafetensorsFile ours(out_ / "quant_model_weight_w8a8.safetensors");
  const SafetensorsFile theirs(goldens_ / "v0" / "quant_model_weight_w8a8.safetensors");
  int scales = 0, offsets = 0, equal = 0;
  for (const TensorInfo& info : theirs.tensors()) {
    const TensorView golden = theirs.View(info);
    const TensorView own = ours.View(info.name);
    ASSERT_EQ(own.dtype, golden.dtype) << info.name;
    ASSERT_EQ(own.shape, golden.shape) << info.name;
    if (EndsWith(info.name, ".input_scale")) {
      const float ratio = own.As<float>()[0] / golden.As<float>()[0];
      EXPECT_NEAR(ratio, 1.0f, 0.10f) << info.name;
      ++scales;
    } else if (EndsWith(info.name, ".input_offset")) {
      EXPECT_NEAR(own.As<float>()[0], golden.As<float>()[0], 12.0f) << info.name;
      ++offsets;
    } else if (!EndsWith(info.name, ".deq_scale") && !EndsWith(info.name, ".quant_bias")) {
      EXPECT_TRUE(std::equal(own.bytes.begin(), own.bytes.end(), golden.bytes.begin())) << info.name;
      ++equal;
    }
  }
  EXPECT_EQ(scales, 18);
  EXPECT_EQ(offsets, 18);
  EXPECT_GT(equal, 50);
}

}  // namespace
}  // namespace ingot
