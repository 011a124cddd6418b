// SPDX-License-Identifier: Apache-2.0
// A weight: a dense matrix or vector that is either viewed (bytes of a mapped checkpoint, no copy)
// or owned (made by the program, shared between copies). Copies are cheap; the bytes never change
// after construction.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/packed.h"
#include "tensor/tensor.h"

namespace ingot {

class ModelReader;

class Weight {
 public:
  Weight() = default;
  // The bytes must outlive every copy (a ModelReader's mapping).
  static Weight View(TensorView view);
  static Weight Own(Tensor tensor);

  bool empty() const { return view_.bytes.empty(); }
  DType dtype() const { return view_.dtype; }
  const Shape& shape() const { return view_.shape; }
  // Rows and columns of a matrix; a higher rank is flattened behind the first dimension ([D, C, T,
  // p, p] -> [D, C*T*p*p]).
  int64_t rows() const { return view_.shape.empty() ? 1 : view_.shape[0]; }
  int64_t cols() const { return rows() == 0 ? 0 : view_.elements() / rows(); }
  const TensorView& view() const { return view_; }
  template <typename T>
  const T* data() const {
    return reinterpret_cast<const T*>(view_.bytes.data());
  }
  // Row `row` widened to float32 into `out` [cols].
  void WidenRow(int64_t row, float* out) const;

  // The matrix in the layout of these kernels: made on the first call (thread-safe), kept, shared by
  // all copies. One weight is only ever asked for one layout. Errors: ResourceError.
  const PackedMatrix& Packed(const PackedKernels& kernels) const;
  // The same if it was made before, else null.
  const PackedMatrix* PackedIfMade() const;

 private:
  struct PackedSlot {
    std::once_flag once;
    std::atomic<bool> made = false;
    PackedMatrix matrix;
  };
  TensorView view_;
  std::shared_ptr<const Tensor> owner_;
  std::shared_ptr<PackedSlot> packed_;
};

// A tensor of the checkpoint as a weight view. Errors: FormatError when absent, of another shape,
// or of a type that is not F32, F16 or BF16.
Weight ViewFloatWeight(const ModelReader& reader, std::string_view name, const Shape& shape);
// The same, widened to float32 (norms, biases).
std::vector<float> LoadFloatVector(const ModelReader& reader, std::string_view name, int64_t size);

}  // namespace ingot
