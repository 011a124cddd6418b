// SPDX-License-Identifier: Apache-2.0
// ingot bench: figures of kernels, layers and whole models as shares of what this machine can do.
#include <cstdio>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/files.h"
#include "bench/cases.h"
#include "bench/compare.h"
#include "cli/command.h"
#include "cli/parser.h"
#include "model/kv_type.h"

namespace ingot::cli {
namespace {

using bench::CaseOptions;

constexpr int64_t kMostRows = 16384;

// Exactly `count` paths after WHAT.
std::vector<std::string> Paths(const Options& options, size_t count, const char* expected) {
  const std::vector<std::string> paths = options.List("PATHS");
  if (paths.size() != count) {
    throw UserError("bench {}: {} path{} given, expected {}.", options.Text("WHAT"), paths.size(),
                    paths.size() == 1 ? "" : "s", expected);
  }
  return paths;
}

bench::RunOptions RunOptionsOf(const Options& options) {
  bench::RunOptions run;
  const int64_t repeat = options.Integer("--repeat");
  if (repeat < 1 || repeat > 10000)
    throw UserError("--repeat is {}; expected a number from 1 to 10000.", repeat);
  run.repeat = static_cast<int>(repeat);
  run.seconds = options.Number("--seconds");
  if (!(run.seconds > 0 && run.seconds <= 3600))
    throw UserError("--seconds is {}; expected a number above 0 and up to 3600.", run.seconds);
  run.filter = options.Text("--filter");
  return run;
}

CaseOptions CaseOptionsOf(const Options& options) {
  CaseOptions cases;
  cases.shape = options.Text("--shape");
  if (options.Has("--weights")) {
    cases.weights.clear();
    for (const std::string& name : options.List("--weights"))
      cases.weights.push_back(bench::ParseWeightKind(name));
  }
  for (const std::string& text : options.List("--rows")) {
    const int64_t rows = ParseInteger(text, "--rows");
    if (rows < 1 || rows > kMostRows)
      throw UserError("--rows is {}; expected a number from 1 to {}.", rows, kMostRows);
    cases.rows.push_back(rows);
  }
  return cases;
}

int RunCompare(const Options& options) {
  const std::vector<std::string> paths = Paths(options, 2, "two files of `ingot bench --json`");
  const double band = options.Number("--band");
  if (!(band >= 0 && band <= 100))
    throw UserError("--band is {}; expected 0 to 100 percent.", band);
  const auto first = bench::ReadJsonLines(paths[0]), second = bench::ReadJsonLines(paths[1]);
  const auto rows =
      bench::Compare(first, second, {.least_band = band / 100, .busy = options.Flag("--busy")});
  if (options.Flag("--json")) {
    std::fputs(bench::ComparisonJson(rows).c_str(), stdout);
  } else {
    const std::string differences = bench::DifferentOrigins(first, second);
    std::fputs(differences.c_str(), stdout);
    std::fputs(bench::ComparisonText(rows).c_str(), stdout);
  }
  for (const bench::Comparison& row : rows) {
    if (row.verdict == bench::Verdict::kSlower) return 1;
  }
  return 0;
}

std::vector<bench::Figure> Measure(const Options& options) {
  const std::string what = options.Text("WHAT");
  const bench::RunOptions run = RunOptionsOf(options);
  if (what == "model") {
    const std::vector<std::string> paths = Paths(options, 1, "one model folder");
    bench::ModelBench model =
        bench::PrepareModelBench({.dir = paths[0],
                                  .kv = ParseKvType(options.Text("--kv-cache-dtype"))
                                            .value_or(KvType::kBF16),
                                  .large = !options.Flag("--short")});
    std::vector<bench::Figure> figures = bench::RunCases(model.cases, run);
    figures.push_back(std::move(model.memory));
    return figures;
  }
  Paths(options, 0, "none");
  if (what == "limits") return bench::MeasureLimits(run, options.Flag("--all"));
  using MakeCases = std::vector<bench::Case> (*)(const CaseOptions&);
  const std::pair<const char*, MakeCases> groups[] = {
      {"gemm", bench::GemmCases},           {"gemv", bench::GemvCases},
      {"attention", bench::AttentionCases}, {"vision", bench::VisionCases},
      {"prefill", bench::PrefillCases},     {"decode", bench::DecodeCases},
      {"ops", bench::OpsCases}};
  std::vector<bench::Case> cases;
  for (const auto& [name, make] : groups) {
    if (what != name && what != "all") continue;
    for (bench::Case& test : make(CaseOptionsOf(options))) cases.push_back(std::move(test));
  }
  return bench::RunCases(cases, run);
}

int Run(const Options& options) {
  if (options.Text("WHAT") == "compare") return RunCompare(options);
  bench::Report report;
  report.origin = bench::CurrentOrigin();
  const bench::Disturbance disturbance;
  report.figures = Measure(options);
  report.disturbance = disturbance.Cores();
  const std::string lines = bench::JsonLines(report);
  if (options.Has("--output")) {
    const std::filesystem::path path = options.Path("--output");
    std::string all = std::filesystem::exists(path) ? ReadFile(path) : "";
    if (!all.empty() && all.back() != '\n') all += '\n';
    WriteFileAtomically(path, all + lines);
  }
  std::fputs((options.Flag("--json") ? lines : bench::TableText(report)).c_str(), stdout);
  return 0;
}

}  // namespace

const Command& BenchCommand() {
  static const Command command = {
      .name = "bench",
      .summary = "Measure speed as a share of what this machine can do",
      .description =
          "Times what the program really runs and prints each figure beside the limit that the "
          "same run measured on this machine: the issue rate of its int8, bf16 and fp32 dot "
          "products and its read bandwidth. Repetitions alternate with the limits; the best one "
          "counts, because other programs can only slow a figure down. Beside its share of the best "
          "limit stands the median of the shares that each repetition has of the limits right before "
          "and after it (paired).\n\n"
          "limits: the limits alone. gemm, gemv: the linears of a released shape with many and "
          "with few rows. attention: vision, prefill and decode. vision, prefill, decode: one "
          "block or layer. ops: norms, activations, rope, quantization. all: these seven. model DIR: a whole folder (load, vision tower, prefill, "
          "decode, first token, memory). compare A B: two files of results; the exit code is 1 "
          "when something became slower beyond the noise.",
      .options =
          {
              {.name = "WHAT",
               .kind = Kind::kChoice,
               .help = "What is measured.",
               .choices = {"limits", "gemm", "gemv", "attention", "vision", "prefill", "decode",
                           "ops", "all", "model", "compare"},
               .required = true},
              {.name = "PATHS",
               .kind = Kind::kPath,
               .help = "The model folder, or the two files to compare.",
               .repeated = true},
              {.name = "--shape",
               .kind = Kind::kChoice,
               .default_text = "2b",
               .help = "Released model whose shapes are used.",
               .choices = {"2b", "4b", "8b", "32b", "tiny"}},
              {.name = "--weights",
               .kind = Kind::kChoice,
               .help = "Only linears of this kind; may be repeated. Default: all.",
               .choices = {"w8a8-static", "w8a8-dynamic", "bf16"},
               .repeated = true},
              {.name = "--rows",
               .kind = Kind::kText,
               .value_name = "N",
               .help = "Rows of gemm and gemv; may be repeated. Default: 128, 512; 1, 8, 16.",
               .repeated = true},
              {.name = "--filter",
               .kind = Kind::kText,
               .value_name = "TEXT",
               .help = "Only figures whose name holds this text."},
              {.name = "--repeat",
               .kind = Kind::kInteger,
               .value_name = "N",
               .default_text = "7",
               .help = "Repetitions of each figure."},
              {.name = "--seconds",
               .kind = Kind::kNumber,
               .value_name = "S",
               .default_text = "4",
               .help = "No further repetition of a figure begins after this time; two are made."},
              {.name = "--all",
               .kind = Kind::kFlag,
               .help = "limits: also the narrower instruction sets of this CPU."},
              {.name = "--kv-cache-dtype",
               .kind = Kind::kChoice,
               .default_text = "auto",
               .help = "model: how keys and values are kept; auto is bfloat16.",
               .choices = {"auto", "bfloat16", "int8"}},
              {.name = "--short",
               .kind = Kind::kFlag,
               .help = "model: without the prompt of 2048 tokens and the picture of 1024 x 1024."},
              {.name = "--band",
               .kind = Kind::kNumber,
               .value_name = "PERCENT",
               .default_text = "3",
               .help = "compare: changes below this are noise, however calm the figures are."},
              {.name = "--busy",
               .kind = Kind::kFlag,
               .help =
                   "compare: processor time instead of time, for machines that are never idle."},
              {.name = "--json",
               .kind = Kind::kFlag,
               .help = "One JSON object per figure and line instead of the table."},
              {.name = "--output",
               .kind = Kind::kPath,
               .value_name = "FILE",
               .help = "Also add the JSON lines to this file.",
               .aliases = {"-o"}},
          },
      .examples =
          {
              {"ingot bench limits", "what this machine can do"},
              {"ingot bench gemm --shape 8b --weights w8a8-static",
               "int8 products of the 8B shapes"},
              {"ingot bench model /data/synth-2b -o now.jsonl", "a whole model, kept in a file"},
              {"ingot bench compare before.jsonl now.jsonl", "what became faster or slower"},
          },
      .run = Run,
  };
  return command;
}

}  // namespace ingot::cli
