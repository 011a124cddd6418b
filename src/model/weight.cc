// SPDX-License-Identifier: Apache-2.0
#include "model/weight.h"

#include "base/error.h"
#include "checkpoint/model_reader.h"

namespace ingot {

Weight Weight::View(TensorView view) {
  Weight weight;
  weight.view_ = std::move(view);
  return weight;
}

Weight Weight::Own(Tensor tensor) {
  Weight weight;
  weight.owner_ = std::make_shared<const Tensor>(std::move(tensor));
  weight.view_ = weight.owner_->view();
  return weight;
}

void Weight::WidenRow(int64_t row, float* out) const {
  ToFloats(view_, row * cols(), {out, static_cast<size_t>(cols())});
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
