// SPDX-License-Identifier: Apache-2.0
// Typed, bounded access to the members of a JSON object; every error names file, field, what was
// found and what was expected.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/json_value.h"

namespace ingot {

class JsonFields {
 public:
  // `where` is the path of the object for messages: "" or "text_config". Both must outlive this.
  JsonFields(const JsonValue& object, std::string file, std::string where)
      : object_(object), file_(std::move(file)), where_(std::move(where)) {}

  // Present and not null.
  const JsonValue* Find(const std::string& key) const;
  bool Has(const std::string& key) const { return Find(key) != nullptr; }

  int64_t Int(const std::string& key, int64_t min, int64_t max) const;
  int64_t IntOr(const std::string& key, int64_t fallback, int64_t min, int64_t max) const;
  double Number(const std::string& key, double min, double max) const;
  double NumberOr(const std::string& key, double fallback, double min, double max) const;
  bool BoolOr(const std::string& key, bool fallback) const;
  std::string StringOr(const std::string& key, const std::string& fallback) const;
  // At most `max_count` integers within [min, max].
  std::vector<int64_t> Ints(const std::string& key, size_t max_count, int64_t min,
                            int64_t max) const;
  // The object member `key`; FormatError when absent.
  JsonFields Object(const std::string& key) const;
  std::optional<JsonFields> ObjectIf(const std::string& key) const;

  // "text_config.hidden_size"
  std::string Path(const std::string& key) const;
  [[noreturn]] void Fail(const std::string& key, const std::string& found,
                         const std::string& expected) const;
  const std::string& file() const { return file_; }
  const JsonValue& object() const { return object_; }

 private:
  const JsonValue& Required(const std::string& key, const std::string& expected) const;
  int64_t CheckInt(const std::string& key, const JsonValue& value, int64_t min, int64_t max) const;

  const JsonValue& object_;
  std::string file_, where_;
};

}  // namespace ingot
