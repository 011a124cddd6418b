// SPDX-License-Identifier: Apache-2.0
// Shapes, views and owning tensors: dense, row-major, little endian. No arithmetic here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tensor/dtype.h"

namespace ingot {

using Shape = std::vector<int64_t>;

// Product of the dimensions (1 for a scalar shape []). Requires: no overflow (file readers check before).
int64_t NumElements(const Shape& shape);
std::string ShapeText(const Shape& shape);  // "[3, 1152]"

// Points to bytes that somebody else owns (a mapped file, a Tensor).
struct TensorView {
  DType dtype = DType::kF32;
  Shape shape;
  std::span<const std::byte> bytes;

  int64_t elements() const { return NumElements(shape); }
  // Requires: sizeof(T) == DTypeSize(dtype).
  template <typename T>
  std::span<const T> As() const {
    return {reinterpret_cast<const T*>(bytes.data()), bytes.size() / sizeof(T)};
  }
};

// Elements [first, first + count) as a vector. Requires: they lie inside.
TensorView PartOf(const TensorView& view, int64_t first, int64_t count);

// Owns its bytes (64-byte aligned).
class Tensor {
 public:
  Tensor() = default;
  Tensor(DType dtype, Shape shape);  // zero-filled
  TensorView view() const { return {dtype_, shape_, {bytes_.data(), size_}}; }
  operator TensorView() const { return view(); }
  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  template <typename T>
  std::span<T> As() {
    return {reinterpret_cast<T*>(bytes_.data()), size_ / sizeof(T)};
  }
  template <typename T>
  std::span<const T> As() const {
    return {reinterpret_cast<const T*>(bytes_.data()), size_ / sizeof(T)};
  }
  std::span<std::byte> bytes() { return {bytes_.data(), size_}; }
  std::span<const std::byte> bytes() const { return {bytes_.data(), size_}; }

 private:
  struct alignas(64) Line { std::byte b[64]; };
  struct Storage {
    std::vector<Line> lines;
    std::byte* data() { return reinterpret_cast<std::byte*>(lines.data()); }
    const std::byte* data() const { return reinterpret_cast<const std::byte*>(lines.data()); }
  };
  DType dtype_ = DType::kF32;
  Shape shape_{0};
  size_t size_ = 0;
  Storage bytes_;
};

// Elements widened to float32 (F64 is rounded). Requires: F16, BF16, F32, F64, I8, I32, I64 or U8; InternalError otherwise.
std::vector<float> ToFloats(const TensorView& view);
// Elements [first, first + count) widened into `out`. Requires: a type of ToFloats.
void ToFloats(const TensorView& view, int64_t first, std::span<float> out);
// float32 rounded to nearest even into `dtype` (F16, BF16, F32).
Tensor FromFloats(std::span<const float> values, DType dtype, Shape shape);

}  // namespace ingot
