// SPDX-License-Identifier: Apache-2.0
// See the header.
#include "server/http.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/log.h"

namespace ingot::server {
namespace {

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string_view ErrorType(int status) {
  switch (status) {
    case 400:
      return "BadRequestError";
    case 404:
      return "NotFoundError";
    case 422:
      return "UnprocessableEntityError";
    case 500:
      return "InternalServerError";
    case 501:
      return "NotImplementedError";
    default:
      return ReasonPhrase(status);
  }
}

}  // namespace

bool EqualsNoCase(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (Lower(a[i]) != Lower(b[i])) return false;
  }
  return true;
}

std::string_view HttpRequest::Header(std::string_view name) const {
  for (const HttpHeader& header : headers) {
    if (EqualsNoCase(header.name, name)) return header.value;
  }
  return {};
}

bool HttpRequest::HasHeader(std::string_view name) const {
  for (const HttpHeader& header : headers) {
    if (EqualsNoCase(header.name, name)) return true;
  }
  return false;
}

std::string HttpRequest::MediaType() const {
  const std::string_view value = Header("Content-Type");
  std::string_view type = value.substr(0, value.find(';'));
  while (type.ends_with(' ') || type.ends_with('\t')) type.remove_suffix(1);
  while (type.starts_with(' ') || type.starts_with('\t')) type.remove_prefix(1);
  std::string lower(type);
  for (char& c : lower) c = Lower(c);
  return lower;
}

std::string_view ReasonPhrase(int status) {
  switch (status) {
    case 100:
      return "Continue";
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 304:
      return "Not Modified";
    case 307:
      return "Temporary Redirect";
    case 308:
      return "Permanent Redirect";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 411:
      return "Length Required";
    case 413:
      return "Request Entity Too Large";
    case 414:
      return "Request-URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 422:
      return "Unprocessable Entity";
    case 424:
      return "Failed Dependency";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 499:
      return "Client Closed Request";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return {};
  }
}

HttpResponse ErrorResponse(int status, std::string_view message, std::string_view type,
                           std::string_view param) {
  using Json = nlohmann::ordered_json;
  const Json body = {{"error",
                      {{"message", message},
                       {"type", type.empty() ? ErrorType(status) : type},
                       {"param", param.empty() ? Json(nullptr) : Json(param)},
                       {"code", status}}}};
  return {.status = status, .body = body.dump(-1, ' ', false, Json::error_handler_t::replace)};
}

HttpResponse ErrorResponseOfCurrentException(std::string_view request_id) {
  const auto defect = [&](std::string_view what) {
    LogText(LogLevel::kError, fmt::format("request {}: {}", request_id, what));
    return ErrorResponse(500, "Internal error; the server's log has the details.");
  };
  try {
    throw;
  } catch (const Error& error) {
    switch (error.kind()) {
      case ErrorKind::kUser:
      case ErrorKind::kFormat:
        return ErrorResponse(400, error.what());
      case ErrorKind::kResource:
        return ErrorResponse(503, error.what());
      default:
        return defect(error.what());
    }
  } catch (const std::bad_alloc&) {
    return ErrorResponse(503, "The server has not enough memory for this request.");
  } catch (const std::exception& error) {
    return defect(error.what());
  }
}

std::string SseData(std::string_view payload) {
  std::string frame;
  frame.reserve(payload.size() + 8);
  frame.append("data: ").append(payload).append("\n\n");
  return frame;
}

HttpResponse SseHead() {
  return {.content_type = "text/event-stream; charset=utf-8",
          .headers = {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}}};
}

}  // namespace ingot::server
