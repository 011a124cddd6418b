// SPDX-License-Identifier: Apache-2.0
// One client's connection: reads requests one after another, hands each to its handler, writes the
// answers, watches for the client's departure meanwhile, and keeps the deadlines. Lives on the
// network thread.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "server/http_exchange.h"
#include "server/http_parser.h"
#include "server/http_policy.h"
#include "server/http_server.h"
#include "server/http_workers.h"
#include "server/net.h"

namespace ingot::server {

class Connection;
struct ConnectionContext;

// Bytes of one body in the server's sum of all bodies, given back when the last holder goes.
struct BodyLease {
  explicit BodyLease(std::shared_ptr<ConnectionContext> owner) : context(std::move(owner)) {}
  ~BodyLease();
  const std::shared_ptr<ConnectionContext> context;
  int64_t bytes = 0;
};

// What the connections of one server share. `stats` belongs to the network thread.
struct ConnectionContext {
  HttpServerOptions options;
  const Router* router = nullptr;
  ApiKeys keys;
  std::shared_ptr<NetLoop> loop;
  HttpWorkers* workers = nullptr;
  std::atomic<bool> draining{false};
  std::atomic<int64_t> body_bytes{0};       // of requests that are read or handled
  std::atomic<int64_t> active_requests{0};  // handled and not yet answered in full
  std::atomic<uint64_t> handled{0};
  std::function<void(Connection*)> on_closed;  // network thread
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  using Clock = std::chrono::steady_clock;
  Connection(std::shared_ptr<ConnectionContext> context, std::unique_ptr<ByteStream> stream);

  void Start();
  // Answers 503 and closes: the server has no room for this client.
  void StartRefused();
  void Close();          // at once
  void CloseWhenIdle();  // between requests now, else after the answer that is under way
  void Tick(Clock::time_point now);  // looks at the deadline
  bool idle() const { return phase_ == Phase::kIdle; }
  Clock::time_point idle_since() const { return phase_start_; }

 private:
  enum class Phase {
    kHandshake,
    kIdle,  // no byte of a request yet
    kHead,  // part of a head
    kBody,
    kHandling,  // a request is with its handler or its answer on the way
    kLinger,    // answered and said good-bye; reads what still comes so that the answer arrives
    kClosed,
  };
  void Enter(Phase phase);
  std::optional<Clock::time_point> Deadline() const;
  void OnDeadline();

  void StartRead();
  void OnRead(size_t n);
  void Process();                      // as far as the bytes at hand go
  void OnHead();                       // answers at once what needs no handler
  void Handle();                       // the request is complete
  void Refuse(HttpResponse response);  // answers and closes behind it
  void MakeExchange(bool keep_alive);
  bool ReserveBody();  // accounts for the body read so far; false: no room

  void Flush();  // writes what the exchange holds
  void WriteSome();
  void OnWritten(bool ok);
  void FinishAnswer();
  void Report(bool aborted);
  void ForgetRequest();  // for the log: there is none, or none that was understood

  const std::shared_ptr<ConnectionContext> context_;
  const std::unique_ptr<ByteStream> stream_;
  Phase phase_ = Phase::kHandshake;
  Clock::time_point phase_start_ = Clock::now();
  bool reading_ = false, writing_ = false, ended_ = false, refused_ = false;
  bool close_when_idle_ = false;
  size_t served_ = 0;
  std::array<char, 16 << 10> chunk_;
  std::string input_;  // bytes that no request has used up yet
  std::unique_ptr<RequestParser> parser_;
  std::string method_, target_, request_id_;  // of the request under way, for the log
  int http_minor_ = 1;
  Clock::time_point request_start_;
  std::shared_ptr<BodyLease> lease_;
  std::shared_ptr<Exchange> exchange_;
  std::string output_;  // being written, from written_ on
  size_t written_ = 0, write_size_ = 0;
  Clock::time_point write_start_;
  bool answer_finished_ = false, answer_broken_ = false;
};

}  // namespace ingot::server
