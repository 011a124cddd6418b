// SPDX-License-Identifier: Apache-2.0
#include "bench/limits.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <ctime>

#include "base/error.h"
#include "base/files.h"
#include "base/thread_pool.h"
#include "bench/limits_loops.h"
#include "bench/machine.h"

namespace ingot::bench {
namespace {

// Long enough to hide the start of the threads, short enough to fall between two time slices of
// other programs now and then.
constexpr double kSampleSeconds = 0.002;
constexpr size_t kReadBytes = 64u << 20;  // per sample
constexpr size_t kLineBytes = 64;         // as ReadLines

void Append(std::vector<LimitLoop>* all, const std::vector<LimitLoop>& more) {
  all->insert(all->end(), more.begin(), more.end());
}

// Runs body(part) once on each thread.
template <typename Body>
void OnThreads(size_t threads, Body body) {
  if (threads == 1) return body(size_t{0});
  ParallelFor(threads, 1, [&](size_t begin, size_t end) {
    for (size_t part = begin; part < end; ++part) body(part);
  });
}

// Processor time of the calling thread. Register loops share nothing with other cores, so the time
// that another program took from a thread can be left out; reading memory has to use wall time.
double ThreadSeconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

double LoopSeconds(const LimitLoop& loop, uint64_t iterations) {
  const double start = ThreadSeconds();
  loop.run(iterations);
  return ThreadSeconds() - start;
}

double ArithmeticSeconds(const Work& work, const Peaks& peaks) {
  double seconds = 0;
  for (const auto& [ops, resource] : {std::pair{work.int8_ops, Resource::kInt8},
                                      {work.bf16_ops, Resource::kBf16},
                                      {work.f32_ops, Resource::kF32}}) {
    if (ops > 0) seconds += ops / peaks[resource];
  }
  return seconds;
}

double ReadSeconds(const Work& work, const Peaks& peaks) {
  return work.bytes > 0 ? work.bytes / peaks[Resource::kRead] : 0;
}

}  // namespace

const char* ResourceName(Resource resource) {
  switch (resource) {
    case Resource::kInt8:
      return "int8";
    case Resource::kBf16:
      return "bf16";
    case Resource::kF32:
      return "fp32";
    case Resource::kRead:
      return "read";
  }
  return "?";
}

std::vector<LimitLoop> UsableLoops() {
  std::vector<LimitLoop> loops;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")) {
    if (__builtin_cpu_supports("avx512vnni")) Append(&loops, Avx512VnniLoops());
    if (__builtin_cpu_supports("avx512bf16")) Append(&loops, Avx512Bf16Loops());
    Append(&loops, Avx512Loops());
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    if (HasAvxVnni()) Append(&loops, AvxVnniLoops());
    Append(&loops, Avx2Loops());
  }
#endif
  Append(&loops, GenericLoops());
  return loops;
}

LimitLoop BestLoop(Resource resource) {
  const std::vector<LimitLoop> loops = UsableLoops();
  for (const Resource wanted : {resource, Resource::kF32}) {
    for (const LimitLoop& loop : loops) {
      if (loop.resource == wanted) return {resource, loop.name, loop.ops_per_iteration, loop.run};
    }
  }
  throw InternalError("no loop for {}", ResourceName(resource));
}

double LimitSeconds(std::span<const Work> steps, const Peaks& peaks) {
  double seconds = 0;
  for (const Work& work : steps)
    seconds += std::max(ArithmeticSeconds(work, peaks), ReadSeconds(work, peaks));
  return seconds;
}

const char* BoundBy(std::span<const Work> steps, const Peaks& peaks) {
  std::array<double, kResources> seconds{};
  for (const Work& work : steps) {
    const double read = ReadSeconds(work, peaks);
    if (read >= ArithmeticSeconds(work, peaks)) {
      seconds[static_cast<size_t>(Resource::kRead)] += read;
      continue;
    }
    for (const auto& [ops, resource] : {std::pair{work.int8_ops, Resource::kInt8},
                                        {work.bf16_ops, Resource::kBf16},
                                        {work.f32_ops, Resource::kF32}}) {
      if (ops > 0) seconds[static_cast<size_t>(resource)] += ops / peaks[resource];
    }
  }
  const auto largest = std::max_element(seconds.begin(), seconds.end()) - seconds.begin();
  return ResourceName(static_cast<Resource>(largest));
}

LimitMeter::LimitMeter() {
  for (const Resource resource : {Resource::kInt8, Resource::kBf16, Resource::kF32})
    loops_[static_cast<size_t>(resource)] = BestLoop(resource);
}

double LimitMeter::RateOf(const LimitLoop& loop, bool all_threads) {
  // A part of the time finds how many iterations fill it; then all threads run them.
  uint64_t iterations = 1000;
  double seconds = 0;
  while ((seconds = LoopSeconds(loop, iterations)) < kSampleSeconds / 16) iterations *= 4;
  iterations = static_cast<uint64_t>(static_cast<double>(iterations) * kSampleSeconds / seconds);
  const size_t threads = static_cast<size_t>(all_threads ? NumThreads() : 1);
  std::vector<double> spent(threads);
  OnThreads(threads, [&](size_t part) { spent[part] = LoopSeconds(loop, iterations); });
  const double slowest = *std::max_element(spent.begin(), spent.end());
  return loop.ops_per_iteration * static_cast<double>(iterations * threads) / slowest;
}

void UnmapBytes::operator()(std::byte* data) const { munmap(data, bytes); }

double LimitMeter::ReadRate(bool all_threads) {
  if (!buffer_) {
    const size_t bytes = StreamBytes();
    void* data =
        mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, /*fd=*/-1, 0);
    if (data == MAP_FAILED) {
      throw ResourceError("bench: no memory for a buffer of {}. Close other programs.",
                          HumanBytes(bytes));
    }
    madvise(data, bytes, MADV_HUGEPAGE);  // where refused, small pages do
    buffer_ = {static_cast<std::byte*>(data), UnmapBytes{bytes}};
    std::memset(data, 1, bytes);  // pages that were never written are all the same one
  }
  if (next_ + kReadBytes > buffer_.get_deleter().bytes) next_ = 0;
  const std::byte* data = buffer_.get() + next_;
  next_ += kReadBytes;
  const size_t threads = static_cast<size_t>(all_threads ? NumThreads() : 1);
  const size_t lines = kReadBytes / kLineBytes / threads;  // of each thread
  std::atomic<uint64_t> sink{0};
  const Stopwatch watch;
  OnThreads(threads,
            [&](size_t part) { sink ^= ReadLines(data + part * lines * kLineBytes, lines); });
  return static_cast<double>(lines * threads * kLineBytes) / watch.Seconds();
}

void LimitMeter::Sample(Resource resource, bool all_threads) {
  const size_t index = static_cast<size_t>(resource);
  const double rate =
      resource == Resource::kRead ? ReadRate(all_threads) : RateOf(loops_[index], all_threads);
  (all_threads ? all_ : alone_)[index].Add(rate);
}

const Samples& LimitMeter::rates(Resource resource, bool all_threads) const {
  return (all_threads ? all_ : alone_)[static_cast<size_t>(resource)];
}

Peaks LimitMeter::Best() const {
  Peaks peaks;
  for (size_t i = 0; i < kResources; ++i) {
    if (all_[i].empty()) throw InternalError("limit {} was not measured", i);
    peaks.per_second[i] = all_[i].Largest();
  }
  return peaks;
}

Peaks LimitMeter::Recent() const {
  Peaks peaks;
  for (size_t i = 0; i < kResources; ++i) {
    const std::vector<double>& rates = all_[i].values();
    if (rates.empty()) throw InternalError("limit {} was not measured", i);
    peaks.per_second[i] = rates.back();
    if (rates.size() > 1) peaks.per_second[i] = std::max(rates.back(), rates[rates.size() - 2]);
  }
  return peaks;
}

}  // namespace ingot::bench
