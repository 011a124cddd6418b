// SPDX-License-Identifier: Apache-2.0
#include "tensor/tensor.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "base/error.h"

namespace ingot {
namespace {

TEST(DTypeTest, NamesRoundTrip) {
  for (int i = 0; i <= static_cast<int>(DType::kU64); ++i) {
    const auto dtype = static_cast<DType>(i);
    EXPECT_EQ(ParseDType(DTypeName(dtype)), dtype);
    EXPECT_GE(DTypeSize(dtype), 1u);
  }
  EXPECT_EQ(ParseDType("I4"), std::nullopt);
  EXPECT_EQ(DTypeSize(DType::kBF16), 2u);
}

TEST(TensorTest, FloatsRoundTrip) {
  const std::vector<float> values{1.0f, -2.5f, 0.0f, 65504.0f};
  for (const DType dtype : {DType::kF32, DType::kF16}) {
    const Tensor tensor = FromFloats(values, dtype, {2, 2});
    EXPECT_EQ(ToFloats(tensor.view()), values);
  }
  EXPECT_EQ(reinterpret_cast<uintptr_t>(FromFloats(values, DType::kF32, {4}).bytes().data()) % 64, 0u);
}

TEST(TensorTest, WidensIntegersAndParts) {
  Tensor tensor(DType::kI8, {4});
  tensor.As<int8_t>()[3] = -7;
  std::vector<float> part(2);
  ToFloats(tensor.view(), 2, part);
  EXPECT_EQ(part, (std::vector<float>{0, -7}));
  EXPECT_THROW(ToFloats(tensor.view(), 3, part), InternalError);
  EXPECT_THROW(ToFloats(Tensor(DType::kBool, {1}).view()), InternalError);
  EXPECT_EQ(ShapeText({3, 1152}), "[3, 1152]");
  EXPECT_EQ(NumElements({}), 1);
}

TEST(TensorTest, UnalignedBytes) {
  Tensor bytes(DType::kU8, {9});
  const float value = 3.5f;
  std::memcpy(bytes.bytes().data() + 1, &value, 4);
  const TensorView view{DType::kF32, {1}, bytes.bytes().subspan(1, 4)};
  EXPECT_EQ(ToFloats(view)[0], 3.5f);
}

}  // namespace
}  // namespace ingot
