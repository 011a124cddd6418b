// SPDX-License-Identifier: Apache-2.0
// See the header. Listening sockets are made with plain system calls, which name their errors.
#include "server/net.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "base/coded_error.h"
#include "base/error.h"
#include "server/http_server.h"
#include "server/net_tls.h"

namespace ingot::server {
namespace {

namespace asio = boost::asio;
using Socket = asio::generic::stream_protocol::socket;
using ErrorCode = boost::system::error_code;
constexpr int kBacklog = 1024;

Socket& SocketOf(Socket& socket) { return socket; }
Socket& SocketOf(asio::ssl::stream<Socket>& stream) { return stream.next_layer(); }

template <typename Stream>
class StreamOf final : public ByteStream {
 public:
  StreamOf(Stream stream, std::string peer) : stream_(std::move(stream)), peer_(std::move(peer)) {}
  ~StreamOf() override { Close(); }

  void Handshake(std::function<void(bool)> done) override {
    if constexpr (std::is_same_v<Stream, Socket>) {
      asio::post(stream_.get_executor(), [done = std::move(done)] { done(true); });
    } else {
      stream_.async_handshake(asio::ssl::stream_base::server,
                              [done = std::move(done)](ErrorCode error) { done(!error); });
    }
  }
  void Read(char* data, size_t size, std::function<void(size_t)> done) override {
    stream_.async_read_some(
        asio::buffer(data, size),
        [done = std::move(done)](ErrorCode error, size_t n) { done(error ? 0 : n); });
  }
  void Write(std::string_view bytes, std::function<void(bool)> done) override {
    asio::async_write(stream_, asio::buffer(bytes.data(), bytes.size()),
                      [done = std::move(done)](ErrorCode error, size_t) { done(!error); });
  }
  void ShutdownSend() override {
    // No close_notify: it would need the peer's cooperation while both directions may be busy. An
    // answer says its own length, so nobody takes a cut for an end.
    ErrorCode ignored;
    SocketOf(stream_).shutdown(asio::socket_base::shutdown_send, ignored);
  }
  void Close() override {
    ErrorCode ignored;
    SocketOf(stream_).close(ignored);
  }
  const std::string& peer() const override { return peer_; }

 private:
  Stream stream_;
  std::string peer_;
};

std::string PeerName(const sockaddr_storage& address, socklen_t size) {
  char host[NI_MAXHOST], port[NI_MAXSERV];
  if (address.ss_family == AF_UNIX ||
      getnameinfo(reinterpret_cast<const sockaddr*>(&address), size, host, sizeof host, port,
                  sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return "unix";
  }
  return address.ss_family == AF_INET6 ? fmt::format("[{}]:{}", host, port)
                                       : fmt::format("{}:{}", host, port);
}

// ---- listening sockets ----

[[noreturn]] void ThrowListenError(const ListenOptions& options, int error) {
  switch (error) {
    case EADDRINUSE:
      throw AddressInUseError(
          "--port {}: the port is in use by another program. Choose another port, or stop the "
          "other program (`ss -ltnp sport = :{}` shows it).",
          options.port, options.port);
    case EACCES:
      throw UserError(
          "--port {}: not permitted; ports below 1024 belong to root. Choose another "
          "port.",
          options.port);
    case EADDRNOTAVAIL:
      throw UserError(
          "--host {}: this machine does not have that address. 0.0.0.0 stands for all "
          "of them.",
          options.host);
    default:
      throw ResourceError("--host {} --port {}: cannot listen: {}.", options.host, options.port,
                          std::strerror(error));
  }
}

int NewSocket(int family) {
  const int fd = ::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) throw ResourceError("cannot make a socket: {}.", std::strerror(errno));
  return fd;
}

int PortOf(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  if (address.ss_family == AF_INET) return ntohs(reinterpret_cast<sockaddr_in&>(address).sin_port);
  if (address.ss_family == AF_INET6) {
    return ntohs(reinterpret_cast<sockaddr_in6&>(address).sin6_port);
  }
  return 0;
}

// One socket per address of the host ("localhost" has two); with port 0 all share the first one's.
std::vector<int> BindTcp(const ListenOptions& options) {
  addrinfo hints{};
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_family = options.host.empty() ? AF_INET : AF_UNSPEC;
  addrinfo* list = nullptr;
  const int error = getaddrinfo(options.host.empty() ? nullptr : options.host.c_str(),
                                std::to_string(options.port).c_str(), &hints, &list);
  if (error != 0) {
    throw UserError("--host {}: no address of that name ({}).", options.host, gai_strerror(error));
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> guard(list, freeaddrinfo);
  std::vector<int> sockets;
  int port = options.port, failure = 0;
  for (const addrinfo* entry = list; entry != nullptr; entry = entry->ai_next) {
    const int fd = ::socket(entry->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {  // no IPv6 in this kernel
      failure = errno;
      continue;
    }
    const int on = 1, off = 0;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_storage address{};
    std::memcpy(&address, entry->ai_addr, entry->ai_addrlen);
    if (entry->ai_family == AF_INET6) {
      const bool every = options.host == "::";
      setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, every ? &off : &on, sizeof on);
      reinterpret_cast<sockaddr_in6&>(address).sin6_port = htons(static_cast<uint16_t>(port));
    } else if (entry->ai_family == AF_INET) {
      reinterpret_cast<sockaddr_in&>(address).sin_port = htons(static_cast<uint16_t>(port));
    }
    if (::bind(fd, reinterpret_cast<sockaddr*>(&address), entry->ai_addrlen) != 0) {
      failure = errno;
      ::close(fd);
      if (failure == EADDRNOTAVAIL) continue;  // one of several addresses
      for (const int other : sockets) ::close(other);
      ThrowListenError(options, failure);
    }
    if (port == 0) port = PortOf(fd);
    sockets.push_back(fd);
  }
  if (sockets.empty()) ThrowListenError(options, failure);
  return sockets;
}

int BindUnix(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    throw UserError("--uds {}: the path has {} characters; a Unix socket's may have {}.", path,
                    path.size(), sizeof address.sun_path - 1);
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const auto* raw = reinterpret_cast<const sockaddr*>(&address);
  struct stat status{};
  if (::lstat(path.c_str(), &status) == 0) {
    if (!S_ISSOCK(status.st_mode)) {
      throw UserError("--uds {}: a file of that name is there and is no socket.", path);
    }
    const int probe = NewSocket(AF_UNIX);
    const bool alive = ::connect(probe, raw, sizeof address) == 0 || errno == EAGAIN;
    ::close(probe);
    if (alive) {
      throw AddressInUseError("--uds {}: another server listens there.", path);
    }
    ::unlink(path.c_str());  // left behind by a server that was killed
  }
  const int fd = NewSocket(AF_UNIX);
  if (::bind(fd, raw, sizeof address) != 0) {
    const int error = errno;
    ::close(fd);
    throw UserError("--uds {}: cannot listen there: {}.", path, std::strerror(error));
  }
  return fd;
}

// ---- the loop ----

class AsioLoop final : public NetLoop {
 public:
  void Post(std::function<void()> task) override { asio::post(io_, std::move(task)); }

  void Bind(const ListenOptions& options) override {
    if (options.tls != nullptr && options.tls->enabled()) tls_ = MakeTlsContext(*options.tls);
    std::vector<int> sockets;
    if (!options.unix_path.empty()) {
      sockets = {BindUnix(options.unix_path)};
      unix_path_ = options.unix_path;
      url_ = "unix:" + options.unix_path;
    } else {
      sockets = BindTcp(options);
      port_ = PortOf(sockets.front());
      const bool any = options.host.empty() || options.host == "0.0.0.0" || options.host == "::";
      const bool v6 = options.host.find(':') != std::string::npos;
      const std::string host = any ? "127.0.0.1" : v6 ? "[" + options.host + "]" : options.host;
      url_ = fmt::format("{}://{}:{}", tls_ ? "https" : "http", host, port_);
    }
    for (const int fd : sockets) listeners_.emplace_back(io_, fd);
    options_ = options;
    options_.tls = nullptr;
  }

  void Accept(std::function<void(std::unique_ptr<ByteStream>)> accepted,
              std::function<void()> exhausted) override {
    accepted_ = std::move(accepted);
    exhausted_ = std::move(exhausted);
    for (size_t i = 0; i < listeners_.size(); ++i) {
      if (::listen(listeners_[i].native_handle(), kBacklog) != 0) {
        ThrowListenError(options_, errno);
      }
      WaitForClient(i);
    }
  }

  void StopListening() override {
    for (auto& listener : listeners_) {
      ErrorCode ignored;
      listener.close(ignored);
    }
    if (!unix_path_.empty()) ::unlink(unix_path_.c_str());
    unix_path_.clear();
  }

  int port() const override { return port_; }
  std::string url() const override { return url_; }

  void Every(std::chrono::milliseconds period, std::function<void()> task) override {
    tick_.expires_after(period);
    tick_.async_wait([this, period, task = std::move(task)](ErrorCode error) {
      if (error) return;
      task();
      Every(period, task);
    });
  }

  void Run() override {
    io_.run();
    // What was cut short still gets its callback: these hold the connections.
    tick_.cancel();
    io_.restart();
    while (io_.poll() > 0) {
    }
  }
  void Stop() override { io_.stop(); }

 private:
  void WaitForClient(size_t i) {
    if (!listeners_[i].is_open()) return;
    listeners_[i].async_wait(asio::posix::stream_descriptor::wait_read, [this, i](ErrorCode error) {
      if (error || !listeners_[i].is_open()) return;
      AcceptSome(i);
    });
  }

  // Takes what is waiting, a few at a time so that others get their turn.
  void AcceptSome(size_t i) {
    for (int round = 0; round < 64; ++round) {
      sockaddr_storage address{};
      socklen_t size = sizeof address;
      const int fd = ::accept4(listeners_[i].native_handle(), reinterpret_cast<sockaddr*>(&address),
                               &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd >= 0) {
        Adopt(fd, address, size);
        if (!listeners_[i].is_open()) return;
        continue;
      }
      if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        exhausted_();
        PauseAccepting(i);
        return;
      }
      if (errno == EAGAIN || errno == EWOULDBLOCK) break;
      // ECONNABORTED and the like concern one client.
    }
    WaitForClient(i);
  }

  void PauseAccepting(size_t i) {
    auto timer = std::make_shared<asio::steady_timer>(io_, std::chrono::milliseconds(50));
    timer->async_wait([this, i, timer](ErrorCode) { WaitForClient(i); });
  }

  void Adopt(int fd, const sockaddr_storage& address, socklen_t size) {
    const bool local = address.ss_family == AF_UNIX;
    if (!local) {
      const int on = 1;
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);  // peers that vanish without a word
    }
    const asio::generic::stream_protocol protocol(address.ss_family, local ? 0 : IPPROTO_TCP);
    ErrorCode error;
    Socket socket(io_);
    socket.assign(protocol, fd, error);
    if (error) {
      ::close(fd);
      return;
    }
    std::string peer = PeerName(address, size);
    if (tls_) {
      accepted_(std::make_unique<StreamOf<asio::ssl::stream<Socket>>>(
          asio::ssl::stream<Socket>(std::move(socket), *tls_), std::move(peer)));
    } else {
      accepted_(std::make_unique<StreamOf<Socket>>(std::move(socket), std::move(peer)));
    }
  }

  asio::io_context io_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_ = asio::make_work_guard(io_);
  asio::steady_timer tick_{io_};
  std::shared_ptr<asio::ssl::context> tls_;
  std::vector<asio::posix::stream_descriptor> listeners_;
  ListenOptions options_;
  std::string unix_path_, url_;
  int port_ = 0;
  std::function<void(std::unique_ptr<ByteStream>)> accepted_;
  std::function<void()> exhausted_;
};

}  // namespace

std::shared_ptr<NetLoop> NetLoop::Make() { return std::make_shared<AsioLoop>(); }

}  // namespace ingot::server
