// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/json_fields.h"

#include "base/error.h"

namespace ingot {
namespace {

std::string Describe(const JsonValue& value) {
  switch (value.kind) {
    case JsonValue::Kind::kBool:
      return value.boolean ? "true" : "false";
    case JsonValue::Kind::kInteger:
      return fmt::format("{}", value.integer);
    case JsonValue::Kind::kNumber:
      return fmt::format("{}", value.number);
    case JsonValue::Kind::kString:
      return fmt::format("\"{}\"", Printable(value.text, 60));
    default:
      return std::string(JsonKindName(value.kind));
  }
}

std::string IntRange(int64_t min, int64_t max) {
  return fmt::format("an integer from {} to {}", min, max);
}

}  // namespace

const JsonValue* JsonFields::Find(const std::string& key) const {
  const JsonValue* value = object_.Find(key);
  return value == nullptr || value->kind == JsonValue::Kind::kNull ? nullptr : value;
}

std::string JsonFields::Path(const std::string& key) const {
  return where_.empty() ? key : where_ + "." + key;
}

void JsonFields::Fail(const std::string& key, const std::string& found,
                      const std::string& expected) const {
  throw FormatError("{}: {}: {}; {} was expected. Take the file of the released model.", file_,
                    Path(key), found, expected);
}

const JsonValue& JsonFields::Required(const std::string& key, const std::string& expected) const {
  const JsonValue* value = Find(key);
  if (value == nullptr) Fail(key, "is missing", expected);
  return *value;
}

int64_t JsonFields::CheckInt(const std::string& key, const JsonValue& value, int64_t min,
                             int64_t max) const {
  if (value.kind != JsonValue::Kind::kInteger || value.integer < min || value.integer > max) {
    Fail(key, "is " + Describe(value), IntRange(min, max));
  }
  return value.integer;
}

int64_t JsonFields::Int(const std::string& key, int64_t min, int64_t max) const {
  return CheckInt(key, Required(key, IntRange(min, max)), min, max);
}

int64_t JsonFields::IntOr(const std::string& key, int64_t fallback, int64_t min,
                          int64_t max) const {
  return Has(key) ? Int(key, min, max) : fallback;
}

double JsonFields::Number(const std::string& key, double min, double max) const {
  const std::string expected = fmt::format("a number from {} to {}", min, max);
  const JsonValue& value = Required(key, expected);
  const bool is_number =
      value.kind == JsonValue::Kind::kInteger || value.kind == JsonValue::Kind::kNumber;
  if (!is_number || !(value.number >= min && value.number <= max)) {
    Fail(key, "is " + Describe(value), expected);
  }
  return value.number;
}

double JsonFields::NumberOr(const std::string& key, double fallback, double min, double max) const {
  return Has(key) ? Number(key, min, max) : fallback;
}

bool JsonFields::BoolOr(const std::string& key, bool fallback) const {
  const JsonValue* value = Find(key);
  if (value == nullptr) return fallback;
  if (value->kind != JsonValue::Kind::kBool) Fail(key, "is " + Describe(*value), "true or false");
  return value->boolean;
}

std::string JsonFields::StringOr(const std::string& key, const std::string& fallback) const {
  const JsonValue* value = Find(key);
  if (value == nullptr) return fallback;
  if (!value->IsString()) Fail(key, "is " + Describe(*value), "a string");
  return value->text;
}

std::vector<int64_t> JsonFields::Ints(const std::string& key, size_t max_count, int64_t min,
                                      int64_t max) const {
  const std::string expected =
      fmt::format("a list of at most {} integers from {} to {}", max_count, min, max);
  const JsonValue& value = Required(key, expected);
  if (value.kind != JsonValue::Kind::kArray) Fail(key, "is " + Describe(value), expected);
  if (value.items.size() > max_count) {
    Fail(key, fmt::format("has {} entries", value.items.size()), expected);
  }
  std::vector<int64_t> result;
  for (const JsonValue& item : value.items) result.push_back(CheckInt(key, item, min, max));
  return result;
}

JsonFields JsonFields::Object(const std::string& key) const {
  const JsonValue& value = Required(key, "an object");
  if (!value.IsObject()) Fail(key, "is " + Describe(value), "an object");
  return {value, file_, Path(key)};
}

std::optional<JsonFields> JsonFields::ObjectIf(const std::string& key) const {
  if (!Has(key)) return std::nullopt;
  return Object(key);
}

}  // namespace ingot
