// SPDX-License-Identifier: Apache-2.0
// Ids and texts against recorded results of Hugging Face tokenizers 0.23.3: the real Qwen3
// tokenizer and that of the small models.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "text/golden_test_util.h"
#include "text/tokenizer.h"

namespace ingot {
namespace {

using Ids = std::vector<int32_t>;

std::string Stream(const Tokenizer& tokenizer, const Ids& ids, bool skip_special) {
  StreamDecoder decoder(tokenizer, skip_special);
  std::string text;
  for (const int32_t id : ids) text += decoder.Push(id);
  return text + decoder.Finish();
}

struct Set {
  const char* golden;
  std::filesystem::path dir;
};

class TokenizerGolden : public testing::TestWithParam<Set> {
 protected:
  const nlohmann::ordered_json golden_ = ReadGolden(GetParam().golden);
  const Tokenizer tokenizer_{GetParam().dir};
};

TEST_P(TokenizerGolden, AddedTokensAndSize) {
  EXPECT_EQ(tokenizer_.vocab_size(), golden_.at("vocab_size_with_added").get<int64_t>());
  ASSERT_EQ(tokenizer_.added_tokens().size(), golden_.at("added_tokens").size());
  for (const auto& token : golden_.at("added_tokens")) {
    const int32_t id = token.at("id");
    const std::string text = token.at("content");
    EXPECT_EQ(tokenizer_.TokenId(text), id);
    EXPECT_EQ(tokenizer_.IsSpecial(id), token.at("special").get<bool>()) << text;
    EXPECT_EQ(tokenizer_.TokenBytes(id), text);
    EXPECT_EQ(tokenizer_.EncodeTrusted(text), Ids{id});
  }
}

TEST_P(TokenizerGolden, EncodesAndDecodes) {
  ASSERT_EQ(golden_.at("cases").size(), 478u);
  for (const auto& item : golden_.at("cases")) {
    const std::string text = item.at("text");
    const Ids ids = item.at("ids");
    EXPECT_EQ(tokenizer_.EncodeTrusted(text), ids) << text;
    const std::string decoded = item.at("decoded");
    EXPECT_EQ(tokenizer_.Decode(ids, false), decoded);
    EXPECT_EQ(Stream(tokenizer_, ids, false), decoded);
    const std::string skipped = item.value("decoded_skip_special", decoded);
    EXPECT_EQ(tokenizer_.Decode(ids, true), skipped);
    EXPECT_EQ(Stream(tokenizer_, ids, true), skipped);
  }
}

TEST_P(TokenizerGolden, DecodesCutTextAndRandomIds) {
  ASSERT_GE(golden_.at("decode_only").size(), 333u);
  for (const auto& item : golden_.at("decode_only")) {
    const Ids ids = item.at("ids");
    const std::string decoded = item.at("decoded");
    EXPECT_EQ(tokenizer_.Decode(ids, false), decoded);
    EXPECT_EQ(Stream(tokenizer_, ids, false), decoded);
  }
}

// Without a control token inside, protection changes nothing, wherever the segment borders are.
TEST_P(TokenizerGolden, ProtectionIsExactOnOrdinaryText) {
  int compared = 0;
  for (const auto& item : golden_.at("cases")) {
    const std::string text = item.at("text");
    const Ids ids = item.at("ids");
    bool control = false;
    for (const AddedToken& token : tokenizer_.added_tokens())
      control |= text.find(token.text) != std::string::npos;
    if (control) continue;
    ++compared;
    EXPECT_EQ(tokenizer_.EncodeUser(text), ids) << text;
    // An angle bracket anywhere in the untrusted part sends the whole text through the guarded way.
    const std::vector<TextSegment> segments = {
        {"<|im_start|>user\n", true}, {"< " + text, false}, {"<|im_end|>", true}};
    EXPECT_EQ(tokenizer_.Encode(segments),
              tokenizer_.EncodeTrusted("<|im_start|>user\n< " + text + "<|im_end|>"))
        << text;
  }
  EXPECT_GT(compared, 350);
}

INSTANTIATE_TEST_SUITE_P(Sets, TokenizerGolden,
                         testing::Values(Set{"tokenizer/tokenizer-qwen3.json", Qwen3Dir()},
                                         Set{"tokenizer/tokenizer-mini.json", MiniDir()}),
                         [](const auto& param) { return param.index == 0 ? "qwen3" : "mini"; });

}  // namespace
}  // namespace ingot
