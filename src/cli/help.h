// SPDX-License-Identifier: Apache-2.0
// Texts made from the option tables: --help, the man page (roff), shell completions.
#pragma once

#include <string>

#include "cli/command.h"

namespace ingot::cli {

std::string ProgramHelp();                        // the list of subcommands
std::string CommandHelp(const Command& command);  // one subcommand
std::string ManPage();                            // ingot(1), all subcommands
std::string BashCompletion();
std::string ZshCompletion();

}  // namespace ingot::cli
