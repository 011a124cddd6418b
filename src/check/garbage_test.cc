// SPDX-License-Identifier: Apache-2.0
#include "check/garbage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

namespace ingot {
namespace {

using ::testing::HasSubstr;

// One token for each word, numbered by first appearance, so that repeated words are repeated
// tokens.
GeneratedText FromWords(const std::string& text) {
  GeneratedText generated;
  generated.prompt_name = "test";
  generated.text = text;
  generated.vocab = 1000;
  generated.stopped = true;
  std::vector<std::string> words;
  std::string word;
  for (const char c : text + " ") {
    if (c != ' ') {
      word += c;
      continue;
    }
    const auto at = std::find(words.begin(), words.end(), word);
    const int64_t id = at - words.begin();
    if (at == words.end()) words.push_back(word);
    generated.steps.push_back({.token = id, .entropy = 1.0f});
    word.clear();
  }
  return generated;
}

GarbageVerdict VerdictOf(const std::string& text) { return JudgeText(FromWords(text)).verdict; }

TEST(Garbage, OrdinaryAnswersAreFine) {
  for (const char* text : {
           "The picture shows a red bus that stands at a stop in front of a tall building, and two "
           "people wait beside it.",
           "yes",
           "",
           "7 5 3 1 2 4 6 8 9 0 11 12 13 14",
           "这 张 图片 显示 了 一 辆 红色 的 公共 汽车 停 在 一 座 高楼 前面",
           "В этой фотографии виден красный автобус у остановки перед высоким зданием и два "
           "человека рядом с ним",
           "The sign says 「止まれ」, which is Japanese for stop, and below it stands the word "
           "STOP once more in Latin letters.",
           "| year | value | | --- | --- | | 2019 | 4 | | 2020 | 7 | | 2021 | 9 | | 2022 | 12 |",
           "It is what it is, and that is that: the cat sat on the mat, the dog sat on the log, "
           "the frog sat on the bog.",
           "a café, a naïve façade, Dvořák's piano — all of it « très » élégant at 20 °C in the "
           "crème brûlée shop",
       }) {
    EXPECT_EQ(VerdictOf(text), GarbageVerdict::kFine) << text;
  }
}

TEST(Garbage, OneRepeatedTokenOrPhrase) {
  std::string same, phrase;
  for (int i = 0; i < 40; ++i) same += "the ";
  for (int i = 0; i < 12; ++i) phrase += "on the left of the ";
  for (const std::string& text : {same, phrase, "The bus is " + phrase}) {
    const GarbageReport report = JudgeText(FromWords(text));
    EXPECT_EQ(report.verdict, GarbageVerdict::kGarbage) << text;
    ASSERT_FALSE(report.reasons.empty());
    EXPECT_THAT(report.reasons[0], HasSubstr("repeat the ones before them"));
  }
}

// An answer that leaves one circle only to enter the next was once taken for sound.
TEST(Garbage, OneCircleAfterAnother) {
  const auto times = [](const std::string& phrase, int n) {
    std::string text;
    for (int i = 0; i < n; ++i) text += phrase + " ";
    return text;
  };
  const std::string circles = "It is " + times("on", 60) + times("a white", 40) + times("2", 50);
  const GarbageReport report = JudgeText(FromWords(circles));
  EXPECT_EQ(report.verdict, GarbageVerdict::kGarbage);
  EXPECT_GT(report.repetition, 0.95);
  // Short repetitions that people write do not add up.
  EXPECT_NE(VerdictOf(times("no no no, he said, ha ha ha, and went on very very very slowly", 1)),
            GarbageVerdict::kGarbage);
}

TEST(Garbage, MixedScripts) {
  const GarbageReport report =
      JudgeText(FromWords("ал the 的ing गति سلام foo了 ба้ง zeиt หก的 ox그림 das שלום ие图 bus ა"));
  EXPECT_EQ(report.verdict, GarbageVerdict::kGarbage);
  EXPECT_GE(report.n_scripts, 4);
}

TEST(Garbage, BrokenUtf8) {
  EXPECT_EQ(VerdictOf("ab\xff\xfe cd\x80 \xc3( \xe2\x82 \xed\xa0\x80 ok"),
            GarbageVerdict::kGarbage);
  EXPECT_EQ(VerdictOf("\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd abc"), GarbageVerdict::kGarbage);
  // A multi-byte character cut by the length limit is no garbage.
  EXPECT_EQ(VerdictOf("a long and ordinary answer that ends in the middle of a letter: caf\xc3"),
            GarbageVerdict::kFine);
}

TEST(Garbage, LogitsThatSayNothing) {
  GeneratedText generated = FromWords("some words that look fine");
  for (StepStats& step : generated.steps) step.entropy = 0.95f * std::log(1000.0f);
  EXPECT_EQ(JudgeText(generated).verdict, GarbageVerdict::kGarbage);
  for (StepStats& step : generated.steps) step.entropy = 2.0f;
  EXPECT_EQ(JudgeText(generated).verdict, GarbageVerdict::kFine);
  generated.steps[1].bad_logits = 3;
  EXPECT_EQ(JudgeText(generated).verdict, GarbageVerdict::kGarbage);
  EXPECT_THAT(JudgeText(generated).reasons[0], HasSubstr("3 logits"));
}

TEST(Garbage, ControlTokens) {
  GeneratedText generated = FromWords("a b c d e f g h i j k l m n");
  for (size_t i = 0; i < 6; ++i) generated.steps[2 * i].special = true;
  EXPECT_EQ(JudgeText(generated).verdict, GarbageVerdict::kGarbage);
}

TEST(Garbage, TheSameAnswerToEverything) {
  const GeneratedText one =
      FromWords("this is a sentence of more than twelve words that could stand for itself alone");
  const std::vector<GeneratedText> answers = {one, one, one};
  EXPECT_EQ(JudgeText(one).verdict, GarbageVerdict::kFine);
  EXPECT_EQ(JudgeTexts(answers).verdict, GarbageVerdict::kGarbage);
  const std::vector<GeneratedText> short_ones = {FromWords("yes"), FromWords("yes")};
  EXPECT_EQ(JudgeTexts(short_ones).verdict, GarbageVerdict::kFine);
}

TEST(Garbage, NothingAtAll) {
  GeneratedText generated;
  EXPECT_EQ(JudgeText(generated).verdict, GarbageVerdict::kSuspicious);
  EXPECT_EQ(JudgeTexts({}).verdict, GarbageVerdict::kFine);
}

}  // namespace
}  // namespace ingot
