// SPDX-License-Identifier: Apache-2.0
// The man page ingot(1) in roff (man macros), from the option tables.
#include <string>

#include "cli/help.h"
#include "cli/help_text.h"

namespace ingot::cli {
namespace {

// Text for roff: backslashes and dashes escaped, a leading dot or quote made harmless.
std::string Escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if ((c == '.' || c == '\'') && (out.empty() || out.back() == '\n')) out += "\\&";
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else {
      out += c;
    }
  }
  return out;
}

std::string Paragraph(std::string_view text) { return ".PP\n" + Escape(text) + "\n"; }

std::string Tagged(std::string_view tag, std::string_view text) {
  return ".TP\n.B " + Escape(tag) + "\n" + Escape(text) + "\n";
}

std::string OptionList(const std::vector<Option>& options) {
  std::string out;
  for (const Option& option : options) {
    if (option.hidden) continue;
    const bool positional = option.name[0] != '-';
    out += Tagged(positional ? option.name : OptionSpelling(option), OptionExplanation(option));
  }
  return out;
}

std::string CommandSection(const Command& command) {
  std::string out = ".SS \"" + Escape(UsageLine(command)) + "\"\n" + Paragraph(command.description);
  out += OptionList(command.options);
  if (command.examples.empty()) return out;
  out += ".PP\nExamples:\n";
  for (const Example& example : command.examples) {
    out += ".PP\n" + Escape(example.what) + ":\n.PP\n.RS 4\n.nf\n" + Escape(example.line) +
           "\n.fi\n.RE\n";
  }
  return out;
}

}  // namespace

std::string ManPage() {
  std::string out = ".TH INGOT 1 \"\" \"ingot " INGOT_VERSION "\" \"User Commands\"\n";
  out +=
      ".SH NAME\ningot \\- take a Qwen\\-VL model from its Hugging Face folder to a checked "
      "W8A8 model\n";
  out += ".SH SYNOPSIS\n.B ingot\n.I COMMAND\n[options]\n";
  out +=
      ".SH DESCRIPTION\nOne program that quantizes, converts, checks, compares and runs Qwen\\-VL "
      "models, without Python.\nLong options are accepted with dashes or underscores; a flag may "
      "be followed by True or False.\n";
  out += ".SH COMMANDS\n";
  for (const Command* command : AllCommands()) out += CommandSection(*command);
  out += ".SH GLOBAL OPTIONS\n" + OptionList(GlobalOptions());
  out += ".SH EXIT STATUS\n";
  out += Tagged("0", "Good.") + Tagged("1", "A check or comparison found something wrong.") +
         Tagged("2", "Wrong usage.") + Tagged("3", "A bad input file.") +
         Tagged("4", "The machine lacks something: disk, memory, permission, a helper program.") +
         Tagged("5", "A defect of the program.") +
         Tagged("130", "Interrupted; what is on disk can be resumed.");
  return out;
}

}  // namespace ingot::cli
