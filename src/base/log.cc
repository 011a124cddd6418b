// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <atomic>
#include <cstdio>
#include <mutex>
#include <set>

#include "base/printable.h"

namespace ingot {
namespace {

std::atomic<LogLevel> minimum{LogLevel::kNote};
std::mutex mutex;

const char* Prefix(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug: return "debug: ";
    case LogLevel::kNote: return "note: ";
    case LogLevel::kWarning: return "warning: ";
    default: return "error: ";
  }
}

}  // namespace

void SetLogLevel(LogLevel level) { minimum = level; }

void LogText(LogLevel level, const std::string& text) {
  if (level < minimum.load()) return;
  std::lock_guard lock(mutex);
  std::fprintf(stderr, "%s%s\n", Prefix(level), PrintableLines(text).c_str());
}

void LogOnceText(LogLevel level, const std::string& text) {
  static std::set<std::string> seen;
  {
    std::lock_guard lock(mutex);
    if (!seen.insert(text).second) return;
  }
  LogText(level, text);
}

}  // namespace ingot
