// SPDX-License-Identifier: Apache-2.0
// A server with handlers that show what the transport does: echo, slow answers, endless streams.
// Test code only.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "raw_client.h"
#include "server/http_server.h"

namespace ingot::server {

class TestServer {
 public:
  explicit TestServer(HttpServerOptions options = {}) {
    options.host = "127.0.0.1";
    options.port = 0;
    options.on_access = [this](const AccessRecord& record) {
      std::lock_guard lock(mutex_);
      log_.push_back(record);
    };
    AddRoutes();
    server_ = std::make_unique<HttpServer>(std::move(options), &router_);
    server_->Start();
  }
  ~TestServer() {
    server_->Stop();
    stop_ = true;
    for (std::thread& thread : streams_) thread.join();
  }

  HttpServer& server() { return *server_; }
  int port() const { return server_->port(); }
  RawClient Connect() const { return RawClient(port()); }
  // Status of one request on a connection of its own; the response as a whole in `response`.
  int Ask(std::string_view bytes, std::string* response = nullptr) const {
    RawClient client = Connect();
    client.Send(bytes);
    const std::string answer = client.ReceiveResponse();
    if (response != nullptr) *response = answer;
    return StatusOf(answer);
  }
  bool Works() const { return Ask(Post("/v1/echo", "{}")) == 200; }
  bool AllGone() const {
    return Eventually([&] {
      const HttpStats stats = server_->Stats();
      return stats.connections == 0 && stats.active_requests == 0 && stats.body_bytes == 0;
    });
  }
  std::vector<AccessRecord> log() const {
    std::lock_guard lock(mutex_);
    return log_;
  }

  std::atomic<int> echoed{0}, started{0}, closed{0};

 private:
  void AddRoutes() {
    router_.Quick("GET", "/health", [](HttpRequest, ResponderPtr responder) {
      responder->Send({.content_type = ""});
    });
    router_.Work("POST", "/v1/echo", [this](HttpRequest request, ResponderPtr responder) {
      ++echoed;
      responder->Send({.body = std::move(request.body)});
    });
    router_.Work("GET", "/v1/path", [](HttpRequest request, ResponderPtr responder) {
      responder->Send({.content_type = "text/plain", .body = request.path + "?" + request.query});
    });
    router_.Work("GET", "/v1/inject", [](HttpRequest, ResponderPtr responder) {
      responder->Send({.body = "{}", .headers = {{"X-Model", "a\r\nSet-Cookie: evil=1"}}});
    });
    // Answers when the client has left, or never: what an engine does that still computes.
    router_.Work("POST", "/v1/slow", [this](HttpRequest, ResponderPtr responder) {
      ++started;
      Watch(responder);
      std::lock_guard lock(mutex_);
      held_.push_back(std::move(responder));
    });
    router_.Work("GET", "/v1/drop", [](HttpRequest, ResponderPtr) {});
    router_.Work("GET", "/v1/half", [](HttpRequest, ResponderPtr responder) {
      responder->BeginStream(SseHead());
      responder->Write(SseData("1"));
    });
    router_.Work("GET", "/v1/three", [](HttpRequest, ResponderPtr responder) {
      responder->BeginStream(SseHead());
      for (const char* text : {"1", "2", "3"}) responder->Write(SseData(text));
      responder->End();
    });
    router_.Work("GET", "/v1/endless", [this](HttpRequest, ResponderPtr responder) {
      Watch(responder);
      ++started;
      std::lock_guard lock(mutex_);
      streams_.emplace_back([this, responder] { Stream(responder); });
    });
  }
  void Watch(const ResponderPtr& responder) {
    responder->OnClose([this] { ++closed; });
  }
  void Stream(const ResponderPtr& responder) {
    responder->BeginStream(SseHead());
    const std::string frame = SseData(std::string(4096, 'x'));
    while (!stop_ && responder->Write(frame)) {
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
  }

  Router router_;
  mutable std::mutex mutex_;
  std::vector<AccessRecord> log_;
  std::vector<ResponderPtr> held_;
  std::vector<std::thread> streams_;
  std::atomic<bool> stop_{false};
  std::unique_ptr<HttpServer> server_;
};

}  // namespace ingot::server
