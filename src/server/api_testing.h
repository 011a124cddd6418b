// SPDX-License-Identifier: Apache-2.0
// The endpoints over an engine of a few lines, without sockets and without a model. Test code only.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "checkpoint/config.h"
#include "server/api.h"
#include "server/http_testing.h"

namespace ingot::server {

using nlohmann::json;
using testing::HasSubstr;

// Runs `answer` for each request on a thread of its own; without one it keeps the sink.
class FakeEngine {
 public:
  using Answer = std::function<void(const Request&, const EventSink&)>;

  EnginePort Port() {
    EnginePort port;
    port.submit = [this](Request request, EventSink sink) { return Submit(request, sink); };
    port.cancel = [this](uint64_t ticket) {
      const std::lock_guard lock(mutex_);
      cancelled_.push_back(ticket);
      changed_.notify_all();
    };
    port.stats = [] {
      EngineStats stats;
      stats.histograms = EngineHistograms(512);
      return stats;
    };
    port.healthy = [this] { return healthy; };
    port.reset_prefix_cache = [] { return true; };
    port.reset_picture_cache = [] {};
    port.max_model_len = 512;
    return port;
  }
  ~FakeEngine() { Join(); }
  void Join() {
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
    kept_.clear();  // a stopped engine holds no sinks
  }
  bool WaitForCancel(size_t n) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(10), [&] { return cancelled_.size() >= n; });
  }

  Answer answer;
  SubmitStatus status = SubmitStatus::kAccepted;
  bool healthy = true;
  std::vector<Request> requests;

 private:
  Submitted Submit(Request& request, EventSink& sink) {
    requests.push_back(request);
    if (status != SubmitStatus::kAccepted) return {.status = status};
    if (answer) {
      threads_.emplace_back([this, request, sink] { answer(request, sink); });
    } else {
      kept_.push_back(sink);
    }
    return {.status = SubmitStatus::kAccepted, .ticket = ++tickets_};
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<uint64_t> cancelled_;
  std::vector<std::thread> threads_;
  std::vector<EventSink> kept_;
  uint64_t tickets_ = 0;
};

// An event of one choice with a text; token ids are arbitrary.
inline RequestEvent Say(std::string text, std::vector<int32_t> tokens = {7}, int64_t choice = 0,
                 int64_t completion = 1) {
  RequestEvent event;
  event.choice = choice;
  event.text = std::move(text);
  for (const int32_t token : tokens) {
    event.tokens.push_back(token);
    event.logprobs.push_back(
        {.chosen = {token, -0.5f, 1}, .top = {{token, -0.5f, 1}, {token + 1, -1.5f, 2}}});
  }
  event.usage = {.prompt_tokens = 11, .cached_tokens = 4, .completion_tokens = completion};
  return event;
}
inline RequestEvent End(RequestEvent event, EndReason reason = EndReason::kStop, bool last = true) {
  event.end = reason;
  event.last = last;
  return event;
}

class ApiTest : public testing::Test {
 protected:
  ApiTest() {
    options_.model_dir = dir_;
    options_.served_names = {"tiny", "alias"};
    options_.generation_config = "vllm";
    options_.max_choices = 128;
  }
  ~ApiTest() override {
    engine_.Join();
    other_engine_.Join();
    api_.reset();
  }

  ServedModel Model() const {
    return {.prompts = &prompts_,
            .end_tokens = {*prompts_.tokenizer().TokenId("<|im_end|>")},
            .version = "1.2.3",
            .description = ""};
  }

  Router& router() {
    if (!api_) {
      std::vector<ApiModel> models;
      models.push_back({options_, Model(), engine_.Port()});
      if (other_options_) models.push_back({*other_options_, Model(), other_engine_.Port()});
      api_ = std::make_unique<Api>(std::move(models));
      api_->Register(&router_);
    }
    return router_;
  }
  static HttpRequest Post(const std::string& path, std::string body) {
    HttpRequest request;
    request.method = "POST";
    request.target = request.path = path;
    request.headers = {{"Content-Type", "application/json"}};
    request.body = std::move(body);
    request.request_id = "00ff";
    return request;
  }
  static HttpRequest Get(const std::string& path) {
    HttpRequest request;
    request.method = "GET";
    request.target = request.path = path;
    return request;
  }
  HttpResponse Send(const std::string& path, const std::string& body) {
    return Ask(router(), Post(path, body));
  }
  json Answer(const std::string& path, const std::string& body) {
    const HttpResponse response = Send(path, body);
    EXPECT_EQ(response.status, 200) << response.body;
    return json::parse(response.body);
  }
  // The JSON of each frame; "[DONE]" must be the last one and is left out.
  std::vector<json> Frames(const std::string& path, const std::string& body) {
    const HttpResponse response = Send(path, body);
    EXPECT_EQ(response.status, 200) << response.body;
    EXPECT_THAT(response.content_type, HasSubstr("text/event-stream"));
    std::vector<json> frames;
    size_t at = 0;
    std::string last;
    while (at < response.body.size()) {
      const size_t end = response.body.find("\n\n", at);
      EXPECT_NE(end, std::string::npos);
      last = response.body.substr(at, end - at);
      EXPECT_TRUE(last.starts_with("data: ")) << last;
      EXPECT_EQ(last.find('\n'), std::string::npos);
      if (last != "data: [DONE]") frames.push_back(json::parse(last.substr(6)));
      at = end + 2;
    }
    EXPECT_EQ(last, "data: [DONE]");
    return frames;
  }
  json ErrorOf(const HttpResponse& response, int status) {
    EXPECT_EQ(response.status, status) << response.body;
    const json error = json::parse(response.body)["error"];
    EXPECT_EQ(error["code"], status);
    EXPECT_TRUE(error["message"].is_string());
    EXPECT_TRUE(error["param"].is_string() || error["param"].is_null());
    return error;
  }
  static std::string Chat(const std::string& fields = "") {
    return R"({"messages": [{"role": "user", "content": "Hi"}])" +
           (fields.empty() ? "" : ", " + fields) + "}";
  }

  const std::filesystem::path dir_ =
      std::filesystem::path(INGOT_TEST_DATA) / "models/mini-qwen3-vl";
  const PromptBuilder prompts_{dir_, LoadModelConfig(dir_)};
  ApiOptions options_;
  std::optional<ApiOptions> other_options_;  // set: a second model
  FakeEngine engine_, other_engine_;
  std::unique_ptr<Api> api_;
  Router router_;
};

}  // namespace ingot::server
