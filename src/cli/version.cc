// SPDX-License-Identifier: Apache-2.0
// `ingot version`: also the shortest example of a subcommand.
#include <cstdio>

#include "cli/command.h"

namespace ingot::cli {
namespace {

int Run(const Options& options) {
  if (options.Flag("--json")) {
    std::printf("{\"name\":\"ingot\",\"version\":\"%s\"}\n", INGOT_VERSION);
  } else {
    std::printf("ingot %s\n", INGOT_VERSION);
  }
  return 0;
}

}  // namespace

const Command& VersionCommand() {
  static const Command command = {
      .name = "version",
      .summary = "Show the version",
      .description = "Prints the program's name and version.",
      .options = {{.name = "--json",
                   .kind = Kind::kFlag,
                   .help = "One JSON object instead of text."}},
      .examples = {{"ingot version --json", "the version for a script"}},
      .run = Run,
  };
  return command;
}

}  // namespace ingot::cli
