// SPDX-License-Identifier: Apache-2.0
// Answers made comparable the way the official VQA and TextVQA evaluations do it: case,
// punctuation, articles, number words, contractions. Quirks included, so that figures equal
// published ones. Source of the rules: facebookresearch/mmf: mmf/utils/m4c_evaluators.py
// (EvalAIAnswerProcessor).
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ingot {

std::string NormalizeAnswer(std::string_view answer);

// Pieces of it, on UTF-8. Invalid bytes pass through unchanged.
std::string LowerText(
    std::string_view text);  // ASCII, Latin, Greek, Cyrillic and full-width letters
std::string_view TrimText(std::string_view text);  // Unicode white space at both ends
std::vector<std::string_view> SplitWords(std::string_view text);  // at Unicode white space
std::vector<char32_t> CodePoints(
    std::string_view text);  // an invalid byte counts as one code point

}  // namespace ingot
