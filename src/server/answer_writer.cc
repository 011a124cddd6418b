// SPDX-License-Identifier: Apache-2.0
#include "server/answer_writer.h"

#include <condition_variable>
#include <deque>
#include <exception>
#include <thread>
#include <utility>

#include "base/log.h"
#include "server/response_json.h"

namespace ingot::server {

class WriterThread::Impl {
 public:
  Impl() : thread_([this] { Run(); }) {}
  ~Impl() {
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
    }
    changed_.notify_one();
    thread_.join();
  }

  struct Item {
    std::shared_ptr<AnswerWriter> writer;
    size_t prompt = 0;
    std::optional<RequestEvent> event;
    std::optional<HttpResponse> failure;  // neither: start
  };

  void Post(Item item) {
    bool wake = false;
    {
      const std::lock_guard lock(mutex_);
      wake = items_.empty();
      items_.push_back(std::move(item));
    }
    if (wake) changed_.notify_one();
  }

 private:
  void Run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [&] { return ending_ || !items_.empty(); });
      if (items_.empty()) return;
      std::deque<Item> batch = std::exchange(items_, {});
      lock.unlock();
      for (Item& item : batch) Handle(item);
      batch.clear();
      lock.lock();
    }
  }

  static void Handle(Item& item) {
    try {
      if (item.event) {
        item.writer->HandleEvent(item.prompt, std::move(*item.event));
      } else if (item.failure) {
        item.writer->HandleFailure(std::move(*item.failure));
      } else {
        item.writer->HandleStart();
      }
    } catch (const std::exception& error) {
      LogText(LogLevel::kError, fmt::format("an answer could not be written: {}", error.what()));
      item.writer->HandleFailure(ErrorResponse(500, "The answer could not be written."));
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Item> items_;
  bool ending_ = false;
  std::thread thread_;  // last: it uses the others
};

WriterThread::WriterThread() : impl_(std::make_unique<Impl>()) {}
WriterThread::~WriterThread() = default;

void WriterThread::Post(std::shared_ptr<AnswerWriter> writer, size_t prompt, RequestEvent event) {
  impl_->Post({std::move(writer), prompt, std::move(event), std::nullopt});
}
void WriterThread::PostStart(std::shared_ptr<AnswerWriter> writer) {
  impl_->Post({std::move(writer), 0, std::nullopt, std::nullopt});
}
void WriterThread::PostFailure(std::shared_ptr<AnswerWriter> writer, HttpResponse response) {
  impl_->Post({std::move(writer), 0, std::nullopt, std::move(response)});
}

AnswerWriter::AnswerWriter(ResponderPtr responder, const EnginePort& engine, bool stream,
                           std::atomic<int64_t>* load)
    : responder_(std::move(responder)), engine_(engine), stream_(stream), load_(load) {
  load_->fetch_add(1);
}

AnswerWriter::~AnswerWriter() { load_->fetch_sub(1); }

void AnswerWriter::CancelAll() {
  std::vector<uint64_t> tickets;
  {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
    tickets.swap(tickets_);
  }
  for (const uint64_t ticket : tickets) engine_.cancel(ticket);
}

namespace {

HttpResponse RefusalOf(SubmitStatus status) {
  switch (status) {
    case SubmitStatus::kQueueFull: {
      HttpResponse response = ErrorResponse(
          429, "The queue of this server is full. Try again in a moment.", "TooManyRequestsError");
      response.headers.push_back({"Retry-After", "1"});
      return response;
    }
    case SubmitStatus::kStopping: {
      HttpResponse response = ErrorResponse(503, "The server is shutting down.");
      response.headers.push_back({"Retry-After", "5"});
      return response;
    }
    default:
      return ErrorResponse(500, "The engine has failed. The server must be restarted; its log "
                                "says why.");
  }
}

}  // namespace

void AnswerWriter::Start(std::vector<Request> requests, WriterThread* thread) {
  open_requests_ = requests.size();
  const std::weak_ptr<AnswerWriter> weak = weak_from_this();
  responder_->OnClose([weak] {
    if (const auto self = weak.lock()) self->CancelAll();
  });
  const auto self = shared_from_this();
  for (size_t i = 0; i < requests.size(); ++i) {
    Submitted submitted;
    try {
      submitted = engine_.submit(std::move(requests[i]), [self, i, thread](RequestEvent&& event) {
        thread->Post(self, i, std::move(event));
      });
    } catch (...) {
      CancelAll();
      throw;
    }
    if (submitted.status != SubmitStatus::kAccepted) {
      CancelAll();
      thread->PostFailure(self, RefusalOf(submitted.status));
      return;
    }
    bool gone = false;
    {
      const std::lock_guard lock(mutex_);
      gone = cancelled_;
      if (!gone) tickets_.push_back(submitted.ticket);
    }
    if (gone) {
      engine_.cancel(submitted.ticket);
      thread->PostFailure(self, ErrorResponse(500, "The client went away."));
      return;
    }
  }
  thread->PostStart(self);
}

void AnswerWriter::HandleStart() {
  if (done_) return;
  started_ = true;
  if (stream_) responder_->BeginStream(SseHead());
  for (Early& early : std::exchange(early_, {})) HandleEvent(early.prompt, std::move(early.event));
}

void AnswerWriter::HandleEvent(size_t prompt, RequestEvent&& event) {
  if (done_) return;
  if (!started_) {
    early_.push_back({prompt, std::move(event)});
    return;
  }
  if (event.end == EndReason::kError) {
    Fail(event.error.empty() ? "The engine could not finish the answer." : event.error,
         event.impossible ? 400 : 500);
    return;
  }
  const bool last = event.last;
  OnEvent(prompt, std::move(event));
  if (done_ || !last || --open_requests_ > 0) return;
  done_ = true;
  OnComplete();
  if (stream_) {
    responder_->Write(SseData("[DONE]"));
    responder_->End();
  }
}

void AnswerWriter::Fail(const std::string& message, int status) {
  if (!stream_) return HandleFailure(ErrorResponse(status, message));
  done_ = true;
  CancelAll();
  responder_->Write(ErrorFrame(message, status));
  responder_->Write(SseData("[DONE]"));
  responder_->End();
}

void AnswerWriter::HandleFailure(HttpResponse response) {
  if (done_) return;
  done_ = true;
  early_.clear();
  CancelAll();
  if (started_ && stream_) {
    responder_->Write(SseData(response.body));
    responder_->Write(SseData("[DONE]"));
    responder_->End();
  } else {
    responder_->Send(std::move(response));
  }
}

void AnswerWriter::Write(const std::string& frame) {
  if (done_ && !stream_) return;
  if (!responder_->Write(frame)) {
    done_ = true;
    CancelAll();
  }
}

void AnswerWriter::SendWhole(std::string json) {
  responder_->Send({.status = 200, .content_type = "application/json", .body = std::move(json)});
}

}  // namespace ingot::server
