// SPDX-License-Identifier: Apache-2.0
// ingot check: what a folder is, whether it is sound, which engine and option it needs.
#include "check/check.h"

#include <cstdio>
#include <optional>
#include <string>

#include "base/error.h"
#include "checkpoint/folder_layout.h"
#include "cli/check_run.h"
#include "cli/command.h"

namespace ingot::cli {
namespace {

std::optional<FolderFormat> Profile(const Options& options) {
  if (!options.Has("--profile")) return std::nullopt;
  const std::string name = options.Text("--profile");
  return name == "float" ? FolderFormat::kFloat : FormatOf(ParseTarget(name));
}

// The arithmetic of the engine that the folder is made for.
Emulate EngineOf(const std::optional<FolderFormat>& format) {
  if (format == FolderFormat::kGoldenStick310) return Emulate::k310;
  if (format == FolderFormat::kGoldenStick910) return Emulate::k910;
  return Emulate::kNone;
}

void RunModel(const Options& options, CheckReport* report) {
  const int64_t max_tokens = options.Integer("--max-tokens");
  if (max_tokens < 1 || max_tokens > 4096)
    throw UserError("--max-tokens is {}; expected a number from 1 to 4096.", max_tokens);
  try {
    const TestRun run = RunTestPrompts(options.Path("DIR"), options.Path("--source"),
                                       EngineOf(report->format), max_tokens);
    AddAnswers(run.answers, run.agreement, report);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kUser && error.kind() != ErrorKind::kFormat) throw;
    AddRunFailure(error.what(), report);
  }
}

int Run(const Options& options) {
  CheckOptions check;
  check.source = options.Path("--source");
  check.profile = Profile(options);
  check.deep = options.Flag("--deep");
  check.quick = options.Flag("--quick");
  const int64_t limit = options.Integer("--max-findings");
  if (limit < 1 || limit > 1'000'000)
    throw UserError("--max-findings is {}; expected a number from 1 to 1000000.", limit);
  check.max_findings_per_rule = static_cast<int>(limit);
  CheckReport report = CheckFolder(options.Path("DIR"), check);
  if (options.Flag("--run")) RunModel(options, &report);
  std::fputs((options.Flag("--json") ? CheckReportJson(report) : CheckReportText(report)).c_str(),
             stdout);
  return report.sound() ? 0 : 1;
}

std::vector<Option> Table() {
  return {
      {.name = "DIR",
       .kind = Kind::kPath,
       .help = "Folder of a model, float or quantized.",
       .required = true},
      {.name = "--source",
       .kind = Kind::kPath,
       .value_name = "DIR",
       .help =
           "Float model that was quantized: names, float tensors and codes are compared with it.",
       .aliases = {"--original-dir"}},
      {.name = "--profile",
       .kind = Kind::kChoice,
       .help = "What the folder should be; the default is what it looks like.",
       .choices = {"float", "ascend-v0", "ascend", "golden-stick-310", "golden-stick-910",
                   "compressed-tensors"}},
      {.name = "--deep",
       .kind = Kind::kFlag,
       .help = "Float folders: also look for NaN and infinity in every tensor."},
      {.name = "--quick",
       .kind = Kind::kFlag,
       .help = "Quantized folders: headers and small tensors only, no weight data."},
      {.name = "--run",
       .kind = Kind::kFlag,
       .help =
           "Also let the model answer three questions and judge whether the answers are text; with "
           "--source also how often it chooses the float model's token."},
      {.name = "--max-tokens",
       .kind = Kind::kInteger,
       .default_text = "48",
       .help = "Longest answer of --run."},
      {.name = "--max-findings",
       .kind = Kind::kInteger,
       .default_text = "8",
       .help = "Findings shown for each rule and severity; further ones are counted."},
      {.name = "--json", .kind = Kind::kFlag, .help = "One JSON object instead of text."},
  };
}

}  // namespace

const Command& CheckCommand() {
  static const Command command = {
      .name = "check",
      .summary = "Tell what a folder is and whether it is sound",
      .description =
          "Goes through the checklist of docs/check.md: weight files, description, index, labels, "
          "types, scales, offsets, "
          "quant_bias, the encoding of deq_scale, float16 losses on a 310P, int32 overflow, "
          "config.json, tokenizer and "
          "processor files; with --source also the weights themselves. Then says which engines "
          "read the folder and with which "
          "command line.\n\n"
          "Each finding names what was found, why it matters and what to do. The exit code is 0 "
          "for a sound folder (with or "
          "without warnings) and 1 for one that an engine would refuse or answer garbage from.",
      .options = Table(),
      .examples = {{"ingot check Qwen3-VL-8B-W8A8", "the whole checklist"},
                   {"ingot check Qwen3-VL-8B-W8A8 --run", "also let it answer, and name garbage"},
                   {"ingot check Qwen3-VL-8B-W8A8 --source Qwen3-VL-8B-Instruct --json",
                    "with the float model, for a script"}},
      .run = Run,
  };
  return command;
}

}  // namespace ingot::cli
