// SPDX-License-Identifier: Apache-2.0
// A whole model folder: from loading to the first token and the tokens after it.
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "base/error.h"
#include "base/files.h"
#include "bench/cases.h"
#include "checkpoint/model_reader.h"
#include "model/session.h"

namespace ingot::bench {
namespace {

constexpr int64_t kPromptChunk = 512;  // as GenerateParams
constexpr int64_t kDecodePast = 128, kDecodeTokens = 16;
constexpr int64_t kQuestionTokens = 16;  // beside a picture

RunContext Bf16Context() { return {.precision = Precision::kBF16, .observe = {}, .hook = {}}; }

// A folder with what its figures need; shared by all cases, loaded with the first.
struct Folder {
  Folder(const std::filesystem::path& dir, KvType kv_type) : kv(kv_type), reader(dir) {
    model = LoadModel(reader);
    decoder.reserve(model.text.layers.size());
    for (const DecoderLayer& layer : model.text.layers) decoder.push_back(LinearsOf(layer));
  }
  // "2048x28 w8a8-static": width, depth and the type of most linears.
  std::string Name() const {
    size_t counts[4] = {};
    for (const DecoderLayer& layer : model.text.layers) {
      for (const Linear* linear : {&layer.q, &layer.o, &layer.gate, &layer.down})
        ++counts[static_cast<size_t>(linear->exec)];
    }
    const auto most = std::max_element(counts, counts + 4) - counts;
    return fmt::format("{}x{} {}{}", model.config.text.hidden, model.config.text.n_layers,
                       LinearExecName(static_cast<LinearExec>(most)),
                       kv == KvType::kInt8 ? " kv=int8" : "");
  }
  Work Head() const { return LinearWork(model.text.head.head); }

  // The text part for n tokens after `past` others, the last one through the head.
  std::vector<Work> TextSteps(int64_t n, int64_t past) const {
    std::vector<Work> steps;
    for (const DecoderLinears& linears : decoder) {
      for (const Work& work : DecoderLayerWork(model.config.text, linears, n, past, kv))
        steps.push_back(work);
    }
    steps.push_back(Head());
    return steps;
  }
  std::vector<Work> VisionSteps(const GridThw& grid) const {
    const VisionTower& tower = model.vision;
    const VisionLayout layout = MakeVisionLayout(tower.config, {&grid, 1});
    std::vector<Work> steps = {Rows(LinearWork(tower.patch_embed.proj), layout.n_patches)};
    for (const VisionBlock& block : tower.blocks) {
      for (const Work& work : VisionBlockWork(tower.config, LinearsOf(block), layout))
        steps.push_back(work);
    }
    const int64_t tokens = layout.n_patches / (tower.config.merge * tower.config.merge);
    const auto add_merger = [&](const VisionMerger& merger) {
      steps.push_back(Rows(LinearWork(merger.fc1), tokens));
      steps.push_back(Rows(LinearWork(merger.fc2), tokens));
    };
    add_merger(tower.merger);
    for (const VisionMerger& merger : tower.deepstack) add_merger(merger);
    return steps;
  }

  KvType kv;
  ModelReader reader;
  QwenVlModel model;
  std::vector<DecoderLinears> decoder;
};

VisualInput Picture(const VisionConfig& config, int64_t pixels) {
  const int64_t side = pixels / config.patch;
  return {.grids = {{1, side, side}},
          .pixels = RandomFloats(side * side * config.patch_values(), 1)};
}

// Ordinary tokens: none of the special ones, which have the highest ids.
std::vector<int32_t> TextTokens(int64_t n) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < n; ++i) ids.push_back(static_cast<int32_t>(100 + i * 37 % 1000));
  return ids;
}

ModelInput PictureInput(const ModelConfig& config, int64_t pixels) {
  ModelInput input;
  input.images = Picture(config.vision, pixels);
  const GridThw& grid = input.images.grids.front();
  const int64_t tokens = grid[1] * grid[2] / (config.vision.merge * config.vision.merge);
  input.token_ids.push_back(static_cast<int32_t>(config.vision_start_token));
  input.token_ids.insert(input.token_ids.end(), static_cast<size_t>(tokens),
                         static_cast<int32_t>(config.image_token));
  input.token_ids.push_back(static_cast<int32_t>(config.vision_end_token));
  const std::vector<int32_t> question = TextTokens(kQuestionTokens);
  input.token_ids.insert(input.token_ids.end(), question.begin(), question.end());
  return input;
}

using FolderPtr = std::shared_ptr<const Folder>;

Case LoadCase(const std::filesystem::path& dir, const std::string& name) {
  return {.name = fmt::format("model {} load", name), .unit = "s", .prepare = [=]() -> Job {
            return [dir] { const Folder again(dir, KvType::kBF16); };
          }};
}

Case TowerCase(const FolderPtr& folder, const std::string& name, int64_t pixels) {
  const int64_t side = pixels / folder->model.config.vision.patch;
  return {.name = fmt::format("model {} vision {}x{}", name, pixels, pixels),
          .unit = "s",
          .steps = folder->VisionSteps({1, side, side}),
          .prepare = [=]() -> Job {
            auto input =
                std::make_shared<VisualInput>(Picture(folder->model.config.vision, pixels));
            return [=] { RunVisionTower(folder->model.vision, *input, "image", Bf16Context()); };
          }};
}

Case PromptCase(const FolderPtr& folder, const std::string& name, int64_t n) {
  return {.name = fmt::format("model {} prefill n={}", name, n),
          .unit = "tok/s",
          .amount = static_cast<double>(n),
          .steps = folder->TextSteps(n, 0),
          .prepare = [=]() -> Job {
            auto session = std::make_shared<Session>(folder->model, Bf16Context(), folder->kv);
            return [=] { session->Prefill({.token_ids = TextTokens(n)}, kPromptChunk); };
          }};
}

Case TokensCase(const FolderPtr& folder, const std::string& name) {
  std::vector<Work> steps;
  for (int64_t i = 0; i < kDecodeTokens; ++i) {
    for (const Work& work : folder->TextSteps(1, kDecodePast + i)) steps.push_back(work);
  }
  // A session forgets tokens only with a new prompt, so that a sample goes on where the last one
  // ended: a few keys more than the limit counts.
  return {.name = fmt::format("model {} decode past={}", name, kDecodePast),
          .unit = "tok/s",
          .amount = static_cast<double>(kDecodeTokens),
          .steps = steps,
          .prepare = [=]() -> Job {
            auto session = std::make_shared<Session>(folder->model, Bf16Context(), folder->kv);
            session->Prefill({.token_ids = TextTokens(kDecodePast)}, kPromptChunk);
            return [=] {
              for (int64_t i = 0; i < kDecodeTokens; ++i)
                session->Step(static_cast<int32_t>(100 + i));
            };
          }};
}

Case FirstTokenCase(const FolderPtr& folder, const std::string& name, int64_t pixels) {
  const ModelInput input = PictureInput(folder->model.config, pixels);
  std::vector<Work> steps = folder->VisionSteps(input.images.grids.front());
  for (const Work& work : folder->TextSteps(static_cast<int64_t>(input.token_ids.size()), 0))
    steps.push_back(work);
  return {.name = fmt::format("model {} first token {}x{}", name, pixels, pixels),
          .unit = "s",
          .steps = steps,
          .prepare = [=]() -> Job {
            auto session = std::make_shared<Session>(folder->model, Bf16Context(), folder->kv);
            return [=] { session->Prefill(input, kPromptChunk); };
          }};
}

// Peak memory of this process after a prompt and some tokens, beside weights and cache.
Figure MemoryFigure(const Folder& folder, const std::string& name) {
  const TextConfig& text = folder.model.config.text;
  Session session(folder.model, Bf16Context(), folder.kv);
  session.Prefill({.token_ids = TextTokens(kPromptChunk)}, kPromptChunk);
  for (int64_t i = 0; i < kDecodeTokens; ++i) session.Step(static_cast<int32_t>(100 + i));
  const double cache = static_cast<double>(text.n_layers) *
                       AttentionWork(1, session.n_tokens(), text.n_heads, text.n_kv_heads,
                                     text.head_dim, true, folder.kv)
                           .bytes;
  Figure figure{.name = fmt::format("model {} peak memory", name), .unit = "GB"};
  figure.samples.Add(static_cast<double>(PeakResidentBytes()) / 1e9);
  figure.limit = (static_cast<double>(folder.reader.data_bytes()) + cache) / 1e9;
  figure.bound_by = "weights";
  return figure;
}

}  // namespace

ModelBench PrepareModelBench(const ModelBenchOptions& options) {
  const auto folder = std::make_shared<const Folder>(options.dir, options.kv);
  const std::string name = folder->Name();
  ModelBench bench{.cases = {LoadCase(options.dir, name), TokensCase(folder, name)},
                   .memory = MemoryFigure(*folder, name)};
  std::vector<int64_t> prompts = {512}, pictures = {448};
  if (options.large) prompts.push_back(2048), pictures.push_back(1024);
  for (const int64_t n : prompts) bench.cases.push_back(PromptCase(folder, name, n));
  for (const int64_t pixels : pictures) bench.cases.push_back(TowerCase(folder, name, pixels));
  for (const int64_t pixels : pictures) bench.cases.push_back(FirstTokenCase(folder, name, pixels));
  return bench;
}

}  // namespace ingot::bench
