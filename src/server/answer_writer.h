// SPDX-License-Identifier: Apache-2.0
// One generation request on its way back to the client. Events of the engine are handed to one
// writer thread, which formats and sends them, so that neither the engine nor the network waits
// for JSON.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "server/engine_port.h"
#include "server/http.h"

namespace ingot::server {

class AnswerWriter;

// The writer thread. Items of one writer are handled in order.
class WriterThread {
 public:
  WriterThread();
  ~WriterThread();  // handles what is queued, then ends
  void Post(std::shared_ptr<AnswerWriter> writer, size_t prompt, RequestEvent event);
  void PostStart(std::shared_ptr<AnswerWriter> writer);
  void PostFailure(std::shared_ptr<AnswerWriter> writer, HttpResponse response);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// Base of the chat and completions writers. All virtual functions run on the writer thread.
class AnswerWriter : public std::enable_shared_from_this<AnswerWriter> {
 public:
  // `load` counts requests under way; the port outlives this.
  AnswerWriter(ResponderPtr responder, const EnginePort& engine, bool stream,
               std::atomic<int64_t>* load);
  virtual ~AnswerWriter();

  // Hands the requests to the engine; from any thread, once. Errors: those of submit (UserError),
  // after whatever was accepted is cancelled.
  void Start(std::vector<Request> requests, WriterThread* thread);

  // Called by the writer thread.
  void HandleStart();
  void HandleEvent(size_t prompt, RequestEvent&& event);
  void HandleFailure(HttpResponse response);

 protected:
  // Something new about a choice of the prompt-th request.
  virtual void OnEvent(size_t prompt, RequestEvent&& event) = 0;
  // All requests have ended well: the last frames of a stream, or the whole answer.
  virtual void OnComplete() = 0;

  bool streaming() const { return stream_; }
  void Write(const std::string& frame);
  void SendWhole(std::string json);

 private:
  struct Early {
    size_t prompt;
    RequestEvent event;
  };
  void Fail(const std::string& message, int status);
  void CancelAll();

  ResponderPtr responder_;
  const EnginePort& engine_;
  const bool stream_;
  std::atomic<int64_t>* load_;
  std::mutex mutex_;  // tickets_, cancelled_: the client may go while requests are submitted
  std::vector<uint64_t> tickets_;
  bool cancelled_ = false;
  // Of the writer thread alone.
  bool started_ = false, done_ = false;
  std::vector<Early> early_;  // before HandleStart
  size_t open_requests_ = 0;
};

}  // namespace ingot::server
