// SPDX-License-Identifier: Apache-2.0
// Tables and positions of real sizes against the reference (transformers 5.23): rotary tables up to
// position 262143, the interpolated position table, positions of 18 mixed sequences, activations.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/files.h"
#include "checkpoint/safetensors.h"
#include "kernels/kernels.h"
#include "model/rope.h"
#include "model/vision_tower.h"

namespace ingot {
namespace {

using Json = nlohmann::json;
using Floats = std::vector<float>;

class UnitsGoldenTest : public testing::Test {
 protected:
  Floats Get(const std::string& name) const { return ToFloats(file_.View(name)); }
  std::vector<int32_t> Ints(const std::string& name) const {
    const TensorView view = file_.View(name);  // keeps the bytes in the file's mapping
    const auto values = view.As<int32_t>();
    return {values.begin(), values.end()};
  }
  SafetensorsFile file_{std::string(INGOT_TEST_DATA) + "/goldens/units/units.safetensors"};
  Json json_ = Json::parse(ReadFile(std::string(INGOT_TEST_DATA) + "/goldens/units/units.json"));
};

double LargestDifference(const Floats& a, const Floats& b) {
  EXPECT_EQ(a.size(), b.size());
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::fabs(double{a[i]} - b[i]));
  return largest;
}

TEST_F(UnitsGoldenTest, TextRope) {
  const std::vector<int32_t> flat = Ints("rope.positions");
  const size_t n = flat.size() / 3;
  RopePositions positions;
  for (size_t axis = 0; axis < 3; ++axis) {
    positions.axes[axis].assign(flat.begin() + static_cast<std::ptrdiff_t>(axis * n),
                                flat.begin() + static_cast<std::ptrdiff_t>((axis + 1) * n));
  }
  TextConfig q3{
      .head_dim = 128, .rope_theta = 5e6, .mrope_section = {24, 20, 20}, .mrope_interleaved = true};
  TextConfig q2{.head_dim = 128,
                .rope_theta = 1e6,
                .mrope_section = {16, 24, 24},
                .mrope_interleaved = false};
  for (const auto& [name, config] : {std::pair{"q3", q3}, std::pair{"q2", q2}}) {
    const RopeTable table = MakeTextRope(config, positions, 0, static_cast<int64_t>(n));
    const Floats cos = Get(std::string("rope.") + name + ".cos"),
                 sin = Get(std::string("rope.") + name + ".sin");
    // The reference's float32 sine errs by an ulp here and there, and so does its power function in
    // one frequency of each table (19 and 37), where the angle of position 262143 is off by that
    // much.
    const size_t odd_one = config.mrope_interleaved ? 19 : 37;
    for (size_t i = 0; i < cos.size(); ++i) {
      const double tolerance = i % 64 == odd_one ? 1e-3 : 1.3e-7;
      ASSERT_NEAR(table.cos[i], cos[i], tolerance) << name << " at " << i;
      ASSERT_NEAR(table.sin[i], sin[i], tolerance) << name << " at " << i;
    }
  }
}

TEST_F(UnitsGoldenTest, AxesOfTheFrequencies) {
  const std::vector<int> q3 =
      MropeAxes({.head_dim = 128, .mrope_section = {24, 20, 20}, .mrope_interleaved = true});
  for (int j = 0; j < 60; ++j) EXPECT_EQ(q3[static_cast<size_t>(j)], j % 3);
  for (int j = 60; j < 64; ++j) EXPECT_EQ(q3[static_cast<size_t>(j)], 0);
  const std::vector<int> q2 = MropeAxes({.head_dim = 128, .mrope_section = {16, 24, 24}});
  EXPECT_EQ(q2[15], 0);
  EXPECT_EQ(q2[16], 1);
  EXPECT_EQ(q2[39], 1);
  EXPECT_EQ(q2[40], 2);
}

TEST_F(UnitsGoldenTest, VisionRope) {
  std::vector<GridThw> grids;
  for (const auto& grid : json_["vision_rope"]["grids"])
    grids.push_back({grid[0], grid[1], grid[2]});
  for (const int64_t head : {64, 72, 80}) {
    const RopeTable table = MakeVisionRope(head, 2, grids);
    EXPECT_LT(LargestDifference(table.cos, Get(fmt::format("vision_rope.{}.cos", head))), 1.3e-7)
        << head;
    EXPECT_LT(LargestDifference(table.sin, Get(fmt::format("vision_rope.{}.sin", head))), 1.3e-7)
        << head;
  }
}

TEST_F(UnitsGoldenTest, PositionTableIsBitEqual) {
  for (const auto& entry : json_["pos_table"]) {
    const std::string key = entry["key"];
    const PositionTaps taps = MakePositionTaps(48, 2, entry["grid"][1], entry["grid"][2]);
    const std::vector<int32_t> rows = Ints(key + ".index");
    const Floats weights = Get(key + ".weight");
    // Frames repeat; of large grids the first and the last 256 patches are recorded.
    const size_t frame = taps.rows.size(), kept = rows.size(),
                 all = 4 * entry["patches"].get<size_t>();
    for (size_t i = 0; i < kept; ++i) {
      const size_t at = kept < all && i >= kept / 2 ? all - kept + i : i;
      ASSERT_EQ(taps.rows[at % frame], rows[i]) << key << " at " << i;
      ASSERT_EQ(taps.weights[at % frame], weights[i]) << key << " at " << i;
    }
  }
}

TEST_F(UnitsGoldenTest, PositionsOfMixedSequences) {
  ModelConfig config;
  config.vision.merge = 2;
  config.image_token = 1;
  config.video_token = 2;
  ASSERT_EQ(json_["positions"].size(), 18u);
  for (const auto& c : json_["positions"]) {
    const std::string family = c["family"];
    config.family = family == "qwen3_vl"     ? ModelFamily::kQwen3VL
                    : family == "qwen2_5_vl" ? ModelFamily::kQwen25VL
                                             : ModelFamily::kQwen2VL;
    std::vector<GridThw> images, videos;
    for (const auto& grid : c["image_grid_thw"]) images.push_back({grid[0], grid[1], grid[2]});
    for (const auto& grid : c["video_grid_thw"]) videos.push_back({grid[0], grid[1], grid[2]});
    std::vector<double> time_steps;
    if (family == "qwen2_5_vl") {
      for (const auto& seconds : c["second_per_grid_ts"]) {
        time_steps.push_back(seconds.get<double>() * c["tokens_per_second"].get<double>());
      }
    }
    const auto ids =
        c["types"]
            .get<std::vector<int32_t>>();  // 0 text, 1 image, 2 video: also the token ids here
    const RopePositions positions =
        TextPositions(config, ids, images, videos, PositionRule::kV5, time_steps);
    for (size_t axis = 0; axis < 3; ++axis) {
      EXPECT_EQ(positions.axes[axis], c["positions"][axis].get<std::vector<int32_t>>())
          << c["types"].dump() << " axis " << axis;
    }
    EXPECT_EQ(positions.delta, c["rope_delta"].get<int64_t>());
  }
}

TEST_F(UnitsGoldenTest, LegacyRuleAndWrongGrids) {
  ModelConfig config;
  config.vision.merge = 2;
  config.image_token = 1;
  config.video_token = 2;
  config.family = ModelFamily::kQwen2VL;
  const std::vector<int32_t> ids = {0, 2, 2, 2, 0};
  const std::vector<GridThw> video = {{3, 2, 2}};
  EXPECT_EQ(TextPositions(config, ids, {}, video, PositionRule::kV5).axes[0],
            (std::vector<int32_t>{0, 1, 2, 3, 2}));
  EXPECT_EQ(TextPositions(config, ids, {}, video, PositionRule::kLegacy).axes[0],
            (std::vector<int32_t>{0, 1, 2, 3, 4}));
  EXPECT_ANY_THROW(TextPositions(config, ids, {}, {}));  // no grid
  EXPECT_ANY_THROW(
      TextPositions(config, ids, {}, std::vector<GridThw>{{4, 2, 2}}));  // too few tokens
  EXPECT_ANY_THROW(
      TextPositions(config, ids, {}, std::vector<GridThw>{{2, 2, 2}}));  // too many tokens
  EXPECT_ANY_THROW(TextPositions(config, ids, std::vector<GridThw>{{1, 2, 2}},
                                 video));  // a picture without tokens
}

TEST_F(UnitsGoldenTest, Activations) {
  const Floats x = Get("act.x"), ones(x.size(), 1.0f);
  for (const char* isa : {"scalar", "avx2", "avx512"}) {
    const KernelTable* kernels = FindKernels(isa);
    if (kernels == nullptr) continue;
    Floats silu(x.size()), tanh_gelu = x, erf_gelu = x;
    kernels->silu_mul(x.data(), ones.data(), x.size(), silu.data());
    kernels->gelu_tanh(tanh_gelu.data(), x.size());
    kernels->gelu_erf(erf_gelu.data(), x.size());
    EXPECT_LT(LargestDifference(silu, Get("act.silu")), 2e-6) << isa;
    EXPECT_LT(LargestDifference(tanh_gelu, Get("act.gelu_pytorch_tanh")), 2e-6) << isa;
    EXPECT_LT(LargestDifference(erf_gelu, Get("act.gelu")), 2e-6) << isa;
  }
}

TEST(VisionLayout, RefusesImpossibleGrids) {
  const VisionConfig config{.hidden = 64, .n_heads = 2, .merge = 2};
  EXPECT_ANY_THROW(MakeVisionLayout(config, std::vector<GridThw>{{1, 3, 4}}));
  EXPECT_ANY_THROW(MakeVisionLayout(config, std::vector<GridThw>{{0, 2, 2}}));
  EXPECT_ANY_THROW(MakeVisionLayout(config, std::vector<GridThw>{{1, -2, 2}}));
  EXPECT_ANY_THROW(MakeVisionLayout(config, std::vector<GridThw>{{1 << 20, 1 << 20, 1 << 20}}));
  const VisionLayout layout = MakeVisionLayout(config, std::vector<GridThw>{{2, 4, 2}, {1, 2, 2}});
  EXPECT_EQ(layout.n_patches, 20);
  EXPECT_EQ(layout.segments, (std::vector<int64_t>{0, 8, 16, 20}));
}

}  // namespace
}  // namespace ingot
