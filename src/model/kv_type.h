// SPDX-License-Identifier: Apache-2.0
// How the keys and values of a sequence are kept.
#pragma once

#include <optional>
#include <string_view>

#include "kernels/attention.h"
#include "model/observe.h"

namespace ingot {

// What goes with a precision unless something else is asked for.
constexpr KvType KvTypeOf(Precision precision) {
  return precision == Precision::kBF16 ? KvType::kBF16 : KvType::kF32;
}

// "auto" (none: as the precision wants it), "bfloat16", "int8"; UserError otherwise.
std::optional<KvType> ParseKvType(std::string_view name);

}  // namespace ingot
