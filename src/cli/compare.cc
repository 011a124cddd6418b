// SPDX-License-Identifier: Apache-2.0
// `ingot compare`: a float and a quantized model on the same inputs.
#include "eval/compare.h"

#include <cstdio>

#include "base/error.h"
#include "base/files.h"
#include "cli/command.h"
#include "cli/engine_options.h"
#include "cli/sample_options.h"

namespace ingot::cli {
namespace {

constexpr char kVerdict[] = "What counts as wrong (exit code 1)";

std::vector<Option> Rows() {
  std::vector<Option> rows = {
      {.name = "A", .kind = Kind::kPath, .help = "The reference, usually the float model."},
      {.name = "B", .kind = Kind::kPath, .help = "The model to judge, usually the quantized one."},
      {.name = "--output",
       .kind = Kind::kPath,
       .value_name = "DIR",
       .help = "Folder for report.json and report.html.",
       .aliases = {"-o"},
       .required = true},
      {.name = "--from",
       .kind = Kind::kPath,
       .value_name = "FILE",
       .help = "Make report.html again from this report.json; nothing is run."},
      {.name = "--json",
       .kind = Kind::kFlag,
       .help = "The report as one JSON object on standard output instead of a table."},
      {.name = "--layer-samples",
       .kind = Kind::kInteger,
       .default_text = "4",
       .help = "Samples on which the insides of both models are compared; 0 leaves that out."},
      {.name = "--no-pictures", .kind = Kind::kFlag, .help = "No thumbnails in the report."}};
  rows = Join(std::move(rows), SampleOptionRows(false));
  rows =
      Join(std::move(rows), {{.name = "--min-agreement",
                              .kind = Kind::kNumber,
                              .default_text = "0.5",
                              .help = "Share of tokens that must be the same.",
                              .group = kVerdict},
                             {.name = "--max-kl",
                              .kind = Kind::kNumber,
                              .help = "Largest mean KL divergence, in nats.",
                              .group = kVerdict},
                             {.name = "--max-drop",
                              .kind = Kind::kNumber,
                              .help = "Largest loss of accuracy, as a share (0.01 is one point).",
                              .group = kVerdict}});
  std::vector<Option> engine = EngineOptionRows();
  for (Option& option : engine) {
    if (option.name == "--kv-cache-dtype") option.help += " Of B; A keeps what --precision says.";
  }
  return Join(std::move(rows), engine);
}

CompareOptions CompareOptionsOf(const Options& options) {
  CompareOptions compare;
  compare.engine = EngineOptionsOf(options);
  compare.tokens.max_tokens = IntegerBetween(options, "--max-tokens", 1, 1 << 20);
  compare.tokens.instruction = options.Text("--instruction");
  compare.tokens.skip_bad_samples = options.Flag("--skip-bad-images");
  compare.tokens.thumbnails = !options.Flag("--no-pictures");
  compare.layer_samples = IntegerBetween(options, "--layer-samples", 0, 1 << 20);
  compare.out_dir = options.Path("--output");
  compare.min_top1_agree = options.Number("--min-agreement");
  if (options.Has("--max-kl")) compare.max_kl_mean = options.Number("--max-kl");
  if (options.Has("--max-drop")) compare.max_accuracy_drop = options.Number("--max-drop");
  compare.program_version = INGOT_VERSION;
  compare.command = options.command_line();
  compare.command.insert(compare.command.begin(), "ingot");
  return compare;
}

CompareReport MakeReport(const Options& options) {
  if (options.Has("--from")) {
    if (options.Has("A") || options.Has("--data")) {
      throw UserError(
          "compare: --from takes a finished report; A, B and --data do not go with it.");
    }
    const std::string file = options.Text("--from");
    return ParseCompareReport(ReadFile(file, 1u << 30), file);
  }
  for (const char* name : {"A", "B", "--data"}) {
    if (!options.Has(name)) {
      throw UserError("compare: {} is missing. See `ingot help compare`.", name);
    }
  }
  return Compare(options.Path("A"), options.Path("B"), LoadSamples(options), options.Text("--data"),
                 CompareOptionsOf(options));
}

int Run(const Options& options) {
  const CompareReport report = MakeReport(options);
  WriteReport(report, options.Path("--output"));
  const std::string text = options.Flag("--json")
                               ? CompareReportJson(report, true) + "\n"
                               : CompareTable(report) + "report: " +
                                     (options.Path("--output") / "report.html").string() + "\n";
  std::fwrite(text.data(), 1, text.size(), stdout);
  return report.ok ? 0 : 1;
}

}  // namespace

const Command& CompareCommand() {
  static const Command command = {
      .name = "compare",
      .summary = "Show what quantization changed: numbers, answers, layers",
      .description =
          "Both models answer the same samples. The quantized model also reads the float model's "
          "answers token by token, so that their distributions can be compared at every position "
          "(KL divergence, the same token chosen or not, first divergence). On a few samples the "
          "hidden states and every linear are compared as well. The result is report.json and one "
          "report.html that needs no network.",
      .options = Rows(),
      .examples =
          {{"ingot compare Qwen3-VL-2B-Instruct Qwen3-VL-2B-W8A8 --data messages.jsonl -o report",
            "compare on conversations and write the report"},
           {"ingot compare A B --data textvqa.json --limit 100 --emulate 310p --max-drop 0.01 -o r",
            "with the NPU's rounding; exit code 1 when more than one point is lost"},
           {"ingot compare --from report/report.json -o report", "make the page again"}},
      .run = Run,
  };
  return command;
}

}  // namespace ingot::cli
