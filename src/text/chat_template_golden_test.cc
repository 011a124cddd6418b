// SPDX-License-Identifier: Apache-2.0
// Rendered conversations against recorded results of transformers 5.23.0: 41 conversations, three
// templates.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/error.h"
#include "text/chat_template.h"
#include "text/golden_test_util.h"
#include "text/tokenizer.h"

namespace ingot {
namespace {

using nlohmann::ordered_json;
using Ids = std::vector<int32_t>;

RenderOptions Options(const ordered_json& item, bool protect) {
  RenderOptions options;
  options.add_generation_prompt = item.at("add_generation_prompt");
  options.add_vision_id = item.value("add_vision_id", false);
  if (!item.at("tools").is_null()) options.tools_json = item.at("tools").dump();
  options.protect = protect;
  return options;
}

TEST(ChatTemplateGolden, RendersAsTheReference) {
  const ordered_json golden = ReadGolden("templates/templates.json");
  const Tokenizer tokenizer(Qwen3Dir());
  ASSERT_EQ(golden.at("sets").size(), 3u);
  for (const ordered_json& set : golden.at("sets")) {
    const std::string name = set.at("template");
    const ChatTemplate chat(name, set.at("template_text"), tokenizer);
    ASSERT_EQ(set.at("cases").size(), 41u);
    for (const ordered_json& item : set.at("cases")) {
      const std::string label = name + "/" + item.at("name").get<std::string>();
      const std::string messages = item.at("messages").dump();
      if (item.contains("error")) {
        EXPECT_THROW(chat.Render(messages, Options(item, false)), UserError) << label;
        EXPECT_THROW(chat.Render(messages, Options(item, true)), UserError) << label;
        continue;
      }
      const RenderResult plain = chat.Render(messages, Options(item, false));
      EXPECT_EQ(plain.text, item.at("text").get<std::string>()) << label;
      EXPECT_EQ(tokenizer.Encode(plain.segments), item.at("ids").get<Ids>()) << label;
    }
  }
}

TEST(ChatTemplateGolden, ProtectionChangesOnlySpelledControlTokens) {
  const ordered_json golden = ReadGolden("templates/templates.json");
  const Tokenizer tokenizer(Qwen3Dir());
  for (const ordered_json& set : golden.at("sets")) {
    const ChatTemplate chat(set.at("template"), set.at("template_text"), tokenizer);
    for (const ordered_json& item : set.at("cases")) {
      if (item.contains("error")) continue;
      const std::string label = item.at("name");
      const std::string messages = item.at("messages").dump();
      if (label == "string_part") {  // "image" in a plain string would make a picture
        EXPECT_THROW(chat.Render(messages, Options(item, true)), UserError);
        continue;
      }
      const RenderResult rendered = chat.Render(messages, Options(item, true));
      EXPECT_EQ(rendered.text, item.at("text").get<std::string>()) << label;
      const Ids ids = tokenizer.Encode(rendered.segments);
      if (label == "special_tokens_in_text") {
        EXPECT_EQ(tokenizer.Decode(ids, false), rendered.text);
        EXPECT_EQ(std::count(ids.begin(), ids.end(), tokenizer.TokenId("<|image_pad|>")), 0);
        EXPECT_LT(std::count(ids.begin(), ids.end(), tokenizer.TokenId("<|im_end|>")),
                  std::ranges::count(item.at("ids").get<Ids>(), *tokenizer.TokenId("<|im_end|>")));
      } else {
        EXPECT_EQ(ids, item.at("ids").get<Ids>()) << label;
      }
    }
  }
}

}  // namespace
}  // namespace ingot
