// SPDX-License-Identifier: Apache-2.0
// The block API (hooks, replaced linears, single blocks), generation and its ends, and bad input,
// on a small random model.
#include "model/session.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <set>

#include "base/error.h"
#include "base/thread_pool.h"
#include "checkpoint/model_reader.h"
#include "model/generate.h"

namespace ingot {
namespace {

using Floats = std::vector<float>;

class SessionTest : public testing::Test {
 protected:
  ModelReader reader_{std::string(INGOT_TEST_DATA) + "/models/mini-qwen3-vl"};
  QwenVlModel model_ = LoadModel(reader_);

  // 5 text tokens, a 4 x 6 picture (6 visual tokens), 4 text tokens.
  ModelInput Input() const {
    ModelInput input;
    input.token_ids = {10, 20, 30, 40, static_cast<int32_t>(model_.config.vision_start_token)};
    input.token_ids.insert(input.token_ids.end(), 6,
                           static_cast<int32_t>(model_.config.image_token));
    input.token_ids.insert(input.token_ids.end(),
                           {static_cast<int32_t>(model_.config.vision_end_token), 50, 60, 70});
    input.images.grids = {{1, 4, 6}};
    input.images.pixels.resize(24 * static_cast<size_t>(model_.config.vision.patch_values()));
    for (size_t i = 0; i < input.images.pixels.size(); ++i) {
      input.images.pixels[i] = static_cast<float>(static_cast<int>(i * 7919 % 511) - 255) / 255.0f;
    }
    return input;
  }
};

TEST_F(SessionTest, HookSeesEverySiteOnceAndMayRewrite) {
  std::map<std::string, std::pair<int64_t, int64_t>> sites;
  RunContext context;
  context.hook = [&](std::string_view site, float*, int64_t rows, int64_t cols) {
    EXPECT_TRUE(sites.emplace(std::string(site), std::pair(rows, cols)).second) << site << " twice";
  };
  const ModelInput input = Input();
  const Floats observed = Session(model_, context).AllLogits(input);
  std::set<std::string> expected;
  for (const LinearSpec& spec : LinearTable(model_.config)) {
    expected.insert(spec.site);
    ASSERT_TRUE(sites.contains(spec.site)) << spec.site;
    EXPECT_EQ(sites[spec.site].second, spec.in) << spec.site;
  }
  EXPECT_EQ(sites.size(), expected.size());
  EXPECT_EQ(sites["text.layer.0.attn_in"].first, 15);
  EXPECT_EQ(sites["vision.block.0.qkv_in"].first, 24);
  EXPECT_EQ(sites["vision.merger.fc1_in"].first, 6);
  EXPECT_EQ(observed, Session(model_, {}).AllLogits(input))
      << "a hook that only looks changes nothing";
  context.hook = [](std::string_view site, float* x, int64_t rows, int64_t cols) {
    if (site == "text.layer.2.down_in") std::fill_n(x, rows * cols, 0.0f);
  };
  EXPECT_NE(observed, Session(model_, context).AllLogits(input));
}

// A block at a time, as the quantizer runs the model, gives the bits of the whole.
TEST_F(SessionTest, BlocksOneByOneGiveTheSameBits) {
  const ModelInput input = Input();
  const Floats expected = Session(model_, {}).AllLogits(input);
  const ModelConfig& config = reader_.config();
  const RunContext context;

  const VisionLayout layout = MakeVisionLayout(config.vision, input.images.grids);
  Floats patches(static_cast<size_t>(layout.n_patches * config.vision.hidden));
  RunVisionPatchEmbed(config.vision, LoadVisionPatchEmbed(reader_), layout,
                      input.images.pixels.data(), patches.data(), context);
  VisionOutput vision{.n_tokens = layout.n_patches / 4};
  vision.deepstack.resize(config.vision.deepstack_indexes.size());
  const size_t out_size = static_cast<size_t>(vision.n_tokens * config.vision.out_hidden);
  for (int64_t block = 0; block < config.vision.depth; ++block) {
    RunVisionBlock(config.vision, LoadVisionBlock(reader_, block), layout, patches.data(), context);
    if (const auto k = DeepstackIndex(config.vision, block)) {
      vision.deepstack[static_cast<size_t>(*k)].resize(out_size);
      RunVisionMerger(config.vision, LoadDeepstackMerger(reader_, *k), patches.data(),
                      layout.n_patches, vision.deepstack[static_cast<size_t>(*k)].data(), context);
    }
  }
  vision.embeds.resize(out_size);
  RunVisionMerger(config.vision, LoadVisionMerger(reader_), patches.data(), layout.n_patches,
                  vision.embeds.data(), context);

  MergedPrompt prompt = MergePrompt(config, LoadEmbedding(reader_), input, &vision, nullptr);
  const int64_t n = prompt.positions.size();
  const RopeTable rope = MakeTextRope(config.text, prompt.positions, 0, n);
  for (int64_t layer = 0; layer < config.text.n_layers; ++layer) {
    RunDecoderLayer(config.text, LoadDecoderLayer(reader_, layer), rope, prompt.hidden.data(), n,
                    context);
    if (layer < static_cast<int64_t>(prompt.deepstack.size())) {
      AddToRows(prompt.hidden.data(), config.text.hidden, prompt.visual_rows,
                prompt.deepstack[static_cast<size_t>(layer)].data());
    }
  }
  const TextHead head = LoadTextHead(reader_);
  RunFinalNorm(config.text, head, prompt.hidden.data(), n, context);
  Floats logits(expected.size());
  RunHead(head, prompt.hidden.data(), n, logits.data(), context);
  EXPECT_EQ(logits, expected);
}

TEST_F(SessionTest, ReplacedLinearsAreUsed) {
  const ModelInput input = Input();
  const Floats expected = Session(model_, {}).AllLogits(input);
  QwenVlModel same = model_, other = model_;
  Linear& down = same.text.layers[1].down;
  down.weight =
      Weight::Own(FromFloats(ToFloats(down.weight.view()), DType::kF32, down.weight.shape()));
  EXPECT_EQ(Session(same, {}).AllLogits(input), expected) << "the same weights widened to F32";
  Tensor zeros(DType::kI8, other.text.layers[1].down.weight.shape());
  Linear& replaced = other.text.layers[1].down;
  LinearSpec spec;
  spec.module = replaced.module;
  spec.out = replaced.out;
  spec.in = replaced.in;
  replaced =
      MakeDynamicLinear(spec, Weight::Own(zeros), Floats(static_cast<size_t>(replaced.out), 1.0f));
  EXPECT_NE(Session(other, {}).AllLogits(input), expected);
}

TEST_F(SessionTest, AnyNumberOfThreadsGivesTheSameBits) {
  const ModelInput input = Input();
  Floats first;
  for (const int threads : {1, 2, 5}) {
    SetNumThreads(threads);
    const Floats logits =
        Session(model_, {.precision = Precision::kBF16, .observe = {}, .hook = {}})
            .AllLogits(input);
    if (first.empty()) first = logits;
    EXPECT_EQ(logits, first) << threads;
  }
  SetNumThreads(2);
}

TEST_F(SessionTest, GenerateEnds) {
  const ModelInput input = Input();
  Session session(model_, {});
  GenerateParams params{.max_new_tokens = 6, .vocab_limit = 1000, .prefill_chunk = 4};
  const GenerateResult whole = Generate(session, input, params);
  EXPECT_EQ(whole.tokens.size(), 6u);
  EXPECT_EQ(whole.reason, FinishReason::kLength);
  EXPECT_EQ(whole.prompt_tokens, 15);
  EXPECT_EQ(Generate(session, input, params).tokens, whole.tokens) << "a session can be used again";

  params.stop_ids = {whole.tokens[2]};
  std::vector<int32_t> reported;
  const GenerateResult stopped = Generate(
      session, input, params, [&](int32_t token) { return reported.push_back(token), true; });
  EXPECT_EQ(stopped.reason, FinishReason::kStop);
  const auto first = std::find(whole.tokens.begin(), whole.tokens.end(), whole.tokens[2]);
  EXPECT_EQ(stopped.tokens, std::vector<int32_t>(whole.tokens.begin(), first));
  EXPECT_EQ(reported.size(), stopped.tokens.size() + 1)
      << "the stop token is reported, not returned";

  params.stop_ids = {};
  int calls = 0;
  const GenerateResult cancelled =
      Generate(session, input, params, [&](int32_t) { return ++calls < 2; });
  EXPECT_EQ(cancelled.reason, FinishReason::kCancelled);
  EXPECT_EQ(cancelled.tokens.size(), 2u);

  params.max_new_tokens = 0;
  EXPECT_TRUE(Generate(session, input, params).tokens.empty());
}

TEST_F(SessionTest, BadInputIsNamed) {
  Session session(model_, {});
  ModelInput input = Input();
  input.token_ids.clear();
  EXPECT_THROW(session.Prefill(input), UserError);
  input = Input();
  input.token_ids[0] = 5000;  // outside the vocabulary
  EXPECT_THROW(session.Prefill(input), UserError);
  input = Input();
  input.token_ids.erase(input.token_ids.begin() + 6);  // one placeholder too few
  EXPECT_THROW(session.Prefill(input), UserError);
  input = Input();
  input.images.pixels.pop_back();
  EXPECT_THROW(session.Prefill(input), UserError);
  input = Input();
  input.images = {};  // placeholders without a picture
  EXPECT_THROW(session.Prefill(input), UserError);
  EXPECT_NO_THROW(session.Prefill(Input()));
  EXPECT_THROW(session.Step(-1), UserError);
}

}  // namespace
}  // namespace ingot
