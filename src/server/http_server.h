// SPDX-License-Identifier: Apache-2.0
// The HTTP/1.1 server: listens on TCP or a Unix socket, plain or TLS, keeps every limit, runs
// handlers on its worker threads and never lets a client hold anything without a bound. The
// network itself is one thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "server/http.h"
#include "server/router.h"

namespace ingot::server {

struct TlsOptions {
  std::string key_file, cert_file;  // PEM; both or none
  std::string ca_file;              // to check clients' certificates
  // 0 none, 1 optional, 2 required (the values of Python's ssl module, as vLLM takes them).
  int client_cert_mode = 0;
  bool enabled() const { return !cert_file.empty(); }
};

struct CorsOptions {
  // vLLM's defaults: every page may ask, without credentials.
  std::vector<std::string> origins = {"*"}, methods = {"*"}, headers = {"*"};
  bool credentials = false;
};

struct HttpLimits {
  size_t header_bytes = 64 << 10;  // request line and headers together
  size_t header_count = 256;
  size_t body_bytes = 64 << 20;         // one body, de-chunked
  size_t total_body_bytes = 512 << 20;  // bodies of all requests that are being read or handled
  size_t unread_bytes = 4 << 20;        // of a stream, that a client may leave behind
  size_t connections = 1024;
  size_t queued_requests = 1024;                        // waiting for a worker thread
  std::chrono::milliseconds head_timeout{10'000};       // first byte to end of head; TLS handshake
  std::chrono::milliseconds body_grace{30'000};         // a body may take this long ...
  size_t body_bytes_per_second = 16 << 10;              // ... plus its size at this rate
  std::chrono::milliseconds keep_alive_timeout{5'000};  // between requests
  std::chrono::milliseconds write_timeout{30'000};      // a client that takes nothing for this long
};

// One answered (or refused, or abandoned) request, for logs and counters.
struct AccessRecord {
  std::string peer, method, target, request_id;
  int http_minor = 1;
  int status = 0;        // 0: the client left before there was one
  uint64_t bytes = 0;    // of the body that was sent
  double seconds = 0;    // since the head was complete
  bool aborted = false;  // the client left before the end
};

struct HttpServerOptions {
  std::string host =
      "0.0.0.0";          // name or address; "" and "0.0.0.0": every IPv4, "::": every address
  int port = 8000;        // 0: any free one (port())
  std::string unix_path;  // not empty: a Unix socket in place of TCP
  TlsOptions tls;
  CorsOptions cors;
  HttpLimits limits;
  std::vector<std::string> api_keys;  // not empty: paths below /v1 need "Authorization: Bearer KEY"
  std::string root_path;              // prefix that a proxy leaves in place
  bool echo_request_id = false;       // X-Request-Id on every response
  int worker_threads = 4;
  std::function<void(const AccessRecord&)> on_access;  // on the network thread; may be empty
};

// What the server holds at this moment; all but `accepted` and `handled` are zero after a drain.
struct HttpStats {
  int64_t connections = 0, active_requests = 0, queued_requests = 0;
  int64_t body_bytes = 0;
  uint64_t accepted = 0, handled = 0;
};

class HttpServer {
 public:
  // Takes the address; clients are let in by Start. `router` must be complete by then and outlive
  // the server. Errors: AddressInUseError; UserError (bad address, a path that is no socket,
  // certificate unreadable) naming the option.
  HttpServer(HttpServerOptions options, const Router* router);
  ~HttpServer();  // Stop
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  void Start();
  // Stops listening, closes idle connections, lets running requests finish for at most `timeout`.
  // Returns true when all have. Call Stop afterwards.
  bool Drain(std::chrono::milliseconds timeout);
  // Closes everything at once. Handlers that run are waited for; responders stay valid and dead.
  void Stop();

  int port() const;         // 0 for a Unix socket
  std::string url() const;  // "http://127.0.0.1:8000", "unix:/run/x.sock": for people
  HttpStats Stats() const;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace ingot::server
