// SPDX-License-Identifier: Apache-2.0
// JSON text of a model folder (config, index, description) as a plain tree: member order kept,
// duplicate keys, deep nesting, bad UTF-8 and huge documents refused. Reading only.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/printable.h"

namespace ingot {

struct JsonMember;

struct JsonValue {
  enum class Kind { kNull, kBool, kInteger, kNumber, kString, kArray, kObject };
  Kind kind = Kind::kNull;
  bool boolean = false;
  int64_t integer = 0;              // kInteger
  double number = 0;                // kInteger and kNumber
  std::string text;                 // kString
  std::vector<JsonValue> items;     // kArray
  std::vector<JsonMember> members;  // kObject, in file order, keys unique

  bool IsObject() const { return kind == Kind::kObject; }
  bool IsString() const { return kind == Kind::kString; }
  // Member of an object; nullptr when absent or when this is no object.
  const JsonValue* Find(std::string_view key) const;
};
struct JsonMember {
  std::string key;
  JsonValue value;
};
std::string_view JsonKindName(JsonValue::Kind kind);  // "a string", for messages

// Errors: FormatError beginning with `file`. Limits: 64 levels, 2 million values.
JsonValue ParseJson(std::string_view text, const std::string& file);
// The same for a file, which must hold one object.
JsonValue ReadJsonObject(const std::filesystem::path& path, uint64_t limit);

// A string as a JSON literal with its quotes; non-ASCII characters stay, or become \uXXXX.
std::string JsonQuote(std::string_view text, bool ascii_only = false);

}  // namespace ingot
