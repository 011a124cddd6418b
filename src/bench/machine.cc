// SPDX-License-Identifier: Apache-2.0
#include "bench/machine.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <fstream>
#include <sstream>

#include "base/thread_pool.h"
#include "bench_commit.h"
#include "kernels/kernels.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace ingot::bench {
namespace {

// The value of the first "key : value" line of /proc/cpuinfo, "" when there is none.
std::string CpuInfo(const std::string& key) {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    std::string name = line.substr(0, colon);
    name.erase(name.find_last_not_of(" \t") + 1);
    if (name == key && colon + 2 <= line.size()) return line.substr(colon + 2);
  }
  return "";
}

std::string CpuName() {
  const std::string model = CpuInfo("model name"), part = CpuInfo("CPU part");
  if (!model.empty())
    return fmt::format("{} ({}/{})", model, CpuInfo("cpu family"), CpuInfo("model"));
  if (!part.empty()) return fmt::format("{}/{}", CpuInfo("CPU implementer"), part);
  return "unknown";
}

std::string Compiler() {
#if defined(__clang__)
  return "clang " __clang_version__;
#elif defined(__GNUC__)
  return "gcc " __VERSION__;
#else
  return "unknown";
#endif
}

}  // namespace

// Leaf 7.1, EAX bit 4; __builtin_cpu_supports of g++ 12 does not know the name.
bool HasAvxVnni() {
#if defined(__x86_64__)
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax & (1u << 4)) != 0;
#else
  return false;
#endif
}

Origin CurrentOrigin() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  return {.commit = INGOT_COMMIT,
          .compiler = Compiler(),
          .date = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(now)),
          .cpu = CpuName(),
          .isa = Kernels().name,
          .threads = NumThreads()};
}

size_t StreamBytes() {
  constexpr size_t kLeast = 256u << 20, kMost = 1024u << 20;
  const long cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
  return std::clamp(cache > 0 ? static_cast<size_t>(cache) * 4 : kLeast, kLeast, kMost);
}

Disturbance::Times Disturbance::Now() {
  Times times;
  std::ifstream file("/proc/stat");
  std::string line, word;
  if (std::getline(file, line)) {
    // cpu user nice system idle iowait irq softirq steal guest guest_nice; user includes guest.
    std::istringstream fields(line);
    fields >> word;
    double value = 0;
    for (int i = 0; i < 8 && fields >> value; ++i) {
      if (i != 3 && i != 4) times.machine += value / static_cast<double>(sysconf(_SC_CLK_TCK));
    }
  }
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  times.own = seconds(usage.ru_utime) + seconds(usage.ru_stime);
  times.wall =
      std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
  return times;
}

Disturbance::Disturbance() : start_(Now()) {}

double Disturbance::Cores() const {
  const Times now = Now();
  const double wall = now.wall - start_.wall;
  if (wall <= 0) return 0;
  return std::max(0.0, (now.machine - start_.machine - (now.own - start_.own)) / wall);
}

}  // namespace ingot::bench
