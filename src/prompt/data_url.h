// SPDX-License-Identifier: Apache-2.0
// data: URLs (RFC 2397) with base64 content (RFC 4648).
#pragma once

#include <string>
#include <string_view>

namespace ingot {

// The bytes of "data:image/png;base64,....". False when it is no such URL or its base64 is
// malformed.
bool DecodeDataUrl(std::string_view url, std::string* bytes, bool strict = false);

// Standard alphabet, with or without padding; line breaks and spaces are skipped. False on anything
// else. `strict`: padding must be there and blanks must not (RFC 4648, 3.1 to 3.3).
bool DecodeBase64(std::string_view text, std::string* bytes, bool strict = false);

}  // namespace ingot
