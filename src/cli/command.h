// SPDX-License-Identifier: Apache-2.0
// A subcommand as data: its options, its examples and the function that runs it. One table feeds
// the parser, --help, the man page and the shell completions, so they cannot disagree. How to add a
// subcommand: src/cli/README.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace ingot::cli {

enum class Kind {
  kFlag,     // no value, or True/False behind it ("--trust_remote_code True")
  kText,     // any text
  kInteger,  // 64-bit, decimal
  kNumber,   // floating point
  kBytes,    // "5GB", "512MiB", "4096"
  kChoice,   // one of `choices`
  kPath,     // a file or folder (completed as such)
};

// One option or one positional argument. Names are written with dashes; underscores are accepted on
// the command line for every long name and alias ("--model_path" = "--model-path").
struct Option {
  std::string name;  // "--model-path", or "MODEL" (no dash) for a positional
  Kind kind = Kind::kText;
  std::string value_name;            // "DIR"; empty: made from the kind
  std::string default_text;          // "" = none; parsed like a value when the option is not given
  std::string help;                  // one sentence
  std::vector<std::string> aliases;  // "-m", "--model"
  std::vector<std::string> choices;  // kChoice
  bool required = false;
  bool repeated = false;  // may be given more than once; a repeated positional takes the rest
  bool hidden = false;    // not in --help; still in nearest-name suggestions
  std::string ignored;    // not empty: accepted for old command lines; the reason that is said once
  std::string group;      // heading in --help; "" = "Options"
};

struct Example {
  std::string line;  // "ingot ask MODEL --image cat.jpg \"What is this?\""
  std::string what;  // what it does
};

// The parsed command line of one subcommand. Every accessor takes the table's name
// ("--model-path"); asking for a name that is not in the table, or for the wrong kind, is an
// InternalError.
class Options {
 public:
  bool Has(std::string_view name) const;  // given on the command line
  bool Flag(std::string_view name) const;
  std::string Text(std::string_view name) const;  // "" when neither given nor defaulted
  std::filesystem::path Path(std::string_view name) const { return Text(name); }
  int64_t Integer(std::string_view name) const;  // Requires: given or defaulted
  double Number(std::string_view name) const;    // Requires: given or defaulted
  uint64_t Bytes(std::string_view name) const;   // Requires: given or defaulted
  std::vector<std::string> List(
      std::string_view name) const;  // every value of a repeated option, in order
  // The command line as given, for reports and journals.
  const std::vector<std::string>& command_line() const { return command_line_; }

 private:
  friend class OptionsBuilder;
  struct Entry {
    Kind kind = Kind::kText;
    bool given = false;
    std::vector<std::string> values;  // the default when not given
  };
  const Entry& Get(std::string_view name, Kind kind) const;
  const Entry& Find(std::string_view name) const;
  std::map<std::string, Entry, std::less<>> entries_;
  std::vector<std::string> command_line_;
};

struct Command {
  std::string name;             // "quantize"
  std::string summary;          // one line for the list of commands
  std::string description;      // paragraphs of --help and the man page
  std::vector<Option> options;  // positionals in order; options in the order of --help
  std::vector<Example> examples;
  int (*run)(const Options&) =
      nullptr;  // the exit code: 0 good, 1 something was found wrong; errors are thrown
  // Rewrites the arguments before they are parsed (serve --config); may be empty.
  std::vector<std::string> (*expand)(const std::vector<std::string>& args) = nullptr;
};

// Each returns the one description of its subcommand, defined in src/cli/<name>.cc and listed in
// registry.cc.
const Command& AskCommand();
const Command& BenchCommand();
const Command& CheckCommand();
const Command& CompareCommand();
const Command& CompletionCommand();
const Command& ConvertCommand();
const Command& EvalCommand();
const Command& HelpCommand();
const Command& InspectCommand();
const Command& QuantizeCommand();
const Command& ServeCommand();
const Command& SynthCommand();
const Command& TraceCommand();
const Command& VersionCommand();

// All subcommands of this build in the order of the help, and the options that every one of them
// takes.
const std::vector<const Command*>& AllCommands();
const std::vector<Option>& GlobalOptions();
const Command* FindCommand(std::string_view name);

}  // namespace ingot::cli
