// SPDX-License-Identifier: Apache-2.0
// Text of unknown origin (names out of files, a parser's excerpts) made fit for a terminal and for
// JSON: nothing in it is obeyed as a control sequence, and it is valid UTF-8.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace ingot {

// Control characters and bytes that are no UTF-8 become \xNN; what is longer than about `limit`
// bytes is cut, with "...".
std::string Printable(std::string_view text, size_t limit = 200);
// The same for a whole message: nothing is cut, line breaks and tabs stay.
std::string PrintableLines(std::string_view text);

// Length of the UTF-8 character that `text` begins with; 0 when it is none (RFC 3629: no overlong
// forms, no surrogates).
size_t Utf8Length(std::string_view text);

}  // namespace ingot
