// SPDX-License-Identifier: Apache-2.0
// ingot synth: a random-weight model folder in the shape of a released model.
#include "checkpoint/synth.h"

#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <optional>

#include "base/files.h"
#include "base/progress.h"
#include "cli/command.h"

namespace ingot::cli {
namespace {

int Run(const Options& options) {
  SynthOptions synth;
  synth.shape = options.Text("SHAPE");
  synth.layers = options.Has("--layers") ? options.Integer("--layers") : 0;
  synth.vision_depth = options.Has("--vision-depth") ? options.Integer("--vision-depth") : 0;
  synth.seed = static_cast<uint64_t>(options.Integer("--seed"));
  synth.shard_bytes = options.Bytes("--shard-size");
  synth.tokenizer_from = options.Path("--tokenizer-from");
  const auto dir = options.Path("--output");

  const SynthSize size = SynthSizeOf(SynthConfig(synth));
  const auto start = std::chrono::steady_clock::now();
  std::optional<Progress> progress;  // begins with the first tensor, so that errors stand alone
  WriteSynthModel(synth, dir, [&](const TensorSpec& spec) {
    if (!progress) progress.emplace("synth", "tensors", size.tensors);
    progress->Advance(1, spec.name);
  });
  progress.reset();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  fmt::print("{}: {} tensors, {:.1f} million parameters, {} in {}\n", dir.string(), size.tensors,
             static_cast<double>(size.parameters) / 1e6, HumanBytes(size.bytes),
             HumanSeconds(took.count()));
  return 0;
}

}  // namespace

const Command& SynthCommand() {
  static const Command command = {
      .name = "synth",
      .summary = "Write a random-weight model of any released size",
      .description =
          "Writes a complete model folder with random BF16 weights in the shape of a released "
          "Qwen3-VL model: for benchmarks, capacity planning and tests without a download. The "
          "weights are scaled so that activations stay near 1. The same seed gives the same bytes, "
          "whatever the number of threads; memory stays small whatever the size.\n\n"
          "The answers of such a model are noise. Commands that read text need a tokenizer: copy "
          "one with --tokenizer-from.",
      .options =
          {
              {.name = "SHAPE",
               .kind = Kind::kChoice,
               .help = "Size of the model; tiny is a megabyte, for tests.",
               .choices = SynthShapes(),
               .required = true},
              {.name = "--output",
               .kind = Kind::kPath,
               .value_name = "DIR",
               .help = "New folder; it must not exist or be empty.",
               .aliases = {"-o"},
               .required = true},
              {.name = "--layers",
               .kind = Kind::kInteger,
               .value_name = "N",
               .help = "Number of text layers instead of the released one."},
              {.name = "--vision-depth",
               .kind = Kind::kInteger,
               .value_name = "N",
               .help = "Number of vision blocks instead of the released one."},
              {.name = "--seed",
               .kind = Kind::kInteger,
               .value_name = "N",
               .default_text = "0",
               .help = "Seed of the random weights."},
              {.name = "--shard-size",
               .kind = Kind::kBytes,
               .default_text = "5GB",
               .help = "Largest weight file."},
              {.name = "--tokenizer-from",
               .kind = Kind::kPath,
               .value_name = "DIR",
               .help = "Folder whose tokenizer and chat template are copied."},
          },
      .examples =
          {
              {"ingot synth 8b -o /data/synth-8b --tokenizer-from Qwen3-VL-8B-Instruct",
               "a model of the size of Qwen3-VL-8B (17.5 GB)"},
              {"ingot synth 8b --layers 4 --vision-depth 6 -o /tmp/cut",
               "the same widths, cut short"},
          },
      .run = Run,
  };
  return command;
}

}  // namespace ingot::cli
