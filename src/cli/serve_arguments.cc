// SPDX-License-Identifier: Apache-2.0
// The command line of serve before it is parsed: --config and vLLM's lists.
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "cli/parser.h"
#include "cli/serve_options.h"

namespace ingot::cli {
namespace {

constexpr uint64_t kMaxConfigBytes = 1 << 20;

std::string Canonical(std::string name) {
  std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

const Option* FindRow(const std::vector<Option>& rows, const std::string& name) {
  for (const Option& row : rows) {
    if (row.name == name) return &row;
    if (std::find(row.aliases.begin(), row.aliases.end(), name) != row.aliases.end()) return &row;
  }
  return nullptr;
}

std::string NameOf(const std::string& arg) { return Canonical(arg.substr(0, arg.find('='))); }

bool IsBool(const std::string& text) {
  return text == "True" || text == "False" || text == "true" || text == "false";
}

nlohmann::ordered_json ToJson(const YAML::Node& node) {
  if (node.IsNull()) return nullptr;
  if (node.IsScalar()) {
    if (node.Tag() != "?") return node.Scalar();  // quoted in the file: a string whatever it holds
    const auto plain = nlohmann::ordered_json::parse(node.Scalar(), nullptr, false);
    if (plain.is_number() || plain.is_boolean()) return plain;
    return node.Scalar();
  }
  auto json = node.IsMap() ? nlohmann::ordered_json::object() : nlohmann::ordered_json::array();
  for (const auto& entry : node) {
    if (node.IsMap()) {
      json[entry.first.as<std::string>()] = ToJson(entry.second);
    } else {
      json.push_back(ToJson(entry));
    }
  }
  return json;
}

// A YAML value as text, as the command line would have it; nested values as JSON.
std::string ValueText(const YAML::Node& node) {
  return node.IsScalar() ? node.Scalar() : ToJson(node).dump();
}

// The options of one file. `given`: canonical names that the command line has itself.
std::vector<std::string> ReadConfig(const std::string& path, const std::vector<Option>& rows,
                                    const std::set<std::string>& given, bool has_model) {
  const std::string text = ReadFile(path, kMaxConfigBytes);
  YAML::Node root;
  try {
    root = YAML::Load(text);
  } catch (const YAML::Exception& error) {
    throw FormatError("{}: line {}: {}. Expected lines such as `port: 8003`.", path,
                      error.mark.line + 1, error.msg);
  }
  if (root.IsNull()) return {};
  if (!root.IsMap()) throw FormatError("{}: expected lines such as `port: 8003`.", path);
  std::vector<std::string> args;
  for (const auto& entry : root) {
    const std::string key = entry.first.as<std::string>();
    const std::string name = "--" + Canonical(key);
    const YAML::Node& value = entry.second;
    if (name == "--model" || name == "--model-tag") {
      if (!has_model && !given.contains("--model")) args.push_back(ValueText(value));
      continue;
    }
    const Option* row = FindRow(rows, name);
    if (row == nullptr || name == "--config") {
      std::vector<std::string> names;
      for (const Option& known : rows) names.push_back(known.name);
      const std::string near = NearestName(name, names);
      throw UserError("{}: line {}: unknown option {}{}. `ingot help serve` lists the options.",
                      path, entry.first.Mark().line + 1, key,
                      near.empty() ? "" : "; the nearest is " + near.substr(2));
    }
    if (given.contains(row->name) || value.IsNull()) continue;
    if (row->kind == Kind::kFlag) {
      args.push_back(row->name + "=" + ValueText(value));
    } else if (value.IsSequence() && row->repeated) {
      for (const YAML::Node& item : value) args.push_back(row->name + "=" + ValueText(item));
    } else {
      args.push_back(row->name + "=" + ValueText(value));
    }
  }
  return args;
}

}  // namespace

std::vector<std::string> ExpandServeArguments(const std::vector<std::string>& args) {
  std::vector<Option> rows = ServeOptionRows();
  rows.insert(rows.end(), GlobalOptions().begin(), GlobalOptions().end());
  // What belongs to an option and what stands alone.
  struct Item {
    std::string option;  // "" for a word that stands alone
    std::vector<std::string> words;
  };
  std::vector<Item> items;
  std::set<std::string> given;
  std::string config;
  size_t i = 0;
  for (; i < args.size() && args[i] != "--"; ++i) {
    const std::string& arg = args[i];
    if (arg.size() < 2 || arg[0] != '-') {
      // Behind an option that takes several: decided below.
      items.push_back({"", {arg}});
      continue;
    }
    const Option* row = FindRow(rows, NameOf(arg));
    if (row == nullptr && arg[1] != '-') row = FindRow(rows, arg.substr(0, 2));
    Item item{row == nullptr ? arg : row->name, {arg}};
    const bool joined = arg.find('=') != std::string::npos;
    const bool takes_value = row != nullptr && row->kind != Kind::kFlag && !joined;
    const bool takes_bool = row != nullptr && row->kind == Kind::kFlag && !joined &&
                            i + 1 < args.size() && IsBool(args[i + 1]);
    if ((takes_value || takes_bool) && i + 1 < args.size()) item.words.push_back(args[++i]);
    if (row != nullptr) given.insert(row->name);
    if (item.option == "--config") {
      config = item.words.size() > 1 ? item.words[1] : arg.substr(arg.find('=') + 1);
    } else {
      items.push_back(std::move(item));
    }
  }
  // Words behind a list option belong to it, apart from one that must be MODEL.
  std::vector<std::string> out;
  size_t loose = 0;
  std::string list_option;
  for (size_t k = 0; k < items.size(); ++k) {
    const Item& item = items[k];
    if (!item.option.empty()) {
      const Option* row = FindRow(rows, item.option);
      list_option = row != nullptr && row->repeated ? row->name : "";
      out.insert(out.end(), item.words.begin(), item.words.end());
      continue;
    }
    const bool more_follow =
        std::any_of(items.begin() + static_cast<std::ptrdiff_t>(k) + 1, items.end(),
                    [](const Item& x) { return x.option.empty(); });
    if (!list_option.empty() && (loose > 0 || more_follow || given.contains("--model"))) {
      out.push_back(list_option);
    } else {
      ++loose;
    }
    out.push_back(item.words.front());
  }
  out.insert(out.end(), args.begin() + static_cast<std::ptrdiff_t>(i), args.end());
  if (config.empty()) return out;
  const bool has_model = loose > 0 || i + 1 < args.size();
  std::vector<std::string> all = ReadConfig(config, rows, given, has_model);
  all.insert(all.end(), out.begin(), out.end());
  return all;
}

}  // namespace ingot::cli
