// SPDX-License-Identifier: Apache-2.0
// See the header.
#include "eval/answer_text.h"

#include <algorithm>
#include <array>
#include <map>

namespace ingot {
namespace {

struct Decoded {
  char32_t code = 0;
  size_t length = 1;
  bool valid = false;
};

Decoded DecodeAt(std::string_view text, size_t pos) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[pos + i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {lead, 1, true};
  const size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || pos + length > text.size()) return {lead, 1, false};
  char32_t code = lead & (0x7fu >> length);
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {lead, 1, false};
    code = (code << 6) | (byte(i) & 0x3fu);
  }
  const bool overlong = (length == 3 && code < 0x800) || (length == 4 && code < 0x10000);
  if (overlong || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return {lead, 1, false};
  return {code, length, true};
}

void AppendUtf8(std::string* out, char32_t code) {
  if (code < 0x80) {
    *out += static_cast<char>(code);
  } else if (code < 0x800) {
    *out += static_cast<char>(0xc0 | (code >> 6));
    *out += static_cast<char>(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    *out += static_cast<char>(0xe0 | (code >> 12));
    *out += static_cast<char>(0x80 | ((code >> 6) & 0x3f));
    *out += static_cast<char>(0x80 | (code & 0x3f));
  } else {
    *out += static_cast<char>(0xf0 | (code >> 18));
    *out += static_cast<char>(0x80 | ((code >> 12) & 0x3f));
    *out += static_cast<char>(0x80 | ((code >> 6) & 0x3f));
    *out += static_cast<char>(0x80 | (code & 0x3f));
  }
}

bool IsBetween(char32_t code, char32_t first, char32_t last) {
  return code >= first && code <= last;
}

// Simple lower case of the scripts that occur in answers with capital letters.
char32_t LowerCode(char32_t code) {
  if (IsBetween(code, 'A', 'Z')) return code + 32;
  if (IsBetween(code, 0xc0, 0xde) && code != 0xd7) return code + 32;
  if (IsBetween(code, 0x100, 0x137) && code != 0x130) return code | 1;
  if (IsBetween(code, 0x139, 0x148)) return code + (code & 1);
  if (IsBetween(code, 0x14a, 0x177)) return code | 1;
  if (code == 0x178) return 0xff;
  if (IsBetween(code, 0x179, 0x17e)) return code + (code & 1);
  if (IsBetween(code, 0x391, 0x3a9) && code != 0x3a2) return code + 32;
  if (IsBetween(code, 0x410, 0x42f)) return code + 32;
  if (IsBetween(code, 0x400, 0x40f)) return code + 80;
  if (IsBetween(code, 0xff21, 0xff3a)) return code + 32;
  return code;
}

// White space of Python's str.split and str.strip.
bool IsSpace(char32_t code) {
  if (IsBetween(code, 0x09, 0x0d) || IsBetween(code, 0x1c, 0x20) || code == 0x85) return true;
  if (code < 0xa0) return false;
  return code == 0xa0 || code == 0x1680 || IsBetween(code, 0x2000, 0x200a) || code == 0x2028 ||
         code == 0x2029 || code == 0x202f || code == 0x205f || code == 0x3000;
}

std::string ReplaceAll(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  size_t pos = 0;
  for (size_t hit; (hit = text.find(from, pos)) != std::string_view::npos;
       pos = hit + from.size()) {
    out += text.substr(pos, hit - pos);
    out += to;
  }
  out += text.substr(pos);
  return out;
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// A mark that touches a space somewhere is removed everywhere, any other becomes a space; then full
// stops that no digit follows are removed, at most 32 of them (the reference hands its flag to the
// parameter `count`).
std::string StripPunctuation(const std::string& text) {
  static constexpr std::string_view kMarks = ";/[]\"{}()=+\\_-><@`,?!";
  std::string out = text;
  for (const char mark : kMarks) {
    const std::string one(1, mark);
    const bool touches_space =
        text.find(one + " ") != std::string::npos || text.find(" " + one) != std::string::npos;
    out = ReplaceAll(out, one, touches_space ? "" : " ");
  }
  std::string result;
  int removed = 0;
  for (size_t i = 0; i < out.size(); ++i) {
    const bool before_digit = i + 1 < out.size() && IsDigit(out[i + 1]);
    if (out[i] == '.' && !before_digit && removed < 32) {
      ++removed;
    } else {
      result += out[i];
    }
  }
  return result;
}

// The spellings of the official table are its right-hand sides with one apostrophe left out;
// "somebodyd" is the one entry that it has the wrong way round.
const std::map<std::string, std::string, std::less<>>& Contractions() {
  static constexpr std::string_view kWords =
      "ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've "
      "hasn't haven't he'd he'd've "
      "he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've "
      "mustn't must've needn't "
      "not've o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've "
      "somebody'd've somebody'll "
      "somebody's someone'd someone'd've someone'll someone's something'd something'd've "
      "something'll that's there'd "
      "there'd've there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've "
      "we've weren't what'll "
      "what're what's what've when's where'd where's where've who'd who'd've who'll who's who've "
      "why'll why're why's "
      "won't would've wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're "
      "you've";
  static const auto table = [] {
    std::map<std::string, std::string, std::less<>> words;
    for (const std::string_view word : SplitWords(kWords)) {
      for (size_t i = 0; i < word.size(); ++i) {
        if (word[i] != '\'') continue;
        words.emplace(std::string(word.substr(0, i)) + std::string(word.substr(i + 1)), word);
      }
    }
    words.emplace("somebody'd", "somebodyd");
    return words;
  }();
  return table;
}

std::string_view NumberOf(std::string_view word) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 12> kNumbers = {
      {{"none", "0"},
       {"zero", "0"},
       {"one", "1"},
       {"two", "2"},
       {"three", "3"},
       {"four", "4"},
       {"five", "5"},
       {"six", "6"},
       {"seven", "7"},
       {"eight", "8"},
       {"nine", "9"},
       {"ten", "10"}}};
  for (const auto& [name, digits] : kNumbers) {
    if (word == name) return digits;
  }
  return word;
}

}  // namespace

std::string LowerText(std::string_view text) {
  std::string out;
  for (size_t pos = 0; pos < text.size();) {
    const Decoded at = DecodeAt(text, pos);
    if (at.valid) {
      AppendUtf8(&out, LowerCode(at.code));
    } else {
      out += text[pos];
    }
    pos += at.length;
  }
  return out;
}

std::vector<std::string_view> SplitWords(std::string_view text) {
  std::vector<std::string_view> words;
  size_t start = 0;
  for (size_t pos = 0; pos <= text.size();) {
    const Decoded at = pos < text.size() ? DecodeAt(text, pos) : Decoded{' ', 1, true};
    if (at.valid && IsSpace(at.code)) {
      if (pos > start) words.push_back(text.substr(start, pos - start));
      start = pos + at.length;
    }
    pos += at.length;
  }
  return words;
}

std::string_view TrimText(std::string_view text) {
  const std::vector<std::string_view> words = SplitWords(text);
  if (words.empty()) return {};
  const char* end = words.back().data() + words.back().size();
  return {words.front().data(), static_cast<size_t>(end - words.front().data())};
}

std::vector<char32_t> CodePoints(std::string_view text) {
  std::vector<char32_t> codes;
  for (size_t pos = 0; pos < text.size();) {
    const Decoded at = DecodeAt(text, pos);
    codes.push_back(at.valid ? at.code : 0xdc00u + static_cast<unsigned char>(text[pos]));
    pos += at.length;
  }
  return codes;
}

std::string NormalizeAnswer(std::string_view answer) {
  std::string text = LowerText(answer);
  text = ReplaceAll(text, ",", "");
  text = ReplaceAll(text, "?", "");
  text = ReplaceAll(text, "'s", " 's");
  text = std::string(TrimText(text));
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c == '\n' || c == '\t'; }, ' ');
  const std::string stripped = LowerText(StripPunctuation(std::string(TrimText(text))));
  std::string out;
  for (const std::string_view raw : SplitWords(stripped)) {
    const std::string_view word = NumberOf(raw);
    if (word == "a" || word == "an" || word == "the") continue;
    const auto it = Contractions().find(word);
    if (!out.empty()) out += ' ';
    out += it == Contractions().end() ? std::string(word) : it->second;
  }
  return out;
}

}  // namespace ingot
