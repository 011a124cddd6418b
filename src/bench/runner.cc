// SPDX-License-Identifier: Apache-2.0
#include "bench/runner.h"

#include <fmt/format.h>

#include <cmath>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/progress.h"
#include "base/thread_pool.h"

namespace ingot::bench {
namespace {

// A sample is as many runs as fill this: shorter ones measure the clock and the start of threads.
constexpr double kSampleSeconds = 0.004;
constexpr double kWarmSeconds = 1;  // a first run this long counts: caches hardly matter then

void StopWhenInterrupted() {
  if (InterruptRequested()) throw InterruptedError("bench: stopped, no figures are kept");
}

void SampleLimits(LimitMeter* meter) {
  for (const Resource resource : kAllResources) meter->Sample(resource);
}

// Seconds of one run, one value a repetition.
struct Times {
  Samples wall, busy;  // busy: processor time of all threads, over their number
  Samples paired;      // shares of the limits right before and after
  void Add(const Stopwatch& watch, int runs) {
    wall.Add(watch.Seconds() / runs);
    busy.Add(watch.ProcessorSeconds() / NumThreads() / runs);
  }
};

Times TimeCase(const Case& test, const RunOptions& options, LimitMeter* meter) {
  const Job job = test.prepare();
  const Stopwatch whole;
  Times times;
  job();  // warms caches up
  const double once = whole.Seconds();
  if (once > kWarmSeconds) times.Add(whole, 1);
  const auto pair = [&] {
    if (times.wall.empty() || test.steps.empty()) return;
    times.paired.Add(LimitSeconds(test.steps, meter->Recent()) / times.wall.values().back());
  };
  const int runs = once > kSampleSeconds ? 1 : static_cast<int>(std::ceil(kSampleSeconds / once));
  while (times.wall.size() < static_cast<size_t>(options.repeat)) {
    if (times.wall.size() >= 2 && whole.Seconds() > options.seconds) break;
    StopWhenInterrupted();
    SampleLimits(meter);
    pair();
    const Stopwatch watch;
    for (int run = 0; run < runs; ++run) job();
    times.Add(watch, runs);
  }
  SampleLimits(meter);
  pair();
  return times;
}

Figure MakeFigure(const Case& test, const Times& times, const Peaks& peaks) {
  Figure figure{.name = test.name, .unit = test.unit};
  const auto in_unit = [&](double s) { return figure.LessIsBetter() ? s : test.amount / s; };
  for (const double s : times.wall.values()) figure.samples.Add(in_unit(s));
  for (const double s : times.busy.values()) figure.busy.Add(in_unit(s));
  if (!test.steps.empty()) {
    figure.limit = in_unit(LimitSeconds(test.steps, peaks));
    figure.bound_by = BoundBy(test.steps, peaks);
    figure.paired = times.paired;
  }
  return figure;
}

Figure LimitFigure(const std::string& name, Resource resource, const Samples& rates) {
  const bool read = resource == Resource::kRead, integer = resource == Resource::kInt8;
  Figure figure{.name = name, .unit = read ? "GB/s" : integer ? "TOP/s" : "TFLOP/s"};
  for (const double rate : rates.values()) figure.samples.Add(rate / (read ? 1e9 : 1e12));
  return figure;
}

}  // namespace

std::vector<Figure> RunCases(const std::vector<Case>& cases, const RunOptions& options) {
  std::vector<const Case*> chosen;
  for (const Case& test : cases) {
    if (test.name.find(options.filter) != std::string::npos) chosen.push_back(&test);
  }
  if (chosen.empty()) {
    throw UserError("bench: no case's name holds '{}'; the first of {} is '{}'.", options.filter,
                    cases.size(), cases.empty() ? "" : cases.front().name);
  }
  LimitMeter meter;
  SampleLimits(&meter);
  std::vector<Times> times;
  {
    Progress progress("bench", "cases", chosen.size());
    for (const Case* test : chosen) {
      StopWhenInterrupted();
      times.push_back(TimeCase(*test, options, &meter));
      progress.Advance(1, test->name);
    }
  }
  const Peaks peaks = meter.Best();
  std::vector<Figure> figures;
  for (const Resource resource : kAllResources) {
    figures.push_back(LimitFigure(fmt::format("limit {}", ResourceName(resource)), resource,
                                  meter.rates(resource)));
  }
  for (size_t i = 0; i < chosen.size(); ++i)
    figures.push_back(MakeFigure(*chosen[i], times[i], peaks));
  return figures;
}

std::vector<Figure> MeasureLimits(const RunOptions& options, bool all_loops) {
  struct Row {
    LimitLoop loop;
    bool all_threads;
    Samples rates;
  };
  std::vector<LimitLoop> loops;
  if (all_loops) {
    loops = UsableLoops();
  } else {
    for (const Resource resource : {Resource::kInt8, Resource::kBf16, Resource::kF32})
      loops.push_back(BestLoop(resource));
  }
  loops.push_back({Resource::kRead, "", 0, nullptr});
  std::vector<Row> rows;
  for (const bool all_threads : {false, true}) {
    if (all_threads && NumThreads() == 1) break;
    for (const LimitLoop& loop : loops) rows.push_back({loop, all_threads, {}});
  }
  LimitMeter meter;
  // Samples are short: many of them make the 0.3 s a row that a quiet moment needs.
  for (int i = 0; i < options.repeat * 10; ++i) {
    StopWhenInterrupted();
    for (Row& row : rows) {
      if (row.loop.resource == Resource::kRead) {
        meter.Sample(Resource::kRead, row.all_threads);
      } else {
        row.rates.Add(meter.RateOf(row.loop, row.all_threads));
      }
    }
  }
  std::vector<Figure> figures;
  for (Row& row : rows) {
    const Resource resource = row.loop.resource;
    if (resource == Resource::kRead) row.rates = meter.rates(resource, row.all_threads);
    const int threads = row.all_threads ? NumThreads() : 1;
    std::string name = fmt::format("limit {} T={}", ResourceName(resource), threads);
    if (all_loops && row.loop.run != nullptr) name += fmt::format(" {}", row.loop.name);
    figures.push_back(LimitFigure(name, resource, row.rates));
    if (!all_loops) figures.back().note = row.loop.name;
  }
  return figures;
}

}  // namespace ingot::bench
