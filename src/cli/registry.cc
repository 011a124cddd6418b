// SPDX-License-Identifier: Apache-2.0
// The one list of subcommands, in the order of the help. CMake defines INGOT_HAS_<NAME> for every
// src/cli/<name>.cc that is part of the build.
#include "cli/command.h"

namespace ingot::cli {

const std::vector<const Command*>& AllCommands() {
  static const std::vector<const Command*> commands = {
#ifdef INGOT_HAS_QUANTIZE
      &QuantizeCommand(),
#endif
#ifdef INGOT_HAS_CONVERT
      &ConvertCommand(),
#endif
#ifdef INGOT_HAS_CHECK
      &CheckCommand(),
#endif
#ifdef INGOT_HAS_INSPECT
      &InspectCommand(),
#endif
#ifdef INGOT_HAS_COMPARE
      &CompareCommand(),
#endif
#ifdef INGOT_HAS_EVAL
      &EvalCommand(),
#endif
#ifdef INGOT_HAS_ASK
      &AskCommand(),
#endif
#ifdef INGOT_HAS_SERVE
      &ServeCommand(),
#endif
#ifdef INGOT_HAS_TRACE
      &TraceCommand(),
#endif
#ifdef INGOT_HAS_SYNTH
      &SynthCommand(),
#endif
#ifdef INGOT_HAS_BENCH
      &BenchCommand(),
#endif
      &CompletionCommand(), &VersionCommand(), &HelpCommand(),
  };
  return commands;
}

const Command* FindCommand(std::string_view name) {
  for (const Command* command : AllCommands()) {
    if (command->name == name) return command;
  }
  return nullptr;
}

const std::vector<Option>& GlobalOptions() {
  static const std::vector<Option> options = {
      {.name = "--threads",
       .kind = Kind::kInteger,
       .value_name = "N",
       .help = "Number of threads; the default is the number of CPUs that the process may use. "
               "Results do not depend on it."},
      {.name = "--progress",
       .kind = Kind::kChoice,
       .default_text = "auto",
       .help = "How long work reports itself on standard error.",
       .choices = {"auto", "bar", "plain", "json", "none"}},
      {.name = "--quiet",
       .kind = Kind::kFlag,
       .help = "Only warnings and errors on standard error.",
       .aliases = {"-q"}},
      {.name = "--verbose",
       .kind = Kind::kFlag,
       .help = "More detail on standard error.",
       .aliases = {"-v"}},
      {.name = "--help",
       .kind = Kind::kFlag,
       .help = "Show this help and exit.",
       .aliases = {"-h"}},
      {.name = "--version", .kind = Kind::kFlag, .help = "Show the version and exit."},
  };
  return options;
}

}  // namespace ingot::cli
