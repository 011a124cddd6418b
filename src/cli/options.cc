// SPDX-License-Identifier: Apache-2.0
// Typed access to the parsed options, and the checked conversions of their texts.
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "base/error.h"
#include "cli/command.h"
#include "cli/parser.h"

namespace ingot::cli {
namespace {

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

}  // namespace

int64_t ParseInteger(std::string_view text, std::string_view what) {
  int64_t value = 0;
  const std::string_view digits = text.starts_with('+') ? text.substr(1) : text;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size() || digits.empty()) {
    throw UserError("{} is '{}'; expected a whole number.", what, text);
  }
  return value;
}

double ParseNumber(std::string_view text, std::string_view what) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) {
    throw UserError("{} is '{}'; expected a number such as 0.7.", what, text);
  }
  return value;
}

uint64_t ParseBytes(std::string_view text, std::string_view what) {
  struct Unit {
    std::string_view suffix;
    double bytes;
  };
  static constexpr Unit kUnits[] = {
      {"kib", 0x1p10}, {"mib", 0x1p20}, {"gib", 0x1p30}, {"tib", 0x1p40}, {"kb", 1e3},
      {"mb", 1e6},     {"gb", 1e9},     {"tb", 1e12},    {"k", 1e3},      {"m", 1e6},
      {"g", 1e9},      {"t", 1e12},     {"b", 1},        {"", 1}};
  const std::string lower = Lower(text);
  for (const Unit& unit : kUnits) {
    if (!lower.ends_with(unit.suffix)) continue;
    std::string_view number = std::string_view(lower).substr(0, lower.size() - unit.suffix.size());
    while (number.ends_with(' ')) number.remove_suffix(1);
    double value = 0;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
    const double bytes = value * unit.bytes;
    if (error != std::errc() || end != number.data() + number.size()) break;
    if (!(bytes >= 0 && bytes < 0x1p63)) break;
    return static_cast<uint64_t>(bytes);
  }
  throw UserError("{} is '{}'; expected a size such as 5GB, 512MiB or 4096.", what, text);
}

bool ParseBool(std::string_view text, std::string_view what) {
  const std::string lower = Lower(text);
  if (lower == "true" || lower == "1" || lower == "yes" || lower == "on") return true;
  if (lower == "false" || lower == "0" || lower == "no" || lower == "off") return false;
  throw UserError("{} is '{}'; expected True or False.", what, text);
}

const Options::Entry& Options::Find(std::string_view name) const {
  const auto it = entries_.find(name);
  if (it == entries_.end()) throw InternalError("option {} is not in the command's table", name);
  return it->second;
}

const Options::Entry& Options::Get(std::string_view name, Kind kind) const {
  const Entry& entry = Find(name);
  if (entry.kind != kind) throw InternalError("option {} is read as another kind", name);
  if (entry.values.empty()) throw InternalError("option {} is neither given nor defaulted", name);
  return entry;
}

bool Options::Has(std::string_view name) const { return Find(name).given; }

bool Options::Flag(std::string_view name) const {
  const Entry& entry = Find(name);
  if (entry.kind != Kind::kFlag) throw InternalError("option {} is no flag", name);
  return !entry.values.empty() && ParseBool(entry.values.back(), name);
}

std::string Options::Text(std::string_view name) const {
  const Entry& entry = Find(name);
  return entry.values.empty() ? std::string() : entry.values.back();
}

int64_t Options::Integer(std::string_view name) const {
  return ParseInteger(Get(name, Kind::kInteger).values.back(), name);
}

double Options::Number(std::string_view name) const {
  return ParseNumber(Get(name, Kind::kNumber).values.back(), name);
}

uint64_t Options::Bytes(std::string_view name) const {
  return ParseBytes(Get(name, Kind::kBytes).values.back(), name);
}

std::vector<std::string> Options::List(std::string_view name) const { return Find(name).values; }

}  // namespace ingot::cli
