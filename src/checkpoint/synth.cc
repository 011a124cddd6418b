// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/synth.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.h"
#include "base/files.h"
#include "base/interrupt.h"
#include "base/numeric.h"
#include "base/thread_pool.h"
#include "checkpoint/json_value.h"
#include "checkpoint/safetensors_writer.h"

namespace ingot {
namespace {

// Widths of the released models (their config.json files; the two mixtures have three axes more).
struct ShapeRow {
  const char* name;
  int64_t hidden, layers, heads, kv_heads, intermediate;
  bool tied, big_vision;
  int64_t experts, per_token, moe_intermediate;
};
constexpr ShapeRow kShapes[] = {
    {"2b", 2048, 28, 16, 8, 6144, true, false, 0, 0, 0},
    {"4b", 2560, 36, 32, 8, 9728, true, false, 0, 0, 0},
    {"8b", 4096, 36, 32, 8, 12288, false, true, 0, 0, 0},
    {"32b", 5120, 64, 64, 8, 25600, false, true, 0, 0, 0},
    {"30b-a3b", 2048, 48, 32, 4, 6144, false, true, 128, 8, 768},
    {"235b-a22b", 4096, 94, 64, 4, 12288, false, true, 128, 8, 1536},
};

constexpr size_t kChunk = 4u << 20;    // elements made and written at a time
constexpr size_t kGrain = 1u << 16;    // elements of one task
constexpr const char* kTiny = "tiny";  // for tests: a model of a megabyte

VisionConfig ReleasedVision(bool big, int64_t out_hidden) {
  VisionConfig vision;
  vision.depth = big ? 27 : 24;
  vision.hidden = big ? 1152 : 1024;
  vision.intermediate = big ? 4304 : 4096;
  vision.n_heads = 16;
  vision.patch = 16;
  vision.n_positions = 2304;
  vision.out_hidden = out_hidden;
  vision.deepstack_indexes =
      big ? std::vector<int64_t>{8, 16, 24} : std::vector<int64_t>{5, 11, 17};
  return vision;
}

ModelConfig ReleasedConfig(const ShapeRow& row) {
  ModelConfig config;
  config.family = row.experts > 0 ? ModelFamily::kQwen3VLMoe : ModelFamily::kQwen3VL;
  TextConfig& text = config.text;
  text.hidden = row.hidden;
  text.n_layers = row.layers;
  text.n_heads = row.heads;
  text.n_kv_heads = row.kv_heads;
  text.head_dim = 128;
  text.intermediate = row.intermediate;
  text.vocab = 151936;
  text.rope_theta = 5e6;
  text.mrope_section = {24, 20, 20};
  text.mrope_interleaved = true;
  text.max_positions = 262144;
  text.n_experts = row.experts;
  text.n_experts_per_token = row.per_token;
  text.moe_intermediate = row.moe_intermediate;
  config.vision = ReleasedVision(row.big_vision, row.hidden);
  config.tie_word_embeddings = row.tied;
  config.torch_dtype = "bfloat16";
  config.bos_token = 151643;
  config.eos_token = 151645;
  config.vision_start_token = 151652;
  config.vision_end_token = 151653;
  config.image_token = 151655;
  config.video_token = 151656;
  return config;
}

ModelConfig TinyConfig() {
  ModelConfig config = ReleasedConfig({kTiny, 64, 2, 4, 2, 128, true, false, 0, 0, 0});
  config.text.head_dim = 16;
  config.text.vocab = 2048;
  config.text.mrope_section = {4, 2, 2};
  config.text.max_positions = 4096;
  config.vision.depth = 3;
  config.vision.hidden = 48;
  config.vision.intermediate = 96;
  config.vision.n_heads = 3;
  config.vision.n_positions = 64;
  config.vision.deepstack_indexes = {0, 1};
  int64_t token = 2022;
  for (int64_t* id : {&config.bos_token, &config.eos_token, &config.vision_start_token,
                      &config.vision_end_token, &config.image_token, &config.video_token}) {
    *id = token++;
  }
  return config;
}

void Override(const SynthOptions& options, ModelConfig* config) {
  const auto check = [](const char* option, int64_t value) {
    if (value < 0 || value > 512) {
      throw UserError("{} {} is not possible; 1 to 512 was expected.", option, value);
    }
  };
  check("--layers", options.layers);
  check("--vision-depth", options.vision_depth);
  if (options.layers > 0) config->text.n_layers = options.layers;
  VisionConfig& vision = config->vision;
  if (options.vision_depth > 0) vision.depth = options.vision_depth;
  // Taps at the quarters of the depth, as in the released models; no more than there are blocks to
  // tap and text layers to feed.
  const auto released = static_cast<int64_t>(vision.deepstack_indexes.size());
  const int64_t taps = std::min({released, vision.depth, config->text.n_layers});
  const bool fits = taps == released && vision.deepstack_indexes.back() < vision.depth;
  if (options.vision_depth == 0 && fits) return;
  vision.deepstack_indexes.clear();
  for (int64_t tap = 0; tap < taps; ++tap) {
    const int64_t block = vision.depth * (tap + 1) / (taps + 1) - (vision.depth > taps ? 1 : 0);
    const int64_t least = tap == 0 ? 0 : vision.deepstack_indexes.back() + 1;
    vision.deepstack_indexes.push_back(std::clamp(block, least, vision.depth - taps + tap));
  }
}

// ---- values ----

uint64_t Mix(uint64_t x) {  // finalizer of SplitMix64 (Steele, Lea, Flood 2014)
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

uint64_t HashName(const std::string& name) {  // FNV-1a
  uint64_t hash = 0xcbf29ce484222325u;
  for (const unsigned char c : name) hash = (hash ^ c) * 0x100000001b3u;
  return hash;
}

// Quantile of the standard normal distribution for 0 < p < 1: bisection on the error function, slow
// and plain; it only fills a table.
double NormalQuantile(double p) {
  double low = -6, high = 6;
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (0.5 * std::erfc(-middle / std::sqrt(2.0)) < p ? low : high) = middle;
  }
  return (low + high) / 2;
}

constexpr size_t kQuantiles = 4096;

const std::vector<float>& StandardNormal() {
  static const std::vector<float> table = [] {
    std::vector<float> values(kQuantiles);
    for (size_t i = 0; i < kQuantiles; ++i) {
      values[i] = static_cast<float>(NormalQuantile((static_cast<double>(i) + 0.5) / kQuantiles));
    }
    return values;
  }();
  return table;
}

struct Distribution {
  double mean = 0, deviation = 0;
};

// Linears that write to the residual stream: many of them add up.
bool WritesResidual(const std::string& name) {
  const auto has = [&](const char* part) { return name.find(part) != std::string::npos; };
  return has("o_proj") || has("down_proj") || has("attn.proj.") ||
         (has("blocks.") && has("linear_fc2"));
}

Distribution DistributionOf(const ModelConfig& config, const TensorSpec& spec) {
  const double small = 0.02;
  switch (spec.role) {
    case TensorRole::kNorm:
      return {SuffixOf(spec.name) == "weight" ? 1.0 : 0.0, small};
    case TensorRole::kLinearBias:
    case TensorRole::kEmbedding:
    case TensorRole::kPositionTable:
      return {0, small};
    default:
      break;
  }
  // [out, in...]; experts are [expert, in, out].
  int64_t inputs = NumElements(spec.shape) / std::max<int64_t>(spec.shape[0], 1);
  if (spec.shape.size() == 3) inputs = spec.shape[1];
  const int64_t layers =
      spec.part == TensorPart::kText ? config.text.n_layers : config.vision.depth;
  const double residual = WritesResidual(spec.name) ? 2.0 * static_cast<double>(layers) : 1.0;
  return {0, 1.0 / std::sqrt(static_cast<double>(inputs) * residual)};
}

// ---- files ----

bool IsTokenizerFile(const std::string& name) {
  static const char* kNames[] = {"vocab.json", "merges.txt", "special_tokens_map.json",
                                 "added_tokens.json"};
  return std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames) ||
         name.starts_with("tokenizer") || name.starts_with("chat_template");
}

void WriteSmallFiles(const SynthOptions& options, const ModelConfig& config,
                     const std::filesystem::path& dir) {
  std::string note = fmt::format(
      "# Random weights\n\nShape {} ({}), seed {}, {} text layers, {} vision blocks. Made by "
      "`ingot "
      "synth`; it answers nothing.\n",
      options.shape, FamilyName(config.family), options.seed, config.text.n_layers,
      config.vision.depth);
  if (options.tokenizer_from.empty()) {
    note +=
        "\nNo tokenizer was given (`--tokenizer-from DIR`), so only commands that need no text "
        "work with it.\n";
  } else {
    for (const auto& path : ListFiles(options.tokenizer_from)) {
      const std::string name = path.filename().string();
      if (IsTokenizerFile(name)) WriteFileAtomically(dir / name, ReadFile(path));
    }
  }
  WriteFileAtomically(dir / "README.md", note);
  WriteFileAtomically(dir / "generation_config.json", GenerationJson(config));
  WriteFileAtomically(dir / "preprocessor_config.json", ProcessorJson(config, false));
  WriteFileAtomically(dir / "video_preprocessor_config.json", ProcessorJson(config, true));
}

// The token ids that belong to the tokenizer: those of the config.json beside it, when there is
// one.
void AdoptTokens(const std::filesystem::path& from, ModelConfig* config) {
  std::error_code error;
  if (from.empty() || !std::filesystem::exists(from / "config.json", error)) return;
  const ModelConfig other = LoadModelConfig(from);
  const std::pair<int64_t, int64_t*> ids[] = {
      {other.bos_token, &config->bos_token},
      {other.eos_token, &config->eos_token},
      {other.image_token, &config->image_token},
      {other.video_token, &config->video_token},
      {other.vision_start_token, &config->vision_start_token},
      {other.vision_end_token, &config->vision_end_token}};
  for (const auto& [id, slot] : ids) {
    if (id < 0) continue;
    if (id >= config->text.vocab) {
      throw UserError(
          "{}: its token {} does not fit the {} tokens of this shape. Choose another "
          "tokenizer or shape.",
          (from / "config.json").string(), id, config->text.vocab);
    }
    *slot = id;
  }
}

void CheckTokenizerFolder(const std::filesystem::path& from) {
  if (from.empty()) return;
  const auto files = ListFiles(from);
  const bool found = std::any_of(files.begin(), files.end(), [](const auto& path) {
    return path.filename() == "tokenizer.json";
  });
  if (!found) {
    throw UserError(
        "{}: has no tokenizer.json. Give a folder with tokenizer files, or leave "
        "--tokenizer-from out.",
        from.string());
  }
}

void CheckEmpty(const std::filesystem::path& dir) {
  std::error_code error;
  if (!std::filesystem::exists(dir, error)) return;
  if (!std::filesystem::is_directory(dir, error) || !std::filesystem::is_empty(dir, error)) {
    throw UserError("{}: exists and is not an empty folder. Choose another output folder.",
                    dir.string());
  }
}

// Makes and writes one tensor in pieces.
void WriteTensor(const ModelConfig& config, const TensorSpec& spec, uint64_t seed,
                 std::vector<uint16_t>* buffer, SafetensorsWriter* writer) {
  const auto total = static_cast<uint64_t>(NumElements(spec.shape));
  for (uint64_t done = 0; done < total; done += kChunk) {
    if (InterruptRequested()) throw InterruptedError("stopped; nothing was written.");
    const size_t count = std::min<uint64_t>(kChunk, total - done);
    ParallelFor(count, kGrain, [&](size_t begin, size_t end) {
      SynthValues(config, spec, seed, done + begin, std::span(*buffer).subspan(begin, end - begin));
    });
    writer->WritePart(spec.name, done * 2, std::as_bytes(std::span(*buffer).first(count)));
  }
  writer->MarkWritten(spec.name);
}

}  // namespace

std::vector<std::string> SynthShapes() {
  std::vector<std::string> names;
  for (const ShapeRow& row : kShapes) names.emplace_back(row.name);
  names.emplace_back(kTiny);
  return names;
}

ModelConfig SynthConfig(const SynthOptions& options) {
  std::optional<ModelConfig> config;
  for (const ShapeRow& row : kShapes) {
    if (options.shape == row.name) config = ReleasedConfig(row);
  }
  if (options.shape == kTiny) config = TinyConfig();
  if (!config) {
    throw UserError("shape \"{}\" is unknown; choose one of {}.", Printable(options.shape, 60),
                    fmt::join(SynthShapes(), ", "));
  }
  Override(options, &*config);
  return *config;
}

SynthSize SynthSizeOf(const ModelConfig& config) {
  SynthSize size;
  for (const TensorSpec& spec : TensorTable(config, config.tie_word_embeddings)) {
    size.parameters += static_cast<uint64_t>(NumElements(spec.shape));
    ++size.tensors;
  }
  size.bytes = 2 * size.parameters;
  return size;
}

void SynthValues(const ModelConfig& config, const TensorSpec& spec, uint64_t seed, uint64_t first,
                 std::span<uint16_t> out) {
  // One 64-bit hash of (seed, name, position) serves five values of 12 bits each.
  constexpr uint64_t kPerWord = 5;
  const Distribution distribution = DistributionOf(config, spec);
  std::vector<uint16_t> table(kQuantiles);
  const std::vector<float>& normal = StandardNormal();
  for (size_t i = 0; i < kQuantiles; ++i) {
    table[i] =
        F32ToBf16(static_cast<float>(distribution.mean + distribution.deviation * normal[i]));
  }
  const uint64_t key = Mix(seed ^ HashName(spec.name));
  for (size_t i = 0; i < out.size();) {
    const uint64_t position = first + i;
    uint64_t bits = Mix(key + (position / kPerWord + 1) * 0x9e3779b97f4a7c15u);
    bits >>= 12 * (position % kPerWord);
    for (uint64_t k = position % kPerWord; k < kPerWord && i < out.size(); ++k, bits >>= 12) {
      out[i++] = table[bits % kQuantiles];
    }
  }
}

void WriteSynthModel(const SynthOptions& options, const std::filesystem::path& dir,
                     const std::function<void(const TensorSpec&)>& progress) {
  ModelConfig config = SynthConfig(options);
  CheckTokenizerFolder(options.tokenizer_from);
  AdoptTokens(options.tokenizer_from, &config);
  CheckEmpty(dir);
  const SynthSize size = SynthSizeOf(config);
  if (const uint64_t free = FreeDiskBytes(dir); size.bytes > free) {
    throw ResourceError("{}: {} are needed, {} are free. Choose another folder or --layers.",
                        dir.string(), HumanBytes(size.bytes), HumanBytes(free));
  }
  std::error_code error;
  std::filesystem::create_directories(dir, error);
  if (error) {
    throw ResourceError("{}: cannot create the folder: {}. Check the path and its permissions.",
                        dir.string(), error.message());
  }
  const auto table = TensorTable(config, config.tie_word_embeddings);
  std::vector<PlannedTensor> planned;
  for (const TensorSpec& spec : table) planned.push_back({spec.name, DType::kBF16, spec.shape});
  SafetensorsWriter::Options writer_options;
  writer_options.metadata = {"format", "pt"};
  SafetensorsWriter writer(dir,
                           PlanShards(planned, {options.shard_bytes, "model.safetensors",
                                                "model-{:05}-of-{:05}.safetensors", false}),
                           writer_options);
  try {
    std::vector<uint16_t> buffer(kChunk);
    for (const TensorSpec& spec : table) {
      WriteTensor(config, spec, options.seed, &buffer, &writer);
      if (progress) progress(spec);
    }
    writer.Commit();
  } catch (...) {
    writer.Discard();
    throw;
  }
  if (writer.plan().shards.size() > 1) {
    const auto map = writer.WeightMap();
    WriteFileAtomically(dir / "model.safetensors.index.json",
                        IndexJson(writer.plan().data_bytes, {map.begin(), map.end()}));
  }
  WriteSmallFiles(options, config, dir);
  WriteFileAtomically(dir / "config.json", ConfigJson(config));  // last: the folder is complete
}

}  // namespace ingot
