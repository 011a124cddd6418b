// SPDX-License-Identifier: Apache-2.0
// The network without protocols: one event loop thread, listening sockets, byte streams (TCP, Unix,
// TLS). Everything runs on the loop's thread except Post. Boost.Asio and OpenSSL stay in net.cc.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace ingot::server {

struct TlsOptions;

// One accepted connection. At most one Read and one Write are under way; each callback runs once,
// later, on the loop's thread, also after Close (then with the result of an end).
class ByteStream {
 public:
  virtual ~ByteStream() = default;
  virtual void Handshake(std::function<void(bool ok)> done) = 0;  // plain streams: at once
  // 0: end of stream or error.
  virtual void Read(char* data, size_t size, std::function<void(size_t n)> done) = 0;
  virtual void Write(std::string_view bytes, std::function<void(bool ok)> done) = 0;
  virtual void ShutdownSend() = 0;  // nothing more will be written
  virtual void Close() = 0;
  virtual const std::string& peer() const = 0;
};

struct ListenOptions {
  std::string host;  // "", a name, an IPv4 or IPv6 address
  int port = 0;
  std::string unix_path;
  const TlsOptions* tls = nullptr;  // read by the constructor only
};

class NetLoop : public std::enable_shared_from_this<NetLoop> {
 public:
  static std::shared_ptr<NetLoop> Make();
  virtual ~NetLoop() = default;

  // Thread safety: any thread, also after Stop (then dropped).
  virtual void Post(std::function<void()> task) = 0;

  // Takes the address. Errors: AddressInUseError, UserError (see HttpServer), ResourceError.
  virtual void Bind(const ListenOptions& options) = 0;
  // Listens (errors as above) and calls `accepted` for every connection from now on. Without file handles left it calls
  // `exhausted`, waits a moment and goes on.
  virtual void Accept(std::function<void(std::unique_ptr<ByteStream>)> accepted,
                      std::function<void()> exhausted) = 0;
  virtual void StopListening() = 0;  // removes the Unix socket
  virtual int port() const = 0;
  virtual std::string url() const = 0;

  virtual void Every(std::chrono::milliseconds period, std::function<void()> task) = 0;
  virtual void Run() = 0;   // until Stop
  virtual void Stop() = 0;  // any thread
};

}  // namespace ingot::server
