// SPDX-License-Identifier: Apache-2.0
// User errors with an exit code of their own, for scripts around a server that want to tell them
// apart (docs/exit-codes.md).
#pragma once

#include <utility>

#include "base/error.h"

namespace ingot {

class CodedError : public Error {
 public:
  CodedError(int exit_code, const std::string& message)
      : Error(ErrorKind::kUser, message), exit_code_(exit_code) {}
  int exit_code() const { return exit_code_; }

 private:
  int exit_code_;
};

// The port or the Unix socket belongs to another program.
struct AddressInUseError : CodedError {
  template <typename... Args>
  explicit AddressInUseError(fmt::format_string<Args...> format, Args&&... args)
      : CodedError(6, fmt::format(format, std::forward<Args>(args)...)) {}
};

// The model folder is not there.
struct NoModelError : CodedError {
  template <typename... Args>
  explicit NoModelError(fmt::format_string<Args...> format, Args&&... args)
      : CodedError(7, fmt::format(format, std::forward<Args>(args)...)) {}
};

}  // namespace ingot
