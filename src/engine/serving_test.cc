// SPDX-License-Identifier: Apache-2.0
// The serving engine on the small trained model: the answers of `ingot ask`, whatever runs beside
// them, for the float folder and a quantized one.
#include <gtest/gtest.h>
#include <unistd.h>

#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <thread>

#include "base/files.h"
#include "base/progress.h"
#include "base/thread_pool.h"
#include "engine/async_engine.h"
#include "engine/engine.h"
#include "engine/memory_plan.h"
#include "quant/pipeline.h"

namespace ingot {
namespace {

namespace fs = std::filesystem;
constexpr char kModel[] = INGOT_TEST_DATA "/models/tiny-qwen3-vl";

// The model quantized on four pictures, made once.
const fs::path& QuantizedFolder() {
  static const struct Folder {
    Folder() : dir(fs::temp_directory_path() / ("ingot_serving_" + std::to_string(getpid()))) {
      fs::remove_all(dir);
      fs::create_directories(dir / "pictures");
      int copied = 0;
      for (const auto& file : ListFiles(INGOT_TEST_DATA "/calib64/images")) {
        if (copied++ < 4) fs::copy_file(file, dir / "pictures" / file.filename());
      }
      SetProgressStyle(ProgressStyle::kNone);
      const ModelReader reader(kModel);
      const QuantPlan plan = MakeDefaultPlan(
          reader.config(), DefaultLayout(Target::kAscend, reader.config()), Method::kBalanced);
      RunQuantize(reader, plan, LoadDataset(dir / "pictures"), {.out_dir = dir / "w8a8"});
      out = dir / "w8a8";
    }
    ~Folder() { fs::remove_all(dir); }
    fs::path dir, out;
  } folder;
  return folder.out;
}

struct Answered {
  std::vector<int32_t> tokens;
  std::string text;
  EndReason end = EndReason::kError;
  RequestUsage usage;
};

// Submits all at once and waits for all.
std::vector<Answered> AskAll(AsyncEngine* engine, const std::vector<Request>& requests) {
  std::vector<Answered> answers(requests.size());
  std::mutex mutex;
  std::condition_variable changed;
  size_t open = requests.size();
  for (size_t i = 0; i < requests.size(); ++i) {
    const Submitted submitted = engine->Submit(requests[i], [&, i](RequestEvent&& event) {
      std::lock_guard lock(mutex);
      Answered& answer = answers[i];
      answer.tokens.insert(answer.tokens.end(), event.tokens.begin(), event.tokens.end());
      answer.text += event.text;
      answer.usage = event.usage;
      if (!event.last) return;
      answer.end = *event.end;
      --open;
      changed.notify_all();
    });
    EXPECT_EQ(submitted.status, SubmitStatus::kAccepted);
  }
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return open == 0; });
  return answers;
}

std::vector<Conversation> Questions() {
  std::vector<Conversation> questions;
  const auto pictures = ListFiles(INGOT_TEST_DATA "/val300/images");
  const char* const texts[] = {"Please describe this picture in detail.", "What is in the picture?",
                               "What colour is it?", "How many are there?"};
  for (size_t i = 0; i < 16; ++i) {
    std::vector<Part> parts;
    if (i % 5 != 4) parts.push_back(Part::Image(pictures[i / 3]));
    if (i % 7 == 3) parts.push_back(Part::Image(pictures[i]));
    parts.push_back(Part::Text(texts[i % 4]));
    questions.push_back({Message{"user", parts, ""}});
  }
  return questions;
}

enum class Variant { kFloat, kQuantized, kQuantizedInt8Kv };

class Serving {
 protected:
  static Engine& Loaded(Variant variant) {
    static Engine plain(kModel, {.precision = Precision::kBF16, .pack = true});
    static Engine w8a8(QuantizedFolder(), {.precision = Precision::kBF16, .pack = true});
    static Engine int8_kv(QuantizedFolder(),
                          {.precision = Precision::kBF16, .kv = KvType::kInt8, .pack = true});
    return variant == Variant::kFloat ? plain : variant == Variant::kQuantized ? w8a8 : int8_kv;
  }
  static Request GreedyRequest(const PreparedPrompt& prompt, int64_t max_tokens) {
    Request request;
    request.prompt = prompt;
    request.sampling.temperature = 0;
    request.sampling.max_tokens = max_tokens;
    return request;
  }
  static void ExpectSame(const Answered& served, const Answer& asked) {
    std::vector<int32_t> tokens = asked.tokens;
    if (served.end == EndReason::kStop && !served.tokens.empty())  // asked has no end token
      tokens.push_back(served.tokens.back());
    EXPECT_EQ(served.tokens, tokens);
    EXPECT_EQ(served.text, asked.text);
    EXPECT_EQ(served.end == EndReason::kStop, asked.reason == FinishReason::kStop);
  }
};
class ServingTest : public Serving, public ::testing::TestWithParam<Variant> {};
class TwoModelsTest : public Serving, public ::testing::Test {};

TEST_P(ServingTest, GreedyAnswersAreThoseOfAskAtAnyConcurrency) {
  Engine& engine = Loaded(GetParam());
  std::vector<Request> requests;
  std::vector<Answer> expected;
  for (const Conversation& question : Questions()) {
    const PreparedPrompt prompt = engine.Prepare(question);
    AnswerParams params;
    params.sampling.do_sample = false;
    params.max_tokens = 24;
    expected.push_back(engine.Ask(prompt, params));
    requests.push_back(GreedyRequest(prompt, 24));
  }
  for (const bool caching : {false, true}) {
    // Few pages, small pieces: chunks, preemption and pieces of pictures all happen.
    AsyncEngine served(engine, {.max_model_len = 512,
                                .max_num_seqs = 16,
                                .max_num_batched_tokens = 64,
                                .prefill_chunk = 24,
                                .prefix_caching = caching,
                                .kv_bytes = engine.options().kv ? 8 << 20 : 16 << 20});
    for (int round = 0; round < 2; ++round) {
      const std::vector<Answered> together = AskAll(&served, requests);
      for (size_t i = 0; i < requests.size(); ++i) ExpectSame(together[i], expected[i]);
      for (size_t i = 0; i < requests.size(); i += 5)
        ExpectSame(AskAll(&served, {requests[i]})[0], expected[i]);
    }
    const EngineStats stats = served.Stats();
    EXPECT_EQ(stats.kv_pages_used, 0);
    EXPECT_EQ(stats.prefix_hits > 0, caching);
    EXPECT_GT(stats.picture_hits, 0u);
  }
}

// Two models in one process share nothing but the pool's threads.
TEST_F(TwoModelsTest, AnswerAtOnceAsEachAlone) {
  Engine* engines[] = {&Loaded(Variant::kFloat), &Loaded(Variant::kQuantized)};
  std::vector<Request> requests[2];
  std::vector<Answer> expected[2];
  for (size_t m = 0; m < 2; ++m) {
    for (const Conversation& question : Questions()) {
      const PreparedPrompt prompt = engines[m]->Prepare(question);
      AnswerParams params;
      params.sampling.do_sample = false;
      params.max_tokens = 24;
      expected[m].push_back(engines[m]->Ask(prompt, params));
      requests[m].push_back(GreedyRequest(prompt, 24));
    }
  }
  const ServeOptions options{.max_model_len = 512, .kv_bytes = 64 << 20};
  const std::vector<MemoryPlan> plans =
      PlanMemory({MemoryFactsOf(*engines[0]), MemoryFactsOf(*engines[1])}, options);
  AsyncEngine first(*engines[0], options, plans[0]), second(*engines[1], options, plans[1]);
  std::vector<Answered> answers[2];
  std::thread other([&] { answers[1] = AskAll(&second, requests[1]); });
  answers[0] = AskAll(&first, requests[0]);
  other.join();
  for (size_t m = 0; m < 2; ++m) {
    for (size_t i = 0; i < requests[m].size(); ++i) ExpectSame(answers[m][i], expected[m][i]);
  }
}

TEST_P(ServingTest, SeedsGiveTheSameAnswerWhateverElseRuns) {
  Engine& engine = Loaded(GetParam());
  AsyncEngine served(engine, {.max_model_len = 512, .kv_bytes = 64 << 20});
  std::vector<Request> requests;
  for (const Conversation& question : Questions()) {
    Request request = GreedyRequest(engine.Prepare(question), 16);
    request.sampling.temperature = 1;
    request.sampling.top_p = 0.9f;
    request.sampling.seed = requests.size() % 3;
    requests.push_back(std::move(request));
  }
  const std::vector<Answered> together = AskAll(&served, requests);
  for (const size_t i : {0, 3, 9, 15})
    EXPECT_EQ(AskAll(&served, {requests[i]})[0].tokens, together[i].tokens);
}

TEST_P(ServingTest, TheSecondQuestionAboutAPictureRunsNoTower) {
  Engine& engine = Loaded(GetParam());
  AsyncEngine served(engine, {.max_model_len = 512, .kv_bytes = 64 << 20});
  const std::vector<Conversation> questions = Questions();
  AskAll(&served, {GreedyRequest(engine.Prepare(questions[0]), 4)});
  EXPECT_EQ(served.Stats().picture_cache_entries, 1);
  AskAll(&served, {GreedyRequest(engine.Prepare(questions[1]), 4)});
  EXPECT_EQ(served.Stats().picture_cache_entries, 1);
  EXPECT_EQ(served.Stats().picture_queries, 2u);
  EXPECT_EQ(served.Stats().picture_hits, 1u);
}

INSTANTIATE_TEST_SUITE_P(FloatAndQuantized, ServingTest,
                         ::testing::Values(Variant::kFloat, Variant::kQuantized,
                                           Variant::kQuantizedInt8Kv));

TEST(ServingDeterminism, ThreadsDoNotMatter) {
  Engine engine(kModel, {.precision = Precision::kBF16});
  std::vector<std::vector<Answered>> runs;
  for (const int threads : {1, 2, 3}) {
    SetNumThreads(threads);
    AsyncEngine served(engine, {.max_model_len = 512, .kv_bytes = 64 << 20, .deterministic = true});
    std::vector<Request> requests;
    for (const Conversation& question : Questions()) {
      Request request;
      request.prompt = engine.Prepare(question);
      request.sampling.max_tokens = 8;
      request.sampling.logprobs = 1;
      requests.push_back(std::move(request));
    }
    runs.push_back(AskAll(&served, requests));
    served.Stop();
  }
  SetNumThreads(2);
  for (size_t i = 0; i < runs[0].size(); ++i) {
    EXPECT_EQ(runs[0][i].tokens, runs[1][i].tokens);
    EXPECT_EQ(runs[0][i].tokens, runs[2][i].tokens);
  }
}

}  // namespace
}  // namespace ingot
