// SPDX-License-Identifier: Apache-2.0
// What this machine can do at most: issue rate of its dot product instructions from registers, and
// how fast it reads memory. Every other figure of the benchmarks is a share of these, measured in
// the same run, because clock and neighbours change from minute to minute.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "bench/samples.h"

namespace ingot::bench {

enum class Resource { kInt8, kBf16, kF32, kRead };
inline constexpr size_t kResources = 4;
inline constexpr std::array<Resource, kResources> kAllResources = {Resource::kInt8, Resource::kBf16,
                                                                   Resource::kF32, Resource::kRead};
const char* ResourceName(Resource resource);  // "int8", "bf16", "fp32", "read"

// A loop that touches registers only; bench/limits_loops.h lists those of each instruction set.
struct LimitLoop {
  Resource resource = Resource::kF32;
  const char* name = "";         // "vpdpbusd zmm"
  double ops_per_iteration = 0;  // a multiply-add is two
  void (*run)(uint64_t iterations) = nullptr;
};
// Every loop that this CPU can run, the widest instruction set first.
std::vector<LimitLoop> UsableLoops();
// The first of them for an arithmetic resource. bf16 without bf16 instructions is the fp32 loop:
// products of widened values are what the machine can do.
LimitLoop BestLoop(Resource resource);

// Operations (or bytes) a second.
struct Peaks {
  std::array<double, kResources> per_second{};
  double operator[](Resource resource) const { return per_second[static_cast<size_t>(resource)]; }
};

// Work of one step: arithmetic of several kinds one after another, while bytes are read.
struct Work {
  double int8_ops = 0, bf16_ops = 0, f32_ops = 0;
  double bytes = 0;
};
// The roofline: the longer of arithmetic at its peaks and reading at full bandwidth, added up over
// steps that wait for each other.
double LimitSeconds(std::span<const Work> steps, const Peaks& peaks);
// What takes the largest part of that time: "int8", "bf16", "fp32" or "read".
const char* BoundBy(std::span<const Work> steps, const Peaks& peaks);

struct UnmapBytes {
  size_t bytes = 0;
  void operator()(std::byte* data) const;
};

// Takes short samples of the limits, so that they can be interleaved with other work.
class LimitMeter {
 public:
  LimitMeter();
  // One sample with the caller alone or with all threads of ParallelFor; a few milliseconds.
  void Sample(Resource resource, bool all_threads = true);
  // One sample of any loop.
  double RateOf(const LimitLoop& loop, bool all_threads);
  // All samples so far, operations (or bytes) a second.
  const Samples& rates(Resource resource, bool all_threads = true) const;
  // The best of all threads so far; every resource must have been sampled.
  Peaks Best() const;
  // For each resource the larger of its last two samples of all threads.
  Peaks Recent() const;

 private:
  double ReadRate(bool all_threads);
  std::unique_ptr<std::byte, UnmapBytes> buffer_;  // larger than every cache; made when first read
  size_t next_ = 0;                                // byte where the next sample begins
  std::array<LimitLoop, kResources> loops_;        // kRead has none
  std::array<Samples, kResources> alone_, all_;
};

}  // namespace ingot::bench
