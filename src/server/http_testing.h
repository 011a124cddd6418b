// SPDX-License-Identifier: Apache-2.0
// A responder that keeps what a handler answers, for tests without sockets. Test code only.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "server/http.h"
#include "server/router.h"

namespace ingot::server {

class RecordingResponder : public Responder {
 public:
  void Send(HttpResponse response) override {
    std::lock_guard lock(mutex_);
    if (finished_) return;
    response_ = std::move(response);
    Finish();
  }
  void BeginStream(HttpResponse head) override {
    std::lock_guard lock(mutex_);
    if (finished_) return;
    streamed_ = true;
    if (!head.body.empty()) pieces_.push_back(head.body);
    response_ = std::move(head);
    changed_.notify_all();
  }
  bool Write(std::string_view bytes) override {
    std::lock_guard lock(mutex_);
    if (finished_ || closed_) return false;
    response_.body += bytes;
    pieces_.emplace_back(bytes);
    changed_.notify_all();
    return true;
  }
  void End() override {
    std::lock_guard lock(mutex_);
    Finish();
  }
  bool closed() const override {
    std::lock_guard lock(mutex_);
    return closed_;
  }
  void OnClose(std::function<void()> callback) override {
    {
      std::lock_guard lock(mutex_);
      if (finished_) return;
      if (!closed_) {
        on_close_ = std::move(callback);
        return;
      }
    }
    callback();
  }

  // The client goes away.
  void Disconnect() {
    std::function<void()> callback;
    {
      std::lock_guard lock(mutex_);
      if (finished_ || closed_) return;
      closed_ = true;
      callback = std::exchange(on_close_, nullptr);
      changed_.notify_all();
    }
    if (callback) callback();
  }
  // False when the answer is not complete in time.
  bool Wait(std::chrono::milliseconds limit = std::chrono::seconds(20)) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, limit, [&] { return finished_; });
  }
  // Waits until `n` pieces of a stream are there.
  bool WaitForPieces(size_t n, std::chrono::milliseconds limit = std::chrono::seconds(20)) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, limit, [&] { return pieces_.size() >= n || finished_; });
  }
  bool finished() const {
    std::lock_guard lock(mutex_);
    return finished_;
  }
  bool streamed() const {
    std::lock_guard lock(mutex_);
    return streamed_;
  }
  // The body is everything that was streamed.
  HttpResponse response() const {
    std::lock_guard lock(mutex_);
    return response_;
  }
  std::vector<std::string> pieces() const {
    std::lock_guard lock(mutex_);
    return pieces_;
  }

 private:
  void Finish() {
    finished_ = true;
    on_close_ = nullptr;
    changed_.notify_all();
  }
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool finished_ = false, closed_ = false, streamed_ = false;
  HttpResponse response_;
  std::vector<std::string> pieces_;
  std::function<void()> on_close_;
};

// A request through the router, waited for.
inline HttpResponse Ask(const Router& router, HttpRequest request) {
  const auto responder = std::make_shared<RecordingResponder>();
  router.Dispatch(std::move(request), responder);
  if (!responder->Wait()) return {.status = 0};
  return responder->response();
}

}  // namespace ingot::server
