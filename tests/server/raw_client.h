// SPDX-License-Identifier: Apache-2.0
// A client that sends exactly the bytes it is told to, and what a process holds. Test code only.
#pragma once

#include <arpa/inet.h>
#include <dirent.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

namespace ingot::server {

class RawClient {
 public:
  explicit RawClient(int port) {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    Connect(reinterpret_cast<const sockaddr*>(&address), sizeof address);
  }
  explicit RawClient(const std::string& unix_path) {
    fd_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, unix_path.c_str(), sizeof address.sun_path - 1);
    Connect(reinterpret_cast<const sockaddr*>(&address), sizeof address);
  }
  RawClient(RawClient&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  ~RawClient() { Close(); }

  bool connected() const { return fd_ >= 0; }
  int fd() const { return fd_; }

  // False once the server has closed its end.
  bool Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }
  void HalfClose() { ::shutdown(fd_, SHUT_WR); }
  void Close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  // Goes away without a word: the server sees a reset.
  void Reset() {
    const linger hard{1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    Close();
  }

  // What arrives until the server closes, until `until` is in it, or for this long.
  std::string Receive(std::string_view until = {},
                      std::chrono::milliseconds limit = std::chrono::seconds(20)) {
    std::string bytes;
    const auto end = std::chrono::steady_clock::now() + limit;
    closed_ = false;
    while (until.empty() || bytes.find(until) == std::string::npos) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
          end - std::chrono::steady_clock::now());
      if (left.count() <= 0) break;
      const std::string more = ReceiveSome(left);
      if (closed_) break;
      bytes += more;
    }
    return bytes;
  }
  // What is there, waited for this long; "" when nothing comes or the server has closed.
  std::string ReceiveSome(std::chrono::milliseconds limit) {
    pollfd poll_fd{fd_, POLLIN, 0};
    if (::poll(&poll_fd, 1, static_cast<int>(limit.count())) <= 0) return {};
    char buffer[16 << 10];
    const ssize_t n = ::recv(fd_, buffer, sizeof buffer, 0);
    closed_ = n <= 0;
    return std::string(buffer, static_cast<size_t>(std::max<ssize_t>(n, 0)));
  }
  // One whole response with a Content-Length (or none).
  std::string ReceiveResponse(std::chrono::milliseconds limit = std::chrono::seconds(20)) {
    std::string bytes = Receive("\r\n\r\n", limit);
    const size_t head = bytes.find("\r\n\r\n");
    const size_t field = bytes.find("Content-Length: ");
    if (head == std::string::npos || field == std::string::npos || field > head) return bytes;
    const size_t whole = head + 4 + std::strtoul(bytes.c_str() + field + 16, nullptr, 10);
    while (bytes.size() < whole) {
      const std::string more = ReceiveSome(limit);
      if (more.empty()) break;
      bytes += more;
    }
    return bytes;
  }
  bool closed() const { return closed_; }  // seen by the last Receive

 private:
  void Connect(const sockaddr* address, socklen_t size) {
    if (fd_ >= 0 && ::connect(fd_, address, size) != 0) Close();
  }
  int fd_ = -1;
  bool closed_ = false;
};

// 0 when there is no status line.
inline int StatusOf(std::string_view response) {
  if (!response.starts_with("HTTP/1.1 ") || response.size() < 12) return 0;
  return std::atoi(std::string(response.substr(9, 3)).c_str());
}

inline std::string Get(std::string_view path, std::string_view more = {}) {
  return "GET " + std::string(path) + " HTTP/1.1\r\nHost: x\r\n" + std::string(more) + "\r\n";
}

inline std::string Post(std::string_view path, std::string_view body, std::string_view more = {}) {
  return "POST " + std::string(path) +
         " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + std::string(more) +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}

inline int OpenFiles(const std::string& pid = "self") {
  DIR* folder = ::opendir(("/proc/" + pid + "/fd").c_str());
  if (folder == nullptr) return -1;
  int n = 0;
  while (::readdir(folder) != nullptr) ++n;
  ::closedir(folder);
  return n;
}

inline int64_t ResidentKilobytes(const std::string& pid = "self") {
  std::ifstream file("/proc/" + pid + "/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("VmRSS:")) return std::atoll(line.c_str() + 6);
  }
  return -1;
}

template <typename Condition>
bool Eventually(Condition condition, std::chrono::milliseconds limit = std::chrono::seconds(10)) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

}  // namespace ingot::server
