// SPDX-License-Identifier: Apache-2.0
// What happens to each linear of a model: kept float, static W8A8, dynamic W8A8, and why. Made from
// the target's defaults, changed by --layers rules or by an edited plan file, printed as JSON that
// can be diffed, edited and given back.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/config.h"
#include "checkpoint/folder_layout.h"
#include "checkpoint/tensor_table.h"

namespace ingot {

enum class Method {
  kV0,        // reproduces msModelSlim's Qwen3-VL script: float16 arithmetic, truncated histogram
  kBalanced,  // exact extremes, range search balanced over text and vision, scales on the run
              // time's grid
};
std::string_view MethodName(Method method);
Method ParseMethod(std::string_view name);  // UserError listing the names

struct PlanLinear {
  LinearSpec spec;
  LinearType type = LinearType::kFloat;
  std::string reason;
};

struct QuantPlan {
  FolderLayout layout;
  Method method = Method::kBalanced;
  std::vector<PlanLinear> linears;  // in module order, lm_head last

  LinearType TypeOf(std::string_view module) const;  // kFloat for an unknown name
  bool AnyOf(LinearType type) const;
  bool Quantizes(TensorPart part) const;  // any linear of the part that is not float
};

QuantPlan MakeDefaultPlan(const ModelConfig& config, const FolderLayout& layout, Method method);

// "PATTERN=TYPE": shell wildcards on module names ("*.down_proj=dynamic"), TYPE float, static or
// dynamic. Errors: UserError when the rule is malformed or matches no linear (names the nearest
// one).
void ApplyLayerRule(QuantPlan* plan, const std::string& rule);

// Takes the types from a plan file (PlanJson's format, or any subset of its linears). Errors:
// FormatError on bad JSON or fields; UserError on an unknown linear or a plan of another target.
void ApplyPlanFile(QuantPlan* plan, const std::filesystem::path& path);

// Errors: UserError when the target cannot store a type, when q, k, v (or gate, up) of a layer
// differ, or when nothing would be quantized.
void ValidatePlan(const QuantPlan& plan);

std::map<std::string, LinearType> TypesByModule(const QuantPlan& plan);
// "float", "static", "dynamic": how many linears of each kind.
std::map<LinearKind, std::array<int64_t, 3>> CountTypes(const QuantPlan& plan);

std::string PlanJson(const QuantPlan& plan);

}  // namespace ingot
