// SPDX-License-Identifier: Apache-2.0
// Shell completion scripts from the option tables: commands, option names, choices; files for
// everything else.
#include <fmt/format.h>

#include <string>
#include <vector>

#include "cli/help.h"
#include "cli/help_text.h"

namespace ingot::cli {
namespace {

std::vector<std::string> VisibleNames(const std::vector<Option>& options) {
  std::vector<std::string> names;
  for (const Option& option : options) {
    if (option.hidden || option.name[0] != '-') continue;
    names.push_back(option.name);
    for (const std::string& alias : option.aliases) names.push_back(alias);
  }
  return names;
}

// "name|alias" patterns of the options with a fixed list of values, and those values.
std::string BashChoiceCases(const std::vector<Option>& options) {
  std::string out;
  for (const Option& option : options) {
    if (option.hidden || option.name[0] != '-' || option.choices.empty()) continue;
    std::string pattern = option.name;
    for (const std::string& alias : option.aliases) pattern += "|" + alias;
    out += fmt::format("        {}) COMPREPLY=($(compgen -W \"{}\" -- \"$cur\")); return;;\n",
                       pattern, fmt::join(option.choices, " "));
  }
  return out;
}

std::string BashCommandCase(const Command& command) {
  std::vector<std::string> words = VisibleNames(command.options);
  for (const std::string& name : VisibleNames(GlobalOptions())) words.push_back(name);
  std::string positional_words;
  for (const Option& option : command.options) {
    if (option.name[0] != '-' && !option.choices.empty()) {
      positional_words = fmt::format("{}", fmt::join(option.choices, " "));
    }
  }
  if (command.name == "help") {
    for (const Command* topic : AllCommands()) positional_words += topic->name + " ";
  }
  std::string out = fmt::format("    {})\n      case \"$prev\" in\n", command.name);
  out += BashChoiceCases(command.options) + BashChoiceCases(GlobalOptions());
  out += fmt::format("      esac\n      options=\"{}\"; words=\"{}\";;\n", fmt::join(words, " "),
                     positional_words);
  return out;
}

// A single-quoted zsh word: quotes ended and reopened, brackets and colons escaped for _arguments.
std::string ZshText(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\'') {
      out += "'\\''";
    } else if (c == '[' || c == ']' || c == ':' || c == '\\') {
      out += '\\';
      out += c;
    } else {
      out += c;
    }
  }
  return out;
}

std::string ZshAction(const Option& option) {
  if (!option.choices.empty()) return fmt::format("({})", fmt::join(option.choices, " "));
  return option.kind == Kind::kPath ? "_files" : " ";
}

std::string ZshSpec(const Option& option, const std::string& name) {
  const std::string star = option.repeated ? "*" : "";
  const std::string help = ZshText(option.help);
  if (option.name[0] != '-') {
    return fmt::format("'{}:{}:{}'", star, ZshText(option.name), ZshAction(option));
  }
  if (option.kind == Kind::kFlag) return fmt::format("'{}{}[{}]'", star, name, help);
  return fmt::format("'{}{}[{}]:{}:{}'", star, name, help, ZshText(ValueName(option)),
                     ZshAction(option));
}

std::string ZshSpecs(const std::vector<Option>& options) {
  std::string out;
  for (const Option& option : options) {
    if (option.hidden) continue;
    out += " \\\n        " + ZshSpec(option, option.name);
    for (const std::string& alias : option.aliases) {
      out += " \\\n        " + ZshSpec(option, alias);
    }
  }
  return out;
}

}  // namespace

std::string BashCompletion() {
  std::string commands;
  std::string cases;
  for (const Command* command : AllCommands()) {
    commands += command->name + " ";
    cases += BashCommandCase(*command);
  }
  return fmt::format(
      "# bash completion for ingot; made by `ingot completion bash`.\n"
      "_ingot() {{\n"
      "  local cur=\"${{COMP_WORDS[COMP_CWORD]}}\" prev=\"${{COMP_WORDS[COMP_CWORD-1]}}\"\n"
      "  local command=\"\" options=\"\" words=\"\" i\n"
      "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
      "    if [[ \" {0}\" == *\" ${{COMP_WORDS[i]}} \"* ]]; then command=\"${{COMP_WORDS[i]}}\"; "
      "break; fi\n"
      "  done\n"
      "  case \"$command\" in\n"
      "    \"\") COMPREPLY=($(compgen -W \"{0}{1}\" -- \"$cur\")); return;;\n"
      "{2}"
      "  esac\n"
      "  if [[ \"$cur\" == -* ]]; then\n"
      "    COMPREPLY=($(compgen -W \"$options\" -- \"${{cur//_/-}}\"))\n"
      "  else\n"
      "    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\") $(compgen -f -- \"$cur\"))\n"
      "  fi\n"
      "}}\n"
      "complete -o filenames -F _ingot ingot\n",
      commands, fmt::join(VisibleNames(GlobalOptions()), " "), cases);
}

std::string ZshCompletion() {
  std::string out = "#compdef ingot\n# zsh completion for ingot; made by `ingot completion zsh`.\n";
  out += "_ingot() {\n  local -a commands\n  commands=(\n";
  for (const Command* command : AllCommands()) {
    out += fmt::format("    '{}:{}'\n", command->name, ZshText(command->summary));
  }
  out += "  )\n  if (( CURRENT == 2 )); then\n    _describe command commands\n    return\n  fi\n";
  out += "  local command=$words[2]\n  shift words\n  (( CURRENT-- ))\n  case $command in\n";
  for (const Command* command : AllCommands()) {
    out += fmt::format("    {})\n      _arguments{}{};;\n", command->name,
                       ZshSpecs(command->options), ZshSpecs(GlobalOptions()));
  }
  out += "  esac\n}\n_ingot \"$@\"\n";
  return out;
}

}  // namespace ingot::cli
