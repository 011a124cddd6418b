// SPDX-License-Identifier: Apache-2.0
// A request that cannot be served, as the client is told: HTTP status, error type, message and the
// field that is to blame. Thrown while a request is read and caught where its handler began.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace ingot::server {

class ApiError : public std::runtime_error {
 public:
  ApiError(int status, const std::string& message, std::string type = "", std::string param = "")
      : std::runtime_error(message),
        status_(status),
        type_(std::move(type)),
        param_(std::move(param)) {}
  int status() const { return status_; }
  const std::string& type() const { return type_; }    // "": the usual one of the status
  const std::string& param() const { return param_; }  // "": none

 private:
  int status_;
  std::string type_, param_;
};

// A field of the wrong type or out of its range: what vLLM's request models refuse (type "Bad
// Request", 400).
template <typename... Args>
ApiError BadField(std::string_view param, fmt::format_string<Args...> format, Args&&... args) {
  return {400, fmt::format(format, std::forward<Args>(args)...), "Bad Request", std::string(param)};
}

// A request that is well formed and cannot be served as it stands (type "BadRequestError", 400).
template <typename... Args>
ApiError BadRequest(std::string_view param, fmt::format_string<Args...> format, Args&&... args) {
  return {400, fmt::format(format, std::forward<Args>(args)...), "", std::string(param)};
}

// Absolute paths in a message shortened to their last part: where things lie on the server is none
// of a client's business.
std::string WithoutPaths(std::string_view message);

}  // namespace ingot::server
