// SPDX-License-Identifier: Apache-2.0
// The endpoints as a whole: errors, refusals, the small endpoints, several models.
#include "server/api.h"

#include <algorithm>

#include "base/error.h"
#include "server/api_testing.h"

namespace ingot::server {
namespace {

TEST_F(ApiTest, ErrorShapes) {
  json error = ErrorOf(Send("/v1/chat/completions", Chat(R"("model": "other")")), 404);
  EXPECT_EQ(error["type"], "NotFoundError");
  EXPECT_THAT(error["message"].get<std::string>(), HasSubstr("`other`"));
  error = ErrorOf(Send("/v1/chat/completions", "{"), 400);
  EXPECT_EQ(error["type"], "Bad Request");
  error = ErrorOf(Send("/v1/chat/completions", Chat(R"("top_p": 5)")), 400);
  EXPECT_EQ(error["type"], "BadRequestError");
  EXPECT_EQ(error["param"], "top_p");
  HttpRequest form = Post("/v1/completions", "{}");
  form.headers = {{"Content-Type", "text/plain"}};
  error = ErrorOf(Ask(router(), form), 400);
  EXPECT_THAT(error["message"].get<std::string>(), HasSubstr("application/json"));
  error = ErrorOf(Send("/v1/chat/completions", Chat(R"("max_tokens": 600)")), 400);
  EXPECT_THAT(error["message"].get<std::string>(), HasSubstr("maximum context length is 512"));
  std::string words;
  for (int i = 0; i < 700; ++i) words += "word ";
  error = ErrorOf(Send("/v1/completions", json{{"prompt", words}}.dump()), 400);
  EXPECT_THAT(error["message"].get<std::string>(), HasSubstr("maximum context length is 512"));
  EXPECT_EQ(Send("/v1/completions",
                 json{{"prompt", ""}}.dump()).status, 400);
  ErrorOf(Send("/v1/embeddings", "{}"), 501);
}

TEST_F(ApiTest, FullQueueAndDeadEngine) {
  engine_.status = SubmitStatus::kQueueFull;
  const HttpResponse full = Send("/v1/chat/completions", Chat(R"("stream": true)"));
  ErrorOf(full, 429);
  ASSERT_EQ(full.headers.size(), 1u);
  EXPECT_EQ(full.headers[0].name, "Retry-After");
  engine_.status = SubmitStatus::kStopping;
  ErrorOf(Send("/v1/chat/completions", Chat()), 503);
  EXPECT_EQ(Ask(router(), Get("/health")).status, 200);
  engine_.healthy = false;
  ErrorOf(Send("/v1/chat/completions", Chat()), 500);
  EXPECT_EQ(Ask(router(), Get("/health")).status, 503);
}

TEST_F(ApiTest, ErrorsOfTheEngine) {
  engine_.answer = [](const Request&, const EventSink& sink) {
    sink(Say("a"));
    RequestEvent broken;
    broken.error = "numbers went wrong";
    sink(End(std::move(broken), EndReason::kError));
  };
  const json error = ErrorOf(Send("/v1/chat/completions", Chat()), 500);
  EXPECT_EQ(error["type"], "InternalServerError");
  EXPECT_EQ(error["message"], "numbers went wrong");
  const std::vector<json> frames = Frames("/v1/chat/completions", Chat(R"("stream": true)"));
  EXPECT_EQ(frames.back()["error"]["code"], 500);
  engine_.answer = [](const Request&, const EventSink& sink) {
    RequestEvent stuck;
    stuck.error = "no token is allowed";
    stuck.impossible = true;
    sink(End(std::move(stuck), EndReason::kError));
  };
  EXPECT_EQ(ErrorOf(Send("/v1/chat/completions", Chat()), 400)["message"], "no token is allowed");
}

TEST_F(ApiTest, DisconnectCancels) {
  const auto responder = std::make_shared<RecordingResponder>();
  router().Dispatch(Post("/v1/completions", R"({"prompt": ["a", "b"], "stream": true})"), responder);
  responder->Disconnect();
  EXPECT_TRUE(engine_.WaitForCancel(2));
  const json load = json::parse(Ask(router(), Get("/load")).body);
  EXPECT_EQ(load["server_load"], 1);  // until the engine lets go
}

TEST_F(ApiTest, TokenizeAndBack) {
  const json text = Answer("/tokenize", R"({"prompt": "Hello wor", "return_token_strs": true})");
  EXPECT_EQ(text["count"], text["tokens"].size());
  EXPECT_EQ(text["max_model_len"], 512);
  EXPECT_EQ(text["token_strs"].size(), text["tokens"].size());
  const json back = Answer("/detokenize", json{{"tokens", text["tokens"]}}.dump());
  EXPECT_EQ(back["prompt"], "Hello wor");
  const json chat = Answer("/tokenize", R"({"messages": [{"role": "user", "content":
      [{"type": "image_url", "image_url": {"url": "data:none"}}, {"type": "text", "text": "x"}]}]})");
  const int32_t pad = *prompts_.tokenizer().TokenId("<|image_pad|>");
  EXPECT_EQ(std::ranges::count(chat["tokens"].get<std::vector<int32_t>>(), pad), 1);
  ErrorOf(Send("/detokenize", R"({"tokens": [99999999]})"), 400);
  EXPECT_EQ(Ask(router(), Get("/tokenizer_info")).status, 404);
}

TEST_F(ApiTest, SmallEndpoints) {
  const json models = json::parse(Ask(router(), Get("/v1/models")).body);
  EXPECT_EQ(models["object"], "list");
  ASSERT_EQ(models["data"].size(), 2u);
  EXPECT_EQ(models["data"][1]["id"], "alias");
  EXPECT_EQ(models["data"][0]["max_model_len"], 512);
  EXPECT_EQ(models["data"][0]["permission"].size(), 1u);
  EXPECT_EQ(json::parse(Ask(router(), Get("/version")).body)["version"], "1.2.3");
  const json openapi = json::parse(Ask(router(), Get("/openapi.json")).body);
  EXPECT_TRUE(openapi["paths"].contains("/v1/chat/completions"));
  EXPECT_THAT(Ask(router(), Get("/docs")).body, HasSubstr("/v1/chat/completions"));
  const std::string metrics = Ask(router(), Get("/metrics")).body;
  for (const char* line :
       {"vllm:num_requests_running{engine=\"0\",model_name=\"tiny\"} 0",
        "# TYPE vllm:prompt_tokens_total counter",
        "vllm:time_to_first_token_seconds_bucket{engine=\"0\",model_name=\"tiny\",le=\"0.001\"} 0",
        "vllm:request_success_total{engine=\"0\",model_name=\"tiny\",finished_reason=\"stop\"} 0",
        "ingot:model_seconds_total{engine=\"0\",model_name=\"tiny\"} 0",
        "vllm:cache_config_info{"}) {
    EXPECT_THAT(metrics, HasSubstr(line));
  }
  EXPECT_EQ(Ask(router(), Get("/server_info")).status, 404);
}

TEST_F(ApiTest, OptionsThatNameNothingAreRefused) {
  options_.tool_call_parser = "mistral";
  EXPECT_THROW(router(), UserError);
  options_.tool_call_parser = "";
  options_.reasoning_parser = "r1";
  EXPECT_THROW(router(), UserError);
  options_.reasoning_parser = "";
  options_.generation_config = "/nowhere";
  EXPECT_THROW(router(), UserError);
  options_.generation_config = "vllm";
  options_.override_generation_config = R"({"temperature": 0.3, "max_new_tokens": 5})";
  engine_.answer = [](const Request& request, const EventSink& sink) {
    EXPECT_EQ(request.sampling.temperature, 0.3f);
    EXPECT_EQ(request.sampling.max_tokens, 5);
    sink(End(Say("x")));
  };
  Answer("/v1/chat/completions", Chat());
}

class TwoModels : public ApiTest {
 protected:
  TwoModels() {
    other_options_ = options_;
    other_options_->served_names = {"w8a8"};
    other_options_->max_stop_strings = 1;
    for (FakeEngine* engine : {&engine_, &other_engine_}) {
      engine->answer = [](const Request&, const EventSink& sink) { sink(End(Say("x"))); };
    }
  }
};

TEST_F(TwoModels, TheNameOfARequestPicksTheEngine) {
  EXPECT_EQ(Answer("/v1/chat/completions", Chat())["model"], "tiny");
  EXPECT_EQ(Answer("/v1/chat/completions", Chat(R"("model": "alias")"))["model"], "tiny");
  EXPECT_EQ(engine_.requests.size(), 2u);
  EXPECT_EQ(other_engine_.requests.size(), 0u);
  EXPECT_EQ(Answer("/v1/chat/completions", Chat(R"("model": "w8a8")"))["model"], "w8a8");
  EXPECT_EQ(Answer("/v1/completions", R"({"prompt": "a", "model": "w8a8"})")["model"], "w8a8");
  EXPECT_EQ(engine_.requests.size(), 2u);
  EXPECT_EQ(other_engine_.requests.size(), 2u);
  Answer("/tokenize", R"({"prompt": "a", "model": "w8a8"})");
  ErrorOf(Send("/v1/chat/completions", Chat(R"("model": "float")")), 404);
  const json models = json::parse(Ask(router(), Get("/v1/models")).body)["data"];
  ASSERT_EQ(models.size(), 3u);
  EXPECT_EQ(models[2]["id"], "w8a8");
  EXPECT_EQ(models[2]["root"], "w8a8");
}

TEST_F(TwoModels, EachHasItsOwnLimits) {
  const std::string stops = R"("stop": ["a", "b"])";
  Answer("/v1/chat/completions", Chat(stops));
  ErrorOf(Send("/v1/chat/completions", Chat(R"("model": "w8a8", )" + stops)), 400);
}

TEST_F(TwoModels, MetricsAreToldApart) {
  Answer("/v1/chat/completions", Chat(R"("model": "w8a8")"));
  const std::string metrics = Ask(router(), Get("/metrics")).body;
  for (const char* line :
       {"vllm:num_requests_running{engine=\"0\",model_name=\"tiny\"} 0",
        "vllm:num_requests_running{engine=\"1\",model_name=\"w8a8\"} 0",
        "ingot:requests_total{engine=\"0\",model_name=\"tiny\"} 0",
        "ingot:requests_total{engine=\"1\",model_name=\"w8a8\"} 1",
        "vllm:cache_config_info{engine=\"1\","}) {
    EXPECT_THAT(metrics, HasSubstr(line));
  }
  // One family of each name: Prometheus refuses a second.
  const std::string type = "# TYPE vllm:num_requests_running gauge";
  EXPECT_EQ(metrics.find(type), metrics.rfind(type));
}

TEST_F(TwoModels, HealthIsThatOfBoth) {
  EXPECT_EQ(Ask(router(), Get("/health")).status, 200);
  other_engine_.healthy = false;
  EXPECT_EQ(Ask(router(), Get("/health")).status, 503);
  ErrorOf(Send("/v1/chat/completions", Chat(R"("model": "w8a8")")), 500);
  Answer("/v1/chat/completions", Chat());  // the other one still answers
}

TEST_F(TwoModels, ACommonNameIsRefused) {
  other_options_->served_names = {"w8a8", "alias"};
  EXPECT_THROW(router(), UserError);
}

}  // namespace
}  // namespace ingot::server
