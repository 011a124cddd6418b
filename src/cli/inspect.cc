// SPDX-License-Identifier: Apache-2.0
// ingot inspect: what is in a model folder.
#include "checkpoint/inspect.h"

#include <cstdio>

#include "cli/command.h"

namespace ingot::cli {
namespace {

int Run(const Options& options) {
  const Inspection inspection = Inspect(options.Path("PATH"));
  InspectView view;
  view.filter = options.Text("--filter");
  view.all_tensors = options.Flag("--all");
  const std::string text =
      options.Flag("--json") ? InspectJson(inspection, view) : InspectText(inspection, view);
  std::fputs(text.c_str(), stdout);
  return 0;
}

}  // namespace

const Command& InspectCommand() {
  static const Command command = {
      .name = "inspect",
      .summary = "Show tensors, types, sizes and quantization of a model folder",
      .description =
          "Lists what is in a model folder or in one .safetensors file: the model, the format, "
          "sizes "
          "by kind, how each linear of each layer is stored, and the tensors with type, shape and "
          "size. Equal layers share a row unless --all is given.\n\n"
          "It looks and does not judge: broken folders are shown as far as they can be read, with "
          "what is wrong listed at the end. To have a folder judged, use ingot check.",
      .options =
          {
              {.name = "PATH",
               .kind = Kind::kPath,
               .help = "Model folder, or one .safetensors file.",
               .required = true},
              {.name = "--filter",
               .kind = Kind::kText,
               .value_name = "PATTERN",
               .help =
                   "Only tensors whose name contains this, or matches it as a whole when it has "
                   "* or ?."},
              {.name = "--all",
               .kind = Kind::kFlag,
               .help = "One row for each tensor of each layer."},
              {.name = "--json", .kind = Kind::kFlag, .help = "Everything as one JSON object."},
          },
      .examples =
          {
              {"ingot inspect Qwen3-VL-8B-W8A8", "the whole picture"},
              {"ingot inspect Qwen3-VL-8B-W8A8 --filter layers.0. --all",
               "one layer, tensor by tensor"},
          },
      .run = Run,
  };
  return command;
}

}  // namespace ingot::cli
