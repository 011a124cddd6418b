// SPDX-License-Identifier: Apache-2.0
// One request's answer on its way from whatever thread makes it to the connection: bytes wait here,
// bounded, until the network thread takes them.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "server/http.h"

namespace ingot::server {

// What the transport adds to a handler's answer.
struct ResponseFrame {
  bool head_only = false;        // HEAD
  bool chunks = true;            // HTTP/1.1: streams are chunked; else they end with the connection
  bool keep_alive = true;        // as the client wants it
  bool says_keep_alive = false;  // HTTP/1.0 clients want to read it
  std::vector<HttpHeader> extra_headers;  // CORS, X-Request-Id
};

// Thread safety: all functions from any thread.
class Exchange {
 public:
  // `wake` is called, on whatever thread, when bytes or the end have become available and the last
  // Take had left nothing behind. `draining`: answers say "Connection: close".
  Exchange(ResponseFrame frame, size_t max_unread, const std::atomic<bool>* draining,
           std::function<void()> wake);

  // The handler's side; see Responder. Send and BeginStream after an answer has begun do nothing.
  void Send(HttpResponse response);
  void BeginStream(HttpResponse head);
  bool Write(std::string_view bytes);
  void End();
  bool closed() const;
  void OnClose(std::function<void()> callback);
  // The handler has let go: an answer that was never begun becomes a 500, one that was never ended
  // ends the connection, so that the client does not take it for whole.
  void Abandon();

  // The connection's side.
  struct Taken {
    std::string bytes;
    bool finished = false;  // nothing follows
    bool broken = false;    // the connection must be closed, the answer is not whole
    bool overrun = false;   // the client has left too much unread
  };
  Taken Take();                 // what waits; calls `wake` again only after this
  void Written(size_t n);       // bytes of Take that have reached the kernel
  void ClientGone();            // runs the OnClose callback
  bool keep_alive() const;      // valid once the head has been taken
  int status() const;           // 0: no answer yet
  uint64_t body_bytes() const;  // sent and waiting

 private:
  enum class State { kFresh, kStreaming, kFinished, kBroken };
  std::string Head(const HttpResponse& response, bool known_length);
  void AppendPiece(std::string_view bytes);
  void Wake(std::unique_lock<std::mutex> lock);

  mutable std::mutex mutex_;
  const ResponseFrame frame_;
  const size_t max_unread_;
  const std::atomic<bool>* draining_;
  std::function<void()> wake_;
  State state_ = State::kFresh;
  bool closed_ = false, overrun_ = false, keep_alive_ = false, woken_ = false;
  std::string outbox_;
  size_t unread_ = 0;  // outbox and what the connection has taken and not yet written
  int status_ = 0;
  uint64_t body_bytes_ = 0;
  std::function<void()> on_close_;
};

}  // namespace ingot::server
