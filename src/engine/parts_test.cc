// SPDX-License-Identifier: Apache-2.0
// The engine's parts one by one: stop strings, prefix hashes, picture cache, memory arithmetic,
// garbage watch.
#include <gtest/gtest.h>

#include <random>

#include "base/error.h"
#include "engine/fake_runner.h"
#include "engine/garbage_watch.h"
#include "engine/memory_plan.h"
#include "engine/picture_cache.h"
#include "engine/prefix_hash.h"
#include "engine/stop_text.h"

namespace ingot {
namespace {

// Feeds `text` in pieces; returns what is shown and which stop string ended it (-1: none).
std::pair<std::string, int> Feed(std::vector<std::string> stops, bool include,
                                 const std::vector<std::string>& pieces) {
  StopText stop_text(std::move(stops), include);
  std::string shown;
  for (const std::string& piece : pieces) {
    const StopText::Result result = stop_text.Push(piece);
    shown += result.text;
    if (result.stop) return {shown, static_cast<int>(*result.stop)};
  }
  return {shown + stop_text.Finish(), -1};
}

TEST(StopTextTest, FindsStopsOverPieces) {
  using Result = std::pair<std::string, int>;
  EXPECT_EQ(Feed({"END"}, false, {"abcE", "N", "Dxyz"}), Result("abc", 0));
  EXPECT_EQ(Feed({"END"}, true, {"abcE", "N", "Dxyz"}), Result("abcEND", 0));
  EXPECT_EQ(Feed({"END"}, false, {"abcE", "N", "xyz"}), Result("abcENxyz", -1));
  EXPECT_EQ(Feed({"END"}, false, {"abcEN"}), Result("abcEN", -1));
  EXPECT_EQ(Feed({"aab"}, false, {"a", "a", "a", "b"}), Result("a", 0));
  EXPECT_EQ(Feed({"b", "ab"}, false, {"xxab"}), Result("xx", 1));  // the one that begins first
  EXPECT_EQ(Feed({"x"}, false, {"x"}), Result("", 0));
}

TEST(StopTextTest, ShowsAtOnceWhatCannotBecomeAStop) {
  StopText stops({"\n\nQ"}, false);
  EXPECT_EQ(stops.Push("hello").text, "hello");
  EXPECT_EQ(stops.Push(" world\n").text, " world");
  EXPECT_EQ(stops.Push("x").text, "\nx");
}

TEST(StopTextTest, RandomTextsAgreeWithASearchOfTheWhole) {
  std::mt19937 random(1);
  for (int round = 0; round < 2000; ++round) {
    std::vector<std::string> stops, pieces;
    const auto text = [&](size_t least, size_t most) {
      std::string s;
      for (size_t n = least + random() % (most - least + 1); n > 0; --n)
        s += "ab\xc3\xa9"[random() % 2];
      return s;
    };
    for (size_t n = 1 + random() % 3; n > 0; --n) stops.push_back(text(1, 4));
    std::string whole;
    for (size_t n = random() % 10; n > 0; --n) {
      pieces.push_back(text(0, 3));
      whole += pieces.back();
    }
    size_t at = std::string::npos;
    for (const std::string& stop : stops) at = std::min(at, whole.find(stop));
    const auto [shown, which] = Feed(stops, false, pieces);
    // A stop string that a longer one contains may be complete before the longer one is.
    if (which < 0) {
      EXPECT_EQ(at, std::string::npos);
      EXPECT_EQ(shown, whole);
    } else {
      ASSERT_NE(at, std::string::npos);
      EXPECT_EQ(whole.substr(shown.size(), stops[static_cast<size_t>(which)].size()),
                stops[static_cast<size_t>(which)]);
      EXPECT_EQ(shown, whole.substr(0, shown.size()));
    }
  }
}

TEST(StopTextTest, CharactersAreNotCut) {
  StopText stops({"\xa9x"}, false);  // begins inside of a character
  EXPECT_EQ(stops.Push("a\xc3\xa9").text, "a");
  EXPECT_EQ(stops.Push("b").text,
            "\xc3\xa9"
            "b");
}

std::vector<PicturePlace> PlacesOf(const PreparedPrompt& prompt) {
  std::vector<int64_t> counts;
  for (const Grid& grid : prompt.images.grids) counts.push_back(grid.n_tokens(2));
  return FindPictures(prompt, counts, {}, PictureIdsOf(prompt));
}

TEST(PrefixHashTest, CoversTokensPicturesAndSalt) {
  const auto chain_of = [](int content, int32_t token, std::string_view salt) {
    PreparedPrompt prompt = FakePrompt(std::vector<int32_t>(20, token));
    AddFakePicture(&prompt, 8, content, std::vector<int32_t>(44, 7));  // 80 tokens
    PrefixChain chain(salt, PlacesOf(prompt));
    chain.Extend(std::span(prompt.ids).first(40));  // in two steps
    chain.Extend(prompt.ids);
    return chain.hashes();
  };
  const auto base = chain_of(1, 10, "");
  ASSERT_EQ(base.size(), 5u);
  EXPECT_EQ(chain_of(1, 10, ""), base);
  const auto other_picture = chain_of(2, 10, "");
  EXPECT_EQ(other_picture[0], base[0]);  // before the picture
  for (size_t i = 1; i < 5; ++i) EXPECT_NE(other_picture[i], base[i]) << i;
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_NE(chain_of(1, 11, "")[i], base[i]);
    EXPECT_NE(chain_of(1, 10, "s")[i], base[i]);
  }
}

TEST(PrefixHashTest, FindsPicturesAndTheGapsInVideos) {
  PreparedPrompt prompt = FakePrompt({10});
  AddFakePicture(&prompt, 4, 1, {11, 12});
  AddFakePicture(&prompt, 4, 2, {});
  for (const int kind : {2, 2, 0, 2, 2}) {  // a video of two frames with a time stamp between them
    prompt.ids.push_back(kind == 2 ? 6 : 13);
    prompt.kinds.push_back(kind == 2 ? TokenKind::kVideo : TokenKind::kText);
  }
  const std::vector<PictureId> ids(3);
  const int64_t images[] = {4, 4}, videos[] = {4};
  const auto places = FindPictures(prompt, images, videos, ids);
  ASSERT_EQ(places.size(), 3u);
  EXPECT_EQ(places[0].first, 1);
  EXPECT_EQ(places[0].end, 5);
  EXPECT_EQ(places[1].first, 7);
  EXPECT_EQ(places[1].index, 1);
  EXPECT_TRUE(places[2].video);
  ASSERT_EQ(places[2].rows.size(), 2u);
  EXPECT_EQ(places[2].rows[1].first, 14);
  EXPECT_EQ(places[2].rows[1].row, 2);
  EXPECT_EQ(places[2].end, 16);
  const int64_t too_many[] = {4, 5};
  EXPECT_THROW(FindPictures(prompt, too_many, videos, ids), InternalError);
}

PictureFeatures FeaturesOf(size_t n_values) {
  auto output = std::make_shared<VisionOutput>();
  output->embeds.resize(n_values);
  return output;
}

TEST(PictureCacheTest, KeepsTheMostRecentlyUsed) {
  PictureCache cache(1000);
  const PictureId a{1}, b{2}, c{3};
  cache.Insert(a, FeaturesOf(100));
  cache.Insert(b, FeaturesOf(100));
  EXPECT_EQ(cache.bytes(), 800);
  EXPECT_TRUE(cache.Find(a));
  cache.Insert(c, FeaturesOf(100));  // b goes
  EXPECT_TRUE(cache.Find(a));
  EXPECT_FALSE(cache.Find(b));
  EXPECT_TRUE(cache.Find(c));
  cache.Insert(b, FeaturesOf(1000));  // larger than the cache
  EXPECT_FALSE(cache.Find(b));
  EXPECT_EQ(cache.size(), 2);
  cache.Clear();
  EXPECT_EQ(cache.bytes(), 0);
}

MemoryFacts FactsOf2B() {
  MemoryFacts facts;
  facts.machine = {.total = 24LL << 30, .limit = 16LL << 30, .available = 15LL << 30};
  facts.weights = 3LL << 30;
  facts.page_bytes = 64 * 114688;
  facts.config.text = {.hidden = 2048,
                       .n_layers = 28,
                       .n_heads = 16,
                       .n_kv_heads = 8,
                       .head_dim = 128,
                       .intermediate = 6144,
                       .vocab = 151936};
  facts.config.vision = {.depth = 24, .hidden = 1024, .intermediate = 4096, .n_heads = 16};
  return facts;
}

TEST(MemoryPlanTest, TheSumsAreRight) {
  const MemoryPlan plan = PlanMemory(FactsOf2B(), {.memory_utilization = 0.5});
  EXPECT_EQ(plan.budget, 8LL << 30);
  EXPECT_LE(plan.weights + plan.workspace + plan.pictures + plan.kv, plan.budget);
  EXPECT_GT(plan.kv, 3LL << 30);
  EXPECT_EQ(plan.kv, plan.kv_pages * FactsOf2B().page_bytes);
  EXPECT_EQ(plan.kv_token, 114688);
}

TEST(MemoryPlanTest, GivenBytesAndTooLittle) {
  EXPECT_EQ(PlanMemory(FactsOf2B(), {.kv_bytes = 100 * 64 * 114688}).kv_pages, 100);
  EXPECT_THROW(PlanMemory(FactsOf2B(), {.kv_bytes = 2 * 64 * 114688}), ResourceError);
  try {
    PlanMemory(FactsOf2B(), {.memory_utilization = 0.1});
    FAIL() << "3 GiB of weights in 1.6 GiB";
  } catch (const ResourceError& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("leave 0 B for keys and values"), std::string::npos) << text;
    EXPECT_EQ(text.find('\n'), std::string::npos) << text;
  }
  EXPECT_THROW(PlanMemory(FactsOf2B(), {.memory_utilization = 0}), UserError);
  EXPECT_THROW(PlanMemory(FactsOf2B(), {.memory_utilization = 1.5}), UserError);
  // No more than all choices can use.
  const MemoryPlan small = PlanMemory(FactsOf2B(), {.max_model_len = 128, .max_num_seqs = 4});
  EXPECT_EQ(small.kv_pages, 2 * 4 * 3);
}

// Two models share what is left after the fixed costs of both, by the size of their pages.
TEST(MemoryPlanTest, TwoModelsShareTheMachine) {
  MemoryFacts half_pages = FactsOf2B();
  half_pages.weights = 1LL << 30;
  half_pages.page_bytes /= 2;
  const std::vector<MemoryPlan> plans =
      PlanMemory({FactsOf2B(), half_pages}, {.memory_utilization = 0.75});
  ASSERT_EQ(plans.size(), 2u);
  const auto whole = [](const MemoryPlan& plan) {
    return plan.weights + plan.workspace + plan.pictures + plan.kv;
  };
  const int64_t budget = 12LL << 30;
  EXPECT_LE(whole(plans[0]) + whole(plans[1]), budget);
  EXPECT_GT(whole(plans[0]) + whole(plans[1]), budget - (16 << 20));  // all of it, to a page
  EXPECT_NEAR(static_cast<double>(plans[0].kv_pages), static_cast<double>(plans[1].kv_pages), 1);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(plans[i].budget, budget);
    EXPECT_LE(whole(plans[i]) + plans[i].others, budget);
    EXPECT_GE(plans[i].others, whole(plans[1 - i]));
    EXPECT_NE(plans[i].Describe().find("other model"), std::string::npos);
  }
  EXPECT_EQ(PlanMemory(FactsOf2B(), {}).Describe().find("other model"), std::string::npos);

  const std::vector<MemoryPlan> given =
      PlanMemory({FactsOf2B(), half_pages}, {.kv_bytes = 96LL * 64 * 114688});
  EXPECT_EQ(given[0].kv_pages, 64);
  EXPECT_EQ(given[1].kv_pages, 64);
  // One of them fits, two do not.
  const ServeOptions tight{.memory_utilization = 0.3};
  EXPECT_GT(PlanMemory(FactsOf2B(), tight).kv_pages, 10);
  EXPECT_THROW(PlanMemory({FactsOf2B(), FactsOf2B()}, tight), ResourceError);
}

TEST(GarbageWatchTest, ACircleAfterAGoodStartIsSeen) {
  GarbageWatch watch(1000);
  std::mt19937 random(1);
  for (int i = 0; i < 1000; ++i) watch.Add(static_cast<int32_t>(random() % 1000), 1, 0, false);
  EXPECT_TRUE(watch.Due());
  EXPECT_EQ(watch.Judge(false).verdict, GarbageVerdict::kFine);
  EXPECT_FALSE(watch.Due());
  for (int i = 0; i < 200; ++i) watch.Add(i % 3, 1, 0, false);
  EXPECT_EQ(watch.Judge(false).verdict, GarbageVerdict::kGarbage);
}

TEST(GarbageWatchTest, EntropyIsMeasuredOftenAtFirst) {
  GarbageWatch watch(1000);
  int wanted = 0;
  for (int i = 0; i < 80; ++i) {
    wanted += watch.WantsEntropy();
    watch.Add(i, -1, 0, false);
  }
  EXPECT_EQ(wanted, 16 + 8);
}

}  // namespace
}  // namespace ingot
