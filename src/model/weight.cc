// SPDX-License-Identifier: Apache-2.0
#include "model/weight.h"

#include "base/error.h"
#include "checkpoint/model_reader.h"

namespace ingot {

Weight Weight::View(TensorView view) {
  Weight weight;
  weight.view_ = std::move(view);
  weight.packed_ = std::make_shared<PackedSlot>();
  return weight;
}

Weight Weight::Own(Tensor tensor) {
  Weight weight;
  weight.owner_ = std::make_shared<const Tensor>(std::move(tensor));
  weight.view_ = weight.owner_->view();
  weight.packed_ = std::make_shared<PackedSlot>();
  return weight;
}

void Weight::WidenRow(int64_t row, float* out) const {
  ToFloats(view_, row * cols(), {out, static_cast<size_t>(cols())});
}

const PackedMatrix& Weight::Packed(const PackedKernels& kernels) const {
  if (!packed_) throw InternalError("an empty weight cannot be packed");
  std::call_once(packed_->once, [&] {
    packed_->matrix = PackedMatrix(kernels, view_.bytes.data(), static_cast<size_t>(rows()),
                                   static_cast<size_t>(cols()));
    packed_->made.store(true, std::memory_order_release);
  });
  if (&packed_->matrix.kernels() != &kernels)
    throw InternalError("a weight is packed in another layout already");
  return packed_->matrix;
}

const PackedMatrix* Weight::PackedIfMade() const {
  return packed_ && packed_->made.load(std::memory_order_acquire) ? &packed_->matrix : nullptr;
}

Weight ViewFloatWeight(const ModelReader& reader, std::string_view name, const Shape& shape) {
  const TensorView view = reader.View(name);
  if (view.shape != shape) {
    throw FormatError(
        "{}: tensor {}: shape {} found, config.json asks for {}. The weights belong to another "
        "model.",
        reader.dir().string(), name, ShapeText(view.shape), ShapeText(shape));
  }
  if (!IsFloat16Or32(view.dtype)) {
    throw FormatError("{}: tensor {}: {} found, expected BF16, F16 or F32.", reader.dir().string(),
                      name, DTypeName(view.dtype));
  }
  return Weight::View(view);
}

std::vector<float> LoadFloatVector(const ModelReader& reader, std::string_view name, int64_t size) {
  return ToFloats(ViewFloatWeight(reader, name, {size}).view());
}

}  // namespace ingot
