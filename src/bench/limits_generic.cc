// SPDX-License-Identifier: Apache-2.0
// Register loops for CPUs without a file of their own, with the compiler's 128-bit vectors, and the
// loop that reads memory. Each sum depends on itself and starts elsewhere, so nothing can be folded
// away.
#include "bench/limits_loops.h"

namespace ingot::bench {
namespace {

typedef float F32x4 __attribute__((vector_size(16)));
typedef int16_t I16x8 __attribute__((vector_size(16)));
typedef uint64_t U64x2 __attribute__((vector_size(16)));

volatile float f32_sink;
volatile int16_t i16_sink;

void MultiplyAddF32(uint64_t iterations) {
  const F32x4 a = {0.5f, 0.25f, -0.5f, -0.25f}, b = a + 1.0f;
  F32x4 s0 = a, s1 = a + 1.0f, s2 = a + 2.0f, s3 = a + 3.0f, s4 = a + 4.0f, s5 = a + 5.0f,
        s6 = a + 6.0f, s7 = a + 7.0f;
  for (uint64_t i = 0; i < iterations; ++i) {
    s0 = s0 * a + b;
    s1 = s1 * a + b;
    s2 = s2 * a + b;
    s3 = s3 * a + b;
    s4 = s4 * a + b;
    s5 = s5 * a + b;
    s6 = s6 * a + b;
    s7 = s7 * a + b;
  }
  const F32x4 sum = ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7));
  f32_sink = sum[0] + sum[1] + sum[2] + sum[3];
}

// int8 codes widened to 16 bits, as code without a dot product instruction does.
void MultiplyAddI16(uint64_t iterations) {
  const I16x8 a = {1, 3, 5, 7, 9, 11, 13, 15}, b = a + static_cast<int16_t>(2);
  const auto start = [&](int16_t i) { return a + i; };
  I16x8 s0 = a, s1 = start(1), s2 = start(2), s3 = start(3), s4 = start(4), s5 = start(5),
        s6 = start(6), s7 = start(7);
  for (uint64_t i = 0; i < iterations; ++i) {
    s0 = s0 * a + b;
    s1 = s1 * a + b;
    s2 = s2 * a + b;
    s3 = s3 * a + b;
    s4 = s4 * a + b;
    s5 = s5 * a + b;
    s6 = s6 * a + b;
    s7 = s7 * a + b;
  }
  const I16x8 sum = ((s0 ^ s1) ^ (s2 ^ s3)) ^ ((s4 ^ s5) ^ (s6 ^ s7));
  i16_sink = static_cast<int16_t>(sum[0] ^ sum[7]);
}

}  // namespace

std::vector<LimitLoop> GenericLoops() {
  return {{Resource::kInt8, "16-bit multiply-add, 128 bit", 8 * 8 * 2, MultiplyAddI16},
          {Resource::kF32, "fp32 multiply-add, 128 bit", 8 * 4 * 2, MultiplyAddF32}};
}

uint64_t ReadLines(const void* data, size_t count) {
  constexpr size_t kStreams = 8, kVectors = 4;  // a line is four vectors
  const size_t part = count / kStreams * kVectors;
  const U64x2* p = static_cast<const U64x2*>(data);
  U64x2 s0 = {}, s1 = {}, s2 = {}, s3 = {};
  for (size_t at = 0; at < part; at += kVectors) {
    for (size_t stream = 0; stream < kStreams; ++stream) {
      const U64x2* line = p + stream * part + at;
      s0 ^= line[0];
      s1 ^= line[1];
      s2 ^= line[2];
      s3 ^= line[3];
    }
  }
  const U64x2 sum = (s0 ^ s1) ^ (s2 ^ s3);
  return sum[0] ^ sum[1];
}

}  // namespace ingot::bench
