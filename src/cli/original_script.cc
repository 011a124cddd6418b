// SPDX-License-Identifier: Apache-2.0
// See the header. What each option did in the script is in its help or in the reason why it is
// ignored.
#include "cli/original_script.h"

#include "base/error.h"

namespace ingot::cli {
namespace {

constexpr char kGroup[] = "Options of the original script";

Option Ignored(const char* name, Kind kind, const char* value, const char* reason) {
  Option option;
  option.name = name;
  option.kind = kind;
  option.value_name = value;
  option.ignored = reason;
  option.group = kGroup;
  return option;
}

}  // namespace

std::vector<Option> OriginalQuantizeOptions() {
  return {
      {.name = "--model-path",
       .kind = Kind::kPath,
       .value_name = "DIR",
       .help = "The float model (as MODEL).",
       .group = kGroup},
      {.name = "--calib-images",
       .kind = Kind::kPath,
       .value_name = "DIR",
       .help = "Folder of calibration pictures (as --calib).",
       .group = kGroup},
      {.name = "--save-directory",
       .kind = Kind::kPath,
       .value_name = "DIR",
       .help = "The folder to write (as -o).",
       .group = kGroup},
      {.name = "--w-bit",
       .kind = Kind::kInteger,
       .default_text = "8",
       .help = "Bits of a weight; only 8.",
       .group = kGroup},
      {.name = "--a-bit",
       .kind = Kind::kInteger,
       .default_text = "8",
       .help = "Bits of an activation; only 8.",
       .group = kGroup},
      {.name = "--act-method",
       .kind = Kind::kInteger,
       .default_text = "2",
       .help = "How --method v0 finds activation ranges: 1 extremes, 2 histogram, 3 either.",
       .group = kGroup},
      {.name = "--is-dynamic",
       .kind = Kind::kFlag,
       .help = "Activation scales per token at run time instead of calibrated ones.",
       .group = kGroup},
      {.name = "--torch-dtype",
       .kind = Kind::kText,
       .value_name = "DTYPE",
       .help = "The dtype that config.json of the result names.",
       .group = kGroup},
      {.name = "--part-file-size",
       .kind = Kind::kNumber,
       .value_name = "GB",
       .help = "Cut the weights into files of at most this many GB.",
       .group = kGroup},
      Ignored("--device-type", Kind::kText, "DEVICE", "everything runs on the CPU."),
      Ignored("--trust-remote-code", Kind::kFlag, "", "no code of a model folder is ever run."),
      Ignored("--anti-method", Kind::kText, "NAME",
              "the script's outlier suppression finds nothing to do in Qwen3-VL."),
      Ignored("--open-outlier", Kind::kFlag, "", "the script reads it and never uses it."),
      {.name = "--is-lowbit", .kind = Kind::kFlag, .help = "Only False.", .group = kGroup},
      {.name = "--co-sparse", .kind = Kind::kFlag, .help = "Only False.", .group = kGroup},
      Ignored("--fraction", Kind::kNumber, "X", "it concerns sparse weights only."),
      Ignored("--use-sigma", Kind::kFlag, "", "it concerns sparse weights only."),
      Ignored("--sigma-factor", Kind::kNumber, "X", "it concerns sparse weights only."),
  };
}

void CheckOriginalQuantizeOptions(const Options& options) {
  for (const char* name : {"--w-bit", "--a-bit"}) {
    if (options.Integer(name) == 8) continue;
    throw UserError("{} is {}; only 8 is supported (W8A8).", name, options.Integer(name));
  }
  if (options.Flag("--is-lowbit")) {
    throw UserError("--is-lowbit True asks for low-bit weights; only W8A8 is supported.");
  }
  if (options.Flag("--co-sparse")) {
    throw UserError("--co-sparse True asks for sparse weights (W8A8S); only W8A8 is supported.");
  }
}

}  // namespace ingot::cli
