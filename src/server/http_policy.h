// SPDX-License-Identifier: Apache-2.0
// What is decided from a request's head alone: its path, its id, whether the key fits, what other
// web pages may see. No sockets, no state.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/http.h"

namespace ingot::server {

struct CorsOptions;

// Fills path and query from target: absolute forms lose scheme and authority, percent-escapes are
// decoded once, `root_path` is taken off where it stands. False: no valid target.
bool ResolveTarget(std::string_view root_path, HttpRequest* request);

// API keys as SHA-256 digests: comparing takes the same time whatever is sent, and the keys
// themselves do not stay in memory.
class ApiKeys {
 public:
  ApiKeys() = default;
  explicit ApiKeys(const std::vector<std::string>& keys);
  // As vLLM: paths below /v1 need "Authorization: Bearer KEY"; all others, and OPTIONS, are open.
  bool Allows(const HttpRequest& request) const;

 private:
  std::vector<std::string> digests_;
};
HttpResponse UnauthorizedResponse();  // 401 with vLLM's flat body

// The client's X-Request-Id when it is printable and short enough, else a fresh one.
std::string RequestIdOf(const HttpRequest& request);
std::string NewRequestId();  // 32 hex digits

// The answer to a CORS preflight, nullopt when the request is none.
std::optional<HttpResponse> Preflight(const CorsOptions& options, const HttpRequest& request);
// What every other answer to a page of another origin carries.
std::vector<HttpHeader> CorsHeaders(const CorsOptions& options, const HttpRequest& request);

}  // namespace ingot::server
