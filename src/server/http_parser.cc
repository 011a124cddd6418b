// SPDX-License-Identifier: Apache-2.0
// See the header.

// Beast 1.81 asserts that a last chunk with trailers comes in pieces of at least five bytes
// (boost/beast/http/impl/basic_parser.ipp, parse_chunk_header). Clients send as they like, and the
// code behind that line copes with fewer.
#define BOOST_DISABLE_ASSERTS
#include "server/http_parser.h"

#include <algorithm>
#include <array>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/parser.hpp>

#include "base/error.h"
#include "server/http_server.h"

namespace ingot::server {
namespace {

namespace http = boost::beast::http;
using ErrorCode = boost::system::error_code;

constexpr size_t kMaxEmptyLines = 4;       // before a request line; RFC 9112 2.2 asks to skip one
constexpr size_t kMaxChunkLine = 8 << 10;  // a chunk header (with extensions) or trailer line
// Framing may cost this much plus this many times the content; chunks of one byte cost fivefold.
constexpr size_t kFramingBytes = 64 << 10;
constexpr size_t kFramingFactor = 8;

bool IsTokenChar(unsigned char c) {
  static constexpr std::string_view kOthers = "!#$%&'*+-.^_`|~";
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         kOthers.find(static_cast<char>(c)) != std::string_view::npos;
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::optional<std::string> PercentDecode(std::string_view text) {
  std::string decoded;
  decoded.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded += text[i];
      continue;
    }
    const int high = i + 2 < text.size() ? HexDigit(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? HexDigit(text[i + 2]) : -1;
    if (high < 0 || low < 0 || (high == 0 && low == 0)) return std::nullopt;
    decoded += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return decoded;
}

struct RequestParser::Beast {
  http::request_parser<http::buffer_body> parser;
};

RequestParser::RequestParser(const HttpLimits& limits)
    : limits_(limits), beast_(std::make_unique<Beast>()) {
  beast_->parser.eager(false);
  beast_->parser.header_limit(
      static_cast<uint32_t>(std::min<size_t>(limits.header_bytes + kMaxChunkLine, UINT32_MAX)));
  beast_->parser.body_limit(limits.body_bytes);
}

RequestParser::~RequestParser() = default;

void RequestParser::Fail(int status, std::string message) {
  failure_ = {status, std::move(message)};
}

size_t RequestParser::Feed(std::string_view bytes) {
  if (failure_ || complete_) return 0;
  return head_complete_ ? FeedBody(bytes) : FeedHead(bytes);
}

size_t RequestParser::FeedHead(std::string_view bytes) {
  size_t skipped = 0;
  while (bytes.substr(skipped).starts_with("\r\n")) {
    skipped += 2;
    if (++empty_lines_ > kMaxEmptyLines) {
      Fail(400, "Empty lines in place of a request.");
      return 0;
    }
  }
  bytes.remove_prefix(skipped);
  // Something that is no HTTP (a TLS hello, another protocol) need not be waited for.
  if (!bytes.empty() && !IsTokenChar(static_cast<unsigned char>(bytes[0])) && bytes != "\r") {
    Fail(400, "This is not an HTTP request (TLS sent to a plain port?).");
    return skipped;
  }
  const size_t from = searched_ > 3 && skipped == 0 ? searched_ - 3 : 0;
  const size_t end = bytes.find("\r\n\r\n", from);
  if (end == std::string_view::npos ? bytes.size() > limits_.header_bytes
                                    : end + 4 > limits_.header_bytes) {
    Fail(431, fmt::format("The request's head is longer than {} bytes.", limits_.header_bytes));
    return skipped;
  }
  if (end == std::string_view::npos) {
    searched_ = bytes.size();
    return skipped;
  }
  const std::string_view head = bytes.substr(0, end + 4);
  if (!CheckHead(head)) return skipped;
  ErrorCode error;
  beast_->parser.put(boost::asio::buffer(head.data(), head.size()), error);
  if (error == http::error::body_limit) {
    Fail(413, fmt::format("The request's body is longer than {} bytes.", limits_.body_bytes));
  } else if (error == http::error::bad_version) {
    Fail(505, "Only HTTP/1.0 and HTTP/1.1 are spoken here.");
  } else if ((error && error != http::error::need_more) || !beast_->parser.is_header_done()) {
    Fail(400, fmt::format("Malformed request head: {}.", error.message()));
  } else {
    TakeHead();
  }
  return skipped + head.size();
}

bool RequestParser::CheckHead(std::string_view head) {
  size_t lines = 0;
  for (size_t i = 0; i < head.size(); ++i) {
    const auto c = static_cast<unsigned char>(head[i]);
    if (c == '\r' && i + 1 < head.size() && head[i + 1] == '\n') {
      ++lines;
      ++i;
      const char next = i + 1 < head.size() ? head[i + 1] : '\0';
      if (next == ' ' || next == '\t') {
        Fail(400, "Folded header lines are not accepted.");
        return false;
      }
      continue;
    }
    if ((c < 0x20 && c != '\t') || c == 0x7f) {
      Fail(400, "The request's head holds control characters.");
      return false;
    }
  }
  if (lines > limits_.header_count + 2) {  // request line and the empty one
    Fail(431, fmt::format("More than {} header lines.", limits_.header_count));
    return false;
  }
  return true;
}

void RequestParser::TakeHead() {
  const auto& message = beast_->parser.get();
  http_minor_ = message.version() == 10 ? 0 : 1;
  request_.method = std::string(message.method_string());
  request_.target = std::string(message.target());
  for (const auto& field : message) {
    request_.headers.push_back({std::string(field.name_string()), std::string(field.value())});
  }
  const auto count = [&](const char* name) {
    return std::count_if(request_.headers.begin(), request_.headers.end(),
                         [&](const HttpHeader& h) { return EqualsNoCase(h.name, name); });
  };
  const bool chunked = request_.HasHeader("Transfer-Encoding");
  if (count("Host") > 1 || (http_minor_ == 1 && count("Host") == 0)) {
    return Fail(400, "An HTTP/1.1 request has exactly one Host header.");
  }
  if (count("Content-Length") > 1 || (chunked && request_.HasHeader("Content-Length"))) {
    return Fail(400, "The length of the body is stated more than once.");
  }
  const std::string_view stated = request_.Header("Content-Length");
  if (stated.find_first_not_of("0123456789") != std::string_view::npos) {
    return Fail(400, "Content-Length is one decimal number.");
  }
  if (chunked && (http_minor_ == 0 || count("Transfer-Encoding") > 1)) {
    return Fail(400, "Transfer-Encoding is not valid here.");
  }
  if (chunked && !EqualsNoCase(request_.Header("Transfer-Encoding"), "chunked")) {
    return Fail(501, "The only transfer encoding accepted is chunked.");
  }
  if (request_.HasHeader("Expect")) {
    if (!EqualsNoCase(request_.Header("Expect"), "100-continue")) {
      return Fail(417, "The only expectation that can be met is 100-continue.");
    }
    expects_continue_ = http_minor_ == 1;
  }
  keep_alive_ = beast_->parser.keep_alive();
  const auto length = beast_->parser.content_length();
  if (length && *length > limits_.body_bytes) {
    return Fail(413,
                fmt::format("The request's body is longer than {} bytes.", limits_.body_bytes));
  }
  has_body_ = chunked || (length && *length > 0);
  head_complete_ = true;
  if (!has_body_) complete_ = true;
  beast_->parser.eager(true);
}

size_t RequestParser::FeedBody(std::string_view bytes) {
  std::array<char, 16 << 10> piece;
  size_t used = 0;
  while (!complete_ && used < bytes.size()) {
    auto& body = beast_->parser.get().body();
    body.data = piece.data();
    body.size = piece.size();
    body.more = true;
    ErrorCode error;
    const size_t n =
        beast_->parser.put(boost::asio::buffer(bytes.data() + used, bytes.size() - used), error);
    used += n;
    raw_body_bytes_ += n;
    const size_t decoded = piece.size() - body.size;
    request_.body.append(piece.data(), decoded);
    if (error == http::error::body_limit || request_.body.size() > limits_.body_bytes) {
      Fail(413, fmt::format("The request's body is longer than {} bytes.", limits_.body_bytes));
      return used;
    }
    if (error && error != http::error::need_more && error != http::error::need_buffer) {
      Fail(400, fmt::format("Malformed request body: {}.", error.message()));
      return used;
    }
    if (raw_body_bytes_ > kFramingBytes + kFramingFactor * request_.body.size()) {
      Fail(400, "The request's body is mostly chunk headers.");
      return used;
    }
    complete_ = beast_->parser.is_done();
    if (n == 0 && decoded == 0 && !complete_) {  // waits for the rest of a chunk header or trailer
      if (bytes.size() - used > kMaxChunkLine) Fail(400, "Endless chunk header.");
      return used;
    }
  }
  return used;
}

}  // namespace ingot::server
