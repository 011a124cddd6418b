// SPDX-License-Identifier: Apache-2.0
// Requests, responses and routing without sockets.
#include "server/http.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "server/http_parser.h"
#include "server/http_server.h"
#include "server/http_testing.h"
#include "server/router.h"

namespace ingot::server {
namespace {

using Json = nlohmann::json;

Router TwoRoutes() {
  Router router;
  router.Quick("GET", "/health",
               [](HttpRequest, ResponderPtr responder) { responder->Send({.content_type = ""}); });
  router.Work("POST", "/v1/echo", [](HttpRequest request, ResponderPtr responder) {
    responder->Send({.body = request.body});
  });
  router.Work("GET", "/assets/*", [](HttpRequest request, ResponderPtr responder) {
    responder->Send({.content_type = "text/plain", .body = request.path});
  });
  return router;
}

TEST(Http, HeadersAreFoundWithoutCase) {
  HttpRequest request;
  request.headers = {{"content-TYPE", " Application/JSON ; charset=utf-8"}, {"X", "1"}, {"x", "2"}};
  EXPECT_EQ(request.Header("x"), "1");
  EXPECT_TRUE(request.HasHeader("Content-Type"));
  EXPECT_FALSE(request.HasHeader("Content-Typ"));
  EXPECT_EQ(request.MediaType(), "application/json");
}

TEST(Http, ErrorBodyHasTheShapeOfVllm) {
  const HttpResponse response = ErrorResponse(400, "bad \xff byte", "", "messages");
  const Json error = Json::parse(response.body).at("error");
  EXPECT_EQ(error.at("type"), "BadRequestError");
  EXPECT_EQ(error.at("param"), "messages");
  EXPECT_EQ(error.at("code"), 400);
  EXPECT_EQ(Json::parse(ErrorResponse(404, "x").body).at("error").at("param"), nullptr);
  EXPECT_EQ(Json::parse(ErrorResponse(429, "x").body)["error"]["type"], "Too Many Requests");
}

TEST(Http, ExceptionsOfHandlersBecomeResponses) {
  Router router;
  router.Work("GET", "/user", [](HttpRequest, ResponderPtr) { throw UserError("no such thing"); });
  router.Work("GET", "/full", [](HttpRequest, ResponderPtr) { throw ResourceError("full"); });
  router.Work("GET", "/defect", [](HttpRequest, ResponderPtr) { throw std::logic_error("0x7ff"); });
  EXPECT_EQ(Ask(router, {.method = "GET", .path = "/user"}).status, 400);
  EXPECT_EQ(Ask(router, {.method = "GET", .path = "/full"}).status, 503);
  const HttpResponse defect = Ask(router, {.method = "GET", .path = "/defect"});
  EXPECT_EQ(defect.status, 500);
  EXPECT_EQ(defect.body.find("0x7ff"), std::string::npos);
}

// Empty lines in front of a request are skipped, but not without end, however they come.
TEST(RequestParser, EmptyLinesAreCountedOverAllPieces) {
  const HttpLimits limits;
  RequestParser patient(limits);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(patient.Feed("\r\n"), 2u);
  patient.Feed("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_TRUE(patient.complete());
  RequestParser parser(limits);
  int lines = 0;
  while (!parser.failure() && lines < 100) {
    parser.Feed("\r\n");
    ++lines;
  }
  ASSERT_TRUE(parser.failure());
  EXPECT_EQ(parser.failure()->status, 400);
  EXPECT_EQ(lines, 5);
}

// Also the last chunk and the trailers behind it.
TEST(RequestParser, ChunksComeByteByByte) {
  const HttpLimits limits;
  RequestParser parser(limits);
  const std::string_view head = "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
  ASSERT_EQ(parser.Feed(head), head.size());
  std::string waiting;
  for (const char c : std::string_view("0\r\nTrailer: v\r\nOther: w\r\n\r\n")) {
    waiting += c;
    waiting.erase(0, parser.Feed(waiting));
  }
  EXPECT_FALSE(parser.failure());
  EXPECT_TRUE(parser.complete());
  EXPECT_EQ(parser.request().body, "");
}

TEST(Router, FindsExactPathsAndPrefixes) {
  const Router router = TwoRoutes();
  EXPECT_EQ(Ask(router, {.method = "GET", .path = "/health"}).status, 200);
  EXPECT_EQ(Ask(router, {.method = "HEAD", .path = "/health"}).status, 200);
  EXPECT_EQ(Ask(router, {.method = "POST", .path = "/v1/echo", .body = "hi"}).body, "hi");
  EXPECT_EQ(Ask(router, {.method = "GET", .path = "/assets/a/b.js"}).body, "/assets/a/b.js");
  EXPECT_EQ(Ask(router, {.method = "GET", .path = "/assets"}).status, 404);
  EXPECT_EQ(Ask(router, {.method = "GET", .path = "/v1/echo/"}).status, 404);
  EXPECT_TRUE(router.Find("GET", "/health").quick);
  EXPECT_FALSE(router.Find("POST", "/v1/echo").quick);
}

TEST(Router, OtherMethodsAre405WithAllow) {
  const Router router = TwoRoutes();
  const HttpResponse wrong = Ask(router, {.method = "DELETE", .path = "/health"});
  EXPECT_EQ(wrong.status, 405);
  ASSERT_EQ(wrong.headers.size(), 1u);
  EXPECT_EQ(wrong.headers[0].name, "Allow");
  EXPECT_EQ(wrong.headers[0].value, "GET, HEAD, OPTIONS");
  EXPECT_EQ(Ask(router, {.method = "OPTIONS", .path = "/v1/echo"}).status, 204);
  EXPECT_EQ(Ask(router, {.method = "OPTIONS", .path = "/nowhere"}).status, 404);
}

TEST(Router, ARouteCannotBeAddedTwice) {
  Router router = TwoRoutes();
  EXPECT_THROW(router.Quick("GET", "/health", [](HttpRequest, ResponderPtr) {}), InternalError);
}

TEST(RecordingResponder, StreamsAndDisconnects) {
  RecordingResponder responder;
  int closes = 0;
  responder.OnClose([&] { ++closes; });
  responder.BeginStream(SseHead());
  EXPECT_TRUE(responder.Write(SseData("{}")));
  responder.Disconnect();
  EXPECT_EQ(closes, 1);
  EXPECT_FALSE(responder.Write(SseData("{}")));
  EXPECT_EQ(responder.response().body, "data: {}\n\n");
}

}  // namespace
}  // namespace ingot::server
