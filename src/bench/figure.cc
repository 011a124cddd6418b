// SPDX-License-Identifier: Apache-2.0
#include "bench/figure.h"

#include <fmt/format.h>

#include <algorithm>

namespace ingot::bench {
namespace {

// Three significant digits and a fixed width, for columns.
std::string Number(double value) {
  if (value == 0) return "-";
  if (value >= 100) return fmt::format("{:.0f}", value);
  if (value >= 10) return fmt::format("{:.1f}", value);
  if (value >= 1) return fmt::format("{:.2f}", value);
  return fmt::format("{:.3g}", value);
}

std::string Percent(double share) { return share == 0 ? "-" : fmt::format("{:.1f}%", 100 * share); }

}  // namespace

double Figure::ShareOf(const Samples& s) const {
  if (limit <= 0 || s.empty() || BestOf(s) <= 0) return 0;
  return LessIsBetter() ? limit / BestOf(s) : BestOf(s) / limit;
}

std::string TableText(const Report& report) {
  const Origin& origin = report.origin;
  std::string text =
      fmt::format("{}, {}, {} thread{}, commit {}, {}\n", origin.cpu, origin.isa, origin.threads,
                  origin.threads == 1 ? "" : "s", origin.commit, origin.date);
  text +=
      fmt::format("other programs used {:.2f} cores meanwhile{}\n\n", report.disturbance,
                  report.disturbance > 0.2 ? ": figures are lower bounds, repeat when idle" : "");
  size_t width = 6;
  bool limits = false;
  for (const Figure& figure : report.figures) {
    width = std::max(width, figure.name.size());
    limits = limits || figure.limit > 0;
  }
  text += fmt::format("{:<{}}  {:>8} {:>8}  {:<7}", "figure", width, "best", "median", "unit");
  text +=
      limits ? fmt::format(" {:>8} {:>6} {:>6} {:>6}  {}\n", "limit", "share", "paired", "busy",
                               "bound by") : "\n";
  for (const Figure& figure : report.figures) {
    text += fmt::format("{:<{}}  {:>8} {:>8}  {:<7}", figure.name, width, Number(figure.Best()),
                        Number(figure.samples.Median()), figure.unit);
    if (figure.limit > 0) {
      text += fmt::format(
          " {:>8} {:>6} {:>6} {:>6}  {}", Number(figure.limit), Percent(figure.Share()),
          Percent(figure.PairedShare()), Percent(figure.BusyShare()),
          figure.bound_by);
    }
    text += figure.note.empty() ? "\n" : "  " + figure.note + "\n";
  }
  return text;
}

}  // namespace ingot::bench
