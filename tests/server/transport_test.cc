// SPDX-License-Identifier: Apache-2.0
// The transport as well-behaved clients see it, over real sockets.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "base/coded_error.h"
#include "server/http_parser.h"
#include "server/http_policy.h"
#include "test_server.h"

namespace ingot::server {
namespace {

using namespace std::chrono_literals;

std::string BodyOf(const std::string& response) {
  const size_t head = response.find("\r\n\r\n");
  return head == std::string::npos ? "" : response.substr(head + 4);
}

TEST(Transport, KeepsConnectionsAlive) {
  TestServer server;
  RawClient client = server.Connect();
  for (int i = 0; i < 3; ++i) {
    client.Send(Post("/v1/echo", "{\"i\": " + std::to_string(i) + "}"));
    const std::string response = client.ReceiveResponse();
    EXPECT_EQ(StatusOf(response), 200);
    EXPECT_EQ(BodyOf(response), "{\"i\": " + std::to_string(i) + "}");
  }
  client.Send(Get("/health", "Connection: close\r\n"));
  EXPECT_NE(client.Receive({}, 2s).find("Connection: close"), std::string::npos);
  EXPECT_TRUE(client.closed());
  EXPECT_EQ(server.server().Stats().accepted, 1u);
}

TEST(Transport, AnswersPipelinedRequestsInOrder) {
  TestServer server;
  RawClient client = server.Connect();
  std::string all;
  for (int i = 0; i < 50; ++i) all += Post("/v1/echo", "<" + std::to_string(i) + ">");
  client.Send(all + Get("/health", "Connection: close\r\n"));
  const std::string answers = client.Receive();
  size_t at = 0;
  for (int i = 0; i < 50; ++i) {
    at = answers.find("<" + std::to_string(i) + ">", at);
    ASSERT_NE(at, std::string::npos) << i;
  }
}

TEST(Transport, BodiesInPiecesAndChunks) {
  TestServer server;
  RawClient client = server.Connect();
  for (const char c : Post("/v1/echo", "{\"slow\": 1}")) client.Send(std::string(1, c));
  EXPECT_EQ(BodyOf(client.ReceiveResponse()), "{\"slow\": 1}");
  client.Send("POST /v1/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n");
  for (const char* piece : {"3\r", "\nabc\r\n", "00A;x=y\r\n0123456789", "\r\n0\r\n", "\r\n"}) {
    client.Send(piece);
    std::this_thread::sleep_for(5ms);
  }
  EXPECT_EQ(BodyOf(client.ReceiveResponse()), "abc0123456789");
  const std::string large(5 << 20, 'y');
  std::thread sender([&] { client.Send(Post("/v1/echo", large)); });
  EXPECT_EQ(BodyOf(client.ReceiveResponse()), large);
  sender.join();
}

TEST(Transport, AsksForTheBodyWhenTheClientWaits) {
  TestServer server;
  RawClient client = server.Connect();
  client.Send(
      "POST /v1/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.Receive("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.Send("{}");
  EXPECT_EQ(StatusOf(client.ReceiveResponse()), 200);
}

TEST(Transport, StreamsPiecesAtOnce) {
  TestServer server;
  RawClient client = server.Connect();
  client.Send(Get("/v1/three"));
  const std::string stream = client.Receive("0\r\n\r\n");
  EXPECT_NE(stream.find("Content-Type: text/event-stream"), std::string::npos);
  EXPECT_NE(stream.find("9\r\ndata: 1\n\n\r\n9\r\ndata: 2\n\n\r\n9\r\ndata: 3\n\n\r\n0\r\n\r\n"),
            std::string::npos);
  client.Send(Get("/health"));  // the connection goes on
  EXPECT_EQ(StatusOf(client.ReceiveResponse()), 200);
}

TEST(Transport, OldClients) {
  TestServer server;
  RawClient client = server.Connect();
  client.Send("GET /v1/three HTTP/1.0\r\n\r\n");
  const std::string stream = client.Receive();
  EXPECT_TRUE(client.closed());
  EXPECT_EQ(BodyOf(stream), "data: 1\n\ndata: 2\n\ndata: 3\n\n");
  RawClient keeps = server.Connect();
  keeps.Send("GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_NE(keeps.ReceiveResponse().find("Connection: keep-alive"), std::string::npos);
  keeps.Send("GET /health HTTP/1.0\r\n\r\n");
  EXPECT_EQ(StatusOf(keeps.Receive()), 200);
}

TEST(Transport, HeadHasNoBody) {
  TestServer server;
  RawClient client = server.Connect();
  client.Send("HEAD /v1/path HTTP/1.1\r\nHost: x\r\n\r\n" + Get("/health"));
  const std::string both = client.Receive("\r\n\r\nHTTP/1.1 200");
  EXPECT_NE(both.find("Content-Length: 9"), std::string::npos);
  EXPECT_EQ(both.find("/v1/path?"), std::string::npos);
}

TEST(Transport, AnswersThatHandlersForget) {
  TestServer server;
  EXPECT_EQ(server.Ask(Get("/v1/drop")), 500);
  RawClient client = server.Connect();
  client.Send(Get("/v1/half"));
  const std::string stream = client.Receive();
  EXPECT_TRUE(client.closed());  // and not ended: the client sees that something is missing
  EXPECT_EQ(stream.find("0\r\n\r\n"), std::string::npos);
}

TEST(Transport, KeysGuardV1Only) {
  HttpServerOptions options;
  options.api_keys = {"first-key", "second"};
  TestServer server(options);
  const auto with = [](const std::string& value) {
    return Post("/v1/echo", "{}", "Authorization: " + value + "\r\n");
  };
  EXPECT_EQ(server.Ask(with("Bearer first-key")), 200);
  EXPECT_EQ(server.Ask(with("bearer second")), 200);
  for (const std::string& value :
       {std::string("Bearer first-ke"), std::string("Bearer first-keyy"), std::string("Bearer "),
        std::string("first-key"), std::string("Basic first-key"), std::string("Bearer  first-key"),
        "Bearer " + std::string(20'000, 'k')}) {
    EXPECT_EQ(server.Ask(with(value)), 401) << value.substr(0, 40);
  }
  EXPECT_EQ(server.Ask(with("Bearer " + std::string(1 << 20, 'k'))), 431);
  std::string response;
  EXPECT_EQ(server.Ask(Post("/v1/echo", "{}"), &response), 401);
  EXPECT_EQ(BodyOf(response), R"({"error":"Unauthorized"})");
  EXPECT_EQ(server.Ask(Get("/%76%31/path")), 401);  // as it is routed, so it is guarded
  EXPECT_EQ(server.Ask(Get("http://x/v1/path")), 401);
  EXPECT_EQ(server.Ask(Get("/health")), 200);
  EXPECT_EQ(server.echoed, 2);
  for (const AccessRecord& record : server.log()) {
    EXPECT_EQ(record.target.find("first-key"), std::string::npos);
  }
}

TEST(Transport, PagesOfOtherOrigins) {
  HttpServerOptions options;
  options.api_keys = {"k"};
  TestServer any(options);
  std::string response;
  const std::string preflight =
      "OPTIONS /v1/echo HTTP/1.1\r\nHost: x\r\nOrigin: http://page\r\n"
      "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: "
      "authorization\r\n\r\n";
  EXPECT_EQ(any.Ask(preflight, &response), 200);
  EXPECT_NE(response.find("Access-Control-Allow-Origin: *\r\n"), std::string::npos);
  EXPECT_NE(response.find("Access-Control-Allow-Headers: authorization\r\n"), std::string::npos);
  options.cors.origins = {"http://mine"};
  options.cors.credentials = true;
  TestServer one(options);
  EXPECT_EQ(one.Ask(preflight, &response), 400);
  EXPECT_EQ(response.find("Access-Control-Allow-Origin"), std::string::npos);
  EXPECT_EQ(one.Ask(Get("/health", "Origin: http://mine\r\n"), &response), 200);
  EXPECT_NE(response.find("Access-Control-Allow-Origin: http://mine\r\n"), std::string::npos);
  EXPECT_NE(response.find("Access-Control-Allow-Credentials: true\r\n"), std::string::npos);
}

TEST(Transport, RootPathAndRequestIds) {
  HttpServerOptions options;
  options.root_path = "/proxy/";
  options.echo_request_id = true;
  TestServer server(options);
  std::string response;
  EXPECT_EQ(server.Ask(Get("/proxy/v1/path?a=%20b", "X-Request-Id: abc\r\n"), &response), 200);
  EXPECT_EQ(BodyOf(response), "/v1/path?a=%20b");
  EXPECT_NE(response.find("X-Request-Id: abc\r\n"), std::string::npos);
  EXPECT_EQ(server.Ask(Get("/v1/path")), 200);
  EXPECT_EQ(server.Ask(Get("/proxyv1/path")), 404);
}

TEST(Transport, UnixSockets) {
  const std::string path = std::filesystem::temp_directory_path() / "ingot_transport_test.sock";
  std::filesystem::remove(path);
  Router router;
  router.Quick("GET", "/health", [](HttpRequest request, ResponderPtr responder) {
    responder->Send({.content_type = "text/plain", .body = request.peer});
  });
  HttpServerOptions options;
  options.unix_path = path;
  {
    HttpServer server(options, &router);
    server.Start();
    EXPECT_THROW(HttpServer(options, &router), AddressInUseError);
    RawClient client(path);
    client.Send(Get("/health"));
    EXPECT_EQ(BodyOf(client.ReceiveResponse()), "unix");
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(Transport, ABusyPortIsNamed) {
  TestServer server;
  Router router;
  HttpServerOptions options;
  options.host = "127.0.0.1";
  options.port = server.port();
  try {
    HttpServer second(options, &router);
    FAIL() << "two servers on one port";
  } catch (const AddressInUseError& error) {
    EXPECT_NE(std::string(error.what()).find(std::to_string(server.port())), std::string::npos);
  }
  options.host = "no.such.host.invalid";
  EXPECT_THROW(HttpServer(options, &router), UserError);
}

TEST(Transport, DrainLetsRequestsFinish) {
  TestServer server;
  RawClient idle = server.Connect(), busy = server.Connect(), stream = server.Connect();
  idle.Send(Get("/health"));
  idle.ReceiveResponse();
  stream.Send(Get("/v1/endless"));
  stream.Receive("data: ");
  busy.Send(Post("/v1/slow", "{}"));
  ASSERT_TRUE(Eventually([&] { return server.started == 2; }));
  EXPECT_FALSE(server.server().Drain(200ms));
  idle.Receive({}, 2s);
  EXPECT_TRUE(idle.closed());
  EXPECT_FALSE(RawClient(server.port()).connected());
  stream.Close();
  busy.Close();
  EXPECT_TRUE(server.server().Drain(5s));
  EXPECT_EQ(server.closed, 2);
}

TEST(Transport, StopEndsEverythingAtOnce) {
  TestServer server;
  RawClient busy = server.Connect();
  busy.Send(Post("/v1/slow", "{}"));
  ASSERT_TRUE(Eventually([&] { return server.started == 1; }));
  server.server().Stop();
  busy.Receive({}, 2s);
  EXPECT_TRUE(busy.closed());
  EXPECT_EQ(server.closed, 1);
}

// A self-signed certificate made by the openssl program, asked by curl.
TEST(Transport, Tls) {
  const std::filesystem::path dir = std::filesystem::temp_directory_path() / "ingot_tls_test";
  std::filesystem::create_directories(dir);
  const std::string make = "cd " + dir.string() +
                           " && openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out "
                           "cert.pem -days 2 -subj /CN=localhost -addext "
                           "subjectAltName=DNS:localhost 2>/dev/null";
  if (std::system("command -v openssl >/dev/null && command -v curl >/dev/null") != 0 ||
      std::system(make.c_str()) != 0) {
    GTEST_SKIP() << "needs openssl and curl";
  }
  HttpServerOptions options;
  options.limits.head_timeout = 500ms;
  options.tls.cert_file = dir / "cert.pem";
  options.tls.key_file = dir / "key.pem";
  {
    TestServer server(options);
    const std::string ask = "curl -sS --max-time 10 --cacert " + (dir / "cert.pem").string() +
                            " -d '{}' https://localhost:" + std::to_string(server.port()) +
                            "/v1/echo | grep -q '^{}$'";
    EXPECT_EQ(std::system(ask.c_str()), 0);
    RawClient plain = server.Connect();  // plain HTTP to a TLS port
    plain.Send(Get("/health"));
    plain.Receive({}, 3s);
    EXPECT_TRUE(plain.closed());
    RawClient silent = server.Connect();  // a handshake that never comes
    silent.Receive({}, 3s);
    EXPECT_TRUE(silent.closed());
    EXPECT_EQ(std::system(ask.c_str()), 0);
    EXPECT_TRUE(server.AllGone());
  }
  Router router;
  options.tls.key_file = dir / "cert.pem";
  EXPECT_THROW(HttpServer(options, &router), UserError);
  options.tls.cert_file = dir / "missing.pem";
  EXPECT_THROW(HttpServer(options, &router), UserError);
  std::filesystem::remove_all(dir);
}

TEST(RequestParser, NeverUsesBytesOfTheNextRequest) {
  const HttpLimits limits;
  RequestParser parser(limits);
  const std::string first = Post("/v1/echo", "abc"), both = first + Get("/health");
  const size_t head = parser.Feed(both);
  ASSERT_TRUE(parser.head_complete());
  EXPECT_EQ(head + parser.Feed(std::string_view(both).substr(head)), first.size());
  EXPECT_TRUE(parser.complete());
  EXPECT_EQ(parser.request().body, "abc");
}

TEST(PercentDecode, OnceAndStrictly) {
  EXPECT_EQ(PercentDecode("/a%20b%2Fc"), "/a b/c");
  EXPECT_EQ(PercentDecode("/%2525"), "/%25");
  for (const char* bad : {"%", "%1", "%g1", "%00"}) EXPECT_FALSE(PercentDecode(bad)) << bad;
}

TEST(RequestIds, DifferAlways) {
  std::string last = NewRequestId();
  for (int i = 0; i < 1000; ++i) {
    const std::string id = NewRequestId();
    EXPECT_EQ(id.size(), 32u);
    EXPECT_NE(id, last);
    last = id;
  }
}

}  // namespace
}  // namespace ingot::server
