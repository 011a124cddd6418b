// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/synth.h"

#include <algorithm>
#include <cmath>

#include "base/files.h"
#include "base/numeric.h"
#include "base/thread_pool.h"
#include "checkpoint/model_reader.h"
#include "checkpoint/test_files.h"

namespace ingot {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Synth, WritesAFolderThatReadsBack) {
  ScratchDir dir;
  const auto out = dir.path() / "model";
  size_t tensors = 0;
  SynthOptions options{
      .shape = "tiny", .shard_bytes = 100'000, .tokenizer_from = TestData("models/tiny-qwen3-vl")};
  WriteSynthModel(options, out, [&](const TensorSpec&) { ++tensors; });
  const ModelReader reader(out);
  EXPECT_NO_THROW(ValidateFloat(reader));
  EXPECT_GT(reader.files().size(), 2u);
  EXPECT_EQ(tensors, reader.TensorNames().size());
  EXPECT_TRUE(reader.tied());
  EXPECT_EQ(reader.data_bytes(), SynthSizeOf(SynthConfig(options)).bytes);
  EXPECT_EQ(LoadImageProcessor(out).max_pixels, 16777216);
  EXPECT_EQ(LoadVideoProcessor(out).min_pixels, 4096);
  EXPECT_THAT(LoadGenerationConfig(out, reader.config()).eos_tokens, ElementsAre(2024, 2022));
  EXPECT_EQ(reader.config().image_token, 2034) << "the ids of the tokenizer's own model";
  EXPECT_TRUE(std::filesystem::exists(out / "tokenizer.json"));
  EXPECT_FALSE(std::filesystem::exists(out / "model.safetensors"));
  ExpectError<UserError>([&] { WriteSynthModel(options, out); }, HasSubstr("not an empty folder"));
}

TEST(Synth, SameBytesForAnyNumberOfThreads) {
  ScratchDir dir;
  const int before = NumThreads();
  std::string first;
  for (const int threads : {1, 3}) {
    SetNumThreads(threads);
    const auto out = dir.path() / std::to_string(threads);
    WriteSynthModel({.shape = "tiny", .seed = 7}, out);
    const std::string bytes = Slurp(out / "model.safetensors");
    if (first.empty()) first = bytes;
    EXPECT_TRUE(bytes == first) << threads;
  }
  SetNumThreads(before);
  WriteSynthModel({.shape = "tiny", .seed = 8}, dir.path() / "other");
  EXPECT_FALSE(Slurp(dir.path() / "other/model.safetensors") == first);
}

TEST(Synth, ValuesDoNotDependOnTheCut) {
  const auto config = SynthConfig({.shape = "tiny"});
  const auto table = TensorTable(config, true);
  const TensorSpec& spec = table[0];
  std::vector<uint16_t> whole(1000), parts(1000);
  SynthValues(config, spec, 1, 0, whole);
  for (size_t at = 0; at < parts.size(); at += 37) {
    SynthValues(config, spec, 1, at,
                std::span(parts).subspan(at, std::min<size_t>(37, parts.size() - at)));
  }
  EXPECT_EQ(parts, whole);
}

TEST(Synth, ValuesKeepActivationsSane) {
  const auto config = SynthConfig({.shape = "2b"});
  for (const TensorSpec& spec : TensorTable(config, true)) {
    const bool q = spec.name == "model.language_model.layers.0.self_attn.q_proj.weight";
    const bool down = spec.name == "model.language_model.layers.0.mlp.down_proj.weight";
    const bool norm = spec.name == "model.language_model.norm.weight";
    if (!q && !down && !norm) continue;
    std::vector<uint16_t> bits(std::min<int64_t>(NumElements(spec.shape), 100000));
    SynthValues(config, spec, 0, 0, bits);
    double sum = 0, squares = 0;
    for (const uint16_t b : bits) {
      sum += Bf16ToF32(b);
      squares += double{Bf16ToF32(b)} * Bf16ToF32(b);
    }
    const double mean = sum / static_cast<double>(bits.size());
    const double deviation = std::sqrt(squares / static_cast<double>(bits.size()) - mean * mean);
    const double expected = q ? 1 / std::sqrt(2048.0) : down ? 1 / std::sqrt(6144.0 * 56) : 0.02;
    EXPECT_NEAR(mean, norm ? 1 : 0, 0.002) << spec.name;
    EXPECT_NEAR(deviation / expected, 1, 0.05) << spec.name;
  }
}

TEST(Synth, Overrides) {
  const auto cut = SynthConfig({.shape = "8b", .layers = 2, .vision_depth = 4});
  EXPECT_EQ(cut.text.n_layers, 2);
  EXPECT_EQ(cut.vision.depth, 4);
  EXPECT_EQ(cut.vision.deepstack_indexes.size(), 2u) << "one text layer for each";
  const auto deep = SynthConfig({.shape = "8b", .vision_depth = 12});
  EXPECT_THAT(deep.vision.deepstack_indexes, ElementsAre(2, 5, 8));
  for (int64_t depth = 1; depth < 40; ++depth) {
    const auto config = SynthConfig({.shape = "4b", .vision_depth = depth});
    ScratchDir dir;
    dir.Write("config.json", ConfigJson(config));
    EXPECT_NO_THROW(LoadModelConfig(dir.path())) << depth;
  }
  for (const auto& shape : SynthShapes()) {
    ScratchDir dir;
    const auto config = SynthConfig({.shape = shape});
    dir.Write("config.json", ConfigJson(config));
    const auto read = LoadModelConfig(dir.path());
    EXPECT_EQ(read.text.n_layers, config.text.n_layers) << shape;
    EXPECT_EQ(read.tie_word_embeddings, config.tie_word_embeddings) << shape;
    EXPECT_EQ(read.vision.deepstack_indexes, config.vision.deepstack_indexes) << shape;
  }
  ExpectError<UserError>([] { SynthConfig({.shape = "7b"}); }, HasSubstr("30b-a3b"));
  ExpectError<UserError>([] { SynthConfig({.layers = -1}); }, HasSubstr("--layers -1"));
  ExpectError<UserError>(
      [] { WriteSynthModel({.shape = "tiny", .tokenizer_from = "/"}, "/tmp/ingot-none"); },
      HasSubstr("no tokenizer.json"));
}

}  // namespace
}  // namespace ingot
