// SPDX-License-Identifier: Apache-2.0
// libFuzzer target: bodies of requests. The first line names the endpoint, the rest is the body; it
// becomes a request within the limits or is refused with an ApiError of 400 to 499 or 501.
#include <map>
#include <string>

#include "fuzz.h"
#include "server/api_error.h"
#include "server/request_json.h"

namespace {

using namespace ingot::server;  // NOLINT
using ingot::fuzz::Require;

constexpr int64_t kVocab = 2048;

ParseLimits Limits() {
  ParseLimits limits;
  limits.vocab = kVocab;
  return limits;
}

void CheckCommon(const CommonFields& common) {
  Require(common.n >= 1 && common.n <= Limits().max_choices, "n is within its limit");
  Require(!(common.sampling.temperature < 0), "temperature is not negative");
}

void ReadChat(std::string_view body) {
  const ChatRequest request = ParseChatRequest(body, Limits());
  CheckCommon(request.common);
  for (const ChatMessage& message : request.messages) Require(!message.role.empty(), "a role");
}

void ReadCompletion(std::string_view body) {
  const CompletionRequest request = ParseCompletionRequest(body, Limits());
  CheckCommon(request.common);
  Require(!request.prompts.empty(), "a prompt");
  for (const CompletionPrompt& prompt : request.prompts) {
    const auto* ids = std::get_if<std::vector<int32_t>>(&prompt);
    if (ids == nullptr) continue;
    for (const int32_t id : *ids)
      Require(id >= 0 && id < kVocab, "token ids are in the vocabulary");
  }
}

using Reader = void (*)(std::string_view);
const std::map<std::string, Reader, std::less<>> kReaders = {
    {"chat", ReadChat},
    {"completions", ReadCompletion},
    {"tokenize", [](std::string_view body) { ParseTokenizeRequest(body); }},
    {"detokenize", [](std::string_view body) { ParseDetokenizeRequest(body); }},
    {"any", [](std::string_view body) { KindOfBody(body); }},
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto [endpoint, body] = ingot::fuzz::SplitFirstLine(ingot::fuzz::AsText(data, size));
  const auto reader = kReaders.find(endpoint);
  if (reader == kReaders.end()) return -1;  // not kept in the corpus
  try {
    reader->second(body);
  } catch (const ApiError& error) {
    Require((error.status() >= 400 && error.status() < 500) || error.status() == 501,
            std::string("a refusal is the client's: ") + error.what());
    Require(error.what()[0] != '\0', "a refusal says why");
  }
  return 0;
}
