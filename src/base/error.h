// SPDX-License-Identifier: Apache-2.0
// The four kinds of error of the program. Each message names the thing (file, tensor, option), what was found, what was
// expected and what to do. Thrown outside kernels and step loops; caught only in main and at the HTTP border.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace ingot {

enum class ErrorKind { kUser, kFormat, kResource, kInternal, kInterrupted };

// Exit codes are part of the command line contract (docs/exit-codes.md).
constexpr int ExitCode(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kUser: return 2;
    case ErrorKind::kFormat: return 3;
    case ErrorKind::kResource: return 4;
    case ErrorKind::kInternal: return 5;
    case ErrorKind::kInterrupted: return 130;
  }
  return 5;
}

class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  ErrorKind kind() const { return kind_; }

 private:
  ErrorKind kind_;
};

// The caller asked for something that cannot be done: wrong option, wrong folder, unsupported model.
struct UserError : Error {
  template <typename... Args>
  explicit UserError(fmt::format_string<Args...> format, Args&&... args)
      : Error(ErrorKind::kUser, fmt::format(format, std::forward<Args>(args)...)) {}
};

// Bytes that are not what their format demands. The message begins with the file (and tensor or field) by convention:
//   FormatError("{}: tensor {}: shape {} needs {} bytes, found {}. Download the file again.", file, ...)
struct FormatError : Error {
  template <typename... Args>
  explicit FormatError(fmt::format_string<Args...> format, Args&&... args)
      : Error(ErrorKind::kFormat, fmt::format(format, std::forward<Args>(args)...)) {}
};

// The machine lacks something: disk full, no permission, no memory, a missing helper program.
struct ResourceError : Error {
  template <typename... Args>
  explicit ResourceError(fmt::format_string<Args...> format, Args&&... args)
      : Error(ErrorKind::kResource, fmt::format(format, std::forward<Args>(args)...)) {}
};

// A defect of this program. Never reachable from bad input.
struct InternalError : Error {
  template <typename... Args>
  explicit InternalError(fmt::format_string<Args...> format, Args&&... args)
      : Error(ErrorKind::kInternal, fmt::format(format, std::forward<Args>(args)...)) {}
};

// The user pressed Ctrl-C (or SIGTERM): the state on disk is resumable, the message says how to go on.
struct InterruptedError : Error {
  template <typename... Args>
  explicit InterruptedError(fmt::format_string<Args...> format, Args&&... args)
      : Error(ErrorKind::kInterrupted, fmt::format(format, std::forward<Args>(args)...)) {}
};

}  // namespace ingot
