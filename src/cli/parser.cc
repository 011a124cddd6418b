// SPDX-License-Identifier: Apache-2.0
// The only file that sees CLI11: it splits options from positionals and values; spelling and checks
// are ours.
#include "cli/parser.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <memory>

#include "base/edit_distance.h"
#include "base/error.h"

namespace ingot::cli {
namespace {

bool IsPositional(const Option& option) { return !option.name.starts_with('-'); }

// "--model_path" -> "--model-path"; single-dash names are left alone.
std::string Canonical(std::string_view name) {
  std::string canonical(name);
  if (name.starts_with("--")) std::replace(canonical.begin(), canonical.end(), '_', '-');
  return canonical;
}

// Every accepted spelling of the options of one command (and of the global ones) -> its table row.
std::map<std::string, const Option*> NameMap(const Command* command) {
  std::map<std::string, const Option*> names;
  const auto add = [&](const std::vector<Option>& options) {
    for (const Option& option : options) {
      if (IsPositional(option)) continue;
      names.emplace(Canonical(option.name), &option);
      for (const std::string& alias : option.aliases) names.emplace(Canonical(alias), &option);
    }
  };
  if (command != nullptr) add(command->options);
  add(GlobalOptions());
  return names;
}

[[noreturn]] void ThrowUnknownOption(const Command* command, const std::string& name,
                                     const std::map<std::string, const Option*>& names) {
  std::vector<std::string> candidates;
  for (const auto& [known, option] : names) candidates.push_back(known);
  const std::string near = NearestName(Canonical(name), candidates);
  const std::string topic = command != nullptr ? " " + command->name : "";
  throw UserError("unknown option {}{}. `ingot help{}` lists the options.", name,
                  near.empty() ? "" : fmt::format("; the nearest is {}", near), topic);
}

bool IsTrueOrFalse(const std::string& token) {
  return token == "True" || token == "False" || token == "true" || token == "false";
}

// Rewrites option names to the table's, and flags with an optional True/False to "--flag=value".
// Everything after "--" stays.
std::vector<std::string> NormalizeSpelling(const Command* command,
                                           const std::vector<std::string>& args) {
  const auto names = NameMap(command);
  std::vector<std::string> out;
  for (size_t i = 0; i < args.size(); ++i) {
    const std::string& arg = args[i];
    if (arg == "--") {
      out.insert(out.end(), args.begin() + static_cast<std::ptrdiff_t>(i), args.end());
      break;
    }
    if (arg.size() < 2 || arg[0] != '-') {
      out.push_back(arg);
      continue;
    }
    const size_t equals = arg.starts_with("--") ? arg.find('=') : std::string::npos;
    const std::string name = Canonical(arg.substr(0, equals));
    const auto it = names.find(name);
    if (it == names.end()) {
      // "-oDIR" and "-5" are left to CLI11; a long name that nobody knows is not.
      const bool joined_short = arg[1] != '-' && names.contains(arg.substr(0, 2));
      if (!joined_short) ThrowUnknownOption(command, arg.substr(0, equals), names);
      out.push_back(arg);
      continue;
    }
    const Option& option = *it->second;
    if (equals != std::string::npos) {
      out.push_back(option.name + arg.substr(equals));
    } else if (option.kind != Kind::kFlag) {
      out.push_back(option.name);
    } else if (i + 1 < args.size() && IsTrueOrFalse(args[i + 1])) {
      out.push_back(option.name + "=" + args[++i]);
    } else {
      out.push_back(option.name + "=true");
    }
  }
  return out;
}

// Index of the subcommand's name: the first token that is neither an option nor the value of a
// global one.
size_t FindCommandIndex(const std::vector<std::string>& args) {
  const auto names = NameMap(nullptr);
  for (size_t i = 0; i < args.size(); ++i) {
    if (args[i].empty() || args[i][0] != '-') return i;
    const auto it = names.find(Canonical(args[i]));
    if (it != names.end() && it->second->kind != Kind::kFlag) ++i;
  }
  return args.size();
}

const Command& RequireCommand(const std::string& name) {
  if (const Command* command = FindCommand(name)) return *command;
  std::vector<std::string> names;
  for (const Command* known : AllCommands()) names.push_back(known->name);
  const std::string near = NearestName(name, names);
  throw UserError("there is no command '{}'{}. `ingot help` lists the commands.", name,
                  near.empty() ? "" : fmt::format("; the nearest is '{}'", near));
}

void CheckValue(const Option& option, const std::string& value) {
  switch (option.kind) {
    case Kind::kInteger:
      ParseInteger(value, option.name);
      break;
    case Kind::kNumber:
      ParseNumber(value, option.name);
      break;
    case Kind::kBytes:
      ParseBytes(value, option.name);
      break;
    case Kind::kFlag:
      ParseBool(value, option.name);
      break;
    case Kind::kChoice:
      if (std::find(option.choices.begin(), option.choices.end(), value) == option.choices.end()) {
        throw UserError("{} is '{}'; expected one of: {}.", option.name, value,
                        fmt::join(option.choices, ", "));
      }
      break;
    case Kind::kText:
    case Kind::kPath:
      break;
  }
}

}  // namespace

// Fills Options from the values that CLI11 collected.
class OptionsBuilder {
 public:
  OptionsBuilder(const Command& command, std::vector<std::string> command_line)
      : command_(command), app_(command.summary, command.name) {
    options_.command_line_ = std::move(command_line);
    app_.set_help_flag();
    app_.allow_windows_style_options(false);
    for (const Option& option : command.options) Declare(option);
    for (const Option& option : GlobalOptions()) Declare(option);
  }

  // `tokens` after NormalizeSpelling. CLI11 wants them reversed.
  void Parse(std::vector<std::string> tokens) {
    std::reverse(tokens.begin(), tokens.end());
    try {
      app_.parse(std::move(tokens));
    } catch (const CLI::ParseError& error) {
      throw UserError("{}: {}. See `ingot help {}`.", command_.name, error.what(), command_.name);
    }
  }

  Options Build(std::vector<std::string>* notes) {
    for (const Row& row : rows_) Fill(row, notes);
    return std::move(options_);
  }

 private:
  struct Row {
    const Option* option;
    CLI::Option* parsed;
    std::unique_ptr<std::vector<std::string>> values;
  };

  void Declare(const Option& option) {
    Row row{&option, nullptr, std::make_unique<std::vector<std::string>>()};
    std::string spellings = option.name;
    for (const std::string& alias : option.aliases) {
      // "-tp": rewritten by NormalizeSpelling; CLI11 knows single letters only.
      if (alias.starts_with("--") || alias.size() == 2) spellings += "," + alias;
    }
    row.parsed = app_.add_option(spellings, *row.values);
    if (IsPositional(option) && option.repeated) {
      row.parsed->expected(0, CLI::detail::expected_max_vector_size);
    } else {
      row.parsed->expected(1)->allow_extra_args(false);
      if (!IsPositional(option)) {
        row.parsed->multi_option_policy(option.repeated ? CLI::MultiOptionPolicy::TakeAll
                                                        : CLI::MultiOptionPolicy::TakeLast);
      }
    }
    rows_.push_back(std::move(row));
  }

  void Fill(const Row& row, std::vector<std::string>* notes) {
    const Option& option = *row.option;
    Options::Entry entry;
    entry.kind = option.kind;
    entry.given = row.parsed->count() > 0;
    if (entry.given) {
      entry.values = *row.values;
    } else if (!option.default_text.empty()) {
      entry.values = {option.default_text};
    }
    for (const std::string& value : entry.values) CheckValue(option, value);
    if (option.required && !entry.given) {
      throw UserError("{}: {} is missing{}. See `ingot help {}`.", command_.name, option.name,
                      option.help.empty() ? "" : " (" + option.help + ")", command_.name);
    }
    if (entry.given && !option.ignored.empty()) {
      notes->push_back(
          fmt::format("{} is accepted and has no effect: {}", option.name, option.ignored));
    }
    options_.entries_.emplace(option.name, std::move(entry));
  }

  const Command& command_;
  CLI::App app_;
  std::vector<Row> rows_;
  Options options_;
};

std::string NearestName(std::string_view name, const std::vector<std::string>& candidates) {
  std::string best;
  size_t best_distance = name.size() / 3 + 1;  // further away is another word, not a slip
  for (const std::string& candidate : candidates) {
    const size_t distance = EditDistance<char>(name, candidate);
    const bool prefix = name.size() >= 5 && candidate.starts_with(name);
    if (distance < best_distance || (best.empty() && (distance == best_distance || prefix))) {
      best = candidate;
      best_distance = std::min(distance, best_distance);
    }
  }
  return best;
}

Invocation ParseCommandLine(const std::vector<std::string>& args) {
  const auto is_one_of = [](const std::string& arg, std::string_view a, std::string_view b) {
    return arg == a || arg == b;
  };
  const size_t at = FindCommandIndex(args);
  const auto end_of_options = std::find(args.begin(), args.end(), "--");
  const bool wants_help = std::any_of(args.begin(), end_of_options, [&](const std::string& arg) {
    return is_one_of(arg, "--help", "-h");
  });
  std::vector<std::string> rest(args);
  std::string name = "help";
  if (at < args.size()) {
    name = args[at];
    rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(at));
    RequireCommand(name);
  }
  if (wants_help) {
    rest = at < args.size() ? std::vector<std::string>{name} : std::vector<std::string>{};
    name = "help";
  } else if (std::find(args.begin(), end_of_options, "--version") != end_of_options) {
    name = "version";
    rest.clear();
  }
  const Command& command = RequireCommand(name);
  Invocation invocation;
  invocation.command = &command;
  OptionsBuilder builder(command, args);
  if (command.expand != nullptr) rest = command.expand(rest);
  builder.Parse(NormalizeSpelling(&command, rest));
  invocation.options = builder.Build(&invocation.notes);
  return invocation;
}

}  // namespace ingot::cli
