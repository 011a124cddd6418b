// SPDX-License-Identifier: Apache-2.0
#include "server/request_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "server/api_error.h"

namespace ingot::server {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

ParseLimits Limits() {
  ParseLimits limits;
  limits.vocab = 2000;
  return limits;
}

// A chat body with further fields: Chat(R"("n": 2)").
std::string Chat(const std::string& fields = "") {
  return R"({"model": "m", "messages": [{"role": "user", "content": "Hi"}])" +
         (fields.empty() ? "" : ", " + fields) + "}";
}
std::string Completion(const std::string& fields = "") {
  return R"({"prompt": "Hi")" + (fields.empty() ? "" : ", " + fields) + "}";
}

struct Refused {
  int status = 200;
  std::string type, param, message;
};

template <typename Body>
Refused RefusalOf(const Body& body) {
  try {
    body();
  } catch (const ApiError& error) {
    return {error.status(), error.type(), error.param(), error.what()};
  }
  return {};
}

Refused RefusedChat(const std::string& body) {
  return RefusalOf([&] { ParseChatRequest(body, Limits()); });
}
Refused RefusedCompletion(const std::string& body) {
  return RefusalOf([&] { ParseCompletionRequest(body, Limits()); });
}

TEST(ChatRequest, DefaultsAreThoseOfVllm) {
  const ChatRequest request = ParseChatRequest(Chat(), Limits());
  const RequestSampling& sampling = request.common.sampling;
  EXPECT_EQ(request.common.model, "m");
  EXPECT_EQ(sampling.temperature, 1.0f);
  EXPECT_EQ(sampling.top_p, 1.0f);
  EXPECT_EQ(sampling.top_k, 0);
  EXPECT_EQ(sampling.repetition_penalty, 1.0f);
  EXPECT_FALSE(sampling.max_tokens);
  EXPECT_FALSE(sampling.seed);
  EXPECT_FALSE(sampling.logprobs);
  EXPECT_TRUE(sampling.skip_special_tokens);
  EXPECT_EQ(request.common.n, 1);
  EXPECT_FALSE(request.common.stream);
  EXPECT_TRUE(request.prompt.add_generation_prompt);
  EXPECT_EQ(request.tool_choice.kind, ToolChoice::Kind::kNone);
  EXPECT_EQ(request.common.structured.kind, StructuredOutput::Kind::kNone);
}

TEST(ChatRequest, ServerDefaultsFillWhatIsAbsent) {
  ParseLimits limits = Limits();
  limits.defaults = {.temperature = 0.7f, .top_p = 0.8f, .repetition_penalty = 1.05f, .top_k = 20};
  ChatRequest request = ParseChatRequest(Chat(R"("top_k": null)"), limits);
  EXPECT_EQ(request.common.sampling.temperature, 0.7f);
  EXPECT_EQ(request.common.sampling.top_k, 20);
  request = ParseChatRequest(Chat(R"("temperature": 0, "top_k": -1)"), limits);
  EXPECT_EQ(request.common.sampling.temperature, 0.0f);
  EXPECT_EQ(request.common.sampling.top_k, -1);
  EXPECT_EQ(request.common.sampling.top_p, 0.8f);
}

TEST(ChatRequest, FieldsArrive) {
  const ChatRequest request = ParseChatRequest(
      Chat(R"("max_tokens": 5, "max_completion_tokens": 7, "n": 3, "seed": -4, "stop": "END",
              "stop_token_ids": [1, 2], "logprobs": true, "top_logprobs": 4, "stream": true,
              "stream_options": {"continuous_usage_stats": true}, "logit_bias": {"17": -200},
              "min_tokens": 2, "bad_words": ["x"], "cache_salt": "s", "user": "u", "unknown": {})"),
      Limits());
  const RequestSampling& sampling = request.common.sampling;
  EXPECT_EQ(sampling.max_tokens, 7);
  EXPECT_EQ(request.common.n, 3);
  EXPECT_EQ(sampling.seed, static_cast<uint64_t>(-4));
  EXPECT_THAT(sampling.stop, ElementsAre("END"));
  EXPECT_THAT(sampling.stop_token_ids, ElementsAre(1, 2));
  EXPECT_EQ(sampling.logprobs, 4);
  EXPECT_TRUE(request.common.stream_options.include_usage);
  EXPECT_TRUE(request.common.stream_options.continuous_usage);
  EXPECT_THAT(sampling.logit_bias, ElementsAre(std::pair<int32_t, float>(17, -100.0f)));
  EXPECT_EQ(request.common.cache_salt, "s");
}

TEST(ChatRequest, ContentIsTextOrParts) {
  const ChatRequest request = ParseChatRequest(R"({"messages": [
    {"role": "developer", "content": "Be kind."},
    {"role": "user", "content": [{"type": "text", "text": "a"},
       {"type": "image_url", "image_url": {"url": "data:x", "detail": "low"}, "uuid": "u1"},
       {"type": "image_url", "image_url": "data:y"}, {"image_url": {"url": "data:z"}}, "plain",
       {"type": "video_url", "video_url": {"url": "file:///v"}},
       {"type": "video", "video": ["data:1", "data:2"], "fps": 4}]},
    {"role": "assistant", "content": null, "tool_calls": [{"id": "c1", "type": "function",
       "function": {"name": "f", "arguments": "{\"x\": 1.50}"}}]},
    {"role": "tool", "tool_call_id": "c1", "content": "42"}]})",
                                               Limits());
  ASSERT_EQ(request.messages.size(), 4u);
  EXPECT_EQ(request.messages[0].role, "system");
  const std::vector<MediaPart>& parts = request.messages[1].parts;
  ASSERT_EQ(parts.size(), 7u);
  EXPECT_EQ(parts[1].url, "data:x");
  EXPECT_EQ(parts[2].url, "data:y");
  EXPECT_EQ(parts[3].kind, MediaPart::Kind::kImage);
  EXPECT_EQ(parts[4].text, "plain");
  EXPECT_EQ(parts[5].kind, MediaPart::Kind::kVideo);
  EXPECT_THAT(parts[6].frames, ElementsAre("data:1", "data:2"));
  EXPECT_EQ(parts[6].fps, 4);
  EXPECT_EQ(request.messages[2].extra_json,
            R"({"tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", )"
            R"("arguments": {"x": 1.5}}}]})");
  EXPECT_EQ(request.messages[3].extra_json, R"({"tool_call_id": "c1"})");
}

TEST(ChatRequest, ToolsAsTemplatesSeeThem) {
  const std::string tool =
      R"({"type": "function", "function": {"parameters": {"b": 1, "a": 2}, "name": "f", "strict": true}})";
  const ChatRequest request = ParseChatRequest(Chat("\"tools\": [" + tool + "]"), Limits());
  EXPECT_EQ(request.tool_choice.kind, ToolChoice::Kind::kAuto);
  EXPECT_EQ(request.prompt.tools_json,
            R"([{"type": "function", "function": {"name": "f", "description": null, )"
            R"("parameters": {"b": 1, "a": 2}, "strict": true}}])");
  const auto choice = [&](const std::string& value) {
    return ParseChatRequest(Chat("\"tools\": [" + tool + "], \"tool_choice\": " + value), Limits())
        .tool_choice;
  };
  EXPECT_EQ(choice("\"none\"").kind, ToolChoice::Kind::kNone);
  EXPECT_EQ(choice("\"required\"").kind, ToolChoice::Kind::kRequired);
  EXPECT_EQ(choice(R"({"type": "function", "function": {"name": "f"}})").name, "f");
  EXPECT_THAT(RefusedChat(Chat(R"("tool_choice": "auto")")).message, HasSubstr("tools must be set"));
  EXPECT_EQ(RefusedChat(Chat("\"tools\": [" + tool + R"(], "tool_choice": "f")")).param,
            "tool_choice");
  EXPECT_EQ(RefusedChat(Chat("\"tools\": [" + tool +
                             R"(], "tool_choice": {"function": {"name": "g"}})"))
                .param,
            "tool_choice");
  EXPECT_EQ(RefusedChat(Chat(R"("tools": [], "tool_choice": "auto")")).param, "tools");
}

TEST(ChatRequest, StructuredOutputKinds) {
  using Kind = StructuredOutput::Kind;
  const auto kind = [](const std::string& fields) {
    return ParseChatRequest(Chat(fields), Limits()).common.structured;
  };
  EXPECT_EQ(kind(R"("response_format": {"type": "text"})").kind, Kind::kNone);
  EXPECT_EQ(kind(R"("response_format": {"type": "json_object"})").kind, Kind::kJsonObject);
  const StructuredOutput schema = kind(
      R"("response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"b": 1, "a": 2}}})");
  EXPECT_EQ(schema.kind, Kind::kJsonSchema);
  EXPECT_EQ(schema.text, R"({"b":1,"a":2})");
  EXPECT_EQ(kind(R"("structured_outputs": {"regex": "a+"})").text, "a+");
  EXPECT_EQ(kind(R"("guided_json": "{}")").text, "{}");
  EXPECT_THAT(kind(R"("guided_choice": ["a", "b"])").choices, ElementsAre("a", "b"));
  EXPECT_EQ(kind(R"("guided_grammar": "start: \"a\"")").kind, Kind::kGrammar);
  EXPECT_EQ(RefusedChat(Chat(R"("guided_regex": "a", "guided_choice": ["b"])")).status, 400);
  EXPECT_EQ(RefusedChat(Chat(R"("guided_choice": [])")).status, 400);
  EXPECT_EQ(RefusedChat(Chat(R"("response_format": {"type": "xml"})")).param,
            "response_format.type");
  EXPECT_EQ(RefusedChat(Chat(R"("response_format": {"type": "json_schema"})")).param,
            "response_format.json_schema");
}

TEST(ChatRequest, RangesAreThoseOfVllm) {
  for (const char* good :
       {R"("temperature": 2.5)", R"("top_p": 1)", R"("top_k": 0)", R"("min_p": 1)",
        R"("presence_penalty": -2)", R"("n": 1, "temperature": 0)", R"("max_tokens": 1)",
        R"("n": null)", R"("stop": [])", R"("seed": 9223372036854775807)",
        R"("stream_options": {})"}) {
    EXPECT_EQ(RefusedChat(Chat(good)).status, 200) << good << RefusedChat(Chat(good)).message;
  }
  const std::pair<const char*, const char*> bad[] = {
      {R"("temperature": -1)", "temperature"},
      {R"("temperature": "hot")", "temperature"},
      {R"("top_p": 0)", "top_p"},
      {R"("top_p": 1.1)", "top_p"},
      {R"("top_k": -5)", "top_k"},
      {R"("min_p": 2)", "min_p"},
      {R"("presence_penalty": 2.1)", "presence_penalty"},
      {R"("frequency_penalty": -3)", "frequency_penalty"},
      {R"("repetition_penalty": 0)", "repetition_penalty"},
      {R"("n": 0)", "n"},
      {R"("n": 1000000000)", "n"},
      {R"("n": 2, "temperature": 0)", "n"},
      {R"("best_of": 2)", "best_of"},
      {R"("max_tokens": 0)", "max_tokens"},
      {R"("max_completion_tokens": -1)", "max_completion_tokens"},
      {R"("max_tokens": 1.5)", "max_tokens"},
      {R"("max_tokens": 18446744073709551616)", "max_tokens"},
      {R"("min_tokens": 5, "max_tokens": 4)", "min_tokens"},
      {R"("min_tokens": -1)", "min_tokens"},
      {R"("stop": [""])", "stop"},
      {R"("stop": 5)", "stop"},
      {R"("stop_token_ids": [2000])", "stop_token_ids"},
      {R"("stop_token_ids": [-1])", "stop_token_ids"},
      {R"("allowed_token_ids": [])", "allowed_token_ids"},
      {R"("logit_bias": {"x": 1})", "logit_bias"},
      {R"("logit_bias": {"99999": 1})", "logit_bias"},
      {R"("top_logprobs": 3)", "top_logprobs"},
      {R"("logprobs": true, "top_logprobs": 1000000)", "top_logprobs"},
      {R"("prompt_logprobs": 2, "stream": true)", "prompt_logprobs"},
      {R"("stream_options": {"include_usage": true})", "stream_options"},
      {R"("continue_final_message": true, "add_generation_prompt": true)", "continue_final_message"},
      {R"("chat_template_kwargs": {"messages": []})", "chat_template_kwargs"},
      {R"("cache_salt": "")", "cache_salt"},
      {R"("priority": 1)", "priority"},
      {R"("logits_processors": ["x"])", "logits_processors"},
      {R"("use_beam_search": true)", "use_beam_search"},
      {R"("truncate_prompt_tokens": 0)", "truncate_prompt_tokens"},
  };
  for (const auto& [fields, param] : bad) {
    const Refused refused = RefusedChat(Chat(fields));
    EXPECT_GE(refused.status, 400) << fields;
    EXPECT_EQ(refused.param, param) << fields;
    EXPECT_FALSE(refused.message.empty()) << fields;
  }
}

TEST(ChatRequest, BrokenBodiesAreRefused) {
  for (const std::string& body :
       {std::string(), std::string("[]"), std::string("{"), std::string("null"),
        std::string("{\"messages\": \"x\"}"), std::string("{\"messages\": []}"),
        std::string("{\"messages\": [{\"role\": \"king\", \"content\": \"\"}]}"),
        std::string("{\"messages\": [{\"role\": \"user\"}]}"), std::string("{\"a\": NaN}"),
        std::string("{\"a\": 1e400}"), std::string("{\"a\": \"\\ud800\"}"),
        std::string("{\"a\": \"\xff\"}"), std::string("{\"a\": \"\xc0\xaf\"}"),
        std::string(200, '['), std::string(100'000, '['),
        std::string("{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"image_url\", "
                    "\"image_url\": null}]}]}")}) {
    EXPECT_EQ(RefusedChat(body).status, 400) << body.substr(0, 60);
  }
  std::string many = "{";
  for (int i = 0; i < 5000; ++i) many += "\"k" + std::to_string(i) + "\": 1,";
  EXPECT_THAT(RefusedChat(many + "\"z\": 1}").message, HasSubstr("more keys"));
}

TEST(CompletionRequest, PromptForms) {
  const auto prompts = [](const std::string& prompt) {
    return ParseCompletionRequest("{\"prompt\": " + prompt + "}", Limits()).prompts;
  };
  EXPECT_EQ(std::get<0>(prompts("\"a\"")[0]), "a");
  EXPECT_EQ(prompts(R"(["a", "b"])").size(), 2u);
  EXPECT_THAT(std::get<1>(prompts("[1, 2]")[0]), ElementsAre(1, 2));
  EXPECT_EQ(prompts("[[1], [2, 3]]").size(), 2u);
  for (const char* bad : {"[]", "7", "[1, \"a\"]", "[\"a\", 1]", "[[1], \"a\"]", "[-1]", "[2000]",
                          "[[2000]]", "null", "[1.5]"}) {
    EXPECT_EQ(RefusedCompletion(std::string("{\"prompt\": ") + bad + "}").status, 400) << bad;
  }
  EXPECT_EQ(RefusedCompletion("{}").param, "prompt");
  EXPECT_EQ(RefusedCompletion(R"({"prompt_embeds": "AAAA"})").param, "prompt_embeds");
}

TEST(CompletionRequest, LogLikelihoodOfEvaluations) {
  const CompletionRequest request = ParseCompletionRequest(
      R"({"prompt": [[1, 2, 3]], "max_tokens": 0, "logprobs": 1, "echo": true, "temperature": 0})",
      Limits());
  EXPECT_EQ(request.common.sampling.max_tokens, 0);
  EXPECT_EQ(request.common.sampling.logprobs, 1);
  EXPECT_EQ(request.common.sampling.prompt_logprobs, 1);
  EXPECT_EQ(ParseCompletionRequest(Completion(), Limits()).common.sampling.max_tokens, 16);
  EXPECT_EQ(RefusedCompletion(Completion(R"("max_tokens": 0)")).param, "max_tokens");
  EXPECT_EQ(RefusedCompletion(Completion(R"("suffix": "x")")).param, "suffix");
  EXPECT_EQ(RefusedCompletion(Completion(R"("logprobs": 21)")).param, "logprobs");
}

TEST(WithoutPaths, KeepsNamesAlone) {
  EXPECT_EQ(WithoutPaths("/a/b/chat_template.json: refused (see /tmp/x)"),
            "chat_template.json: refused (see x)");
  EXPECT_EQ(WithoutPaths("1/2 of text/plain / done"), "1/2 of text/plain / done");
}

}  // namespace
}  // namespace ingot::server
