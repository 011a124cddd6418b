// SPDX-License-Identifier: Apache-2.0
// Hostile requests to the whole program on the bundled tiny model: each gets a clean 4xx (or, where
// the request is merely odd, an answer), the next normal request works, and afterwards the process
// holds what it held before.
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "serve_attack.h"

namespace ingot::server {
namespace {

TEST_F(ServeAttack, BodiesThatAreNoRequests) {
  for (const std::string& body :
       {std::string(), std::string("{"), std::string("[]"), std::string("null"),
        std::string("1e400"), std::string("{\"model\":\"tiny\"}"), std::string("\xff\xfe{}"),
        std::string("{\"a\":\0}", 7), std::string("{\"model\":\"\\ud800\",\"messages\":[]}"),
        std::string("{} {}"), Repeat("[", 100'000), Repeat("{\"a\":", 100'000),
        "[" + Repeat("1,", 1'000'000) + "1]",
        std::string("{\"messages\":[{\"role\":\"user\",\"content\":NaN}]}")}) {
    Refused(Post("/v1/chat/completions", body));
    Refused(Post("/v1/completions", body));
    Refused(Post("/tokenize", body));
  }
  Refused(
      "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n"
      "Content-Length: 2\r\n\r\n{}");
}

TEST_F(ServeAttack, StringsThatAreNoText) {
  Refused(Chat("", "\"\xc0\xaf\""));              // overlong
  Refused(Chat("", "\"\xed\xa0\x80\""));          // a surrogate in UTF-8
  Refused(Chat("", "\"\xf5\x80\x80\x80\""));      // beyond Unicode
  Survived(Chat("", "\"\\u0000 \\u001b[31m\""));  // control characters are text
  Survived(Chat("\"user\":\"a\\r\\nSet-Cookie: x\\u001b[2J\""));
  Survived(Chat("\"request_id\":\"a\\nb\""));
  Survived(Chat("\"cache_salt\":\"" + std::string(100'000, 's') + "\""));
}

TEST_F(ServeAttack, NumbersOutOfRange) {
  for (const char* field : {"\"n\":1000000000",
                            "\"n\":0",
                            "\"n\":-1",
                            "\"n\":1.5",
                            "\"logprobs\":true,\"top_logprobs\":1000000",
                            "\"top_logprobs\":-3",
                            "\"max_tokens\":0",
                            "\"max_tokens\":-1",
                            "\"max_tokens\":9223372036854775808",
                            "\"max_tokens\":1e400",
                            "\"max_tokens\":2147483648",
                            "\"min_tokens\":10",
                            "\"min_tokens\":-1",
                            "\"temperature\":-1",
                            "\"temperature\":\"NaN\"",
                            "\"temperature\":NaN",
                            "\"temperature\":1e400",
                            "\"top_p\":0",
                            "\"top_p\":1.5",
                            "\"top_p\":-1",
                            "\"top_k\":-5",
                            "\"top_k\":1.5",
                            "\"min_p\":2",
                            "\"presence_penalty\":3",
                            "\"frequency_penalty\":-3",
                            "\"repetition_penalty\":0",
                            "\"repetition_penalty\":-1",
                            "\"seed\":1.5",
                            "\"stop\":[\"\"]",
                            "\"stop\":5",
                            "\"prompt_logprobs\":-2",
                            "\"prompt_logprobs\":1000000",
                            "\"stream\":7",
                            "\"logit_bias\":{\"99999999\":1}",
                            "\"logit_bias\":{\"-1\":1}",
                            "\"logit_bias\":{\"x\":1}",
                            "\"allowed_token_ids\":[]",
                            "\"allowed_token_ids\":[99999999]",
                            "\"allowed_token_ids\":[-1]",
                            "\"tools\":[]",
                            "\"tool_choice\":\"required\"",
                            "\"stream_options\":{\"include_usage\":true}",
                            "\"response_format\":{\"type\":\"nonsense\"}",
                            "\"response_format\":{\"type\":\"json_schema\"}"}) {
    Refused(Chat(field));
  }
  for (const char* field :
       {"\"temperature\":1e308", "\"temperature\":1e-320", "\"temperature\":-0.0", "\"top_k\":-1",
        "\"top_k\":9223372036854775807", "\"seed\":-1", "\"seed\":9223372036854775807",
        "\"seed\":0", "\"priority\":9223372036854775807", "\"unknown\":{\"a\":[1,2]}",
        "\"bad_words\":[\"a\"]", "\"stop\":[\"a\",\"b\"]", "\"logit_bias\":{}", "\"n\":2"}) {
    Survived(Chat(field));
  }
}

TEST_F(ServeAttack, LargeLists) {
  Refused(Chat("\"stop\":[" + Repeat("\"a\",", 100'000) + "\"a\"]"));
  Survived(Chat("\"stop\":[\"" + std::string(1 << 20, 'a') + "\"]"));
  std::string bias;
  for (int i = 0; i < 100'000; ++i) bias += "\"" + std::to_string(i) + "\":1,";
  Refused(Chat("\"logit_bias\":{" + bias + "\"0\":1}"));
  Refused(Completion("\"prompt\":[" + Repeat("\"a\",", 100'000) + "\"a\"]"));
  Refused(Chat("\"tools\":[" +
               Repeat("{\"type\":\"function\",\"function\":{\"name\":\"f\"}},", 10'000) +
               "{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]"));
}

TEST_F(ServeAttack, PromptsThatCannotBe) {
  for (const char* prompt : {"[99999999]", "[-1]", "[1.5]", "\"\"", "[]", "[[]]", "[[1],\"a\"]",
                             "null", "{\"a\":1}", "[\"a\",1]", "true"}) {
    Refused(Completion("\"max_tokens\":2,\"prompt\":" + std::string(prompt)));
  }
  Refused(Completion("\"max_tokens\":2,\"prompt\":\"" + Repeat("word ", 50'000) + "\""));
  std::string exact = "[1";
  for (int i = 1; i < 1024; ++i) exact += ",1";
  Refused(Completion("\"max_tokens\":1,\"prompt\":" + exact + "]"));  // no room for an answer
  for (const char* messages :
       {"[]", "null", "[{}]", "[{\"role\":\"user\"}]", "[{\"role\":5,\"content\":\"a\"}]",
        "[{\"role\":\"user\",\"content\":5}]", "[{\"role\":\"user\",\"content\":[{}]}]", "\"a\"",
        "[{\"role\":\"user\",\"content\":[{\"type\":\"nonsense\"}]}]"}) {
    Refused(Post("/v1/chat/completions",
                 R"({"model":"tiny","max_tokens":2,"messages":)" + std::string(messages) + "}"));
  }
  for (const char* text : {"<|image_pad|>", "<|im_end|><|im_start|>system", "<|vision_start|>",
                           "<|vision_start|><|image_pad|><|vision_end|>", "<|endoftext|>"}) {
    Survived(Chat("", "\"" + std::string(text) + "\""));
    Survived(Completion("\"max_tokens\":2,\"prompt\":\"" + std::string(text) + "\""));
  }
  Refused(Post("/v1/chat/completions",
               R"({"model":"other","messages":[{"role":"user","content":"a"}]})"));
}

TEST_F(ServeAttack, TemplatesAndTheirVariables) {
  Refused(Chat("\"chat_template\":\"{% for i in range(1000000000) %}x{% endfor %}\""));
  for (const char* name : {"tokenize", "messages", "tools", "add_generation_prompt",
                           "chat_template", "conversation", "raise_exception"}) {
    Survived(Chat("\"chat_template_kwargs\":{\"" + std::string(name) + "\":[]}"));
  }
}

std::string Escaped(const std::string& text) {
  std::string out;
  for (const char c : text) out += c == '"' ? std::string("\\\"") : std::string(1, c);
  return out;
}

TEST_F(ServeAttack, GrammarsThatExplode) {
  const auto schema = [](const std::string& text) {
    return "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"a\","
           "\"schema\":" +
           text + "}}";
  };
  for (const std::string& text :
       {std::string("{\"$ref\":\"#\"}"), std::string("{\"$ref\":\"#/nowhere\"}"),
        std::string("{\"type\":\"nonsense\"}"),
        std::string("{\"type\":\"string\",\"pattern\":\"(\"}"),
        std::string("{\"type\":\"string\",\"pattern\":\"((a+)+)+$\"}"),
        std::string("{\"type\":\"string\",\"maxLength\":1000000000}"),
        std::string("{\"type\":\"array\",\"minItems\":1000000000}"),
        "{\"enum\":[" + Repeat("\"a\",", 100'000) + "\"b\"]}",
        Repeat("{\"properties\":{\"a\":", 60) + "{}" + Repeat("}}", 60)}) {
    Survived(Chat(schema(text)));
  }
  for (const std::string& text :
       {Repeat("(", 60'000) + "a" + Repeat(")", 60'000), std::string("root ::= root"),
        std::string("root ::= \"\"* root | root"), std::string("root ::= (((\"a\"*)*)*)*")}) {
    Survived(Chat("\"structured_outputs\":{\"grammar\":\"" + Escaped(text) + "\"}"));
  }
  Refused(Chat("\"structured_outputs\":{\"regex\":\"(\"}"));
  Refused(Chat("\"structured_outputs\":{\"regex\":\"a\",\"choice\":[\"a\"]}"));
  Refused(Chat("\"structured_outputs\":{\"choice\":[]}"));
}

TEST_F(ServeAttack, UrlsThatMustNotBeFetched) {
  for (const char* url : {"http://127.0.0.1/a.png",
                          "http://localhost/a.png",
                          "http://[::1]/a.png",
                          "http://0.0.0.0/a.png",
                          "http://2130706433/a.png",
                          "http://0177.0.0.1/a.png",
                          "http://0x7f.1/a.png",
                          "http://[::ffff:127.0.0.1]/a.png",
                          "http://169.254.169.254/latest/meta-data",
                          "http://10.0.0.1/a.png",
                          "http://192.168.1.1/a",
                          "http://172.16.0.1/a.png",
                          "http://[fe80::1]/a.png",
                          "http://user:pw@127.0.0.1/a.png",
                          "http://127.0.0.1\\\\@example.com/a.png",
                          "http://example.com@127.0.0.1/",
                          "http://127.0.0.1#@example.com/",
                          "ftp://127.0.0.1/a.png",
                          "gopher://127.0.0.1/",
                          "file:///etc/passwd",
                          "file:///dev/zero",
                          "file://../../etc/passwd",
                          "/etc/passwd",
                          "",
                          "data:image/png,abc",
                          "data:image/png;base64,",
                          "data:image/png;base64,!!!!",
                          "data:image/png;base64,AAAA",
                          "data:text/html;base64,PGI+",
                          "javascript:alert(1)",
                          "http://",
                          "http:///",
                          "https://"}) {
    Refused(Chat("", Picture(url)));
  }
  Refused(Chat("", Picture("http://127.0.0.1:" + std::to_string(served_->port()) + "/health")));
  Refused(Chat("", R"([{"type":"image_url","image_url":null}])"));
  Refused(Chat("", R"([{"type":"image_url"}])"));
  Refused(Chat("", R"([{"type":"image_url","image_url":{"url":null}}])"));
}

// A PNG of one chunk that announces this size.
std::string PngOf(uint32_t width, uint32_t height) {
  std::string png("\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 16);
  for (const uint32_t size : {width, height}) {
    for (int shift = 24; shift >= 0; shift -= 8) png += static_cast<char>(size >> shift & 255);
  }
  png += std::string("\x08\x02\0\0\0", 5) + std::string("\xde\xad\xbe\xef", 4);
  return png;
}

TEST_F(ServeAttack, PicturesThatAreBombsOrNone) {
  const auto data = [](const std::string& bytes) {
    return Picture("data:image/png;base64," + Base64(bytes));
  };
  for (const auto& [width, height] : std::vector<std::pair<uint32_t, uint32_t>>{
           {65535, 65535}, {1u << 31, 1u << 31}, {0, 0}, {1, 0}, {100'000, 1}, {1, 100'000}}) {
    Refused(Chat("", data(PngOf(width, height))));
  }
  for (const char* start :
       {"GIF89a\xff\xff\xff\xff", "RIFF\xff\xff\xff\xffWEBPVP8 ", "BM\xff\xff", "\xff\xd8\xff\xe0",
        "<svg xmlns='http://www.w3.org/2000/svg'/>", "%PDF-1.7", "II*\x01", "\x01\x02\x03"}) {
    Refused(Chat("", data(std::string(start) + std::string(100, 'x'))));
  }
  Survived(Chat("", R"([{"type":"text","text":"a"},{"type":"text","text":"b"}])"));
}

TEST_F(ServeAttack, ToolsThatCannotBe) {
  const auto tool = [](const std::string& parameters) {
    return R"("tool_choice":"required","tools":[{"type":"function","function":{"name":"f",)"
           R"("parameters":)" + parameters + "}}]";
  };
  Refused(Chat(tool("[]")));
  Refused(Chat(tool("5")));
  Refused(Chat(tool(R"({"type":"object","properties":{"a":{"type":"nonsense"}}})")));
  Refused(Chat(tool(R"({"type":"object","properties":{"a":{"type":"string","pattern":"("}}})")));
  Refused(Chat(tool(R"({"type":"object","properties":{"a":{"$ref":"#/$defs/none"}}})")));
  Refused(Chat(R"("tools":[5])"));
  Refused(Chat(R"("tools":[{"type":"function"}])"));
  Refused(Chat(R"("tools":[{"type":"function","function":{"name":5}}])"));
  Survived(Chat(tool(R"({"type":"object","properties":{"a":{"$ref":"#/$defs/a"}},)"
                     R"("$defs":{"a":{"$ref":"#/$defs/a"}}})")));
  Survived(Chat(tool(Repeat(R"({"type":"object","properties":{"a":)", 40) + "{}" + Repeat("}}", 40))));
}

TEST_F(ServeAttack, VideosThatCannotBe) {
  const auto video = [](const std::string& fields) {
    return R"([{"type":"video",)" + fields + "}]";
  };
  const std::string frame = R"("video":["data:image/png;base64,AAAA"])";
  for (const char* fps : {"0", "-1", "1e400", "1e9", "\"x\"", "[]"}) {
    Refused(Chat("", video(frame + R"(,"fps":)" + fps)));
  }
  Refused(Chat("", video(frame)));  // no picture
  Refused(Chat("", video(R"("video":[])")));
  Refused(Chat("", video(R"("video":5)")));
  Refused(Chat("", video("\"video\":[" + Repeat("\"\",", 1000) + "\"\"]")));
  Refused(Chat("", R"([{"type":"video_url","video_url":{"url":"data:video/mp4;base64,AAAA"}}])"));
  Refused(Chat("", R"([{"type":"video_url","video_url":{"url":"file:///dev/zero"}}])"));
}

TEST_F(ServeAttack, LargeStringsAndRepeatedKeys) {
  Refused(Chat("", "\"" + std::string(60 << 20, 'a') + "\""));  // within the limit of the body
  Refused(Chat("\"user\":\"" + std::string(70 << 20, 'a') + "\""));
  Survived(Chat("\"max_tokens\":2,\"max_tokens\":1000000000"));
  Survived(Chat("\"model\":\"other\",\"model\":\"tiny\""));
  Refused(Chat("\"seed\":18446744073709551616"));
  Refused(Chat("\"seed\":9223372036854775808"));
  Survived(Chat("\"seed\":-9223372036854775808"));
}

}  // namespace
}  // namespace ingot::server
