// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/json_value.h"

#include <nlohmann/json.hpp>
#include <unordered_set>

#include "base/error.h"
#include "base/files.h"

namespace ingot {
namespace {

constexpr size_t kMaxDepth = 64;
constexpr size_t kMaxValues = 2'000'000;

// Builds the tree from the parser's events. The open containers are a stack of pointers: a child's
// address stays valid while it is open, because its parent gets no further child before it closes.
class TreeBuilder : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit TreeBuilder(const std::string& file) : file_(file) {}
  JsonValue Take() { return std::move(root_); }

  bool null() override { return Add({}); }
  bool boolean(bool value) override {
    return Add({.kind = JsonValue::Kind::kBool, .boolean = value});
  }
  bool number_integer(number_integer_t value) override {
    return Add({.kind = JsonValue::Kind::kInteger,
                .integer = value,
                .number = static_cast<double>(value)});
  }
  bool number_unsigned(number_unsigned_t value) override {
    if (value <= INT64_MAX) return number_integer(static_cast<int64_t>(value));
    return Add({.kind = JsonValue::Kind::kNumber, .number = static_cast<double>(value)});
  }
  bool number_float(number_float_t value, const string_t&) override {
    return Add({.kind = JsonValue::Kind::kNumber, .number = value});
  }
  bool string(string_t& value) override {
    return Add({.kind = JsonValue::Kind::kString, .text = std::move(value)});
  }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return Open(JsonValue::Kind::kObject); }
  bool start_array(std::size_t) override { return Open(JsonValue::Kind::kArray); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }

  bool key(string_t& name) override {
    if (!keys_.back().insert(name).second) {
      throw FormatError("{}: the key \"{}\" stands twice in one object. Keep one of them.", file_,
                        Printable(name));
    }
    stack_.back()->members.push_back({std::move(name), {}});
    return true;
  }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception& error) override {
    // nlohmann: "[json.exception.parse_error.101] parse error at line 1, column 2: <what>"
    std::string what = error.what();
    if (const size_t bracket = what.find("] "); bracket != std::string::npos) {
      what.erase(0, bracket + 2);
    }
    throw FormatError("{}: is not valid JSON (byte {}): {}. Restore the file from its source.",
                      file_, position, Printable(what, 300));
  }

 private:
  JsonValue* Place(JsonValue value) {
    if (++count_ > kMaxValues) {
      throw FormatError("{}: holds more than {} JSON values. Is it the right file?", file_,
                        kMaxValues);
    }
    JsonValue* slot = &root_;
    if (!stack_.empty()) {
      JsonValue* parent = stack_.back();
      slot = parent->IsObject() ? &parent->members.back().value : &parent->items.emplace_back();
    }
    *slot = std::move(value);
    return slot;
  }
  bool Add(JsonValue value) {
    Place(std::move(value));
    return true;
  }
  bool Open(JsonValue::Kind kind) {
    if (stack_.size() >= kMaxDepth) {
      throw FormatError("{}: is nested deeper than {} levels. Is it the right file?", file_,
                        kMaxDepth);
    }
    stack_.push_back(Place({.kind = kind}));
    keys_.emplace_back();
    return true;
  }
  bool Close() {
    stack_.pop_back();
    keys_.pop_back();
    return true;
  }

  const std::string& file_;
  JsonValue root_;
  std::vector<JsonValue*> stack_;
  std::vector<std::unordered_set<std::string>> keys_;
  size_t count_ = 0;
};

}  // namespace

const JsonValue* JsonValue::Find(std::string_view key) const {
  for (const auto& [name, value] : members) {
    if (name == key) return &value;
  }
  return nullptr;
}

std::string_view JsonKindName(JsonValue::Kind kind) {
  switch (kind) {
    case JsonValue::Kind::kNull:
      return "null";
    case JsonValue::Kind::kBool:
      return "a boolean";
    case JsonValue::Kind::kInteger:
      return "an integer";
    case JsonValue::Kind::kNumber:
      return "a number";
    case JsonValue::Kind::kString:
      return "a string";
    case JsonValue::Kind::kArray:
      return "a list";
    case JsonValue::Kind::kObject:
      return "an object";
  }
  return "?";
}

JsonValue ParseJson(std::string_view text, const std::string& file) {
  // The parser would take a zero byte for the end of the text and ignore what follows.
  if (const size_t zero = text.find('\0'); zero != std::string_view::npos) {
    throw FormatError(
        "{}: holds a zero byte at {}; JSON text was expected. Restore the file from "
        "its source.",
        file, zero);
  }
  TreeBuilder builder(file);
  nlohmann::json::sax_parse(text, &builder);
  return builder.Take();
}

JsonValue ReadJsonObject(const std::filesystem::path& path, uint64_t limit) {
  JsonValue value = ParseJson(ReadFile(path, limit), path.string());
  if (!value.IsObject()) {
    throw FormatError("{}: holds {}, a JSON object was expected. Restore the file from its source.",
                      path.string(), JsonKindName(value.kind));
  }
  return value;
}

std::string JsonQuote(std::string_view text, bool ascii_only) {
  // Names come from parsed files and are UTF-8; anything else is replaced instead of thrown.
  return nlohmann::json(text).dump(-1, ' ', ascii_only, nlohmann::json::error_handler_t::replace);
}

}  // namespace ingot
