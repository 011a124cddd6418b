// SPDX-License-Identifier: Apache-2.0
// A conversation on a terminal: `ingot ask MODEL` without a question.
#pragma once

#include <iosfwd>

#include "engine/engine.h"

namespace ingot::cli {

// Reads lines until /quit or the end of `in`. Answers are streamed to `out`, everything else goes
// to `notes`. Mistakes of a line (a missing picture) are said and the conversation goes on.
// `opening` holds a system turn and pictures that belong to the first question.
void RunChat(Engine& engine, const AnswerParams& params, Conversation opening, std::istream& in,
             std::ostream& out, std::ostream& notes);

}  // namespace ingot::cli
