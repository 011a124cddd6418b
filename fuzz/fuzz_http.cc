// SPDX-License-Identifier: Apache-2.0
// libFuzzer target: bytes of a client. The parser comes to the same request or refusal whether they
// arrive at once or in pieces, and keeps its limits. The first byte chooses the size of the pieces.
#include <algorithm>
#include <string>

#include "fuzz.h"
#include "server/http_parser.h"
#include "server/http_policy.h"
#include "server/http_server.h"

namespace {

using namespace ingot::server;  // NOLINT
using ingot::fuzz::Require;

struct Outcome {
  int status = 0;  // of the failure; 0: none
  bool head = false, complete = false, keep_alive = false;
  size_t used = 0;
  HttpRequest request;
};

HttpLimits SmallLimits() {
  HttpLimits limits;
  limits.header_bytes = 2048;
  limits.header_count = 16;
  limits.body_bytes = 4096;
  return limits;
}

// As the connection does it: bytes wait in a buffer until the parser has used them up.
Outcome Parse(std::string_view bytes, size_t piece, const HttpLimits& limits) {
  RequestParser parser(limits);
  Outcome outcome;
  std::string waiting;
  for (size_t at = 0; at < bytes.size() && !parser.failure() && !parser.complete();) {
    const size_t n = std::min(piece, bytes.size() - at);
    waiting.append(bytes.substr(at, n));
    at += n;
    while (!parser.failure() && !parser.complete()) {
      const bool had_head = parser.head_complete();
      const size_t used = parser.Feed(waiting);
      Require(used <= waiting.size(), "no more is used than was shown");
      waiting.erase(0, used);
      outcome.used += used;
      if (used == 0 && parser.head_complete() == had_head) break;
    }
    Require(parser.body_bytes() <= limits.body_bytes, "the body stays within its limit");
  }
  if (parser.failure()) outcome.status = parser.failure()->status;
  outcome.head = parser.head_complete();
  outcome.complete = parser.complete();
  outcome.keep_alive = parser.keep_alive();
  outcome.request = std::move(parser.request());
  return outcome;
}

void RequireSame(const Outcome& a, const Outcome& b) {
  // A refusal may come earlier or later (a lone CR inside a chunk header), but what one way refuses
  // is no request the other way.
  Require(!(a.status != 0 && b.complete) && !(b.status != 0 && a.complete),
          "what is refused in pieces is refused as a whole, and the other way round");
  if (a.status != 0 || b.status != 0) return;
  Require(a.head == b.head && a.complete == b.complete, "pieces end where the whole ends");
  if (!a.complete) return;
  Require(a.used == b.used && a.keep_alive == b.keep_alive, "as many bytes are one request");
  Require(a.request.method == b.request.method && a.request.target == b.request.target &&
              a.request.body == b.request.body,
          "pieces make the same request");
  Require(a.request.headers.size() == b.request.headers.size(), "pieces make the same headers");
}

void CheckRequest(HttpRequest request, const HttpLimits& limits) {
  Require(request.headers.size() <= limits.header_count + 1, "headers are counted");
  for (const HttpHeader& header : request.headers) {
    for (const char c : header.value) {
      Require(static_cast<unsigned char>(c) >= 0x20 || c == '\t', "no control characters");
    }
  }
  if (ResolveTarget("", &request)) {
    Require(request.path.starts_with('/'), "a path begins with a slash");
    Require(request.path.find('\0') == std::string::npos, "a path holds no NUL");
  }
  RequestIdOf(request);
  Preflight({}, request);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  static const HttpLimits limits = SmallLimits();
  const std::string_view bytes = ingot::fuzz::AsText(data + 1, size - 1);
  const Outcome whole = Parse(bytes, bytes.size() + 1, limits);
  const Outcome pieces = Parse(bytes, 1 + data[0] % 32, limits);
  RequireSame(whole, pieces);
  if (whole.complete) CheckRequest(whole.request, limits);
  return 0;
}
