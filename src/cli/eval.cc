// SPDX-License-Identifier: Apache-2.0
// `ingot eval`: how many questions of a data set a model answers as people did.
#include <cstdio>

#include "cli/command.h"
#include "cli/engine_options.h"
#include "cli/sample_options.h"
#include "eval/evaluate.h"

namespace ingot::cli {
namespace {

std::vector<Option> Rows() {
  std::vector<Option> rows = {{.name = "MODEL",
                               .kind = Kind::kPath,
                               .help = "A model folder, float or quantized.",
                               .required = true}};
  rows = Join(std::move(rows), SampleOptionRows(true));
  rows = Join(std::move(rows),
              {{.name = "--output",
                .kind = Kind::kPath,
                .value_name = "DIR",
                .help = "Folder for predictions.jsonl and eval.json; a later run with the same "
                        "model and settings goes on from there.",
                .aliases = {"-o"}},
               {.name = "--json",
                .kind = Kind::kFlag,
                .help = "One JSON object on standard output instead of a table."}});
  return Join(std::move(rows), EngineOptionRows());
}

int Run(const Options& options) {
  const Dataset dataset = LoadSamples(options);
  EvalOptions eval;
  eval.max_tokens = IntegerBetween(options, "--max-tokens", 1, 1 << 20);
  eval.instruction = options.Text("--instruction");
  eval.out_dir = options.Path("--output");
  eval.skip_bad_samples = options.Flag("--skip-bad-images");
  Engine engine(options.Path("MODEL"), EngineOptionsOf(options));
  const EvalResult result = Evaluate(engine, dataset, eval);
  const std::string text =
      options.Flag("--json") ? EvalResultJson(result) + "\n" : EvalResultTable(result);
  std::fwrite(text.data(), 1, text.size(), stdout);
  return 0;
}

}  // namespace

const Command& EvalCommand() {
  static const Command command = {
      .name = "eval",
      .summary = "Score a model's answers on a data set",
      .description =
          "Asks every question of a data set, choosing the likeliest tokens, and scores the "
          "answers "
          "against the references: VQA accuracy as the official TextVQA evaluation computes it, "
          "exact match and ANLS, in all and by kind of question. With -o each answer is kept at "
          "once, and an interrupted run goes on where it was.",
      .options = Rows(),
      .examples =
          {{"ingot eval Qwen3-VL-2B-W8A8 --data TextVQA_0.5.1_val.json --images train_images "
            "--limit 500 -o eval",
            "TextVQA, the first 500 questions"},
           {"ingot eval Qwen3-VL-2B-Instruct --data messages.jsonl --json",
            "conversations as JSON lines"}},
      .run = Run,
  };
  return command;
}

}  // namespace ingot::cli
