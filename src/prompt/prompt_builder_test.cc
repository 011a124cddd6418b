// SPDX-License-Identifier: Apache-2.0
#include "prompt/prompt_builder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <string>

#include "base/error.h"
#include "base/files.h"
#include "prompt/expansion.h"
#include "prompt/message_json.h"

namespace ingot {
namespace {

using testing::HasSubstr;

const std::filesystem::path kData = INGOT_TEST_DATA;
const std::filesystem::path kModel = kData / "models/mini-qwen3-vl";
const std::filesystem::path kPicture = kData / "prompt/pictures/small.png";

std::string MessageOf(const std::function<void()>& body) {
  try {
    body();
  } catch (const UserError& error) {
    return error.what();
  } catch (const FormatError& error) {
    return std::string("format: ") + error.what();
  }
  return "no error";
}

Conversation User(std::vector<Part> parts) {
  return {{.role = "user", .parts = std::move(parts), .extra_json = {}}};
}

class PromptBuilderTest : public testing::Test {
 protected:
  const ModelConfig config_ = LoadModelConfig(kModel);
  const PromptBuilder builder_{kModel, config_};
};

TEST_F(PromptBuilderTest, KindsAndCountsAgree) {
  const PreparedPrompt prompt = builder_.Build(User({Part::Image(kPicture), Part::Text("What?")}));
  EXPECT_EQ(std::ranges::count(prompt.kinds, TokenKind::kImage),
            prompt.images.grids[0].n_tokens(config_.vision.merge));
  EXPECT_EQ(std::ranges::count(prompt.kinds, TokenKind::kVideo), 0);
  EXPECT_EQ(prompt.images.patch_values, config_.vision.patch_values());
  EXPECT_EQ(prompt.images.patches.size(),
            prompt.images.grids[0].n_patches() * prompt.images.patch_values);
  EXPECT_TRUE(prompt.videos.empty());
}

TEST_F(PromptBuilderTest, BytesAndFilesGiveTheSame) {
  const PreparedPrompt file = builder_.Build(User({Part::Image(kPicture)}));
  const PreparedPrompt bytes =
      builder_.Build(User({Part::ImageBytes("upload", ReadFile(kPicture))}));
  EXPECT_EQ(file.ids, bytes.ids);
  EXPECT_EQ(file.images.patches, bytes.images.patches);
}

TEST_F(PromptBuilderTest, TypedPlaceholdersAreText) {
  const PreparedPrompt prompt =
      builder_.Build(User({Part::Image(kPicture), Part::Text("<|image_pad|><|video_pad|>")}));
  EXPECT_EQ(std::ranges::count(prompt.kinds, TokenKind::kImage),
            prompt.images.grids[0].n_tokens(config_.vision.merge));
  EXPECT_EQ(std::ranges::count(prompt.kinds, TokenKind::kVideo), 0);
  PromptOptions unprotected;
  unprotected.render.protect = false;
  EXPECT_THAT(MessageOf([&] { builder_.Build(User({Part::Text("<|image_pad|>")}), unprotected); }),
              HasSubstr("0 picture(s), but the chat template made 1 place"));
}

TEST_F(PromptBuilderTest, PicturesThatTheTemplateDropsAreAnError) {
  Conversation conversation = User({Part::Text("hi")});
  conversation.push_back({.role = "assistant", .parts = {Part::Image(kPicture)}, .extra_json = {}});
  EXPECT_THAT(MessageOf([&] { builder_.Build(conversation); }),
              HasSubstr("1 picture(s), but the chat template made 0"));
}

TEST_F(PromptBuilderTest, LimitsNameThemselves) {
  PromptOptions options;
  options.limits.max_tokens = 10;
  EXPECT_THAT(MessageOf([&] {
                builder_.Build(User({Part::Text("one two three four five six")}), options);
              }),
              HasSubstr("more than the limit of 10"));
  options.limits.max_tokens = 3;
  EXPECT_THAT(MessageOf([&] { builder_.Build(User({Part::Image(kPicture)}), options); }),
              HasSubstr("small.png: with this one"));
  options = {};
  options.limits.max_pictures = 1;
  EXPECT_THAT(MessageOf([&] {
                builder_.Build(User({Part::Image(kPicture), Part::Image(kPicture)}), options);
              }),
              HasSubstr("more than 1 pictures"));
  options = {};
  options.limits.max_pixels = 64 * 64;
  const PreparedPrompt small =
      builder_.Build(User({Part::Image(kData / "prompt/pictures/big.png")}), options);
  EXPECT_LE(small.images.grids[0].n_patches(), 16);
}

TEST_F(PromptBuilderTest, MissingPictureIsNamed) {
  EXPECT_THAT(MessageOf([&] { builder_.Build(User({Part::Image("no/such.png")})); }),
              HasSubstr("no/such.png"));
  EXPECT_THAT(
      MessageOf([&] { builder_.Build(User({Part::ImageBytes("upload", "not a picture")})); }),
      HasSubstr("upload"));
}

TEST_F(PromptBuilderTest, GivenFramesAreChecked) {
  Part video = Part::Video("clip");
  video.sampled = std::make_shared<const SampledFrames>(
      SampledFrames{.frames = {kPicture, kPicture}, .indices = {0}, .fps = 2});
  EXPECT_THAT(MessageOf([&] { builder_.Build(User({video})); }), HasSubstr("one index per frame"));
  video.sampled = std::make_shared<const SampledFrames>(SampledFrames{
      .frames = {kPicture, kData / "prompt/pictures/tall.png"}, .indices = {0, 1}, .fps = 2});
  EXPECT_THAT(MessageOf([&] { builder_.Build(User({video})); }),
              HasSubstr("all frames must have one size"));
}

TEST_F(PromptBuilderTest, VideoConfigMattersOnlyForVideos) {
  const std::filesystem::path dir = testing::TempDir() + "ingot_prompt_test";
  std::filesystem::create_directories(dir);
  for (const char* name : {"config.json", "tokenizer.json", "tokenizer_config.json",
                           "chat_template.json", "preprocessor_config.json"}) {
    std::filesystem::copy_file(kModel / name, dir / name,
                               std::filesystem::copy_options::overwrite_existing);
  }
  const PromptBuilder builder(dir, config_);
  EXPECT_GT(builder.Build(User({Part::Text("hi")})).n_tokens(), 0);
  EXPECT_THAT(MessageOf([&] { builder.Build(User({Part::Video("clip.mp4")})); }),
              HasSubstr("video_preprocessor_config.json"));
  ModelConfig other = config_;
  other.image_token = 5;
  EXPECT_THAT(MessageOf([&] { PromptBuilder(dir, other); }), HasSubstr("image_token_id is 5"));
  std::filesystem::remove_all(dir);
}

TEST(MessagesJson, ContentForms) {
  Conversation conversation = User({Part::Text("a\n\"b\"")});
  conversation.push_back({.role = "assistant",
                          .parts = {},
                          .extra_json = R"({"tool_calls": [1e-07], "role": "system"})"});
  conversation.push_back({.role = "user",
                          .parts = {Part::Image("x.png"), Part::Text("t"), Part::Video("y.mp4")},
                          .extra_json = "{ }"});
  EXPECT_EQ(
      MessagesJson(conversation),
      R"([{"role": "user", "content": "a\n\"b\""}, )"
      R"({"tool_calls": [1e-07], "role": "system", "role": "assistant", "content": ""}, )"
      R"({"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "t"}, {"type": "video"}]}])");
  EXPECT_THROW(MessagesJson(User({Part::Text("\xff")})), UserError);
  conversation[0].extra_json = "[1]";
  EXPECT_THROW(MessagesJson(conversation), UserError);
}

TEST(Expansion, VideoPlaces) {
  const VideoTokens tokens{.pad = "<P>", .start = "<S>", .end = "<E>"};
  const std::vector<double> seconds = {0.25, 1.75};
  EXPECT_EQ(VideoText(tokens, 2, 2, seconds), "<0.2 seconds><S><P><P><E><1.8 seconds><S><P><P><E>");
  EXPECT_EQ(VideoText(tokens, 2, 1, {}), "<P><P>");
  const std::vector<TextSegment> segments = {
      {"a<S><P><E>b", true}, {"<S><P><E>", false}, {"<P>", true}};
  const std::vector<std::string> texts = {"1", "2"};
  const std::vector<TextSegment> kept = {{"a<S>1<E>b", true}, {"<S><P><E>", false}, {"2", true}};
  EXPECT_EQ(ExpandVideos(segments, tokens, texts, false), kept);
  const std::vector<TextSegment> replaced = {{"a1b", true}, {"<S><P><E>", false}, {"2", true}};
  EXPECT_EQ(ExpandVideos(segments, tokens, texts, true), replaced);
  EXPECT_THROW(ExpandVideos(segments, tokens, std::vector<std::string>{"1"}, true), UserError);
}

TEST(Expansion, ImagePlaces) {
  const std::vector<int32_t> ids = {1, 9, 2, 9};
  EXPECT_EQ(ExpandImages(ids, 9, std::vector<int64_t>{2, 1}),
            (std::vector<int32_t>{1, 9, 9, 2, 9}));
  EXPECT_THROW(ExpandImages(ids, 9, std::vector<int64_t>{2}), UserError);
  EXPECT_THROW(ExpandImages(ids, 9, std::vector<int64_t>{2, 1, 1}), UserError);
}

}  // namespace
}  // namespace ingot
