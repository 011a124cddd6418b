// SPDX-License-Identifier: Apache-2.0
#include "prompt/data_url.h"

#include <array>
#include <cstdint>

namespace ingot {
namespace {

constexpr std::array<int8_t, 256> MakeTable() {
  std::array<int8_t, 256> table{};
  table.fill(-1);
  constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < kAlphabet.size(); ++i)
    table[static_cast<uint8_t>(kAlphabet[i])] = static_cast<int8_t>(i);
  return table;
}

}  // namespace

bool DecodeBase64(std::string_view text, std::string* bytes, bool strict) {
  static constexpr std::array<int8_t, 256> kTable = MakeTable();
  bytes->clear();
  bytes->reserve(text.size() / 4 * 3 + 3);
  uint32_t bits = 0;
  int n_bits = 0;
  size_t n_digits = 0, n_padding = 0;
  for (const char c : text) {
    if (!strict && (c == '\n' || c == '\r' || c == ' ' || c == '\t')) continue;
    if (c == '=') {
      ++n_padding;
      continue;
    }
    const int8_t digit = kTable[static_cast<uint8_t>(c)];
    if (digit < 0 || n_padding > 0) return false;
    bits = bits << 6 | static_cast<uint32_t>(digit);
    n_bits += 6;
    ++n_digits;
    if (n_bits >= 8) {
      n_bits -= 8;
      bytes->push_back(static_cast<char>(bits >> n_bits & 0xff));
    }
  }
  // Left-over bits must be zero, and a single digit encodes nothing.
  if (n_digits % 4 == 1 || (bits & ((1u << n_bits) - 1)) != 0) return false;
  if (n_padding == 0) return !strict || n_digits % 4 == 0;
  return n_padding <= 2 && (n_digits + n_padding) % 4 == 0;
}

bool DecodeDataUrl(std::string_view url, std::string* bytes, bool strict) {
  constexpr std::string_view kScheme = "data:", kMarker = ";base64";
  if (!url.starts_with(kScheme)) return false;
  const size_t comma = url.find(',');
  if (comma == std::string_view::npos || !url.substr(0, comma).ends_with(kMarker)) return false;
  return DecodeBase64(url.substr(comma + 1), bytes, strict);
}

}  // namespace ingot
