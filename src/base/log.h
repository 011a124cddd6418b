// SPDX-License-Identifier: Apache-2.0
// Messages to people on standard error: "warning: ..." and "note: ...". Results go to standard output, never through here.
// LogOnce prints a given text one time per process (accepted-and-ignored options, foreign JSON fields).
#pragma once

#include <fmt/format.h>

#include <string>
#include <utility>

namespace ingot {

enum class LogLevel { kDebug, kNote, kWarning, kError, kSilent };
void SetLogLevel(LogLevel level);
void LogText(LogLevel level, const std::string& text);
void LogOnceText(LogLevel level, const std::string& text);

template <typename... Args>
void LogNote(fmt::format_string<Args...> format, Args&&... args) {
  LogText(LogLevel::kNote, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void LogWarning(fmt::format_string<Args...> format, Args&&... args) {
  LogText(LogLevel::kWarning, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace ingot
