// SPDX-License-Identifier: Apache-2.0
// What a request demands of its answer's form, as a grammar for the engine.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <utility>

#include "engine/grammar.h"
#include "server/api_types.h"
#include "text/grammar.h"

namespace ingot::server {

struct GrammarText {
  GrammarKind kind = GrammarKind::kLark;
  std::string text;
};

// Errors: ApiError 400 when the demand itself is malformed. Requires: kind is not kNone.
GrammarText ToGrammar(const StructuredOutput& structured);

// The JSON schema that tool_choice "required" or a named tool puts on the answer: a list of
// {"name", "parameters"}, or the parameters of the one tool.
std::string SchemaOfTools(std::span<const ToolDefinition> tools, const ToolChoice& choice,
                          bool parallel);

// A matcher for the engine. Errors: ApiError 400 when it cannot be compiled: an answer is never
// less constrained than was asked for.
std::shared_ptr<const GrammarMatcher> CompileForEngine(GrammarCompiler& compiler,
                                                       const GrammarText& grammar);

}  // namespace ingot::server
