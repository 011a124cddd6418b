// SPDX-License-Identifier: Apache-2.0
// From argv to a subcommand and its checked options. The spelling rules are here: underscores and
// dashes are one, True/False may follow a flag, unknown names come with the nearest known one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/command.h"

namespace ingot::cli {

struct Invocation {
  const Command* command = nullptr;
  Options options;
  std::vector<std::string> notes;  // options that were accepted without effect, one text each
};

// `args` without the program's name. Returns an invocation of "help" for --help and -h anywhere,
// for no arguments at all (then with exit code 2), and of "version" for --version. Errors:
// UserError (unknown command or option, missing or malformed value, missing argument).
Invocation ParseCommandLine(const std::vector<std::string>& args);

// The candidate with the smallest edit distance to `name`, or "" when none is near.
std::string NearestName(std::string_view name, const std::vector<std::string>& candidates);

// Checked conversions, shared with defaults. `what` names the option in the message.
int64_t ParseInteger(std::string_view text, std::string_view what);
double ParseNumber(std::string_view text, std::string_view what);
uint64_t ParseBytes(std::string_view text, std::string_view what);  // decimal (GB) and binary (GiB)
bool ParseBool(std::string_view text, std::string_view what);

}  // namespace ingot::cli
