// SPDX-License-Identifier: Apache-2.0
// See the header.
#include "server/http_connection.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace ingot::server {
namespace {

constexpr size_t kWritePiece = 256 << 10;  // a client must take this much within the write timeout
constexpr std::chrono::seconds kLingerTime{2};

// The handler's handle. Letting go of it unanswered is an answer too.
class HandlerResponder final : public Responder {
 public:
  explicit HandlerResponder(std::shared_ptr<Exchange> exchange) : exchange_(std::move(exchange)) {}
  ~HandlerResponder() override { exchange_->Abandon(); }
  void Send(HttpResponse response) override { exchange_->Send(std::move(response)); }
  void BeginStream(HttpResponse head) override { exchange_->BeginStream(std::move(head)); }
  bool Write(std::string_view bytes) override { return exchange_->Write(bytes); }
  void End() override { exchange_->End(); }
  bool closed() const override { return exchange_->closed(); }
  void OnClose(std::function<void()> callback) override { exchange_->OnClose(std::move(callback)); }

 private:
  const std::shared_ptr<Exchange> exchange_;
};

HttpResponse Busy(std::string_view message) {
  HttpResponse response = ErrorResponse(503, message);
  response.headers.push_back({"Retry-After", "1"});
  return response;
}

}  // namespace

BodyLease::~BodyLease() { context->body_bytes -= bytes; }

Connection::Connection(std::shared_ptr<ConnectionContext> context,
                       std::unique_ptr<ByteStream> stream)
    : context_(std::move(context)), stream_(std::move(stream)) {}

void Connection::Start() {
  stream_->Handshake([self = shared_from_this()](bool ok) {
    if (self->phase_ != Phase::kHandshake) return;
    if (!ok) return self->Close();
    self->parser_ = std::make_unique<RequestParser>(self->context_->options.limits);
    self->Enter(Phase::kIdle);
    self->StartRead();
  });
}

void Connection::StartRefused() {
  if (context_->options.tls.enabled()) return Close();  // no room for a handshake either
  ForgetRequest();
  Refuse(Busy("The server has too many connections. Try again in a moment."));
}

void Connection::ForgetRequest() {
  method_ = target_ = request_id_ = "-";
  request_start_ = Clock::now();
}

void Connection::Enter(Phase phase) {
  phase_ = phase;
  phase_start_ = Clock::now();
}

// ---- deadlines ----

std::optional<Connection::Clock::time_point> Connection::Deadline() const {
  const HttpLimits& limits = context_->options.limits;
  switch (phase_) {
    case Phase::kHandshake:
    case Phase::kHead:
      return phase_start_ + limits.head_timeout;
    case Phase::kIdle:
      return phase_start_ + (served_ == 0 ? limits.head_timeout : limits.keep_alive_timeout);
    case Phase::kBody:
      return phase_start_ + limits.body_grace +
             std::chrono::seconds(parser_->body_bytes() / limits.body_bytes_per_second);
    case Phase::kHandling:
      if (!writing_) return std::nullopt;
      return write_start_ + limits.write_timeout;
    case Phase::kLinger:
      return phase_start_ + kLingerTime;
    case Phase::kClosed:
      return std::nullopt;
  }
  return std::nullopt;
}

void Connection::Tick(Clock::time_point now) {
  const auto deadline = Deadline();
  if (deadline && now >= *deadline) OnDeadline();
}

void Connection::OnDeadline() {
  if (phase_ == Phase::kHead || phase_ == Phase::kBody) {
    if (phase_ == Phase::kHead) ForgetRequest();
    return Refuse(ErrorResponse(408, "The request did not arrive in time."));
  }
  Close();
}

void Connection::CloseWhenIdle() {
  close_when_idle_ = true;
  if (phase_ == Phase::kIdle) Close();
}

// ---- reading ----

void Connection::StartRead() {
  if (reading_ || phase_ == Phase::kClosed || ended_) return;
  // Behind the request that is handled only so much is kept; it also shows that the client is
  // there.
  if (phase_ == Phase::kHandling && input_.size() > context_->options.limits.header_bytes) return;
  reading_ = true;
  stream_->Read(chunk_.data(), chunk_.size(),
                [self = shared_from_this()](size_t n) { self->OnRead(n); });
}

void Connection::OnRead(size_t n) {
  reading_ = false;
  if (phase_ == Phase::kClosed) return;
  if (n == 0) {
    ended_ = true;
    // A client that has left does not wait for an answer that is not there yet.
    if (phase_ == Phase::kHandling) Flush();
    if (phase_ != Phase::kHandling || !answer_finished_) Close();
    return;
  }
  if (phase_ == Phase::kLinger || refused_) return StartRead();
  input_.append(chunk_.data(), n);
  Process();
}

void Connection::Process() {
  while (!input_.empty()) {
    if (phase_ == Phase::kIdle) Enter(Phase::kHead);
    if (phase_ != Phase::kHead && phase_ != Phase::kBody) break;
    const size_t used = parser_->Feed(input_);
    input_.erase(0, used);
    if (parser_->failure()) {
      if (!parser_->head_complete()) {
        ForgetRequest();
      }
      const ParseFailure failure = *parser_->failure();
      Refuse(ErrorResponse(failure.status, failure.message));
    } else if (phase_ == Phase::kHead && parser_->head_complete()) {
      OnHead();
    } else if (phase_ == Phase::kBody) {
      if (!ReserveBody()) {
        Refuse(Busy("The server is reading too many large requests. Try again in a moment."));
      } else if (parser_->complete()) {
        Handle();
      }
    }
    if (used == 0) break;
  }
  StartRead();
}

bool Connection::ReserveBody() {
  if (!lease_) lease_ = std::make_shared<BodyLease>(context_);
  const auto size = static_cast<int64_t>(parser_->body_bytes());
  context_->body_bytes += size - lease_->bytes;
  lease_->bytes = size;
  return context_->body_bytes <= static_cast<int64_t>(context_->options.limits.total_body_bytes);
}

void Connection::OnHead() {
  HttpRequest& request = parser_->request();
  request.peer = stream_->peer();
  request.request_id = RequestIdOf(request);
  request.received = request_start_ = Clock::now();
  method_ = request.method;
  target_ = request.target;
  request_id_ = request.request_id;
  http_minor_ = parser_->http_minor();

  const auto answer = [&](HttpResponse response) {
    if (parser_->has_body()) return Refuse(std::move(response));  // the body is not wanted
    MakeExchange(parser_->keep_alive());
    exchange_->Send(std::move(response));
  };
  if (!ResolveTarget(context_->options.root_path, &request)) {
    return answer(ErrorResponse(400, "The request's target is not a valid path."));
  }
  if (auto preflight = Preflight(context_->options.cors, request)) return answer(*preflight);
  if (!context_->keys.Allows(request)) return answer(UnauthorizedResponse());
  const std::string_view encoding = request.Header("Content-Encoding");
  if (!encoding.empty() && !EqualsNoCase(encoding, "identity")) {
    return answer(ErrorResponse(415, "Encoded bodies are not accepted; send the body as it is."));
  }
  const Router::Match match = context_->router->Find(request.method, request.path);
  if (match.handler == nullptr) return answer(Router::Refusal(match));
  if (parser_->complete()) return Handle();
  Enter(Phase::kBody);
  if (parser_->expects_continue() && input_.empty() && !writing_) {
    output_ = "HTTP/1.1 100 Continue\r\n\r\n";
    written_ = 0;
    WriteSome();
  }
}

// ---- handling ----

void Connection::MakeExchange(bool keep_alive) {
  Enter(Phase::kHandling);
  answer_finished_ = answer_broken_ = false;
  ResponseFrame frame;
  frame.keep_alive = keep_alive && !refused_ && !close_when_idle_;
  if (parser_ && parser_->head_complete()) {
    const HttpRequest& request = parser_->request();
    frame.head_only = request.method == "HEAD";
    frame.chunks = parser_->http_minor() == 1;
    frame.says_keep_alive = parser_->http_minor() == 0;
    frame.extra_headers = CorsHeaders(context_->options.cors, request);
    if (context_->options.echo_request_id) {
      frame.extra_headers.push_back({"X-Request-Id", request.request_id});
    }
  }
  ++context_->active_requests;
  exchange_ = std::make_shared<Exchange>(std::move(frame), context_->options.limits.unread_bytes,
                                         &context_->draining,
                                         [weak = weak_from_this(), loop = context_->loop] {
                                           loop->Post([weak] {
                                             if (const auto self = weak.lock()) self->Flush();
                                           });
                                         });
}

void Connection::Refuse(HttpResponse response) {
  refused_ = true;
  input_.clear();
  MakeExchange(false);
  parser_.reset();  // and the part of a body that it holds
  lease_.reset();
  exchange_->Send(std::move(response));
}

void Connection::Handle() {
  const Router::Match match =
      context_->router->Find(parser_->request().method, parser_->request().path);
  MakeExchange(parser_->keep_alive());
  const auto responder = std::make_shared<HandlerResponder>(exchange_);
  const std::shared_ptr<BodyLease> lease = std::move(lease_);  // until the handler returns
  const auto request = std::make_shared<HttpRequest>(std::move(parser_->request()));
  if (match.quick) return Router::Run(*match.handler, std::move(*request), responder);
  const bool queued =
      context_->workers->Submit([handler = match.handler, request, responder, lease] {
        if (responder->closed()) return;
        Router::Run(*handler, std::move(*request), responder);
      });
  if (!queued) responder->Send(Busy("The server has too many requests. Try again in a moment."));
}

// ---- writing ----

void Connection::Flush() {
  if (!exchange_ || writing_ || phase_ == Phase::kClosed) return;
  Exchange::Taken taken = exchange_->Take();
  answer_finished_ |= taken.finished;
  answer_broken_ |= taken.broken;
  if (taken.overrun) return Close();
  output_ = std::move(taken.bytes);
  written_ = 0;
  if (!output_.empty()) {
    WriteSome();
  } else if (answer_finished_) {
    FinishAnswer();
  } else if (answer_broken_) {
    Close();
  }
}

void Connection::WriteSome() {
  writing_ = true;
  write_start_ = Clock::now();
  write_size_ = std::min(kWritePiece, output_.size() - written_);
  stream_->Write(std::string_view(output_).substr(written_, write_size_),
                 [self = shared_from_this()](bool ok) { self->OnWritten(ok); });
}

void Connection::OnWritten(bool ok) {
  writing_ = false;
  if (phase_ == Phase::kClosed) return;
  if (!ok) return Close();
  written_ += write_size_;
  if (exchange_) exchange_->Written(write_size_);
  if (written_ < output_.size()) return WriteSome();
  Flush();
}

void Connection::FinishAnswer() {
  Report(false);
  const bool keep_alive = exchange_->keep_alive() && !refused_ && !ended_ && !close_when_idle_;
  exchange_.reset();
  --context_->active_requests;
  ++served_;
  if (keep_alive) {
    parser_ = std::make_unique<RequestParser>(context_->options.limits);
    Enter(Phase::kIdle);
    Process();  // what was sent ahead
  } else if (refused_ && !ended_) {
    // Closing on unread bytes would reset the connection and take the answer away from the client.
    stream_->ShutdownSend();
    Enter(Phase::kLinger);
    StartRead();
  } else {
    Close();
  }
}

void Connection::Close() {
  if (phase_ == Phase::kClosed) return;
  phase_ = Phase::kClosed;
  const auto self = shared_from_this();
  stream_->Close();
  if (exchange_) {
    Report(true);
    exchange_->ClientGone();
    exchange_.reset();
    --context_->active_requests;
  }
  lease_.reset();
  context_->on_closed(this);
}

void Connection::Report(bool aborted) {
  ++context_->handled;
  if (!context_->options.on_access) return;
  AccessRecord record{.peer = stream_->peer(), .method = method_, .target = target_};
  record.request_id = request_id_;
  record.http_minor = http_minor_;
  record.status = exchange_->status();
  record.bytes = exchange_->body_bytes();
  record.seconds = std::chrono::duration<double>(Clock::now() - request_start_).count();
  record.aborted = aborted;
  context_->options.on_access(record);
}

}  // namespace ingot::server
