// SPDX-License-Identifier: Apache-2.0
#include "tensor/tensor.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/error.h"
#include "base/numeric.h"

namespace ingot {
namespace {

struct DTypeRow {
  DType dtype;
  std::string_view name;
  size_t size;
};
constexpr std::array<DTypeRow, 15> kDTypes{{
    {DType::kBool, "BOOL", 1}, {DType::kU8, "U8", 1},       {DType::kI8, "I8", 1},
    {DType::kF8E5M2, "F8_E5M2", 1}, {DType::kF8E4M3, "F8_E4M3", 1}, {DType::kI16, "I16", 2},
    {DType::kU16, "U16", 2},   {DType::kF16, "F16", 2},     {DType::kBF16, "BF16", 2},
    {DType::kI32, "I32", 4},   {DType::kU32, "U32", 4},     {DType::kF32, "F32", 4},
    {DType::kF64, "F64", 8},   {DType::kI64, "I64", 8},     {DType::kU64, "U64", 8},
}};

// Mapped tensors may start at any byte, so elements are read through memcpy.
template <typename T, typename Convert>
void Widen(const TensorView& view, int64_t first, std::span<float> out, Convert convert) {
  const std::byte* source = view.bytes.data() + static_cast<size_t>(first) * sizeof(T);
  for (size_t i = 0; i < out.size(); ++i) {
    T value;
    std::memcpy(&value, source + i * sizeof(T), sizeof(T));
    out[i] = convert(value);
  }
}

}  // namespace

size_t DTypeSize(DType dtype) { return kDTypes[static_cast<size_t>(dtype)].size; }
std::string_view DTypeName(DType dtype) { return kDTypes[static_cast<size_t>(dtype)].name; }

TensorView PartOf(const TensorView& view, int64_t first, int64_t count) {
  const size_t size = DTypeSize(view.dtype);
  return {view.dtype,
          {count},
          view.bytes.subspan(static_cast<size_t>(first) * size, static_cast<size_t>(count) * size)};
}

std::optional<DType> ParseDType(std::string_view name) {
  for (const auto& row : kDTypes) {
    if (row.name == name) return row.dtype;
  }
  return std::nullopt;
}

int64_t NumElements(const Shape& shape) {
  int64_t count = 1;
  for (const int64_t dim : shape) count *= dim;
  return count;
}

std::string ShapeText(const Shape& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

Tensor::Tensor(DType dtype, Shape shape) : dtype_(dtype), shape_(std::move(shape)) {
  size_ = static_cast<size_t>(NumElements(shape_)) * DTypeSize(dtype_);
  bytes_.lines.resize((size_ + 63) / 64);
}

void ToFloats(const TensorView& view, int64_t first, std::span<float> out) {
  if (first < 0 || first + static_cast<int64_t>(out.size()) > view.elements()) {
    throw InternalError("ToFloats: elements {}..{} of a tensor of shape {}", first, first + out.size(),
                        ShapeText(view.shape));
  }
  const auto as_float = [](auto value) { return static_cast<float>(value); };
  switch (view.dtype) {
    case DType::kBF16: return Widen<uint16_t>(view, first, out, Bf16ToF32);
    case DType::kF16: return Widen<uint16_t>(view, first, out, F16ToF32);
    case DType::kF32: return Widen<float>(view, first, out, as_float);
    case DType::kF64: return Widen<double>(view, first, out, as_float);
    case DType::kI8: return Widen<int8_t>(view, first, out, as_float);
    case DType::kU8: return Widen<uint8_t>(view, first, out, as_float);
    case DType::kI32: return Widen<int32_t>(view, first, out, as_float);
    case DType::kI64: return Widen<int64_t>(view, first, out, as_float);
    default: throw InternalError("ToFloats: dtype {} has no float value", DTypeName(view.dtype));
  }
}

std::vector<float> ToFloats(const TensorView& view) {
  std::vector<float> out(static_cast<size_t>(view.elements()));
  ToFloats(view, 0, out);
  return out;
}

Tensor FromFloats(std::span<const float> values, DType dtype, Shape shape) {
  Tensor tensor(dtype, std::move(shape));
  if (NumElements(tensor.shape()) != static_cast<int64_t>(values.size())) {
    throw InternalError("FromFloats: {} values for shape {}", values.size(), ShapeText(tensor.shape()));
  }
  if (dtype == DType::kF32) {
    std::copy(values.begin(), values.end(), tensor.As<float>().begin());
  } else if (dtype == DType::kBF16) {
    std::transform(values.begin(), values.end(), tensor.As<uint16_t>().begin(), F32ToBf16);
  } else if (dtype == DType::kF16) {
    std::transform(values.begin(), values.end(), tensor.As<uint16_t>().begin(), F32ToF16);
  } else {
    throw InternalError("FromFloats: dtype {} is no float type", DTypeName(dtype));
  }
  return tensor;
}

}  // namespace ingot
