// SPDX-License-Identifier: Apache-2.0
// ingot convert: the original workflow's post-processing step with its flags, and from one written
// format to another.
#include "convert/convert.h"

#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

#include "base/error.h"
#include "cli/command.h"

namespace ingot::cli {
namespace {

Target ServerTarget(const std::string& type) {
  if (type == "310") return Target::kGoldenStick310;
  if (type == "910") return Target::kGoldenStick910;
  throw UserError("--target_type is \"{}\"; expected 310 (Atlas 300I Duo) or 910 (Atlas 800).",
                  type);
}

ConvertOptions CommonOptions(const Options& options) {
  ConvertOptions result;
  result.original_dir = options.Path("--original-dir");
  result.exact = options.Flag("--exact");
  if (options.Has("--shard-size")) result.shard_bytes = options.Bytes("--shard-size");
  if (options.Has("--dtype"))
    result.run_dtype = options.Text("--dtype") == "float16" ? DType::kF16 : DType::kBF16;
  return result;
}

ConvertReport RunOldFlags(const Options& options) {
  for (const char* name : {"SRC", "--output", "--target", "--dtype"}) {
    if (options.Has(name))
      throw UserError(
          "{} does not go with --quant_dir, which converts in place. Use one form only.", name);
  }
  for (const char* name : {"--original-dir", "--target-type"}) {
    if (!options.Has(name)) {
      throw UserError(
          "{} is missing: ingot convert --original_dir FLOAT --quant_dir FOLDER --target_type "
          "310|910.",
          name);
    }
  }
  return ConvertInPlace(options.Path("--quant-dir"), ServerTarget(options.Text("--target-type")),
                        CommonOptions(options));
}

ConvertReport RunNewFolder(const Options& options) {
  if (options.Has("--target-type"))
    throw UserError("--target_type belongs to --quant_dir. With -o name the format with --target.");
  for (const char* name : {"SRC", "--output", "--target"}) {
    if (!options.Has(name)) {
      throw UserError(
          "{} is missing: ingot convert SRC -o DST --target FORMAT, or the old flags "
          "--original_dir --quant_dir "
          "--target_type.",
          name);
    }
  }
  return ConvertFolder(options.Path("SRC"), options.Path("--output"),
                       ParseTarget(options.Text("--target")), CommonOptions(options));
}

std::string ReportJson(const ConvertReport& report) {
  nlohmann::ordered_json json;
  json["folder"] = report.dir.string();
  json["from"] = FolderFormatName(report.from);
  json["to"] = FolderFormatName(report.to);
  json["run_dtype"] = DTypeName(report.run_dtype);
  json["changed"] = report.changed;
  json["actions"] = report.actions;
  json["copied"] = report.copied;
  json["notes"] = report.notes;
  json["bytes_written"] = report.bytes_written;
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

int Run(const Options& options) {
  const ConvertReport report =
      options.Has("--quant-dir") ? RunOldFlags(options) : RunNewFolder(options);
  const std::string text =
      options.Flag("--json") ? ReportJson(report) : ConvertReportText(report);
  std::fputs(text.c_str(), stdout);
  return 0;
}

std::vector<Option> Table() {
  return {
      {.name = "SRC", .kind = Kind::kPath, .help = "Quantized folder to convert into a new one."},
      {.name = "--output",
       .kind = Kind::kPath,
       .value_name = "DIR",
       .help = "New folder; it must not exist or be empty.",
       .aliases = {"-o"}},
      {.name = "--target",
       .kind = Kind::kChoice,
       .help = "Format of the new folder.",
       .choices = {"ascend-v0", "ascend", "golden-stick-310", "golden-stick-910",
                   "compressed-tensors"}},
      {.name = "--original-dir",
       .kind = Kind::kPath,
       .value_name = "DIR",
       .help = "Float model that was quantized: its tokenizer, template and processor files are "
               "copied when missing."},
      {.name = "--dtype",
       .kind = Kind::kChoice,
       .help =
           "Type that the engine will run in; the default is what config.json says (310: float16).",
       .choices = {"float16", "bfloat16"}},
      {.name = "--shard-size",
       .kind = Kind::kBytes,
       .help = "Largest weight file; the default is what the format wants."},
      {.name = "--json",
       .kind = Kind::kFlag,
       .help = "What was done as one JSON object instead of text."},
      {.name = "--quant-dir",
       .kind = Kind::kPath,
       .value_name = "DIR",
       .help =
           "Folder of the quantizer, converted in place (with --original_dir and --target_type).",
       .group = "Original script"},
      {.name = "--target-type",
       .kind = Kind::kText,
       .value_name = "310|910",
       .help = "Server type.",
       .group = "Original script"},
      {.name = "--exact",
       .kind = Kind::kFlag,
       .help = "Byte for byte what the original script leaves, its slips included.",
       .group = "Original script"},
  };
}

}  // namespace

const Command& ConvertCommand() {
  static const Command command = {
      .name = "convert",
      .summary = "Convert a quantized folder for its engine",
      .description =
          "Rewrites a quantized folder for another engine without computing anything new: "
          "activation scales become vectors for "
          "golden-stick, deq_scale changes its carrier, labels, index and config follow. What a "
          "format cannot hold without "
          "loss is refused with the reason.\n\n"
          "With --quant_dir the folder is converted in place, as the conversion script of the "
          "original workflow does. New "
          "files are staged beside the old ones, read back and compared, then renamed; after an "
          "interruption the same command "
          "completes the work. At the end the command line that serves the folder is printed.",
      .options = Table(),
      .examples = {{"ingot convert --original_dir Qwen3-VL-8B-Instruct --quant_dir "
                    "Qwen3-VL-8B-W8A8 --target_type 310",
                    "the original workflow, for a 300I Duo"},
                   {"ingot convert Qwen3-VL-8B-W8A8 -o Qwen3-VL-8B-ascend --target ascend",
                    "for vLLM-Ascend"}},
      .run = Run,
  };
  return command;
}

}  // namespace ingot::cli
