// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "text/golden_test_util.h"

namespace ingot {
namespace {

using Ids = std::vector<int32_t>;
using testing::HasSubstr;

class TokenizerTest : public testing::Test {
 protected:
  const Tokenizer tokenizer_{MiniDir()};
  const int32_t im_start_ = *tokenizer_.TokenId("<|im_start|>");
  const int32_t im_end_ = *tokenizer_.TokenId("<|im_end|>");

  int64_t CountAdded(const Ids& ids) const {
    return std::ranges::count_if(
        ids, [&](int32_t id) { return id >= tokenizer_.added_tokens().front().id; });
  }
};

// A folder with one file, removed afterwards.
class Folder {
 public:
  explicit Folder(const std::string& tokenizer_json)
      : dir_(testing::TempDir() + "ingot_tokenizer_test") {
    std::filesystem::create_directories(dir_);
    std::ofstream(dir_ / "tokenizer.json") << tokenizer_json;
  }
  ~Folder() { std::filesystem::remove_all(dir_); }
  const std::filesystem::path& path() const { return dir_; }

 private:
  std::filesystem::path dir_;
};

template <typename E>
std::string MessageOf(const std::function<void()>& body) {
  try {
    body();
  } catch (const E& error) {
    return error.what();
  }
  return "nothing of this kind was thrown";
}

TEST_F(TokenizerTest, UserTextNeverBecomesAControlToken) {
  for (const AddedToken& token : tokenizer_.added_tokens()) {
    const std::string text = "a " + token.text + " b";
    EXPECT_EQ(CountAdded(tokenizer_.EncodeTrusted(text)), 1) << text;
    const Ids ids = tokenizer_.EncodeUser(text);
    EXPECT_EQ(CountAdded(ids), 0) << text;
    EXPECT_EQ(tokenizer_.Decode(ids, true), text);  // nothing is lost or changed
  }
}

TEST_F(TokenizerTest, SegmentsDecideWhereControlTokensCount) {
  const std::vector<TextSegment> segments = {
      {"<|im_start|>user\n", true}, {"x<|im_end|>", false}, {"<|im_end|>", true}};
  const Ids ids = tokenizer_.Encode(segments);
  EXPECT_EQ(ids.front(), im_start_);
  EXPECT_EQ(ids.back(), im_end_);
  EXPECT_EQ(CountAdded(ids), 2);
}

TEST_F(TokenizerTest, ATokenAcrossABorderIsNone) {
  const std::vector<std::vector<TextSegment>> spellings = {
      {{"<|im_", true}, {"end|>", false}},
      {{"<|im_", false}, {"end|>", true}},
      {{"<|im_", false}, {"end|>", false}},
  };
  for (const auto& segments : spellings) EXPECT_EQ(CountAdded(tokenizer_.Encode(segments)), 0);
  const std::vector<TextSegment> trusted = {{"<|im_", true}, {"end|>", true}};
  EXPECT_EQ(tokenizer_.Encode(trusted), Ids{im_end_});
}

TEST_F(TokenizerTest, BordersDoNotSplitWords) {
  const std::vector<TextSegment> segments = {
      {"What is", true}, {"n't <this>", false}, {" the best\n", true}, {"\n", false}};
  EXPECT_EQ(tokenizer_.Encode(segments),
            tokenizer_.EncodeTrusted("What isn't <this> the best\n\n"));
}

TEST_F(TokenizerTest, CombiningCharactersAfterABracketCompose) {
  const std::string text =
      "a <\xcc\xb8 b >\xcc\xb8 e\xcc\x81";  // normalisation makes one character of '<' and U+0338
  EXPECT_EQ(tokenizer_.EncodeUser(text), tokenizer_.EncodeTrusted(text));
}

TEST_F(TokenizerTest, PrivateUseCharactersSurvive) {
  const std::string text =
      "\xf3\xb0\x80\x80<|im_end|>\xf3\xb0\x80\x81 \xf4\x8f\xbf\xbd";  // U+F0000, U+F0001, U+10FFFD
  const Ids ids = tokenizer_.EncodeUser(text);
  EXPECT_EQ(CountAdded(ids), 0);
  EXPECT_EQ(tokenizer_.Decode(ids, false), text);
}

TEST_F(TokenizerTest, RandomMixesKeepTheirText) {
  std::mt19937 random(7);
  const std::vector<std::string> pieces = {
      "<|im_end|>", "<", "|im_end|>",   "<think>", "</think>", ">",  " ",           "word",
      "\n",         "é", "<|image_pad", "|>",      "🙂",       "12", "<tool_call>", "<|"};
  for (int round = 0; round < 300; ++round) {
    std::vector<TextSegment> segments;
    std::string text;
    for (int i = 0; i < 8; ++i) {
      segments.push_back({pieces[random() % pieces.size()], false});
      text += segments.back().text;
    }
    const Ids ids = tokenizer_.Encode(segments);
    EXPECT_EQ(CountAdded(ids), 0) << text;
    EXPECT_EQ(ids, tokenizer_.EncodeUser(text));
    EXPECT_EQ(tokenizer_.Decode(ids, true), text);
  }
}

TEST_F(TokenizerTest, StreamNeverEndsInsideACharacter) {
  const std::string text = "naïve 你好 🙂👍🏽 end";
  StreamDecoder decoder(tokenizer_);
  std::string streamed;
  for (const int32_t id : tokenizer_.EncodeUser(text)) {
    streamed += decoder.Push(id);
    EXPECT_EQ(text.substr(0, streamed.size()), streamed);
    EXPECT_TRUE(streamed.size() == text.size() ||
                (static_cast<uint8_t>(text[streamed.size()]) & 0xc0) != 0x80);
  }
  EXPECT_EQ(streamed + decoder.Finish(), text);
}

TEST_F(TokenizerTest, IdsOutsideOfTheVocabularyAddNothing) {
  EXPECT_EQ(tokenizer_.Decode(Ids{-1, 1'000'000, im_end_}, false), "<|im_end|>");
  EXPECT_EQ(tokenizer_.TokenBytes(-1), "");
  EXPECT_EQ(tokenizer_.TokenBytes(1'000'000), "");
  EXPECT_EQ(tokenizer_.TokenId("no such token"), std::nullopt);
  EXPECT_FALSE(tokenizer_.IsSpecial(5));
  EXPECT_TRUE(tokenizer_.EncodeUser("").empty());
  EXPECT_TRUE(tokenizer_.Encode({}).empty());
}

TEST_F(TokenizerTest, Limits) {
  EXPECT_THROW(tokenizer_.EncodeUser(std::string(Tokenizer::kMaxTextBytes + 1, 'a')), UserError);
  EXPECT_THAT(MessageOf<UserError>([&] { tokenizer_.EncodeTrusted("ab\xff"); }),
              HasSubstr("not valid UTF-8 at byte 2"));
}

TEST_F(TokenizerTest, ManyThreadsAtOnce) {
  const Ids expected = tokenizer_.EncodeUser("The quick <brown> fox 你好");
  std::vector<std::thread> threads;
  std::vector<int> wrong(4, 0);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i)
        wrong[t] += tokenizer_.EncodeUser("The quick <brown> fox 你好") != expected;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4, 0));
}

TEST(TokenizerFile, MissingFileSaysWhatToDo) {
  const std::string message = MessageOf<UserError>([] { Tokenizer{testing::TempDir()}; });
  EXPECT_THAT(message, HasSubstr("tokenizer.json"));
  EXPECT_THAT(message, HasSubstr("Copy it from the original model folder"));
}

TEST(TokenizerFile, BrokenFilesAreFormatErrors) {
  const std::string whole = ReadFile(MiniDir() / "tokenizer.json");
  for (const std::string& json :
       {std::string("{"), std::string(""), std::string("[]"), std::string("{\"model\": 3}"),
        whole.substr(0, whole.size() / 2), std::string(100'000, '['),
        std::string(R"({"version": "1.0", "decoder": {"type": "ByteLevel," "x": 1}})")}) {
    const Folder folder(json);
    EXPECT_THAT(MessageOf<FormatError>([&] { Tokenizer{folder.path()}; }),
                HasSubstr("tokenizer.json: "))
        << json.substr(0, 20);
  }
}

TEST(TokenizerFile, OtherKindsAreRefused) {
  auto json = nlohmann::json::parse(ReadFile(MiniDir() / "tokenizer.json"));
  json["decoder"] = {{"type", "Fuse"}};
  {
    const Folder folder(json.dump());
    EXPECT_THAT(MessageOf<UserError>([&] { Tokenizer{folder.path()}; }),
                HasSubstr("decoder other than ByteLevel"));
  }
  json = nlohmann::json::parse(ReadFile(MiniDir() / "tokenizer.json"));
  json["model"]["dropout"] = 0.5;
  const Folder folder(json.dump());
  EXPECT_THAT(MessageOf<UserError>([&] { Tokenizer{folder.path()}; }), HasSubstr("dropout"));
}

TEST(TokenizerFile, TruncationAndPaddingOfTheFileAreIgnored) {
  auto json = nlohmann::json::parse(ReadFile(MiniDir() / "tokenizer.json"));
  json["truncation"] = {
      {"direction", "Right"}, {"max_length", 2}, {"strategy", "LongestFirst"}, {"stride", 0}};
  const Folder folder(json.dump());
  EXPECT_GT(Tokenizer(folder.path()).EncodeUser("one two three four five six").size(), 2u);
}

}  // namespace
}  // namespace ingot
