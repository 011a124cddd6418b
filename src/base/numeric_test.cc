// SPDX-License-Identifier: Apache-2.0
#include "base/numeric.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace ingot {
namespace {

// Every F16 value survives the way to float32 and back (NaNs stay NaNs).
TEST(Numeric, F16RoundTripsAllBitPatterns) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const auto h = static_cast<uint16_t>(bits);
    const float f = F16ToF32(h);
    if (std::isnan(f)) {
      EXPECT_TRUE(std::isnan(F16ToF32(F32ToF16(f))));
    } else {
      EXPECT_EQ(F32ToF16(f), h) << bits;
    }
  }
}

// Rounding to nearest even, checked against the definition: no F16 number is nearer, ties have an even mantissa.
TEST(Numeric, F32ToF16RoundsToNearestEven) {
  for (uint32_t bits = 0; bits < 0x7bff; ++bits) {
    const double a = F16ToF32(static_cast<uint16_t>(bits));
    const double b = F16ToF32(static_cast<uint16_t>(bits + 1));
    const auto middle = static_cast<float>((a + b) / 2);
    const auto even = static_cast<uint16_t>((bits & 1) == 0 ? bits : bits + 1);
    EXPECT_EQ(F32ToF16(middle), even);
    EXPECT_EQ(F32ToF16(std::nextafter(middle, 0.0f)), bits);
    EXPECT_EQ(F32ToF16(std::nextafter(middle, 1e9f)), bits + 1);
  }
  EXPECT_EQ(F32ToF16(65519.996f), 0x7bff);
  EXPECT_EQ(F32ToF16(65520.0f), 0x7c00);
  EXPECT_EQ(F32ToF16(-std::numeric_limits<float>::infinity()), 0xfc00);
  EXPECT_EQ(F32ToF16(0x1p-25f), 0);  // tie with zero
  EXPECT_EQ(F32ToF16(0x1.000002p-25f), 1);
}

TEST(Numeric, Bf16) {
  EXPECT_EQ(F32ToBf16(1.0f), 0x3f80);
  EXPECT_EQ(F32ToBf16(1.00390625f), 0x3f80);         // tie to even
  EXPECT_EQ(F32ToBf16(1.01171875f), 0x3f82);         // tie to even, upwards
  EXPECT_TRUE(std::isnan(Bf16ToF32(F32ToBf16(NAN))));
  EXPECT_EQ(F32ToBf16(3.4e38f), 0x7f80);
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const float f = Bf16ToF32(static_cast<uint16_t>(bits));
    if (!std::isnan(f)) {
      EXPECT_EQ(F32ToBf16(f), bits);
    }
  }
}

TEST(Numeric, RneIsHalfToEven) {
  EXPECT_EQ(Rne(0.5f), 0.0f);
  EXPECT_EQ(Rne(1.5f), 2.0f);
  EXPECT_EQ(Rne(-2.5f), -2.0f);
}

}  // namespace
}  // namespace ingot
