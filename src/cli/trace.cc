// SPDX-License-Identifier: Apache-2.0
// `ingot trace`: the intermediates of one forward pass under their names (docs/model.md), as a
// table and as a safetensors file.
#include <fnmatch.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <optional>
#include <regex>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "checkpoint/safetensors_writer.h"
#include "cli/engine_options.h"
#include "prompt/dataset.h"

namespace ingot::cli {
namespace {

// Name, and a copy of the values: a forward pass reuses its buffers.
struct Captured {
  std::string name;
  Tensor tensor;
};

// Collects what the patterns ask for, up to a limit on the bytes.
class Capture {
 public:
  Capture(std::vector<std::string> patterns, std::optional<std::regex> stages, uint64_t max_bytes)
      : patterns_(std::move(patterns)), stages_(std::move(stages)), max_bytes_(max_bytes) {}

  // A pattern with * or ? matches the whole name, one without any part of it; so does the regular
  // expression.
  bool Wants(const std::string& name) const {
    if (stages_ && !std::regex_search(name, *stages_)) return false;
    for (const std::string& pattern : patterns_) {
      const bool wild = pattern.find_first_of("*?") != std::string::npos;
      if (wild ? fnmatch(pattern.c_str(), name.c_str(), 0) == 0
               : name.find(pattern) != std::string::npos) {
        return true;
      }
    }
    return patterns_.empty();
  }

  void Add(const std::string& name, DType dtype, Shape shape, const void* data) {
    if (!Wants(name)) return;
    const uint64_t bytes = static_cast<uint64_t>(NumElements(shape)) * DTypeSize(dtype);
    if (bytes > max_bytes_ - total_) {
      throw UserError(
          "trace: {} {} would exceed the limit of {} for all intermediates together. Choose some "
          "with --names, or raise --max-bytes.",
          name, ShapeText(shape), HumanBytes(max_bytes_));
    }
    total_ += bytes;
    tensors_.push_back({name, Tensor(dtype, std::move(shape))});
    std::memcpy(tensors_.back().tensor.bytes().data(), data, bytes);
  }
  void Floats(const std::string& name, Shape shape, std::span<const float> values) {
    Add(name, DType::kF32, std::move(shape), values.data());
  }
  void Ints(const std::string& name, Shape shape, const std::vector<int32_t>& values) {
    Add(name, DType::kI32, std::move(shape), values.data());
  }

  const std::vector<Captured>& tensors() const { return tensors_; }
  uint64_t total() const { return total_; }

 private:
  std::vector<std::string> patterns_;
  std::optional<std::regex> stages_;
  uint64_t max_bytes_, total_ = 0;
  std::vector<Captured> tensors_;
};

void CaptureGrids(const VisualInput& input, const char* pixels_name, const char* grid_name,
                  Capture* capture) {
  if (input.empty()) return;
  int64_t n_patches = 0;
  std::vector<int32_t> grids;
  for (const GridThw& grid : input.grids) {
    n_patches += grid[0] * grid[1] * grid[2];
    for (const int64_t side : grid) grids.push_back(static_cast<int32_t>(side));
  }
  capture->Floats(
      pixels_name,
      {n_patches, static_cast<int64_t>(input.pixels.size()) / std::max<int64_t>(n_patches, 1)},
      input.pixels);
  capture->Ints(grid_name, {static_cast<int64_t>(input.grids.size()), 3}, grids);
}

void CaptureInputs(const Engine& engine, const ModelInput& input, Capture* capture) {
  const int64_t n = static_cast<int64_t>(input.token_ids.size());
  capture->Ints("input_ids", {n}, input.token_ids);
  const RopePositions positions = TextPositions(engine.reader().config(), input.token_ids,
                                                input.images.grids, input.videos.grids, input.rule);
  std::vector<int32_t> flat;
  for (const auto& axis : positions.axes) flat.insert(flat.end(), axis.begin(), axis.end());
  capture->Ints("position_ids", {3, n}, flat);
  CaptureGrids(input.images, "pixel_values", "image_grid_thw", capture);
  CaptureGrids(input.videos, "pixel_values_videos", "video_grid_thw", capture);
}

// `n_tokens` greedy tokens whatever they are: the answer's end is one of them and does not stop.
void CaptureGreedy(const Engine& engine, const ModelInput& input, int64_t n_tokens,
                   Capture* capture) {
  if (n_tokens == 0 || !(capture->Wants("greedy.tokens") || capture->Wants("greedy.logits")))
    return;
  RunContext context;
  context.precision = engine.options().precision;
  Session session(engine.model(), context, engine.options().kv);
  std::span<const float> row = session.Prefill(input);
  const int64_t vocab = static_cast<int64_t>(row.size());
  std::vector<float> logits;
  std::vector<int32_t> tokens;
  for (int64_t step = 0; step < n_tokens; ++step) {
    if (capture->Wants("greedy.logits")) logits.insert(logits.end(), row.begin(), row.end());
    tokens.push_back(static_cast<int32_t>(std::max_element(row.begin(), row.end()) - row.begin()));
    if (step + 1 < n_tokens) row = session.Step(tokens.back());
  }
  capture->Ints("greedy.tokens", {n_tokens}, tokens);
  capture->Floats("greedy.logits", {static_cast<int64_t>(logits.size()) / vocab, vocab}, logits);
}

// The prompt, observed. Logits of every position are left out where they would take most of the
// memory allowed, unless they were asked for.
void CapturePrompt(const Engine& engine, const ModelInput& input, const RunContext& context,
                   const Options& options, Capture* capture) {
  Session session(engine.model(), context, engine.options().kv);
  const int64_t vocab = engine.reader().config().text.vocab;
  const uint64_t bytes = input.token_ids.size() * static_cast<uint64_t>(vocab) * sizeof(float);
  const bool too_large = bytes > options.Bytes("--max-bytes") / 4;
  if (!capture->Wants("logits.all") || (too_large && !options.Flag("--all-logits"))) {
    if (capture->Wants("logits.all")) {
      LogNote("logits.all would take {}; it is left out (--all-logits writes it)",
              HumanBytes(bytes));
    }
    session.Prefill(input);
    return;
  }
  const std::vector<float> logits = session.AllLogits(input);
  capture->Floats("logits.last", {vocab}, std::span(logits).last(static_cast<size_t>(vocab)));
}

std::optional<std::regex> StagesOf(const Options& options) {
  if (!options.Has("--stages")) return std::nullopt;
  try {
    return std::regex(options.Text("--stages"), std::regex::ECMAScript | std::regex::optimize);
  } catch (const std::regex_error&) {
    throw UserError("--stages {}: is no regular expression (ECMAScript's kind).",
                    options.Text("--stages"));
  }
}

// The conversation of --messages, or of --image, --video, --system and QUESTION.
Conversation ConversationOf(const Options& options) {
  const int64_t sample = options.Integer("--sample");
  if (options.Has("--messages")) {
    for (const char* name : {"QUESTION", "--image", "--video", "--system"}) {
      if (options.Has(name))
        throw UserError("trace: {} and --messages contradict each other.", name);
    }
    Dataset data = LoadDataset(options.Path("--messages"));
    if (sample < 1 || sample > static_cast<int64_t>(data.samples.size())) {
      throw UserError("--sample is {}; {} has samples 1 to {}.", sample, data.description,
                      data.samples.size());
    }
    return std::move(data.samples[static_cast<size_t>(sample - 1)].conversation);
  }
  if (!options.Has("QUESTION")) throw UserError("trace: give a QUESTION, or --messages FILE.");
  Conversation conversation;
  if (options.Has("--system")) {
    conversation.push_back({"system", {Part::Text(options.Text("--system"))}, ""});
  }
  Message turn{"user", {}, ""};
  for (const std::string& path : options.List("--image")) turn.parts.push_back(Part::Image(path));
  for (const std::string& path : options.List("--video")) turn.parts.push_back(Part::Video(path));
  turn.parts.push_back(Part::Text(options.Text("QUESTION")));
  conversation.push_back(std::move(turn));
  return conversation;
}

void PrintTable(const std::vector<Captured>& tensors) {
  std::printf("%-34s %-18s %12s %12s\n", "name", "shape", "rms", "max |x|");
  for (const auto& [name, tensor] : tensors) {
    double squares = 0, largest = 0;
    int64_t not_finite = 0;
    const std::vector<float> values = ToFloats(tensor);
    for (const float value : values) {
      if (!std::isfinite(value)) {
        ++not_finite;
        continue;
      }
      squares += double{value} * value;
      largest = std::max(largest, std::fabs(double{value}));
    }
    const double rms = values.empty() ? 0 : std::sqrt(squares / static_cast<double>(values.size()));
    std::printf("%-34s %-18s %12.5g %12.5g%s\n", name.c_str(), ShapeText(tensor.shape()).c_str(),
                rms, largest,
                not_finite == 0 ? "" : fmt::format("  {} not finite", not_finite).c_str());
  }
}

void Write(const std::vector<Captured>& tensors, const std::filesystem::path& path) {
  std::vector<PlannedTensor> planned;
  for (const auto& [name, tensor] : tensors)
    planned.push_back({name, tensor.dtype(), tensor.shape()});
  const std::filesystem::path dir = path.has_parent_path() ? path.parent_path() : ".";
  SafetensorsWriter writer(dir, PlanShards(planned, {.single_name = path.filename().string()}),
                           {.order = TensorOrder::kAsPlanned});
  for (const auto& [name, tensor] : tensors) writer.Write(name, tensor);
  writer.Commit();
}

int Run(const Options& options) {
  Capture capture(options.List("--names"), StagesOf(options), options.Bytes("--max-bytes"));
  const int64_t n_tokens = IntegerBetween(options, "--max-tokens", 0, 4096);
  Conversation conversation = ConversationOf(options);
  Engine engine(options.Path("MODEL"), EngineOptionsOf(options));
  const PreparedPrompt prompt = engine.Prepare(conversation);
  const ModelInput input = ToModelInput(prompt);
  CaptureInputs(engine, input, &capture);

  RunContext context;
  context.precision = engine.options().precision;
  context.observe = [&](std::string_view name, std::span<const int64_t> shape, const float* data) {
    capture.Add(std::string(name), DType::kF32, Shape(shape.begin(), shape.end()), data);
  };
  if (options.Flag("--inputs")) {
    context.hook = [&](std::string_view site, float* x, int64_t rows, int64_t cols) {
      capture.Add("site." + std::string(site), DType::kF32, {rows, cols}, x);
    };
  }
  CapturePrompt(engine, input, context, options, &capture);
  CaptureGreedy(engine, input, n_tokens, &capture);
  if (capture.tensors().empty()) {
    throw UserError(
        "trace: no intermediate matches --names or --stages. Without them all are listed.");
  }
  PrintTable(capture.tensors());
  if (options.Has("--output")) {
    Write(capture.tensors(), options.Path("--output"));
    std::printf("%s: %zu tensors, %s\n", options.Text("--output").c_str(), capture.tensors().size(),
                HumanBytes(capture.total()).c_str());
  }
  return 0;
}

std::vector<Option> Rows() {
  std::vector<Option> engine = EngineOptionRows();
  for (Option& option : engine) {
    if (option.name == "--precision") option.default_text = "f32";  // traces are for comparing
  }
  return Join(
      {{.name = "MODEL",
        .kind = Kind::kPath,
        .help = "A model folder, float or quantized.",
        .required = true},
       {.name = "QUESTION", .help = "The question behind the pictures."},
       {.name = "--output",
        .kind = Kind::kPath,
        .value_name = "FILE",
        .help = "Write the values to this safetensors file (float32).",
        .aliases = {"-o"}},
       {.name = "--names",
        .value_name = "PATTERN",
        .help = "Only intermediates whose name contains this, or matches it as a whole when it has "
                "* or ?.",
        .repeated = true},
       {.name = "--stages",
        .value_name = "REGEX",
        .help = "Only intermediates in whose name this regular expression is found."},
       {.name = "--image",
        .kind = Kind::kPath,
        .help = "A picture.",
        .aliases = {"-i"},
        .repeated = true},
       {.name = "--video",
        .kind = Kind::kPath,
        .help = "A video or a folder of frames.",
        .repeated = true},
       {.name = "--system", .help = "A system turn before everything."},
       {.name = "--messages",
        .kind = Kind::kPath,
        .value_name = "FILE",
        .help = "Take the conversation from a file instead: JSON with OpenAI-style messages, JSON "
                "lines of such records, or TextVQA's JSON."},
       {.name = "--sample",
        .kind = Kind::kInteger,
        .default_text = "1",
        .help = "Which one of --messages, from 1."},
       {.name = "--inputs",
        .kind = Kind::kFlag,
        .help = "Also the inputs of all linears, as site.NAME."},
       {.name = "--all-logits",
        .kind = Kind::kFlag,
        .help = "Logits of every prompt position also when they take much memory."},
       {.name = "--max-tokens",
        .kind = Kind::kInteger,
        .default_text = "0",
        .help = "Also this many greedy tokens, the answer's end not heeded."},
       {.name = "--max-bytes",
        .kind = Kind::kBytes,
        .default_text = "4GB",
        .help = "Most memory that the collected values may take."}},
      engine);
}

}  // namespace

const Command& TraceCommand() {
  static const Command command = {
      .name = "trace",
      .summary = "Write the intermediates of a forward pass to a file, by name",
      .description =
          "Runs one prompt and collects what goes on inside: inputs, vision blocks, decoder "
          "layers, "
          "logits. Prints name, shape and size of each and writes the values on request. For "
          "comparing with another program, and for reports of wrong answers.",
      .options = Rows(),
      .examples = {{"ingot trace Qwen3-VL-2B-Instruct -i receipt.jpg \"What is the total?\" -o "
                    "trace.safetensors",
                    "everything"},
                   {"ingot trace Qwen3-VL-2B-W8A8 \"Hello\" --names 'text.layer.*.next'",
                    "the residual stream as a table: where do the numbers go wrong?"}},
      .run = Run,
  };
  return command;
}

}  // namespace ingot::cli
