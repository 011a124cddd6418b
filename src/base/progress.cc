// SPDX-License-Identifier: Apache-2.0
#include "base/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "base/error.h"
#include "base/files.h"
#include "base/printable.h"

namespace ingot {
namespace {

using Clock = std::chrono::steady_clock;
ProgressStyle chosen_style = ProgressStyle::kAuto;

ProgressStyle Resolve(ProgressStyle style) {
  if (style != ProgressStyle::kAuto) return style;
  const char* term = std::getenv("TERM");
  const bool dumb = term == nullptr || std::string_view(term) == "dumb";
  return isatty(STDERR_FILENO) && !dumb ? ProgressStyle::kBar : ProgressStyle::kPlain;
}

int TerminalWidth() {
  winsize size{};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

std::string JsonText(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<int>(c));
    } else {
      out += c;
    }
  }
  return out + "\"";
}

// Three digits; large rates whole, not as powers of ten.
std::string Rate(double rate) {
  return rate >= 1000 ? fmt::format("{:.0f}", rate) : fmt::format("{:.3g}", rate);
}

}  // namespace

void SetProgressStyle(ProgressStyle style) { chosen_style = style; }

ProgressStyle ParseProgressStyle(std::string_view name) {
  if (name == "auto") return ProgressStyle::kAuto;
  if (name == "bar") return ProgressStyle::kBar;
  if (name == "plain") return ProgressStyle::kPlain;
  if (name == "json") return ProgressStyle::kJson;
  if (name == "none") return ProgressStyle::kNone;
  throw UserError("--progress {}: expected auto, bar, plain, json or none.", name);
}

Progress::Progress(std::string stage, std::string unit, uint64_t total)
    : stage_(std::move(stage)),
      unit_(std::move(unit)),
      total_(total),
      start_(Clock::now()),
      last_draw_(start_),
      style_(Resolve(chosen_style)) {
  if (total_ > 0) Draw(false);
}

Progress::~Progress() {
  if (total_ == 0) return;
  Draw(true);
  if (style_ == ProgressStyle::kBar) std::fputc('\n', stderr);
}

void Progress::Advance(uint64_t count, std::string_view detail) {
  done_ += count;
  detail_ = Printable(detail);
  const auto interval = style_ == ProgressStyle::kBar    ? std::chrono::milliseconds(100)
                        : style_ == ProgressStyle::kJson ? std::chrono::milliseconds(500)
                                                         : std::chrono::milliseconds(5000);
  if (Clock::now() - last_draw_ >= interval) Draw(false);
}

void Progress::SkipTo(uint64_t done) {
  skipped_ += done - done_;
  done_ = done;
}

void Progress::Note(const std::string& line) {
  if (Resolve(chosen_style) == ProgressStyle::kBar) std::fputs("\r\033[K", stderr);
  std::fprintf(stderr, "%s\n", line.c_str());
}

void Progress::Draw(bool final) {
  if (style_ == ProgressStyle::kNone) return;
  last_draw_ = Clock::now();
  const double elapsed = std::chrono::duration<double>(last_draw_ - start_).count();
  const uint64_t worked = done_ - skipped_;
  const double rate = elapsed > 0 ? static_cast<double>(worked) / elapsed : 0;
  const bool known = worked > 0 && rate > 0;
  const double left = known ? static_cast<double>(total_ - std::min(done_, total_)) / rate : -1;
  if (style_ == ProgressStyle::kJson) {
    std::fputs(fmt::format("{{\"stage\":{},\"done\":{},\"total\":{},\"unit\":{},\"elapsed_s\":{:.3f},"
                           "\"rate\":{:.4g},\"eta_s\":{},\"detail\":{}}}\n",
                           JsonText(stage_), done_, total_, JsonText(unit_), elapsed, rate,
                           known ? fmt::format("{:.1f}", left) : "null", JsonText(detail_))
                   .c_str(),
               stderr);
    return;
  }
  const double share = static_cast<double>(done_) / static_cast<double>(total_);
  std::string tail = fmt::format("{}/{} {}", done_, total_, unit_);
  if (known) tail += fmt::format("  {} {}/s", Rate(rate), unit_);
  tail += final    ? "  " + HumanSeconds(elapsed)
          : known ? "  ETA " + HumanSeconds(left)
                  : "";
  if (!detail_.empty() && !final) tail += "  " + detail_;
  if (style_ == ProgressStyle::kPlain) {
    if (final || drawn_ || done_ > 0) {
      std::fputs(fmt::format("{}: {:3.0f} %  {}\n", stage_, 100 * share, tail).c_str(), stderr);
    }
    drawn_ = true;
    return;
  }
  const int bar = 24;
  const int full = std::min(bar, static_cast<int>(share * bar));
  std::string line = stage_ + " [" + std::string(static_cast<size_t>(full), '=') +
                     std::string(static_cast<size_t>(bar - full), ' ') + "] " + tail;
  const auto width = static_cast<size_t>(std::max(20, TerminalWidth() - 1));
  if (line.size() > width) line.resize(width);
  std::fputs(("\r\033[K" + line).c_str(), stderr);
  std::fflush(stderr);
}

}  // namespace ingot
