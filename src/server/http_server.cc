// SPDX-License-Identifier: Apache-2.0
// See the header.
#include "server/http_server.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>

#include "base/log.h"
#include "server/http_connection.h"
#include "server/http_workers.h"
#include "server/net.h"

namespace ingot::server {
namespace {

constexpr std::chrono::milliseconds kTick{100};
constexpr size_t kRefusalsAtOnce = 64;  // connections beyond the limit that still get an answer

}  // namespace

class HttpServer::Impl : public std::enable_shared_from_this<HttpServer::Impl> {
 public:
  Impl(HttpServerOptions options, const Router* router)
      : context_(std::make_shared<ConnectionContext>()),
        loop_(NetLoop::Make()),
        workers_(options.worker_threads, options.limits.queued_requests) {
    context_->options = std::move(options);
    context_->router = router;
    context_->keys = ApiKeys(context_->options.api_keys);
    context_->loop = loop_;
    context_->workers = &workers_;
    context_->on_closed = [this](Connection* connection) { Forget(connection); };
    const HttpServerOptions& o = context_->options;
    const std::string host = o.host == "0.0.0.0" ? "" : o.host;
    loop_->Bind({host, o.port, o.unix_path, &o.tls});
  }

  void Start() {
    loop_->Accept([this](std::unique_ptr<ByteStream> stream) { Adopt(std::move(stream)); },
                  [this] { OnExhausted(); });
    loop_->Every(kTick, [this] { Tick(); });
    thread_ = std::thread([this] { loop_->Run(); });
  }

  bool Drain(std::chrono::milliseconds timeout) {
    if (!thread_.joinable()) return true;
    context_->draining = true;
    loop_->Post([this] {
      loop_->StopListening();
      for (const auto& connection : Snapshot()) connection->CloseWhenIdle();
    });
    std::unique_lock lock(mutex_);
    // Connections that were accepted a moment before are in the map or idle: the loop sees them.
    return changed_.wait_for(lock, timeout, [&] { return n_connections_ == 0; });
  }

  void Stop() {
    context_->draining = true;
    if (thread_.joinable()) {
      loop_->Post([this] {
        loop_->StopListening();
        for (const auto& connection : Snapshot()) connection->Close();
        loop_->Stop();
      });
      thread_.join();
    } else {
      loop_->StopListening();
    }
    workers_.Stop();
  }

  HttpStats Stats() const {
    HttpStats stats;
    {
      std::lock_guard lock(mutex_);
      stats.connections = static_cast<int64_t>(n_connections_);
      stats.accepted = accepted_;
    }
    stats.active_requests = context_->active_requests;
    stats.queued_requests = static_cast<int64_t>(workers_.queued());
    stats.body_bytes = context_->body_bytes;
    stats.handled = context_->handled;
    return stats;
  }

  const NetLoop& loop() const { return *loop_; }

 private:
  // ---- network thread ----
  void Adopt(std::unique_ptr<ByteStream> stream) {
    const size_t limit = context_->options.limits.connections;
    if (connections_.size() >= limit) CloseLongestIdle();
    const size_t n = connections_.size();
    auto connection = std::make_shared<Connection>(context_, std::move(stream));
    connections_.emplace(connection.get(), connection);
    Count(1);
    if (n >= limit + kRefusalsAtOnce) {
      connection->Close();
    } else if (n >= limit) {
      connection->StartRefused();
    } else {
      connection->Start();
      if (context_->draining) connection->CloseWhenIdle();
    }
  }

  void CloseLongestIdle() {
    std::shared_ptr<Connection> oldest;
    for (const auto& [key, connection] : connections_) {
      if (!connection->idle()) continue;
      if (!oldest || connection->idle_since() < oldest->idle_since()) oldest = connection;
    }
    if (oldest) oldest->Close();
  }

  void OnExhausted() {
    LogOnceText(LogLevel::kWarning,
                "no file handles left for new connections (ulimit -n); idle ones are closed.");
    CloseLongestIdle();
  }

  void Forget(Connection* connection) {
    connections_.erase(connection);
    Count(0);
  }

  void Count(int accepted) {
    std::lock_guard lock(mutex_);
    n_connections_ = connections_.size();
    accepted_ += static_cast<uint64_t>(accepted);
    changed_.notify_all();
  }

  void Tick() {
    if (connections_.empty()) return;
    const auto now = std::chrono::steady_clock::now();
    for (const auto& connection : Snapshot()) connection->Tick(now);
  }

  // Connections remove themselves from the map while they are visited.
  std::vector<std::shared_ptr<Connection>> Snapshot() const {
    std::vector<std::shared_ptr<Connection>> list;
    list.reserve(connections_.size());
    for (const auto& [key, connection] : connections_) list.push_back(connection);
    return list;
  }

  const std::shared_ptr<ConnectionContext> context_;
  const std::shared_ptr<NetLoop> loop_;
  HttpWorkers workers_;
  std::thread thread_;
  std::unordered_map<Connection*, std::shared_ptr<Connection>> connections_;  // network thread
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  size_t n_connections_ = 0;
  uint64_t accepted_ = 0;
};

HttpServer::HttpServer(HttpServerOptions options, const Router* router)
    : impl_(std::make_shared<Impl>(std::move(options), router)) {}

HttpServer::~HttpServer() { Stop(); }

void HttpServer::Start() { impl_->Start(); }
bool HttpServer::Drain(std::chrono::milliseconds timeout) { return impl_->Drain(timeout); }
void HttpServer::Stop() { impl_->Stop(); }
int HttpServer::port() const { return impl_->loop().port(); }
std::string HttpServer::url() const { return impl_->loop().url(); }
HttpStats HttpServer::Stats() const { return impl_->Stats(); }

}  // namespace ingot::server
