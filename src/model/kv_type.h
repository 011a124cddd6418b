// SPDX-License-Identifier: Apache-2.0
// How the keys and values of a sequence are kept.
#pragma once

#include <string_view>

#include "kernels/attention.h"
#include "model/observe.h"

namespace ingot {

// What goes with a precision unless something else is asked for.
constexpr KvType KvTypeOf(Precision precision) {
  return precision == Precision::kBF16 ? KvType::kBF16 : KvType::kF32;
}

constexpr std::string_view KvTypeName(KvType type) {
  return type == KvType::kF32 ? "float32" : type == KvType::kBF16 ? "bfloat16" : "int8";
}

}  // namespace ingot
