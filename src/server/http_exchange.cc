// SPDX-License-Identifier: Apache-2.0
// See the header.
#include "server/http_exchange.h"

#include <algorithm>
#include <ctime>
#include <utility>

#include "base/error.h"

namespace ingot::server {
namespace {

// "Tue, 15 Nov 1994 08:12:31 GMT" (RFC 9110 5.6.7), whatever the locale.
std::string HttpDate() {
  static constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::time_t now = std::time(nullptr);
  std::tm t{};
  gmtime_r(&now, &t);
  return fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT", kDays[t.tm_wday], t.tm_mday,
                     kMonths[t.tm_mon], t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
}

// A handler may put anything into a header, a client's text included; it never makes a second one.
void AppendHeader(std::string_view name, std::string_view value, std::string* out) {
  const auto append = [&](std::string_view text) {
    for (const char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      out->push_back(byte < 0x20 || byte == 0x7f ? ' ' : c);
    }
  };
  append(name);
  out->append(": ");
  append(value);
  out->append("\r\n");
}

bool HasNoBody(int status) { return status == 204 || status == 304 || status < 200; }

}  // namespace

Exchange::Exchange(ResponseFrame frame, size_t max_unread, const std::atomic<bool>* draining,
                   std::function<void()> wake)
    : frame_(std::move(frame)),
      max_unread_(max_unread),
      draining_(draining),
      wake_(std::move(wake)) {}

std::string Exchange::Head(const HttpResponse& response, bool known_length) {
  status_ = response.status;
  keep_alive_ = frame_.keep_alive && !draining_->load() &&
                (known_length || frame_.chunks || frame_.head_only);
  std::string head = fmt::format("HTTP/1.1 {} {}\r\n", status_, ReasonPhrase(status_));
  AppendHeader("Date", HttpDate(), &head);
  AppendHeader("Server", "ingot", &head);
  if (!response.content_type.empty()) AppendHeader("Content-Type", response.content_type, &head);
  if (known_length && !HasNoBody(status_)) {
    AppendHeader("Content-Length", std::to_string(response.body.size()), &head);
  } else if (!known_length && frame_.chunks) {
    AppendHeader("Transfer-Encoding", "chunked", &head);
  }
  for (const HttpHeader& header : response.headers) AppendHeader(header.name, header.value, &head);
  for (const HttpHeader& header : frame_.extra_headers) {
    AppendHeader(header.name, header.value, &head);
  }
  if (!keep_alive_) {
    AppendHeader("Connection", "close", &head);
  } else if (frame_.says_keep_alive) {
    AppendHeader("Connection", "keep-alive", &head);
  }
  head += "\r\n";
  return head;
}

void Exchange::Wake(std::unique_lock<std::mutex> lock) {
  if (std::exchange(woken_, true)) return;
  lock.unlock();
  wake_();
}

void Exchange::Send(HttpResponse response) {
  std::unique_lock lock(mutex_);
  if (state_ != State::kFresh) return;
  state_ = State::kFinished;
  outbox_ += Head(response, true);
  if (!frame_.head_only && !HasNoBody(response.status)) {
    body_bytes_ = response.body.size();
    outbox_ += response.body;
  }
  unread_ += outbox_.size();
  Wake(std::move(lock));
}

void Exchange::BeginStream(HttpResponse head) {
  std::unique_lock lock(mutex_);
  if (state_ != State::kFresh) return;
  state_ = State::kStreaming;
  outbox_ += Head(head, false);
  unread_ += outbox_.size();
  AppendPiece(head.body);
  Wake(std::move(lock));
}

void Exchange::AppendPiece(std::string_view bytes) {
  if (bytes.empty() || frame_.head_only) return;
  const size_t before = outbox_.size();
  if (frame_.chunks) outbox_ += fmt::format("{:x}\r\n", bytes.size());
  outbox_ += bytes;
  if (frame_.chunks) outbox_ += "\r\n";
  unread_ += outbox_.size() - before;
  body_bytes_ += bytes.size();
}

bool Exchange::Write(std::string_view bytes) {
  std::unique_lock lock(mutex_);
  if (state_ != State::kStreaming || closed_ || overrun_) return false;
  if (unread_ + bytes.size() > max_unread_) {
    overrun_ = true;  // the connection closes itself and says so through ClientGone
    outbox_.clear();
    Wake(std::move(lock));
    return false;
  }
  AppendPiece(bytes);
  Wake(std::move(lock));
  return true;
}

void Exchange::End() {
  std::unique_lock lock(mutex_);
  if (state_ != State::kStreaming) return;
  state_ = State::kFinished;
  if (frame_.chunks && !frame_.head_only) outbox_ += "0\r\n\r\n";
  Wake(std::move(lock));
}

void Exchange::Abandon() {
  {
    std::unique_lock lock(mutex_);
    if (state_ == State::kFinished || closed_) return;
    if (state_ == State::kStreaming) {
      state_ = State::kBroken;
      Wake(std::move(lock));
      return;
    }
  }
  Send(ErrorResponse(500, "The server dropped this request."));
}

bool Exchange::closed() const {
  std::lock_guard lock(mutex_);
  return closed_;
}

void Exchange::OnClose(std::function<void()> callback) {
  {
    std::lock_guard lock(mutex_);
    if (state_ == State::kFinished) return;
    if (!closed_) {
      on_close_ = std::move(callback);
      return;
    }
  }
  callback();
}

Exchange::Taken Exchange::Take() {
  std::lock_guard lock(mutex_);
  woken_ = false;
  Taken taken;
  taken.bytes.swap(outbox_);
  taken.finished = state_ == State::kFinished;
  taken.broken = state_ == State::kBroken;
  taken.overrun = overrun_;
  return taken;
}

void Exchange::Written(size_t n) {
  std::lock_guard lock(mutex_);
  unread_ -= std::min(n, unread_);
}

void Exchange::ClientGone() {
  std::function<void()> callback;
  {
    std::lock_guard lock(mutex_);
    closed_ = true;
    outbox_.clear();
    if (state_ != State::kFinished) callback = std::exchange(on_close_, nullptr);
    on_close_ = nullptr;
  }
  if (callback) callback();
}

bool Exchange::keep_alive() const {
  std::lock_guard lock(mutex_);
  return keep_alive_;
}

int Exchange::status() const {
  std::lock_guard lock(mutex_);
  return status_;
}

uint64_t Exchange::body_bytes() const {
  std::lock_guard lock(mutex_);
  return body_bytes_;
}

}  // namespace ingot::server
