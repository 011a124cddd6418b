// SPDX-License-Identifier: Apache-2.0
// One measured figure with its limit, as a row of a table and as one line of JSON. A file of such
// lines is what `ingot bench compare` reads; several runs may be appended to one file.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "bench/machine.h"
#include "bench/samples.h"

namespace ingot::bench {

struct Figure {
  std::string name;  // "gemm 2b text.gate_up w8a8-static M=512"; stable, compare matches by it
  std::string unit;  // "TOP/s", "GB/s", "tok/s": more is better; "s", "GB": less is better
  Samples samples;   // in that unit, in the order of measurement
  // The same as if the processor time of the threads, evenly spread, had been all: what the figure
  // would be without other programs and without waiting. Empty where that says nothing.
  Samples busy = {};
  // For each sample its share of the limit as measured directly before and after it (the larger of
  // both): bandwidth that neighbours take in one moment does not count against another.
  Samples paired = {};
  double limit = 0;      // what the machine could do, same unit; 0: none
  std::string bound_by;  // "int8", "bf16", "fp32", "read"; of the limit
  std::string note;      // "vpdpbusd zmm"; shown, not compared

  bool LessIsBetter() const { return unit == "s" || unit == "GB"; }
  double Best() const { return BestOf(samples); }
  double Worst() const { return LessIsBetter() ? samples.Largest() : samples.Smallest(); }
  // Reached part of the limit by the best sample; 0 without a limit.
  double Share() const { return ShareOf(samples); }
  // Median of `paired`; 0 when empty.
  double PairedShare() const { return paired.empty() ? 0 : paired.Median(); }
  // The same of `busy`; 0 when bound by reading, where cores share what is limited.
  double BusyShare() const { return bound_by == "read" ? 0 : ShareOf(busy); }

 private:
  double BestOf(const Samples& s) const { return LessIsBetter() ? s.Smallest() : s.Largest(); }
  double ShareOf(const Samples& s) const;
};

struct Report {
  Origin origin;
  double disturbance = 0;  // cores that others used meanwhile
  std::vector<Figure> figures;
};

std::string TableText(const Report& report);
// One object a line: commit, date, compiler, cpu, isa, threads, figure, unit, value (best), median,
// worst, limit, bound_by, share, paired_share, busy_share, disturbance, samples, busy.
std::string JsonLines(const Report& report);

// A figure as read back; `origin` of its line.
struct Record {
  Origin origin;
  double disturbance = 0;
  Figure figure;
};
// Errors: UserError when the file cannot be read; FormatError naming the line and the field.
std::vector<Record> ReadJsonLines(const std::filesystem::path& path);

}  // namespace ingot::bench
