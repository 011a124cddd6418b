// SPDX-License-Identifier: Apache-2.0
#include "server/json_fields.h"

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "server/api_error.h"

namespace ingot::server {
namespace {

// Counts structure without building anything. Strings are skipped; whether the rest is JSON at all
// is the parser's business.
class BoundsScan {
 public:
  BoundsScan(std::string_view text, const JsonBounds& bounds) : text_(text), bounds_(bounds) {}

  void Run() {
    while (at_ < text_.size()) {
      switch (text_[at_]) {
        case '"':
          SkipString();
          continue;
        case '[':
        case '{':
          keys_.push_back(0);
          Count(keys_.size() > bounds_.depth, "is nested deeper than", bounds_.depth);
          Count(++values_ > bounds_.values, "has more values than", bounds_.values);
          break;
        case ']':
        case '}':
          if (!keys_.empty()) keys_.pop_back();
          break;
        case ',':
          Count(++values_ > bounds_.values, "has more values than", bounds_.values);
          break;
        case ':':
          Count(++all_keys_ > bounds_.all_keys, "has more keys than", bounds_.all_keys);
          if (!keys_.empty()) {
            Count(++keys_.back() > bounds_.object_keys, "has an object with more keys than",
                  bounds_.object_keys);
          }
          break;
        default:
          break;
      }
      ++at_;
    }
  }

 private:
  static void Count(bool too_many, const char* what, size_t limit) {
    if (too_many) throw BadField("", "The JSON body {} {}.", what, limit);
  }

  void SkipString() {
    ++at_;
    while (at_ < text_.size() && text_[at_] != '"') at_ += text_[at_] == '\\' ? 2 : 1;
    ++at_;
  }

  std::string_view text_;
  const JsonBounds& bounds_;
  size_t at_ = 0, values_ = 0, all_keys_ = 0;
  std::vector<size_t> keys_;  // of each open object or array
};

// "a string", ...: what was found, for messages. Never the value itself, which may be long.
std::string_view KindOf(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
      return "null";
    case Json::value_t::boolean:
      return "a boolean";
    case Json::value_t::string:
      return "a string";
    case Json::value_t::array:
      return "a list";
    case Json::value_t::object:
      return "an object";
    case Json::value_t::number_float:
      return "a number with a fraction or out of range";
    default:
      return "an integer";
  }
}

void DumpPython(const Json& value, std::string* out) {
  if (value.is_object()) {
    *out += '{';
    bool first = true;
    for (const auto& [key, item] : value.items()) {
      if (!first) *out += ", ";
      first = false;
      *out += Json(key).dump() + ": ";
      DumpPython(item, out);
    }
    *out += '}';
  } else if (value.is_array()) {
    *out += '[';
    for (size_t i = 0; i < value.size(); ++i) {
      if (i > 0) *out += ", ";
      DumpPython(value[i], out);
    }
    *out += ']';
  } else {
    *out += value.dump();
  }
}

int64_t IntegerOf(const Json& value, const std::string& path) {
  if (value.is_number_unsigned()) {
    const uint64_t number = value.get<uint64_t>();
    if (number <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      return static_cast<int64_t>(number);
    }
  } else if (value.is_number_integer()) {
    return value.get<int64_t>();
  } else if (value.is_number_float()) {
    // 2.0 is an integer to the reference, too.
    const double number = value.get<double>();
    if (std::abs(number) < 9e15 && number == std::floor(number)) {
      return static_cast<int64_t>(number);
    }
  }
  throw BadField(path, "{}: expected an integer, found {}.", path, KindOf(value));
}

}  // namespace

Json ParseObject(std::string_view text, const JsonBounds& bounds) {
  BoundsScan(text, bounds).Run();
  Json body;
  try {
    body = Json::parse(text);
  } catch (const Json::parse_error& error) {
    throw BadField("body", "The body is not valid JSON (at byte {}).", error.byte);
  } catch (const Json::exception&) {
    throw BadField("body", "The body is not valid JSON: a number is out of range.");
  }
  if (!body.is_object()) {
    throw BadField("body", "The body must be a JSON object, found {}.", KindOf(body));
  }
  return body;
}

Fields::Fields(const Json& object, std::string path) : object_(object), path_(std::move(path)) {
  if (!object.is_object()) {
    throw BadField(path_, "{}: expected an object, found {}.", path_, KindOf(object));
  }
}

std::string Fields::Path(std::string_view name) const {
  return path_.empty() ? std::string(name) : fmt::format("{}.{}", path_, name);
}

const Json* Fields::Find(const char* name) {
  known_.insert(name);
  const auto found = object_.find(name);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

bool Fields::Has(const char* name) { return Find(name) != nullptr; }

const Json& Fields::Require(const char* name) {
  const Json* value = Find(name);
  if (value == nullptr) throw BadField(Path(name), "{}: field required.", Path(name));
  return *value;
}

std::optional<std::string> Fields::String(const char* name) {
  const Json* value = Find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) {
    throw BadField(Path(name), "{}: expected a string, found {}.", Path(name), KindOf(*value));
  }
  return value->get<std::string>();
}

std::optional<bool> Fields::Bool(const char* name) {
  const Json* value = Find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_boolean()) {
    throw BadField(Path(name), "{}: expected true or false, found {}.", Path(name), KindOf(*value));
  }
  return value->get<bool>();
}

std::optional<int64_t> Fields::Integer(const char* name) {
  const Json* value = Find(name);
  if (value == nullptr) return std::nullopt;
  return IntegerOf(*value, Path(name));
}

std::optional<double> Fields::Number(const char* name) {
  const Json* value = Find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number()) {
    throw BadField(Path(name), "{}: expected a number, found {}.", Path(name), KindOf(*value));
  }
  return value->get<double>();
}

std::string Fields::String(const char* name, std::string_view fallback) {
  return String(name).value_or(std::string(fallback));
}
bool Fields::Bool(const char* name, bool fallback) { return Bool(name).value_or(fallback); }
int64_t Fields::Integer(const char* name, int64_t fallback) {
  return Integer(name).value_or(fallback);
}
double Fields::Number(const char* name, double fallback) { return Number(name).value_or(fallback); }

std::string Fields::RequireString(const char* name) {
  Require(name);
  return *String(name);
}

std::vector<std::string> Fields::Strings(const char* name, bool or_one) {
  const Json* value = Find(name);
  if (value == nullptr) return {};
  if (or_one && value->is_string()) return {value->get<std::string>()};
  if (!value->is_array()) {
    throw BadField(Path(name), "{}: expected a {}list of strings, found {}.", Path(name),
                   or_one ? "string or a " : "", KindOf(*value));
  }
  std::vector<std::string> list;
  for (const Json& item : *value) {
    if (!item.is_string()) {
      throw BadField(Path(name), "{}: the list has {} where a string is expected.", Path(name),
                     KindOf(item));
    }
    list.push_back(item.get<std::string>());
  }
  return list;
}

int32_t TokenIdOf(const Json& value, std::string_view path) {
  const int64_t id = IntegerOf(value, std::string(path));
  if (id < 0 || id > std::numeric_limits<int32_t>::max()) {
    throw BadField(path, "{}: {} is no token id.", path, id);
  }
  return static_cast<int32_t>(id);
}

std::optional<std::vector<int32_t>> Fields::TokenIds(const char* name) {
  const Json* value = Find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_array()) {
    throw BadField(Path(name), "{}: expected a list of token ids, found {}.", Path(name),
                   KindOf(*value));
  }
  std::vector<int32_t> ids;
  for (const Json& item : *value) ids.push_back(TokenIdOf(item, Path(name)));
  return ids;
}

std::string Fields::ObjectText(const char* name) {
  const Json* value = Find(name);
  if (value == nullptr) return "";
  if (!value->is_object()) {
    throw BadField(Path(name), "{}: expected an object, found {}.", Path(name), KindOf(*value));
  }
  return TextOf(*value);
}

std::string Fields::ListText(const char* name) {
  const Json* value = Find(name);
  if (value == nullptr) return "";
  if (!value->is_array()) {
    throw BadField(Path(name), "{}: expected a list, found {}.", Path(name), KindOf(*value));
  }
  return TextOf(*value);
}

void Fields::Ignore(std::initializer_list<const char*> names) {
  for (const char* name : names) known_.insert(name);
}

std::vector<std::string> Fields::Unknown() const {
  std::vector<std::string> names;
  for (const auto& item : object_.items()) {
    if (!known_.contains(item.key())) names.push_back(item.key().substr(0, 64));
  }
  return names;
}

std::string TextOf(const Json& value) {
  std::string text;
  DumpPython(value, &text);
  return text;
}

}  // namespace ingot::server
