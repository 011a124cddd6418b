// SPDX-License-Identifier: Apache-2.0
#include "quant/plan.h"

#include <fnmatch.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"

namespace ingot {
namespace {

using Json = nlohmann::ordered_json;

constexpr uint64_t kMaxPlanBytes = 16u << 20;

PlanLinear* FindLinear(QuantPlan* plan, std::string_view module) {
  for (auto& linear : plan->linears) {
    if (linear.spec.module == module) return &linear;
  }
  return nullptr;
}

// The module name with the longest common tail: people usually misspell the front
// ("layers.3.mlp.up_proj").
std::string NearestModule(const QuantPlan& plan, std::string_view name) {
  std::string best;
  size_t best_length = 0;
  for (const auto& linear : plan.linears) {
    const std::string& module = linear.spec.module;
    size_t length = 0;
    while (length < std::min(module.size(), name.size()) &&
           module[module.size() - 1 - length] == name[name.size() - 1 - length]) {
      ++length;
    }
    if (best.empty() || length > best_length) {
      best = module;
      best_length = length;
    }
  }
  return best;
}

std::string DefaultReason(const FolderLayout& layout, LinearKind kind, LinearType type) {
  if (type != LinearType::kFloat)
    return "input is normalized by an RMSNorm or close to it; the default set";
  switch (kind) {
    case LinearKind::kLmHead:
      return "decides the tokens; kept float by every recipe";
    case LinearKind::kDown:
      return "its input has the largest outliers; one static scale loses too much";
    default:
      break;
  }
  const std::string refusal = RefusalReason(layout, kind, LinearType::kStatic);
  return refusal.empty() ? "vision stays float by default" : refusal;
}

// The group whose members one run-time parameter serves: q, k, v of a layer; gate, up of a layer.
std::string SharedGroup(const LinearSpec& spec) {
  switch (spec.kind) {
    case LinearKind::kQ:
    case LinearKind::kK:
    case LinearKind::kV:
    case LinearKind::kGate:
    case LinearKind::kUp:
      return spec.site;
    default:
      return {};
  }
}

const Json& Field(const Json& object, const char* key, const std::filesystem::path& path) {
  const auto it = object.find(key);
  if (it == object.end() || !it->is_string()) {
    throw FormatError(
        "{}: every entry of \"linears\" needs a text \"{}\". Write a fresh plan with --write-plan "
        "and "
        "edit that.",
        path.string(), key);
  }
  return *it;
}

void CheckPlanHeader(const QuantPlan& plan, const Json& json, const std::filesystem::path& path) {
  if (!json.is_object() || !json.contains("linears") || !json["linears"].is_array()) {
    throw FormatError(
        "{}: expected a JSON object with an array \"linears\". Write a fresh plan with "
        "--write-plan.",
        path.string());
  }
  const auto target = json.find("target");
  if (target != json.end() && *target != std::string(TargetName(plan.layout.target))) {
    throw UserError(
        "{}: the plan is for target {}, but --target is {}. Give the same target or a plan made "
        "for it.",
        path.string(), target->dump(), TargetName(plan.layout.target));
  }
}

}  // namespace

std::string_view MethodName(Method method) { return method == Method::kV0 ? "v0" : "balanced"; }

Method ParseMethod(std::string_view name) {
  if (name == "v0") return Method::kV0;
  if (name == "balanced") return Method::kBalanced;
  throw UserError("--method {}: expected v0 or balanced.", name);
}

LinearType QuantPlan::TypeOf(std::string_view module) const {
  for (const auto& linear : linears) {
    if (linear.spec.module == module) return linear.type;
  }
  return LinearType::kFloat;
}

bool QuantPlan::AnyOf(LinearType type) const {
  return std::any_of(linears.begin(), linears.end(), [&](const auto& l) { return l.type == type; });
}

bool QuantPlan::Quantizes(TensorPart part) const {
  return std::any_of(linears.begin(), linears.end(), [&](const auto& linear) {
    return linear.spec.part == part && linear.type != LinearType::kFloat;
  });
}

QuantPlan MakeDefaultPlan(const ModelConfig& config, const FolderLayout& layout, Method method) {
  QuantPlan plan{.layout = layout, .method = method, .linears = {}};
  for (const LinearSpec& spec : LinearTable(config)) {
    const LinearType type = DefaultLinearType(layout, spec.kind);
    plan.linears.push_back({spec, type, DefaultReason(layout, spec.kind, type)});
  }
  return plan;
}

void ApplyLayerRule(QuantPlan* plan, const std::string& rule) {
  const size_t equals = rule.rfind('=');
  if (equals == std::string::npos || equals == 0) {
    throw UserError("--layers '{}': expected PATTERN=TYPE, for example '*.down_proj=dynamic'.",
                    rule);
  }
  const std::string pattern = rule.substr(0, equals);
  const LinearType type = ParseLinearType(rule.substr(equals + 1));
  int matches = 0;
  for (auto& linear : plan->linears) {
    if (fnmatch(pattern.c_str(), linear.spec.module.c_str(), 0) != 0) continue;
    linear.type = type;
    linear.reason = "--layers " + rule;
    ++matches;
  }
  if (matches == 0) {
    throw UserError(
        "--layers '{}': matches no linear of this model. The nearest name is {}; * stands for "
        "anything.",
        rule, NearestModule(*plan, pattern));
  }
}

void ApplyPlanFile(QuantPlan* plan, const std::filesystem::path& path) {
  const Json json = Json::parse(ReadFile(path, kMaxPlanBytes), nullptr, false);
  if (json.is_discarded()) throw FormatError("{}: is no valid JSON.", path.string());
  CheckPlanHeader(*plan, json, path);
  for (const Json& entry : json["linears"]) {
    if (!entry.is_object())
      throw FormatError("{}: \"linears\" holds something that is no object.", path.string());
    const std::string module = Field(entry, "module", path);
    const std::string type_name = Field(entry, "type", path);
    PlanLinear* linear = FindLinear(plan, module);
    if (linear == nullptr) {
      throw UserError("{}: the model has no linear named {}. The nearest name is {}.",
                      path.string(), module, NearestModule(*plan, module));
    }
    const LinearType type = ParseLinearType(type_name);
    if (type != linear->type) linear->reason = "plan file";
    linear->type = type;
    if (entry.contains("reason") && entry["reason"].is_string()) linear->reason = entry["reason"];
  }
}

void ValidatePlan(const QuantPlan& plan) {
  std::map<std::string, const PlanLinear*> groups;
  bool any = false;
  for (const auto& linear : plan.linears) {
    any |= linear.type != LinearType::kFloat;
    const std::string refusal = RefusalReason(plan.layout, linear.spec.kind, linear.type);
    if (!refusal.empty()) {
      throw UserError("plan: {} cannot be {} with --target {}: {}.", linear.spec.module,
                      LinearTypeName(linear.type), TargetName(plan.layout.target), refusal);
    }
    const std::string group = SharedGroup(linear.spec);
    if (group.empty()) continue;
    const auto [it, inserted] = groups.emplace(group, &linear);
    if (!inserted && it->second->type != linear.type) {
      throw UserError(
          "plan: {} is {} but {} is {}. They share one input, and engines keep one set of "
          "parameters for "
          "both: give them the same type.",
          it->second->spec.module, LinearTypeName(it->second->type), linear.spec.module,
          LinearTypeName(linear.type));
    }
  }
  if (!any)
    throw UserError(
        "plan: every linear stays float, so there is nothing to quantize. Change --layers or "
        "--plan.");
}

std::map<std::string, LinearType> TypesByModule(const QuantPlan& plan) {
  std::map<std::string, LinearType> types;
  for (const auto& linear : plan.linears) types[linear.spec.module] = linear.type;
  return types;
}

std::map<LinearKind, std::array<int64_t, 3>> CountTypes(const QuantPlan& plan) {
  std::map<LinearKind, std::array<int64_t, 3>> counts;
  for (const auto& linear : plan.linears) {
    ++counts[linear.spec.kind][static_cast<size_t>(linear.type)];
  }
  return counts;
}

std::string PlanJson(const QuantPlan& plan) {
  Json json{{"ingot_plan", 1},
            {"target", TargetName(plan.layout.target)},
            {"method", MethodName(plan.method)},
            {"run_dtype", DTypeName(plan.layout.options.run_dtype)},
            {"linears", Json::array()}};
  for (const auto& linear : plan.linears) {
    json["linears"].push_back({{"module", linear.spec.module},
                               {"shape", {linear.spec.out, linear.spec.in}},
                               {"type", LinearTypeName(linear.type)},
                               {"reason", linear.reason}});
  }
  return json.dump(1) + "\n";
}

}  // namespace ingot
