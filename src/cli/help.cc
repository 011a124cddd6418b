// SPDX-License-Identifier: Apache-2.0
// --help texts, wrapped to 80 columns.
#include "cli/help.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "cli/help_text.h"

namespace ingot::cli {
namespace {

constexpr size_t kWidth = 80;
constexpr size_t kHelpColumn = 28;

// Words of `text` in lines of at most kWidth, each indented by `indent`; the first line continues
// at column `start`.
std::string Wrap(std::string_view text, size_t indent, size_t start) {
  std::string out;
  size_t column = start;
  bool first_word = true;
  for (size_t pos = 0; pos < text.size();) {
    const size_t end = std::min(text.find(' ', pos), text.size());
    const std::string_view word = text.substr(pos, end - pos);
    pos = end + 1;
    if (word.empty()) continue;
    if (!first_word && column + 1 + word.size() > kWidth) {
      out += '\n' + std::string(indent, ' ');
      column = indent;
    } else if (!first_word) {
      out += ' ';
      ++column;
    }
    out += word;
    column += word.size();
    first_word = false;
  }
  return out;
}

// Paragraphs, an empty line between them.
std::string WrapParagraphs(std::string_view text) {
  std::string out;
  for (size_t pos = 0; pos < text.size();) {
    const size_t end = std::min(text.find("\n\n", pos), text.size());
    if (!out.empty()) out += "\n\n";
    out += Wrap(text.substr(pos, end - pos), 0, 0);
    pos = end + 2;
  }
  return out;
}

std::string Row(const std::string& left, const std::string& right) {
  std::string out = "  " + left;
  if (out.size() + 2 > kHelpColumn) {
    out += '\n' + std::string(kHelpColumn, ' ');
  } else {
    out.resize(kHelpColumn, ' ');
  }
  return out + Wrap(right, kHelpColumn, kHelpColumn) + "\n";
}

std::string OptionRows(const std::vector<Option>& options, const std::string& group) {
  std::string out;
  for (const Option& option : options) {
    if (option.hidden || option.name[0] != '-' || option.group != group) continue;
    out += Row(OptionSpelling(option), OptionExplanation(option));
  }
  return out;
}

std::vector<std::string> Groups(const Command& command) {
  std::vector<std::string> groups = {""};
  for (const Option& option : command.options) {
    if (std::find(groups.begin(), groups.end(), option.group) == groups.end()) {
      groups.push_back(option.group);
    }
  }
  return groups;
}

}  // namespace

std::string ValueName(const Option& option) {
  if (!option.value_name.empty()) return option.value_name;
  switch (option.kind) {
    case Kind::kFlag:
      return "";
    case Kind::kInteger:
      return "N";
    case Kind::kNumber:
      return "X";
    case Kind::kBytes:
      return "SIZE";
    case Kind::kPath:
      return "PATH";
    case Kind::kChoice:
      return fmt::format("{}", fmt::join(option.choices, "|"));
    case Kind::kText:
      return "TEXT";
  }
  return "TEXT";
}

std::string OptionSpelling(const Option& option) {
  std::string out;
  for (const std::string& alias : option.aliases) {
    if (!alias.starts_with("--")) out += alias + ", ";
  }
  out += option.name;
  for (const std::string& alias : option.aliases) {
    if (alias.starts_with("--")) out += ", " + alias;
  }
  if (option.kind != Kind::kFlag) out += " " + ValueName(option);
  return out;
}

std::string OptionExplanation(const Option& option) {
  std::string out = option.help;
  if (!option.ignored.empty()) out += (out.empty() ? "" : " ") + ("No effect: " + option.ignored);
  if (option.repeated) out += " May be repeated.";
  if (option.required) out += " Required.";
  if (option.default_text.empty()) return out;
  out += " Default: " + option.default_text;
  if (!out.ends_with('.')) out += '.';
  return out;
}

std::string UsageLine(const Command& command) {
  std::string out = "ingot " + command.name;
  for (const Option& option : command.options) {
    if (option.name[0] == '-') {
      if (option.required) out += " " + option.name + " " + ValueName(option);
      continue;
    }
    const std::string name = option.repeated ? option.name + "..." : option.name;
    out += option.required ? " " + name : " [" + name + "]";
  }
  return out + " [options]";
}

std::string ProgramHelp() {
  std::string out =
      "ingot: takes a Qwen-VL model from its Hugging Face folder to a checked W8A8 model.\n\n"
      "Usage: ingot COMMAND [options]\n\nCommands:\n";
  for (const Command* command : AllCommands()) out += Row(command->name, command->summary);
  out += "\nGlobal options:\n" + OptionRows(GlobalOptions(), "");
  out +=
      "\nExit codes: 0 good, 1 something was found wrong, 2 usage, 3 bad input file, "
      "4 resources,\n5 internal, 130 interrupted.\n"
      "`ingot help COMMAND` explains one command with examples.\n";
  return out;
}

std::string CommandHelp(const Command& command) {
  std::string out =
      "Usage: " + UsageLine(command) + "\n\n" + WrapParagraphs(command.description) + "\n";
  std::string positionals;
  for (const Option& option : command.options) {
    if (option.name[0] != '-') positionals += Row(option.name, OptionExplanation(option));
  }
  if (!positionals.empty()) out += "\nArguments:\n" + positionals;
  for (const std::string& group : Groups(command)) {
    const std::string rows = OptionRows(command.options, group);
    if (!rows.empty()) out += "\n" + (group.empty() ? "Options" : group) + ":\n" + rows;
  }
  out += "\nGlobal options:\n" + OptionRows(GlobalOptions(), "");
  if (!command.examples.empty()) out += "\nExamples:\n";
  for (const Example& example : command.examples) {
    out += "  # " + example.what + "\n  " + example.line + "\n";
  }
  return out;
}

}  // namespace ingot::cli
