// SPDX-License-Identifier: Apache-2.0
// Batches of sequences: the same bits whatever else is in the batch and however prompts are cut;
// pages shared, copied and given back; the vision tower in pieces; no allocation in the token loop.
#include "model/runner.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <string>

#include "base/error.h"
#include "base/thread_pool.h"
#include "checkpoint/model_reader.h"
#include "model/sampler.h"
#include "model/session.h"
#include "model/vision_run.h"

namespace {
std::atomic<int64_t> allocations = 0;
}  // namespace

// Counted for this program.
[[gnu::noinline]] void* operator new(size_t size) {
  ++allocations;
  if (void* p = std::malloc(size == 0 ? 1 : size)) return p;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, size_t) noexcept { std::free(p); }

namespace ingot {
namespace {

using Floats = std::vector<float>;

Floats Copy(std::span<const float> values) { return {values.begin(), values.end()}; }

// A prompt with what the tower made of its pictures.
struct Prompt {
  std::vector<int32_t> tokens;
  RopePositions positions;
  std::vector<VisualRows> visual;
};

struct Arithmetic {
  const char* name;
  Precision precision;
  KvType kv;
};

class RunnerTest : public testing::TestWithParam<Arithmetic> {
 protected:
  ModelReader reader_{std::string(INGOT_TEST_DATA) + "/models/mini-qwen3-vl"};
  QwenVlModel model_ = LoadModel(reader_);
  RunContext context_{.precision = GetParam().precision, .observe = {}, .hook = {}};
  KvPool pool_{model_.text.config, GetParam().kv};
  TextRunner runner_{model_, context_};
  VisionOutput picture_;

  void SetUp() override {
    const VisualInput input = Picture(4, 6);
    picture_ = RunVisionTower(model_.vision, input, "image", context_);
  }

  VisualInput Picture(int64_t rows, int64_t cols) const {
    VisualInput input{.grids = {{1, rows, cols}}, .pixels = {}};
    input.pixels.resize(static_cast<size_t>(rows * cols * model_.config.vision.patch_values()));
    for (size_t i = 0; i < input.pixels.size(); ++i)
      input.pixels[i] = static_cast<float>(static_cast<int>(i * 7919 % 511) - 255) / 255.0f;
    return input;
  }
  static std::vector<int32_t> Tokens(size_t n, int32_t seed) {
    std::vector<int32_t> tokens;
    for (size_t i = 0; i < n; ++i)
      tokens.push_back((seed + static_cast<int32_t>(i) * 37) % 900 + 5);
    return tokens;
  }
  Prompt Text(size_t n, int32_t seed) const {
    Prompt prompt{.tokens = Tokens(n, seed), .positions = {}, .visual = {}};
    prompt.positions = TextPositions(model_.config, prompt.tokens, {}, {});
    return prompt;
  }
  // `before` tokens, the picture, `after` tokens.
  Prompt WithPicture(size_t before, size_t after) const {
    Prompt prompt{.tokens = Tokens(before, 3), .positions = {}, .visual = {}};
    prompt.tokens.push_back(static_cast<int32_t>(model_.config.vision_start_token));
    prompt.tokens.insert(prompt.tokens.end(), 6, static_cast<int32_t>(model_.config.image_token));
    prompt.tokens.push_back(static_cast<int32_t>(model_.config.vision_end_token));
    const auto rest = Tokens(after, 8);
    prompt.tokens.insert(prompt.tokens.end(), rest.begin(), rest.end());
    const GridThw grid = {1, 4, 6};
    prompt.positions = TextPositions(model_.config, prompt.tokens, {&grid, 1}, {});
    const VisionOutput* output = &picture_;
    prompt.visual = PlaceVisualRows(model_.config, prompt.tokens, {&output, 1}, {});
    return prompt;
  }
  static SequenceStep StepOf(const Prompt& prompt, KvSequence* sequence, size_t count) {
    return {.sequence = sequence,
            .tokens = std::span(prompt.tokens)
                          .subspan(static_cast<size_t>(sequence->length()), count),
            .positions = &prompt.positions,
            .visual = prompt.visual,
            .each_logits = {}};
  }
  // The prompt alone in chunks; logits of its last token.
  Floats Alone(const Prompt& prompt, size_t chunk, KvSequence* sequence) {
    Floats last;
    while (static_cast<size_t>(sequence->length()) < prompt.tokens.size()) {
      const size_t left = prompt.tokens.size() - static_cast<size_t>(sequence->length());
      const SequenceStep step = StepOf(prompt, sequence, std::min(chunk, left));
      last = Copy(runner_.Run({&step, 1}));
    }
    return last;
  }
};

TEST_P(RunnerTest, ChunksAndBatchesGiveTheSameBits) {
  const Prompt prompts[] = {WithPicture(70, 120), Text(300, 5), Text(1, 9), WithPicture(2, 3)};
  std::vector<Floats> expected;
  for (const Prompt& prompt : prompts) {
    KvSequence sequence(&pool_);
    expected.push_back(Alone(prompt, prompt.tokens.size(), &sequence));
    for (const size_t chunk : {1u, 7u, 64u}) {
      KvSequence again(&pool_);
      ASSERT_EQ(Alone(prompt, chunk, &again), expected.back()) << chunk;
    }
  }
  // All at once, in pieces that differ, beside two sequences that decode.
  for (const int threads : {1, 3}) {
    SetNumThreads(threads);
    const Prompt noise[] = {Text(65, 77), Text(130, 78)};
    std::vector<KvSequence> sequences;
    for (size_t i = 0; i < std::size(prompts) + std::size(noise); ++i)
      sequences.emplace_back(&pool_);
    for (size_t i = 0; i < std::size(noise); ++i)
      Alone(noise[i], 64, &sequences[std::size(prompts) + i]);
    std::vector<Floats> last(std::size(prompts));
    const size_t pieces[] = {50, 91, 1, 3};
    for (bool more = true; more;) {
      more = false;
      std::vector<SequenceStep> steps;
      std::vector<size_t> of;
      for (size_t i = 0; i < std::size(prompts); ++i) {
        const size_t left =
            prompts[i].tokens.size() - static_cast<size_t>(sequences[i].length());
        if (left == 0) continue;
        more = true;
        steps.push_back(StepOf(prompts[i], &sequences[i], std::min(left, pieces[i])));
        of.push_back(i);
      }
      const int32_t token = 11;
      for (size_t i = 0; i < std::size(noise); ++i) {
        steps.push_back({.sequence = &sequences[std::size(prompts) + i],
                         .tokens = {&token, 1},
                         .positions = &noise[i].positions,
                         .visual = {},
                         .each_logits = {}});
      }
      const auto logits = runner_.Run(steps);
      const auto vocab = static_cast<size_t>(runner_.vocab());
      for (size_t i = 0; i < of.size(); ++i) last[of[i]] = Copy(logits.subspan(i * vocab, vocab));
    }
    for (size_t i = 0; i < std::size(prompts); ++i)
      EXPECT_EQ(last[i], expected[i]) << "prompt " << i << ", threads " << threads;
  }
  SetNumThreads(2);
  EXPECT_EQ(pool_.pages_in_use(), 0);
}

TEST_P(RunnerTest, LogitsOfEachTokenAreThoseOfItsPrefix) {
  const Prompt prompt = WithPicture(30, 20);
  std::vector<Floats> each;
  KvSequence sequence(&pool_);
  SequenceStep step = StepOf(prompt, &sequence, prompt.tokens.size());
  step.last_logits = false;
  step.each_logits = [&](int64_t slot, std::span<const float> logits) {
    EXPECT_EQ(slot, static_cast<int64_t>(each.size()));
    each.push_back(Copy(logits));
  };
  EXPECT_TRUE(runner_.Run({&step, 1}).empty());
  ASSERT_EQ(each.size(), prompt.tokens.size());
  KvSequence again(&pool_);
  for (size_t i = 0; i < prompt.tokens.size(); ++i) {
    const SequenceStep one = StepOf(prompt, &again, 1);
    ASSERT_EQ(Copy(runner_.Run({&one, 1})), each[i]) << i;
  }
}

TEST_P(RunnerTest, SharedPagesAreCopiedBeforeTheyChange) {
  const Prompt prompt = Text(150, 5), other = Text(150, 6);
  KvSequence first(&pool_);
  Alone(prompt, 150, &first);
  EXPECT_EQ(pool_.pages_in_use(), 3);
  // A fork shares all three; each goes its own way, and only the last page is copied.
  KvSequence fork = first.Fork();
  EXPECT_EQ(pool_.pages_in_use(), 3);
  EXPECT_EQ(fork.PagesFor(1), 1);
  const auto next = [&](KvSequence* sequence, int32_t token) {
    const SequenceStep step{.sequence = sequence,
                            .tokens = {&token, 1},
                            .positions = &prompt.positions,
                            .visual = {},
                            .each_logits = {}};
    return Copy(runner_.Run({&step, 1}));
  };
  const Floats a = next(&fork, 100), b = next(&first, 200);
  EXPECT_EQ(pool_.pages_in_use(), 4);
  KvSequence fresh(&pool_);
  Alone(prompt, 64, &fresh);
  KvSequence fresh_fork = fresh.Fork();
  EXPECT_EQ(next(&fresh, 200), b);
  EXPECT_EQ(next(&fresh_fork, 100), a);

  // A prefix hit: two full pages and 22 tokens of the third.
  KvSequence hit(&pool_);
  hit.Adopt(first.pages()[0]);
  hit.Adopt(first.pages()[1]);
  hit.Adopt(first.pages()[2], 150 - 128 - 10);
  EXPECT_EQ(hit.length(), 140);
  const Floats expected = Alone(prompt, 150, &hit);
  KvSequence plain(&pool_);
  EXPECT_EQ(Alone(prompt, 150, &plain), expected);
  // Rewinding into a shared page copies it, too.
  KvSequence back = plain.Fork();
  back.Truncate(60);
  EXPECT_EQ(back.pages().size(), 1u);
  Prompt mixed = prompt;
  std::copy(other.tokens.begin() + 60, other.tokens.end(), mixed.tokens.begin() + 60);
  const Floats changed = Alone(mixed, 90, &back);
  KvSequence mixed_fresh(&pool_);
  EXPECT_EQ(Alone(mixed, 150, &mixed_fresh), changed);
  EXPECT_EQ(next(&plain, 200), b) << "the shared pages are as before";
}

TEST_P(RunnerTest, LimitOfPagesHolds) {
  KvPool pool(model_.text.config, GetParam().kv, 3);
  {
    KvSequence a(&pool), b(&pool);
    EXPECT_TRUE(a.Reserve(128));
    EXPECT_FALSE(b.Reserve(65));
    EXPECT_EQ(pool.pages_in_use(), 2) << "nothing is taken when it is not enough";
    EXPECT_TRUE(b.Reserve(64));
    const Prompt prompt = Text(70, 1);
    SequenceStep step = StepOf(prompt, &b, 70);
    EXPECT_THROW(runner_.Run({&step, 1}), ResourceError);
    EXPECT_EQ(b.length(), 0);
    a.Clear();
    EXPECT_EQ(runner_.Run({&step, 1}).size(), static_cast<size_t>(runner_.vocab()));
    KvSequence moved = std::move(b);
    EXPECT_EQ(moved.length(), 70);
    EXPECT_EQ(b.length(), 0);
  }
  EXPECT_EQ(pool.pages_in_use(), 0);
  EXPECT_LE(pool.pages_held(), 3);
}

TEST_P(RunnerTest, BadTokensChangeNothing) {
  KvSequence sequence(&pool_);
  const Prompt prompt = Text(10, 1);
  Alone(prompt, 10, &sequence);
  const int32_t tokens[] = {5, 100000};
  const SequenceStep step{
      .sequence = &sequence, .tokens = tokens, .positions = {}, .visual = {}, .each_logits = {}};
  EXPECT_THROW(runner_.Run({&step, 1}), UserError);
  EXPECT_EQ(sequence.length(), 10);
}

TEST_P(RunnerTest, DecodingDoesNotAllocate) {
  std::vector<KvSequence> sequences;
  const Prompt prompt = Text(100, 5);
  for (int i = 0; i < 3; ++i) {
    sequences.emplace_back(&pool_);
    Alone(prompt, 100, &sequences.back());
  }
  const int32_t token = 17;
  std::vector<SequenceStep> steps;
  for (KvSequence& sequence : sequences) {
    steps.push_back({.sequence = &sequence,
                     .tokens = {&token, 1},
                     .positions = &prompt.positions,
                     .visual = {},
                     .each_logits = {}});
  }
  // Greedy, and with every filter and penalty, under a mask.
  SamplingParams all{.do_sample = true, .top_k = 40, .top_p = 0.9f, .min_p = 0.01f};
  all.repetition_penalty = 1.1f, all.presence_penalty = 0.5f, all.frequency_penalty = 0.1f;
  SamplingParams nucleus{.do_sample = true, .top_p = 0.9f};
  Sampler samplers[] = {Sampler({}, prompt.tokens, 0), Sampler(all, prompt.tokens, 0),
                        Sampler(nucleus, prompt.tokens, 0)};
  const auto vocab = static_cast<size_t>(runner_.vocab());
  const std::vector<uint32_t> mask(vocab / 32 + 1, 0xfffffff5u);
  const auto step = [&] {
    const auto logits = runner_.Run(steps);
    for (size_t i = 0; i < std::size(samplers); ++i)
      samplers[i].Choose(logits.subspan(i * vocab, vocab), {.mask = mask, .forbidden = {}});
  };
  for (int i = 0; i < 3; ++i) step();
  const int64_t before = allocations;
  for (int i = 0; i < 10; ++i) step();
  EXPECT_EQ(allocations - before, 0);
}

// Over several blocks of keys, which are pieces of work of their own when threads outnumber heads.
TEST_P(RunnerTest, LongSequencesDoNotDependOnThreads) {
  const Prompt prompt = Text(2 * kAttentionBlock + 100, 5);
  std::vector<Floats> results;
  for (const int threads : {1, 2, 5}) {
    SetNumThreads(threads);
    for (const size_t chunk : {prompt.tokens.size(), prompt.tokens.size() - 1, size_t{700}}) {
      KvSequence sequence(&pool_);
      results.push_back(Alone(prompt, chunk, &sequence));
    }
  }
  SetNumThreads(2);
  for (const Floats& result : results) EXPECT_EQ(result, results.front());
}

TEST_P(RunnerTest, TowerInPiecesGivesTheSameBits) {
  // Large enough for several pieces of rows.
  const VisualInput input = Picture(36, 48);
  const VisionConfig& config = model_.config.vision;
  const VisionLayout layout = MakeVisionLayout(config, input.grids);
  Floats hidden(static_cast<size_t>(layout.n_patches * config.hidden));
  // A hook that only looks sees the whole at once.
  RunContext whole = context_;
  whole.hook = [&](std::string_view, float*, int64_t rows, int64_t) {
    EXPECT_TRUE(rows == layout.n_patches || rows == layout.n_patches / 4);
  };
  const VisionOutput expected = RunVisionTower(model_.vision, input, "image", whole);
  VisionRun run(model_.vision, input, "image", context_);
  int pieces = 1;
  double progress = 0;
  while (!run.RunPiece()) {
    EXPECT_GE(run.Progress(), progress);
    progress = run.Progress();
    ++pieces;
  }
  EXPECT_GT(pieces, 4 * static_cast<int>(config.depth));
  EXPECT_EQ(run.Progress(), 1.0);
  const VisionOutput output = run.Take();
  EXPECT_EQ(output.embeds, expected.embeds);
  EXPECT_EQ(output.deepstack, expected.deepstack);
  VisionRun timed(model_.vision, input, "image", context_);
  while (!timed.RunFor(1e-4)) {
  }
  EXPECT_EQ(timed.Take().embeds, expected.embeds);
}

INSTANTIATE_TEST_SUITE_P(
    Precisions, RunnerTest,
    testing::Values(Arithmetic{"f32", Precision::kF32, KvType::kF32},
                    Arithmetic{"bf16", Precision::kBF16, KvType::kBF16},
                    Arithmetic{"f32_int8", Precision::kF32, KvType::kInt8},
                    Arithmetic{"bf16_int8", Precision::kBF16, KvType::kInt8}),
    [](const auto& arithmetic) { return std::string(arithmetic.param.name); });

TEST(KvPoolTest, Int8PagesTakeHalfTheMemory) {
  const TextConfig config{.hidden = 1, .n_layers = 28, .n_heads = 16, .n_kv_heads = 8, .head_dim = 128};
  const KvPool bf16(config, KvType::kBF16), int8(config, KvType::kInt8);
  EXPECT_EQ(bf16.page_bytes(), 64 * 28 * 8 * 2 * 128 * 2);
  EXPECT_EQ(int8.page_bytes(), 64 * 28 * 8 * 2 * (128 + 4));  // a float32 scale for each token and head
  TextConfig wide = config;
  wide.head_dim = 320;
  EXPECT_THROW(KvPool(wide, KvType::kInt8), UserError);
  EXPECT_NO_THROW(KvPool(wide, KvType::kBF16));
}

}  // namespace
}  // namespace ingot
