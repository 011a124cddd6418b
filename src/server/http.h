// SPDX-License-Identifier: Apache-2.0
// HTTP as plain data: a request that has arrived whole, a response, and the handle through which a
// handler answers, at once or as a stream, from whatever thread. No sockets here: handlers are
// tested with RecordingResponder (http_testing.h); http_server.h puts them on the network.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace ingot::server {

struct HttpHeader {
  std::string name;  // as sent; compared without case
  std::string value;
};

// A request whose head and body are complete and within the limits. Bytes are those of the client:
// the body may be anything, header values hold no control characters.
struct HttpRequest {
  std::string method;  // "POST"
  std::string target;  // as sent: "/v1/models?limit=3"
  std::string path;    // percent-decoded, without query and --root-path; begins with '/'
  std::string query;   // as sent, without '?'
  std::vector<HttpHeader> headers;
  std::string body;  // de-chunked
  std::string peer;  // "127.0.0.1:53211", "unix"
  // Printable ASCII, at most 128 characters: the client's X-Request-Id when it is one, else 32 hex
  // digits that are unique in this process.
  std::string request_id;
  std::chrono::steady_clock::time_point received = std::chrono::steady_clock::now();

  // The first header of this name, "" when there is none.
  std::string_view Header(std::string_view name) const;
  bool HasHeader(std::string_view name) const;
  // "application/json" of "application/json; charset=utf-8", in lower case.
  std::string MediaType() const;
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";  // "" when there is no body
  std::string body;
  std::vector<HttpHeader> headers;  // further ones: Retry-After, ...; never Content-Length
};

// The one answer to one request. Either Send once, or BeginStream, any number of Write, End.
// Thread safety: every function may be called from any thread; calls of one responder come one
// after another (a handler hands it on, it does not share it). None of them blocks on the client.
// When the last reference goes away without an answer the client gets a 500.
class Responder {
 public:
  virtual ~Responder() = default;

  virtual void Send(HttpResponse response) = 0;

  // Sends the head at once; `head.body` is the first piece (may be empty).
  virtual void BeginStream(HttpResponse head) = 0;
  // One piece of the body, sent at once (an SSE frame: SseData). False: the client is gone, or has
  // left more than the limit unread and was cut off; nothing more needs to be produced.
  virtual bool Write(std::string_view bytes) = 0;
  virtual void End() = 0;

  // True once the client is gone before the answer was complete.
  virtual bool closed() const = 0;
  // `callback` runs once, on the network thread (so it must be short and must not throw), when the
  // client goes away before the answer is complete; at once, on the calling thread, when it already
  // has. It is dropped when the answer is complete. One callback per responder; it must not hold
  // the responder.
  virtual void OnClose(std::function<void()> callback) = 0;
};
using ResponderPtr = std::shared_ptr<Responder>;

// Runs on a worker thread (Router::Work), where it may take its time over JSON, pictures and
// tokens, or on the network thread (Router::Quick), where it must return at once. It may return
// before the answer is complete: whoever holds the responder goes on. An exception becomes an error
// response (ErrorResponse of UserError and FormatError: 400, ResourceError: 503, others: 500).
using Handler = std::function<void(HttpRequest request, ResponderPtr responder)>;

// "Not Found"; "" for a status that is not known.
std::string_view ReasonPhrase(int status);

// The error body of vLLM 0.11: {"object": "error"...} is older; this is
// {"error": {"message", "type", "param", "code"}}. An empty `type` is made from the status as vLLM
// does (400 BadRequestError, 404 NotFoundError, ..., else the reason phrase); an empty `param` is
// null.
HttpResponse ErrorResponse(int status, std::string_view message, std::string_view type = {},
                           std::string_view param = {});
// What the exception being handled says to the client; a 500 is logged with the request's id and
// tells the client nothing of the inside. Call inside catch.
HttpResponse ErrorResponseOfCurrentException(std::string_view request_id);

// "data: <payload>\n\n". `payload` holds no line break.
std::string SseData(std::string_view payload);
// Head of an SSE stream: text/event-stream, no caching, no buffering by proxies.
HttpResponse SseHead();

// Names of headers, methods of content: ASCII without case.
bool EqualsNoCase(std::string_view a, std::string_view b);

}  // namespace ingot::server
