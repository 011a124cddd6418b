// SPDX-License-Identifier: Apache-2.0
// Reading a request body: bounded before it is parsed, then field by field with the types and
// refusals of vLLM's request models. Private to the request parsers of this folder.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace ingot::server {

using Json = nlohmann::ordered_json;

struct JsonBounds {
  size_t depth = 100;            // nested arrays and objects
  size_t values = 4'000'000;     // values in all, keys included
  size_t object_keys = 4096;     // of one object
  size_t all_keys = 200'000;     // of all objects together
};

// The body as an object. Nothing is allocated before the text is within the bounds. Errors:
// ApiError 400.
Json ParseObject(std::string_view text, const JsonBounds& bounds = {});

// One object of a request. Fields that were asked for count as known; Unknown() lists the others.
// A field that is null counts as absent. Errors of all: ApiError naming the path of the field.
class Fields {
 public:
  // `path`: "" for the body, else "messages[2]" and the like.
  Fields(const Json& object, std::string path);

  bool Has(const char* name);  // there and not null
  const Json* Find(const char* name);
  const Json& Require(const char* name);
  std::string Path(std::string_view name) const;

  std::optional<std::string> String(const char* name);
  std::optional<bool> Bool(const char* name);
  std::optional<int64_t> Integer(const char* name);
  std::optional<double> Number(const char* name);
  // The same with a default.
  std::string String(const char* name, std::string_view fallback);
  bool Bool(const char* name, bool fallback);
  int64_t Integer(const char* name, int64_t fallback);
  double Number(const char* name, double fallback);
  std::string RequireString(const char* name);
  // One string or a list of them.
  std::vector<std::string> Strings(const char* name, bool or_one);
  std::optional<std::vector<int32_t>> TokenIds(const char* name);
  // An object or list as JSON text; "" when absent.
  std::string ObjectText(const char* name);
  std::string ListText(const char* name);

  void Ignore(std::initializer_list<const char*> names);  // known, without effect
  std::vector<std::string> Unknown() const;

 private:
  const Json& object_;
  std::string path_;
  std::set<std::string, std::less<>> known_;
};

// A token id: an integer that fits; the vocabulary is checked later.
int32_t TokenIdOf(const Json& value, std::string_view path);

// JSON text of a value, compact as Python's json.dumps writes it (", " and ": "), invalid UTF-8
// impossible since the body was checked.
std::string TextOf(const Json& value);

}  // namespace ingot::server
