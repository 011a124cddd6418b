// SPDX-License-Identifier: Apache-2.0
// Many clients, clients that leave, clients that do not read, and what one client could do to
// another: on the whole program and the bundled model. serve_attack.h checks after each test that
// nothing is left behind.
#include <gtest/gtest.h>

#include <algorithm>
#include <future>
#include <iterator>
#include <string>
#include <vector>

#include "serve_attack.h"

namespace ingot::server {
namespace {

class ServeCrowd : public ServeAttack {
 protected:
  static std::string PictureOf(int i) {
    std::vector<std::filesystem::path> files;
    const auto dir = std::filesystem::path(INGOT_TEST_DATA) / "calib64" / "images";
    for (const auto& entry : std::filesystem::directory_iterator(dir)) {
      if (entry.path().extension() == ".jpg") files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
    std::ifstream file(files.at(static_cast<size_t>(i) % files.size()), std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(file), {}};
    return "data:image/jpeg;base64," + Base64(bytes);
  }
  // The value of `"name":...` up to the next comma or bracket; "" when absent.
  static std::string ValueOf(const std::string& json, const std::string& name) {
    const size_t at = json.find("\"" + name + "\":");
    if (at == std::string::npos) return "";
    const size_t begin = at + name.size() + 3;
    return json.substr(begin, json.find_first_of(",}]", begin) - begin);
  }
  // What the model said, with its log-probabilities: equal only for equal prompts.
  std::string Said(const std::string& more, const std::string& content) {
    const std::string answer = served_->Ask(
        Chat("\"temperature\":0,\"logprobs\":true" + (more.empty() ? "" : "," + more), content));
    EXPECT_EQ(StatusOf(answer), 200) << answer.substr(0, 300);
    const std::string body = BodyOf(answer);
    return body.substr(std::min(body.find("\"choices\""), body.size()));
  }
  // While a picture is in the tower, in the prompt, in a stream, in its own request.
  void Leave(int i) {
    RawClient client(served_->port());
    switch (i % 4) {
      case 0:
        client.Send(Chat("\"max_tokens\":500", Picture(PictureOf(i))));
        break;
      case 1:
        client.Send(Completion("\"max_tokens\":50,\"prompt\":\"" + Repeat("word ", 300 + i % 90) + "\""));
        break;
      case 2:
        client.Send(Completion("\"max_tokens\":800,\"ignore_eos\":true,\"stream\":true,"
                               "\"prompt\":\"Once upon a time\""));
        client.Receive("data: ");
        break;
      default:
        client.Send(Post("/v1/chat/completions", "{\"model\":\"tiny\",").substr(0, 140));
        break;
    }
    if (i % 3 == 0) client.Reset();
  }
};

TEST_F(ServeCrowd, AThousandClientsThatLeave) {
  for (int i = 0; i < 60; ++i) Leave(i);  // warm
  ASSERT_TRUE(served_->Idle());
  const int64_t before = ResidentKilobytes(served_->pid());
  for (int i = 0; i < 1000; ++i) Leave(i);
  EXPECT_TRUE(served_->Idle());
  EXPECT_LT(ResidentKilobytes(served_->pid()), before + 48 * 1024);
}

TEST_F(ServeCrowd, AThousandConnections) {
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = std::min<rlim_t>(files.rlim_max, 4096);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &files), 0);
  std::vector<RawClient> clients;
  for (int i = 0; i < 1000; ++i) {
    clients.emplace_back(served_->port());
    ASSERT_TRUE(clients.back().connected()) << i;
    ASSERT_TRUE(clients.back().Send(Get("/health")));
  }
  int answered = 0;
  for (RawClient& client : clients) answered += StatusOf(client.ReceiveResponse()) == 200;
  EXPECT_EQ(answered, 1000);
}

// No more files than these: connections wait or are closed, and the server goes on afterwards.
TEST(ServeFiles, TheyRunOut) {
  ServedProcess served(INGOT_PROGRAM, {kModel, "--served-model-name", "tiny", "--disable-log-stats"},
                       std::filesystem::temp_directory_path() / "ingot_serve_files_test", 64);
  ASSERT_NE(served.port(), 0) << served.log();
  const int before = OpenFiles(served.pid());
  std::vector<RawClient> clients;
  for (int i = 0; i < 200; ++i) {
    clients.emplace_back(served.port());
    clients.back().Send("GET /health HTTP/1.1\r\n");  // unfinished: it stays
  }
  EXPECT_TRUE(served.alive());
  EXPECT_LT(OpenFiles(served.pid()), 100);  // some may be of this process, from before the limit
  clients.clear();
  EXPECT_TRUE(Eventually([&] { return StatusOf(served.Ask(Chat(""))) == 200; }, 30s));
  EXPECT_TRUE(Eventually([&] { return OpenFiles(served.pid()) <= before + 2; }, 30s));
  EXPECT_EQ(served.Stop(SIGTERM), 0);
}

// A hundred requests wait for pictures of a server that never answers; texts go on.
TEST(ServeFetches, SlowUrlsHoldUpNobodyElse) {
  const int listening = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(::bind(listening, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(listening, 128), 0);
  ::getsockname(listening, reinterpret_cast<sockaddr*>(&address), &size);
  const std::string url = "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port)) + "/a.png";
  ServedProcess served(INGOT_PROGRAM,
                       {kModel, "--served-model-name", "tiny", "--max-model-len", "512",
                        "--allow-private-media-addresses", "--disable-log-stats"},
                       std::filesystem::temp_directory_path() / "ingot_serve_fetch_test");
  ASSERT_NE(served.port(), 0) << served.log();
  const int files = OpenFiles(served.pid());
  std::vector<RawClient> slow;
  for (int i = 0; i < 100; ++i) {
    slow.emplace_back(served.port());
    slow.back().Send(Chat("", Picture(url)));
  }
  for (int i = 0; i < 20; ++i) EXPECT_EQ(StatusOf(served.Ask(Chat(""), 4s)), 200) << i;
  int refused = 0;   // beyond the places to wait
  int given_up = 0;  // the time limit of fetches
  for (RawClient& client : slow) {
    const int status = StatusOf(client.Receive("\r\n\r\n", given_up == 0 ? 15s : 10ms));
    refused += status == 503;
    given_up += status == 400;
  }
  EXPECT_GE(refused, 20);
  EXPECT_LE(refused, 40);
  EXPECT_GE(given_up, 1);
  slow.clear();
  ::close(listening);  // those that wait fail at once
  EXPECT_TRUE(served.Idle());
  EXPECT_TRUE(Eventually([&] { return OpenFiles(served.pid()) <= files + 2; }, 30s));
  EXPECT_EQ(served.Stop(SIGTERM), 0);
}

// Sixty-four requests where there is room for a few: all end as asked, later ones are not starved.
TEST(ServePages, SixtyFourOnPagesForAFew) {
  ServedProcess served(INGOT_PROGRAM,
                       {kModel, "--served-model-name", "tiny", "--max-model-len", "768",
                        "--kv-cache-memory-bytes", "2MiB", "--disable-log-stats"},
                       std::filesystem::temp_directory_path() / "ingot_serve_pages_test");
  ASSERT_NE(served.port(), 0) << served.log();
  std::vector<RawClient> clients;
  for (int i = 0; i < 64; ++i) {
    clients.emplace_back(served.port());
    clients.back().Send(Completion("\"max_tokens\":" + std::to_string(200 + i) +
                                   ",\"ignore_eos\":true,\"prompt\":\"" +
                                   Repeat("word ", 20 + 4 * i) + "\""));
  }
  for (int i = 0; i < 64; ++i) {
    const std::string answer = clients[static_cast<size_t>(i)].ReceiveResponse(300s);
    EXPECT_EQ(StatusOf(answer), 200) << answer.substr(0, 300);
    EXPECT_NE(answer.find("\"completion_tokens\":" + std::to_string(200 + i)), std::string::npos);
  }
  EXPECT_GT(served.Metric("vllm:num_preemptions_total"), 0);
  EXPECT_TRUE(served.Idle());
  EXPECT_EQ(served.Stop(SIGTERM), 0);
}

TEST_F(ServeCrowd, MoreThanFits) {
  std::vector<RawClient> clients;
  for (int i = 0; i < 40; ++i) {
    clients.emplace_back(served_->port());
    clients.back().Send(Completion("\"max_tokens\":64,\"ignore_eos\":true,\"prompt\":\"" +
                                   Repeat("word ", 20 + i) + "\""));
  }
  for (RawClient& client : clients) EXPECT_EQ(StatusOf(client.ReceiveResponse(180s)), 200);
}

// A stream of tens of megabytes for a client that takes none of them.
TEST_F(ServeCrowd, AReaderThatNeverReads) {
  const double aborted = served_->Metric("vllm:request_success_total");
  RawClient client(served_->port());
  const int small = 4096;
  ::setsockopt(client.fd(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  client.Send(Chat("\"max_tokens\":900,\"ignore_eos\":true,\"stream\":true,\"n\":32,\"temperature\":1,"
                   "\"logprobs\":true,\"top_logprobs\":20"));
  EXPECT_TRUE(Eventually([&] { return served_->Metric("vllm:num_requests_running") > 0; }));
  EXPECT_TRUE(served_->Idle(90s)) << "the request must be cancelled";
  EXPECT_GT(served_->Metric("vllm:request_success_total"), aborted);
  EXPECT_LT(ResidentKilobytes(served_->pid()), 400 * 1024);
}

TEST_F(ServeCrowd, HalfClosedConnectionsGetTheirAnswer) {
  RawClient client(served_->port());
  client.Send(Chat(""));
  client.HalfClose();
  const int status = StatusOf(client.ReceiveResponse());
  EXPECT_TRUE(status == 200 || status == 0) << status;  // an answer, or treated as having left
  RawClient silent(served_->port());
  silent.HalfClose();
  silent.Receive({}, 15s);
  EXPECT_TRUE(silent.closed());
}

TEST_F(ServeCrowd, LogsCannotBeForged) {
  const std::string evil = "a\\r\\nINFO: forged\\u001b[31m";
  served_->Ask(Post("/v1/chat/completions", R"({"model":")" + evil + R"(","messages":[]})"));
  served_->Ask(Chat("\"user\":\"" + evil + "\",\"request_id\":\"" + evil + "\",\"" + evil + "\":1"));
  served_->Ask(Get("/v1/%0d%0aINFO:%20forged%1b%5b31m"));
  served_->Ask(Get("/health", "X-Request-Id: INFO:\x1b[31m\r\nUser-Agent: \x1b[2J\r\n"));
  for (const std::string& log : {served_->log(), served_->access_log()}) {
    EXPECT_EQ(log.find('\x1b'), std::string::npos);
    EXPECT_EQ(log.find("\nINFO: forged"), std::string::npos);
    EXPECT_EQ(log.find('\r'), std::string::npos);
  }
}

TEST_F(ServeCrowd, OneRequestIdForTwo) {
  const auto ask = [&](const std::string& word) {
    return served_->Ask(Post("/v1/completions",
                             R"({"model":"tiny","max_tokens":200,"ignore_eos":true,"echo":true,)"
                             R"("request_id":"same","prompt":")" + word + "\"}",
                             "X-Request-Id: same\r\n"));
  };
  std::vector<std::future<std::string>> answers;
  for (const char* word : {"red", "blue", "green", "grey"}) {
    answers.push_back(std::async(std::launch::async, ask, word));
  }
  for (const char* word : {"red", "blue", "green", "grey"}) {
    const std::string answer = answers.front().get();
    answers.erase(answers.begin());
    EXPECT_EQ(StatusOf(answer), 200);
    EXPECT_NE(answer.find("\"text\":\"" + std::string(word)), std::string::npos) << word;
  }
}

// A client's name for a picture changes nothing: content decides.
TEST_F(ServeCrowd, PicturesUnderAForeignName) {
  const auto named = [&](int i) {
    return R"([{"type":"image_url","uuid":"mine","image_url":{"url":")" + PictureOf(i) +
           R"("}},{"type":"text","text":"What is this?"}])";
  };
  const auto plain = [&](int i) {
    return R"([{"type":"image_url","image_url":{"url":")" + PictureOf(i) +
           R"("}},{"type":"text","text":"What is this?"}])";
  };
  const std::string first = Said("", plain(1)), second = Said("", plain(2));
  EXPECT_NE(first, second);
  EXPECT_EQ(Said("", named(1)), first);
  EXPECT_EQ(Said("", named(2)), second);
  EXPECT_EQ(Said("", named(1)), first);
}

// Cached prefixes of one tenant are not found by another: neither hits nor answers tell.
TEST_F(ServeCrowd, SaltsKeepTenantsApart) {
  const auto hits = [&] { return served_->Metric("vllm:prefix_cache_hits_total"); };
  const std::string secret = "\"" + Repeat("secret of one tenant ", 40) + "\"";
  const std::string said = Said("\"cache_salt\":\"one\"", secret);
  double before = hits();
  EXPECT_EQ(Said("\"cache_salt\":\"two\"", secret), said);
  EXPECT_EQ(Said("", secret), said);
  EXPECT_EQ(hits(), before);
  EXPECT_EQ(Said("\"cache_salt\":\"one\"", secret), said);
  EXPECT_GT(hits(), before + 64);
  Refused(Chat("\"cache_salt\":\"\""));
  Refused(Chat("\"cache_salt\":\"" + std::string(1 << 20, 's') + "\""));
}

TEST_F(ServeCrowd, ASeedMeansTheSameAmongOthers) {
  const std::string request = Completion(
      R"("max_tokens":60,"ignore_eos":true,"temperature":1.1,"seed":7,"prompt":"What is")");
  const auto text = [&] {
    const std::string body = BodyOf(served_->Ask(request));
    return body.substr(body.find("\"choices\""));
  };
  const std::string alone = text();
  std::vector<std::future<std::string>> others;
  for (int i = 0; i < 16; ++i) others.push_back(std::async(std::launch::async, text));
  for (auto& other : others) EXPECT_EQ(other.get(), alone);
}

TEST_F(ServeCrowd, NothingIsAllowed) {
  const std::string ids = BodyOf(served_->Ask(Post("/tokenize", R"({"prompt":"a"})")));
  const size_t at = ids.find("\"tokens\":[") + 10;
  const std::string id = ids.substr(at, ids.find_first_of(",]", at) - at);
  Refused(Completion("\"max_tokens\":3,\"prompt\":\"x\",\"bad_words\":[\"a\"],\"allowed_token_ids\":[" +
                      id + "]"));
  std::string ban;
  for (int i = 0; i < 2048; ++i) ban += "\"" + std::to_string(i) + "\":-100,";
  ban.pop_back();
  Survived(Completion("\"max_tokens\":3,\"prompt\":\"x\",\"logit_bias\":{" + ban + "}"));
}

TEST_F(ServeCrowd, TheEdgeOfTheContext) {
  const auto prompt = [](int n) { return "\"prompt\":[" + Repeat("5,", n - 1) + "5]"; };
  EXPECT_EQ(StatusOf(served_->Ask(Completion("\"max_tokens\":1," + prompt(1023)))), 200);
  EXPECT_EQ(StatusOf(served_->Ask(Completion("\"max_tokens\":2," + prompt(1023)))), 400);
  EXPECT_EQ(StatusOf(served_->Ask(Completion("\"max_tokens\":1," + prompt(1024)))), 400);
  EXPECT_EQ(StatusOf(served_->Ask(Completion("\"max_tokens\":1," + prompt(1025)))), 400);
  // With the tokens of a picture counted.
  const std::string first = served_->Ask(Chat("", Picture(PictureOf(0))));
  const int used = std::atoi(ValueOf(first, "prompt_tokens").c_str());
  ASSERT_GT(used, 20) << first.substr(0, 300);
  const auto asked = [&](int n) {
    return StatusOf(served_->Ask(Chat("\"ignore_eos\":true,\"max_tokens\":" + std::to_string(n),
                                      Picture(PictureOf(0)))));
  };
  EXPECT_EQ(asked(1024 - used), 200);
  EXPECT_EQ(asked(1025 - used), 400);
}

TEST_F(ServeCrowd, AnAnswerInAGrammarThatIsCut) {
  const std::string body = BodyOf(served_->Ask(Chat(
      R"("max_tokens":6,"response_format":{"type":"json_schema","json_schema":{"name":"a","schema":)"
      R"({"type":"object","properties":{"text":{"type":"string","minLength":400}},)"
      R"("required":["text"]}}})")));
  EXPECT_EQ(ValueOf(body, "finish_reason"), "\"length\"") << body.substr(0, 400);
  EXPECT_NE(body.find(R"("content":"{)"), std::string::npos) << body.substr(0, 400);
}

}  // namespace
}  // namespace ingot::server
