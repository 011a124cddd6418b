// SPDX-License-Identifier: Apache-2.0
// `ingot help [COMMAND]`, `ingot help --man` and `ingot completion SHELL`.
#include <cstdio>

#include "base/error.h"
#include "cli/command.h"
#include "cli/help.h"
#include "cli/parser.h"

namespace ingot::cli {
namespace {

void Print(const std::string& text) { std::fwrite(text.data(), 1, text.size(), stdout); }

int RunHelp(const Options& options) {
  const std::string topic = options.Text("COMMAND");
  if (options.Flag("--man")) {
    Print(ManPage());
  } else if (topic.empty()) {
    Print(ProgramHelp());
  } else if (const Command* command = FindCommand(topic)) {
    Print(CommandHelp(*command));
  } else {
    std::vector<std::string> names;
    for (const Command* known : AllCommands()) names.push_back(known->name);
    const std::string near = NearestName(topic, names);
    throw UserError("there is no command '{}'{}. `ingot help` lists the commands.", topic,
                    near.empty() ? "" : fmt::format("; the nearest is '{}'", near));
  }
  return 0;
}

int RunCompletion(const Options& options) {
  Print(options.Text("SHELL") == "zsh" ? ZshCompletion() : BashCompletion());
  return 0;
}

}  // namespace

const Command& HelpCommand() {
  static const Command command = {
      .name = "help",
      .summary = "Show the help of a command, or the man page",
      .description = "Without an argument: the list of commands.",
      .options = {{.name = "COMMAND", .help = "The command to explain."},
                  {.name = "--man",
                   .kind = Kind::kFlag,
                   .help = "The man page ingot(1) as roff, on standard output."}},
      .examples = {{"ingot help quantize", "what quantize can do"},
                   {"ingot help --man > ingot.1 && man ./ingot.1", "read the man page"}},
      .run = RunHelp,
  };
  return command;
}

const Command& CompletionCommand() {
  static const Command command = {
      .name = "completion",
      .summary = "Print a completion script for bash or zsh",
      .description =
          "Load the script in your shell's start file, or put it where your "
          "distribution keeps completions.",
      .options = {{.name = "SHELL",
                   .kind = Kind::kChoice,
                   .help = "The shell.",
                   .choices = {"bash", "zsh"},
                   .required = true}},
      .examples = {{"source <(ingot completion bash)", "complete in this bash"},
                   {"ingot completion zsh > ~/.zfunc/_ingot", "install for zsh"}},
      .run = RunCompletion,
  };
  return command;
}

}  // namespace ingot::cli
