// SPDX-License-Identifier: Apache-2.0
// Element types of the safetensors format (huggingface/safetensors: safetensors/src/tensor.rs), by their names there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace ingot {

enum class DType : uint8_t { kBool, kU8, kI8, kF8E5M2, kF8E4M3, kI16, kU16, kF16, kBF16, kI32, kU32, kF32, kF64, kI64, kU64 };

size_t DTypeSize(DType dtype);               // bytes of one element
std::string_view DTypeName(DType dtype);     // "BF16"
std::optional<DType> ParseDType(std::string_view name);
constexpr bool IsFloat16Or32(DType dtype) {
  return dtype == DType::kF16 || dtype == DType::kBF16 || dtype == DType::kF32;
}

}  // namespace ingot
