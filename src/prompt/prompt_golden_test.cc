// SPDX-License-Identifier: Apache-2.0
// Prompts of the small Qwen3-VL models against recorded results of transformers 5.23 (and the video
// layout of 4.57): ids, grids and every patch value.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "base/files.h"
#include "base/sha256.h"
#include "prompt/prompt_builder.h"

namespace ingot {
namespace {

using nlohmann::json;

const std::filesystem::path kData = INGOT_TEST_DATA;

std::filesystem::path Picture(const std::string& name) {
  return kData / "prompt/pictures" / (name + ".png");
}

Part VideoPart(const std::string& name, const json& metadata) {
  SampledFrames sampled{.frames = {},
                        .indices = metadata.at("frames_indices"),
                        .fps = metadata.at("fps"),
                        .total_frames = metadata.at("total_num_frames")};
  for (size_t i = 0; i < sampled.indices.size(); ++i)
    sampled.frames.push_back(Picture(fmt::format("{}-{}", name, i)));
  Part part = Part::Video(name);
  part.sampled = std::make_shared<const SampledFrames>(std::move(sampled));
  return part;
}

Conversation ToConversation(const json& item) {
  Conversation conversation;
  for (const json& turn : item.at("messages")) {
    Message message{.role = turn.at("role"), .parts = {}, .extra_json = {}};
    if (turn.at("content").is_string()) {
      message.parts.push_back(Part::Text(turn.at("content")));
    } else {
      for (const json& part : turn.at("content")) {
        const std::string type = part.at("type");
        if (type == "text") message.parts.push_back(Part::Text(part.at("text")));
        if (type == "image") message.parts.push_back(Part::Image(Picture(part.at("image"))));
        if (type == "video")
          message.parts.push_back(
              VideoPart(part.at("video"), item.at("video_metadata").at(part.at("video"))));
      }
    }
    conversation.push_back(std::move(message));
  }
  return conversation;
}

void ExpectVision(const VisionInput& input, const json& grids, const json* values,
                  const std::string& label) {
  ASSERT_EQ(input.grids.size(), grids.size()) << label;
  for (size_t i = 0; i < grids.size(); ++i) {
    EXPECT_EQ(input.grids[i], (Grid{grids[i][0], grids[i][1], grids[i][2]})) << label;
  }
  if (values == nullptr) return;
  EXPECT_EQ(input.patches.size(),
            values->at("shape")[0].get<size_t>() * values->at("shape")[1].get<size_t>())
      << label;
  EXPECT_EQ(Sha256Hex(std::as_bytes(std::span(input.patches))),
            values->at("sha256").get<std::string>())
      << label;
}

class PromptGolden : public testing::TestWithParam<const char*> {};

TEST_P(PromptGolden, IdsGridsAndPatches) {
  const std::string mini = GetParam();
  const json golden = json::parse(ReadFile(kData / "goldens/model" / (mini + ".cases.json")));
  const std::filesystem::path dir = kData / "models" / mini;
  const PromptBuilder builder(dir, LoadModelConfig(dir));
  ASSERT_EQ(golden.at("cases").size(), 9u);
  int n_legacy = 0;
  for (const json& item : golden.at("cases")) {
    const std::string label = mini + "/" + item.at("name").get<std::string>();
    PromptOptions options;
    if (item.at("rule") == "legacy") {
      options.video_rule = VideoPrompt::kLegacy;
      ++n_legacy;
    }
    const PreparedPrompt prompt = builder.Build(ToConversation(item), options);
    EXPECT_EQ(prompt.text, item.at("prompt").get<std::string>()) << label;
    EXPECT_EQ(prompt.ids, item.at("input_ids").get<std::vector<int32_t>>()) << label;
    EXPECT_EQ(prompt.kinds.size(), prompt.ids.size());
    const auto values = [&](const char* key) {
      return item.contains(key) ? &item.at(key) : nullptr;
    };
    ExpectVision(prompt.images, item.at("image_grid_thw"), values("pixel_values"), label);
    ExpectVision(prompt.videos, item.at("video_grid_thw"), values("pixel_values_videos"), label);
  }
  EXPECT_EQ(n_legacy, 2);
}

INSTANTIATE_TEST_SUITE_P(Minis, PromptGolden,
                         testing::Values("mini-qwen3-vl", "mini-qwen3-vl-untied"),
                         [](const auto& param) { return param.index == 0 ? "tied" : "untied"; });

}  // namespace
}  // namespace ingot
