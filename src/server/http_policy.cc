// SPDX-License-Identifier: Apache-2.0
// See the header. CORS behaves as Starlette's middleware does (encode/starlette:
// starlette/middleware/cors.py), keys as vllm-project/vllm: vllm/entrypoints/openai/api_server.py.
#include "server/http_policy.h"

#include <sys/random.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <span>

#include "base/error.h"
#include "base/sha256.h"
#include "server/http_parser.h"
#include "server/http_server.h"

namespace ingot::server {
namespace {

constexpr size_t kMaxRequestId = 128;
constexpr size_t kMaxKey = 4096;  // longer ones are wrong without a look

bool Contains(const std::vector<std::string>& list, std::string_view value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

std::string DigestOf(std::string_view text) {
  return Sha256Hex(std::as_bytes(std::span(text.data(), text.size())));
}

bool AllowsOrigin(const CorsOptions& options, std::string_view origin) {
  return Contains(options.origins, "*") || Contains(options.origins, origin);
}

std::string Joined(const std::vector<std::string>& list) {
  return fmt::format("{}", fmt::join(list, ", "));
}

// Equal strings, in a time that depends on nothing but the length. Requires: equal lengths.
bool EqualInConstantTime(std::string_view a, std::string_view b) {
  unsigned difference = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference |= static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(b[i]);
  }
  return difference == 0;
}

}  // namespace

bool ResolveTarget(std::string_view root_path, HttpRequest* request) {
  std::string_view target = request->target;
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (target.size() < scheme.size() || !EqualsNoCase(target.substr(0, scheme.size()), scheme)) {
      continue;
    }
    const size_t slash = target.find_first_of("/?", scheme.size());
    target = slash == std::string_view::npos ? "/" : target.substr(slash);
    break;
  }
  target = target.substr(0, target.find('#'));
  if (target == "*" && request->method == "OPTIONS") target = "/";
  if (!target.starts_with('/')) return false;
  const size_t question = target.find('?');
  if (question != std::string_view::npos) request->query = std::string(target.substr(question + 1));
  const auto path = PercentDecode(target.substr(0, question));
  if (!path) return false;
  request->path = *path;
  while (root_path.ends_with('/')) root_path.remove_suffix(1);
  if (!root_path.empty() && path->starts_with(root_path) &&
      (path->size() == root_path.size() || (*path)[root_path.size()] == '/')) {
    request->path = path->substr(root_path.size());
    if (request->path.empty()) request->path = "/";
  }
  return true;
}

ApiKeys::ApiKeys(const std::vector<std::string>& keys) {
  for (const std::string& key : keys) digests_.push_back(DigestOf(key));
}

bool ApiKeys::Allows(const HttpRequest& request) const {
  if (digests_.empty() || request.method == "OPTIONS" || !request.path.starts_with("/v1")) {
    return true;
  }
  std::string_view value = request.Header("Authorization");
  const size_t space = value.find(' ');
  if (space == std::string_view::npos || !EqualsNoCase(value.substr(0, space), "Bearer")) {
    return false;
  }
  value.remove_prefix(space + 1);
  if (value.size() > kMaxKey) return false;
  const std::string digest = DigestOf(value);
  bool found = false;
  for (const std::string& known : digests_) found |= EqualInConstantTime(known, digest);
  return found;
}

HttpResponse UnauthorizedResponse() {
  return {.status = 401,
          .body = R"({"error":"Unauthorized"})",
          .headers = {{"WWW-Authenticate", "Bearer"}}};
}

std::string NewRequestId() {
  static const uint64_t base = [] {
    uint64_t value = 0;
    if (getrandom(&value, sizeof value, 0) != sizeof value) {
      value = static_cast<uint64_t>(std::chrono::system_clock::now().time_since_epoch().count());
    }
    return value;
  }();
  static std::atomic<uint64_t> next{0};
  // SplitMix64's finalizer: a bijection, so ids differ as long as the counter does.
  uint64_t mixed = base + next.fetch_add(1) * 0x9e3779b97f4a7c15u;
  mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
  mixed ^= mixed >> 31;
  return fmt::format("{:016x}{:016x}", base, mixed);
}

std::string RequestIdOf(const HttpRequest& request) {
  const std::string_view given = request.Header("X-Request-Id");
  const bool printable =
      std::all_of(given.begin(), given.end(), [](char c) { return c > 0x20 && c < 0x7f; });
  if (given.empty() || given.size() > kMaxRequestId || !printable) return NewRequestId();
  return std::string(given);
}

std::optional<HttpResponse> Preflight(const CorsOptions& options, const HttpRequest& request) {
  const std::string_view origin = request.Header("Origin");
  const std::string_view method = request.Header("Access-Control-Request-Method");
  if (request.method != "OPTIONS" || origin.empty() || method.empty()) return std::nullopt;
  static constexpr char kAllMethods[] = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT";
  const bool all_headers = Contains(options.headers, "*");
  const std::string_view wanted = request.Header("Access-Control-Request-Headers");
  HttpResponse response{.content_type = "text/plain; charset=utf-8", .body = "OK"};
  response.headers = CorsHeaders(options, request);
  const bool method_ok = Contains(options.methods, "*") || Contains(options.methods, method);
  if (!AllowsOrigin(options, origin) || !method_ok) {
    response.status = 400;
    response.body = method_ok ? "Disallowed CORS origin" : "Disallowed CORS method";
    return response;
  }
  response.headers.push_back({"Access-Control-Allow-Methods", Contains(options.methods, "*")
                                                                  ? kAllMethods
                                                                  : Joined(options.methods)});
  response.headers.push_back({"Access-Control-Max-Age", "600"});
  if (all_headers && !wanted.empty()) {
    response.headers.push_back({"Access-Control-Allow-Headers", std::string(wanted)});
  } else if (!all_headers) {
    response.headers.push_back({"Access-Control-Allow-Headers", Joined(options.headers)});
  }
  return response;
}

std::vector<HttpHeader> CorsHeaders(const CorsOptions& options, const HttpRequest& request) {
  const std::string_view origin = request.Header("Origin");
  if (origin.empty() || !AllowsOrigin(options, origin)) return {};
  std::vector<HttpHeader> headers;
  // A wildcard does not go together with credentials: the origin is named then.
  const bool any = Contains(options.origins, "*") && !options.credentials;
  headers.push_back({"Access-Control-Allow-Origin", any ? "*" : std::string(origin)});
  if (!any) headers.push_back({"Vary", "Origin"});
  if (options.credentials) headers.push_back({"Access-Control-Allow-Credentials", "true"});
  return headers;
}

}  // namespace ingot::server
