// SPDX-License-Identifier: Apache-2.0
// Bytes of a client to one request, as strictly as RFC 9112 allows. Beast does the grammar; in
// front of it stands what Beast lets through (folded lines, bare line feeds, NUL, two lengths,
// endless chunk headers) and the limits. No sockets.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "server/http.h"

namespace ingot::server {

struct HttpLimits;

struct ParseFailure {
  int status = 400;
  std::string message;
};

class RequestParser {
 public:
  explicit RequestParser(const HttpLimits& limits);
  ~RequestParser();

  // Looks at the front of `bytes` and returns how many were used up; the caller shows the rest
  // again together with what comes later. Stops once behind the head, so that the caller may decide
  // whether it wants the body. Never uses up bytes of a following request.
  size_t Feed(std::string_view bytes);

  bool head_complete() const { return head_complete_; }
  bool complete() const { return complete_; }
  const std::optional<ParseFailure>& failure() const { return failure_; }

  // Once the head is complete. `request` gets its body when all is complete; path and query are as
  // sent until the server's policy has looked at them.
  HttpRequest& request() { return request_; }
  int http_minor() const { return http_minor_; }
  bool keep_alive() const { return keep_alive_; }
  bool expects_continue() const { return expects_continue_; }
  bool has_body() const { return has_body_; }
  size_t body_bytes() const { return request_.body.size(); }  // so far

 private:
  struct Beast;
  size_t FeedHead(std::string_view bytes);
  size_t FeedBody(std::string_view bytes);
  bool CheckHead(std::string_view head);  // before Beast
  void TakeHead();                        // after Beast
  void Fail(int status, std::string message);

  const HttpLimits& limits_;
  std::unique_ptr<Beast> beast_;
  HttpRequest request_;
  std::optional<ParseFailure> failure_;
  bool head_complete_ = false, complete_ = false;
  bool keep_alive_ = false, expects_continue_ = false, has_body_ = false;
  int http_minor_ = 1;
  size_t empty_lines_ = 0;     // skipped in front of the request line
  size_t searched_ = 0;        // of the head: no end before here
  size_t raw_body_bytes_ = 0;  // chunk headers included
};

// "/a%20b" -> "/a b". nullopt: an incomplete or wrong escape, or a NUL.
std::optional<std::string> PercentDecode(std::string_view text);

}  // namespace ingot::server
