// SPDX-License-Identifier: Apache-2.0
// What hostile and broken clients send to the transport, over real sockets. After each attack the
// next normal request must work, and when all clients are gone the server holds nothing.
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "test_server.h"

namespace ingot::server {
namespace {

using namespace std::chrono_literals;

HttpServerOptions Impatient() {
  HttpServerOptions options;
  options.limits.head_timeout = 400ms;
  options.limits.body_grace = 400ms;
  options.limits.keep_alive_timeout = 400ms;
  options.limits.write_timeout = 600ms;
  return options;
}

class TransportAttack : public testing::Test {
 protected:
  void TearDown() override {
    EXPECT_TRUE(server.Works()) << "the next normal request";
    EXPECT_TRUE(server.AllGone());
  }
  // The answer to bytes that are sent in one go on their own connection.
  void Expect(int status, const std::string& bytes) {
    EXPECT_EQ(server.Ask(bytes), status) << bytes.substr(0, 120);
  }
  TestServer server{Impatient()};
};

TEST_F(TransportAttack, HugeHeads) {
  Expect(431, Get("/health", "X: " + std::string(70'000, 'a') + "\r\n"));
  Expect(431, "GET /" + std::string(100'000, 'a') + " HTTP/1.1\r\nHost: x\r\n\r\n");
  std::string many;
  for (int i = 0; i < 10'000; ++i) many += "a:\r\n";
  Expect(431, Get("/health", many));
  Expect(200, Get("/health", "X: " + std::string(30'000, 'a') + "\r\n"));
  RawClient client = server.Connect();  // without end
  for (int i = 0; i < 100 && client.Send(std::string(4096, 'a')); ++i) {
  }
  EXPECT_EQ(StatusOf(client.Receive()), 431);
}

TEST_F(TransportAttack, LengthsThatLie) {
  const std::string head = "POST /v1/echo HTTP/1.1\r\nHost: x\r\n";
  for (const char* length :
       {"-1", "+3", "0x10", "1 2", "", "99999999999999999999999", "3, 3", "3,4", "1e3", " "}) {
    Expect(400, head + "Content-Length: " + length + "\r\n\r\nabc");
  }
  Expect(413, head + "Content-Length: 70000000\r\n\r\nabc");
  Expect(413, head + "Content-Length: 18446744073709551615\r\n\r\nabc");
  Expect(400, head + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc");
  Expect(400, head + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd");
  Expect(408, head + "Content-Length: 30\r\n\r\nabc");  // longer than what comes
}

TEST_F(TransportAttack, SmugglingShapes) {
  const std::string head = "POST /v1/echo HTTP/1.1\r\nHost: x\r\n";
  const std::string chunks = "\r\n3\r\nabc\r\n0\r\n\r\n";
  Expect(200, head + "Transfer-Encoding: chunked\r\n" + chunks);
  Expect(400, head + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n" + chunks);
  Expect(400, head + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n" + chunks);
  Expect(400, head + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n" + chunks);
  EXPECT_GE(server.Ask(head + "Transfer-Encoding: xchunked\r\n" + chunks), 400);
  EXPECT_GE(server.Ask(head + "Transfer-Encoding: gzip, chunked\r\n" + chunks), 400);
  EXPECT_GE(server.Ask(head + "Transfer-Encoding: chunked, identity\r\n" + chunks), 400);
  Expect(400, head + "Transfer-Encoding : chunked\r\n" + chunks);
  Expect(400, head + "X: a\r\n folded\r\nTransfer-Encoding: chunked\r\n" + chunks);
  Expect(400, head + "Transfer-Encoding:\r\n chunked\r\n" + chunks);
  Expect(400, "POST /v1/echo HTTP/1.1\nHost: x\nContent-Length: 3\n\nabc\r\n\r\n");  // bare LF
  Expect(400, head + "X: a\rContent-Length: 3\r\n\r\nabc");                          // bare CR
  EXPECT_GE(server.Ask("POST /v1/echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n" + chunks), 400);
  Expect(400, "GET /health HTTP/1.1\r\n\r\n");
  Expect(400, "GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
}

TEST_F(TransportAttack, BadChunks) {
  const std::string head =
      "POST /v1/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const char* chunk :
       {"-1\r\nabc\r\n", "g\r\nabc\r\n", "0x3\r\nabc\r\n", "\r\nabc\r\n", "3\nabc\r\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n", "fffffffffffffffff\r\nabc\r\n", "3 \r\nabc"}) {
    EXPECT_GE(server.Ask(head + chunk), 400) << chunk;
  }
  EXPECT_EQ(server.Ask(head + "ffffffffffffffff\r\nabc\r\n"), 413);
  EXPECT_EQ(server.Ask(head + "7fffffff\r\nabc\r\n"), 413);
  EXPECT_EQ(server.Ask(head + "3;" + std::string(100'000, 'e') + "\r\nabc\r\n0\r\n\r\n"), 400);
  std::string tiny = head;  // framing many times the content
  for (int i = 0; i < 20'000; ++i) tiny += "0000000001;abcdefgh\r\nx\r\n";
  EXPECT_EQ(server.Ask(tiny), 400);
  EXPECT_EQ(server.Ask(head + "3\r\nabc\r\n0\r\nTrailer: x\r\n\r\n"), 200);
}

TEST_F(TransportAttack, BodiesBeyondTheLimitInChunks) {
  RawClient client = server.Connect();
  client.Send("POST /v1/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
  const std::string chunk = "100000\r\n" + std::string(1 << 20, 'x') + "\r\n";
  int sent = 0;
  while (sent < 100 && client.Send(chunk)) ++sent;
  EXPECT_EQ(StatusOf(client.Receive()), 413);
}

TEST_F(TransportAttack, SlowHeadsAndBodiesEnd) {
  RawClient head = server.Connect(), body = server.Connect(), nothing = server.Connect();
  RawClient idle = server.Connect();
  idle.Send(Get("/health"));
  EXPECT_EQ(StatusOf(idle.ReceiveResponse()), 200);
  body.Send("POST /v1/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n");
  const auto start = std::chrono::steady_clock::now();
  bool open = true;
  for (int i = 0; i < 60 && open; ++i) {
    open = head.Send("a") & body.Send("a");
    std::this_thread::sleep_for(20ms);
  }
  EXPECT_EQ(StatusOf(head.Receive({}, 3s)), 408);
  EXPECT_EQ(StatusOf(body.Receive({}, 3s)), 408);
  nothing.Receive({}, 3s);
  EXPECT_TRUE(nothing.closed());
  idle.Receive({}, 3s);
  EXPECT_TRUE(idle.closed());
  EXPECT_LT(std::chrono::steady_clock::now() - start, 8s);
}

TEST_F(TransportAttack, EncodedBodiesAreRefused) {
  Expect(415, Post("/v1/echo", "\x1f\x8b\x08", "Content-Encoding: gzip\r\n"));
  Expect(200, Post("/v1/echo", "{}", "Content-Encoding: identity\r\n"));
}

TEST_F(TransportAttack, MethodsPathsAndVersions) {
  Expect(405, "DELETE /health HTTP/1.1\r\nHost: x\r\n\r\n");
  Expect(405, "BREW /health HTTP/1.1\r\nHost: x\r\n\r\n");
  Expect(404, Get("/no/such/path"));
  for (const char* path : {"/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/v1/..%2fhealth",
                           "//health", "/health/", "/HEALTH", "/health%20"}) {
    Expect(404, Get(path));
  }
  for (const char* path : {"/health%", "/health%0", "/health%zz", "/health%00"}) {
    Expect(400, Get(path));
  }
  Expect(400, "GET health HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_GE(server.Ask("CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n"), 400);
  Expect(200, "GET http://x/health HTTP/1.1\r\nHost: x\r\n\r\n");
  Expect(200, "GET /health HTTP/1.0\r\n\r\n");
  EXPECT_GE(server.Ask("GET /health HTTP/0.9\r\n\r\n"), 400);
  EXPECT_GE(server.Ask("GET /health\r\n\r\n"), 400);
  EXPECT_GE(server.Ask("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 400);
  Expect(400, std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11));  // TLS hello
  Expect(400, std::string(64, '\0'));
  Expect(400, Get("/health", std::string("X: a\0b\r\n", 8)));
  Expect(400, Get("/health", "X: a\x01\r\n"));
  Expect(400, Get("/health", "X y: a\r\n"));
  Expect(400, Get("/health", ": a\r\n"));
  Expect(417, Post("/v1/echo", "{}", "Expect: 200-ok\r\n"));
}

TEST_F(TransportAttack, RandomBytesNeverPass) {
  uint32_t state = 1;
  for (int round = 0; round < 200; ++round) {
    std::string bytes = round % 2 == 0 ? "POST /v1/echo HTTP/1.1\r\nHost: x\r\n" : "";
    for (int i = 0; i < 300; ++i) {
      state = state * 1664525 + 1013904223;
      bytes += static_cast<char>(state >> 24);
    }
    bytes += "\r\n\r\n";
    const int status = server.Ask(bytes);
    EXPECT_TRUE(status == 0 || (status >= 400 && status < 500) || status == 501 || status == 505)
        << status;
  }
}

TEST_F(TransportAttack, ClientsThatLeave) {
  const int rounds = 200;
  for (int i = 0; i < rounds; ++i) {
    RawClient half_body = server.Connect();
    half_body.Send("POST /v1/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{");
    RawClient waiting = server.Connect();
    waiting.Send(Post("/v1/slow", "{}"));
    ASSERT_TRUE(Eventually([&] { return server.started == i + 1; }));
    if (i % 2 == 0) {
      half_body.Reset();
      waiting.Reset();
    }
  }
  EXPECT_TRUE(Eventually([&] { return server.closed == rounds; }));
}

TEST_F(TransportAttack, AReaderThatNeverReadsIsCutOff) {
  RawClient client = server.Connect();
  client.Send(Get("/v1/endless"));
  EXPECT_TRUE(Eventually([&] { return server.closed == 1; }, 30s));
}

TEST_F(TransportAttack, AStreamEndsWithItsReader) {
  for (int i = 1; i <= 20; ++i) {
    RawClient client = server.Connect();
    client.Send(Get("/v1/endless"));
    client.Receive("data: ");
    client.Reset();
    ASSERT_TRUE(Eventually([&] { return server.closed == i; }));
  }
}

TEST_F(TransportAttack, HeadersOfHandlersCannotBeSplit) {
  std::string response;
  EXPECT_EQ(server.Ask(Get("/v1/inject"), &response), 200);
  EXPECT_EQ(response.find("\r\nSet-Cookie"), std::string::npos);
}

TEST_F(TransportAttack, RequestIdsAreBounded) {
  for (const std::string& id : {std::string(200, 'a'), std::string("a b"), std::string("\xff")}) {
    Expect(200, Get("/health", "X-Request-Id: " + id + "\r\n"));
  }
  Expect(200, Get("/health", "X-Request-Id: mine\r\n"));
  ASSERT_TRUE(Eventually([&] { return server.log().size() == 4; }));
  const auto log = server.log();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(log[i].request_id.size(), 32u);
  EXPECT_EQ(log[3].request_id, "mine");
}

TEST(TransportLimits, ConnectionsAndFiles) {
  HttpServerOptions options;
  options.limits.connections = 100;
  TestServer server(options);
  const int files = OpenFiles();
  {
    std::vector<RawClient> clients;
    for (int i = 0; i < 100; ++i) {  // busy ones
      clients.push_back(server.Connect());
      clients.back().Send(Post("/v1/slow", "{}"));
    }
    ASSERT_TRUE(Eventually([&] { return server.started == 100; }));
    RawClient one_too_many = server.Connect();
    const std::string answer = one_too_many.Receive();
    EXPECT_EQ(StatusOf(answer), 503);
    EXPECT_NE(answer.find("Retry-After"), std::string::npos);
  }
  EXPECT_TRUE(server.AllGone());
  std::vector<RawClient> idle;  // these make room
  for (int i = 0; i < 300; ++i) {
    idle.push_back(server.Connect());
    idle.back().Send(Get("/health"));
    ASSERT_EQ(StatusOf(idle.back().ReceiveResponse()), 200) << i;
  }
  idle.clear();
  EXPECT_TRUE(server.AllGone());
  EXPECT_TRUE(Eventually([&] { return OpenFiles() <= files; }));
}

TEST(TransportLimits, BodiesTogether) {
  HttpServerOptions options;
  options.limits.total_body_bytes = 1 << 20;
  TestServer server(options);
  RawClient first = server.Connect(), second = server.Connect();
  const std::string head = "POST /v1/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n";
  first.Send(head + std::string(800'000, 'x'));
  ASSERT_TRUE(Eventually([&] { return server.server().Stats().body_bytes == 800'000; }));
  second.Send(head + std::string(800'000, 'x'));
  EXPECT_EQ(StatusOf(second.Receive("\r\n\r\n")), 503);
  first.Send(std::string(100'000, 'x'));
  EXPECT_EQ(StatusOf(first.ReceiveResponse()), 200);
  first.Close();
  second.Close();
  EXPECT_TRUE(server.AllGone());
}

TEST(TransportLimits, QueuedRequests) {
  HttpServerOptions options;
  options.limits.queued_requests = 0;
  TestServer server(options);
  EXPECT_EQ(server.Ask(Post("/v1/echo", "{}")), 503);
  EXPECT_EQ(server.Ask(Get("/health")), 200);  // needs no worker
}

TEST(TransportLimits, AThousandConnections) {
  TestServer server;
  std::vector<RawClient> clients;
  for (int i = 0; i < 400; ++i) {
    clients.push_back(server.Connect());
    if (!clients.back().connected()) break;
    clients.back().Send(Post("/v1/echo", "{}"));
  }
  for (RawClient& client : clients) EXPECT_EQ(StatusOf(client.ReceiveResponse()), 200);
  clients.clear();
  EXPECT_TRUE(server.AllGone());
}

}  // namespace
}  // namespace ingot::server
