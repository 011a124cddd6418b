// SPDX-License-Identifier: Apache-2.0
// Pieces of text about options that the help, the man page and the completions share.
#pragma once

#include <string>

#include "cli/command.h"

namespace ingot::cli {

std::string ValueName(const Option& option);          // "DIR"
std::string OptionSpelling(const Option& option);     // "-o, --output DIR"
std::string OptionExplanation(const Option& option);  // the help sentence with default and marks
std::string UsageLine(const Command& command);        // "ingot ask MODEL [QUESTION] [options]"

}  // namespace ingot::cli
