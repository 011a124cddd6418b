// SPDX-License-Identifier: Apache-2.0
// The chat page that `ingot serve` answers at "/": one HTML file that loads nothing else. Link ingot_web_chat.
#pragma once

#include <string_view>

namespace ingot {

// UTF-8, Content-Type "text/html; charset=utf-8". Made by web/build.mjs and cmake/EmbedFile.cmake.
std::string_view ChatPage();

// The value of the header Content-Security-Policy for exactly these bytes (it holds the hashes of the script and the style).
std::string_view ChatPageSecurityPolicy();

}  // namespace ingot
