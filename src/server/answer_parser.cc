// SPDX-License-Identifier: Apache-2.0
// Formats: vllm-project/vllm: vllm/entrypoints/openai/tool_parsers/hermes_tool_parser.py and
// vllm/reasoning/qwen3_reasoning_parser.py, 0.11.
#include "server/answer_parser.h"

#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>

namespace ingot::server {
namespace {

constexpr std::string_view kThink = "<think>", kThinkEnd = "</think>";
constexpr std::string_view kCall = "<tool_call>", kCallEnd = "</tool_call>";
constexpr std::string_view kBlank = " \t\r\n";

bool IsBlank(char c) { return kBlank.find(c) != std::string_view::npos; }

// Length of the longest end of `text` that is a beginning of `tag` (and not all of it).
size_t TailOf(std::string_view text, std::string_view tag) {
  for (size_t n = std::min(text.size(), tag.size() - 1); n > 0; --n) {
    if (tag.starts_with(text.substr(text.size() - n))) return n;
  }
  return 0;
}

}  // namespace

void ReasoningSplitter::Push(std::string_view text, AnswerDelta* delta, std::string* rest) {
  if (done_) {
    *rest += text;
    return;
  }
  held_ += text;
  if (!inside_ && !begun_) {
    const size_t first = held_.find_first_not_of(kBlank);
    if (first == std::string::npos) return;
    const std::string_view begin = std::string_view(held_).substr(first);
    if (begin.size() < kThink.size() && kThink.starts_with(begin)) return;
    begun_ = true;
    if (!begin.starts_with(kThink)) {
      done_ = true;
      *rest += std::exchange(held_, "");
      return;
    }
    inside_ = true;
    held_.erase(0, first + kThink.size());
  }
  const size_t end = held_.find(kThinkEnd);
  if (end == std::string::npos) {
    const size_t ready = held_.size() - TailOf(held_, kThinkEnd);
    delta->reasoning += held_.substr(0, ready);
    held_.erase(0, ready);
    return;
  }
  delta->reasoning += held_.substr(0, end);
  *rest += held_.substr(end + kThinkEnd.size());
  held_.clear();
  done_ = true;
}

void ReasoningSplitter::Finish(AnswerDelta* delta, std::string* rest) {
  (inside_ && !done_ ? delta->reasoning : *rest) += std::exchange(held_, "");
  done_ = true;
}

size_t CallReader::Push(std::string_view text) {
  size_t at = 0;
  while (at < text.size() && !closed_ && !broken_) {
    raw_ += text[at];
    Byte(text[at++]);
  }
  return at;
}

std::string CallReader::TakeArguments() { return std::exchange(arguments_, ""); }

void CallReader::EndValue() {
  if (key_ == "name") {
    const nlohmann::json parsed = nlohmann::json::parse(value_, nullptr, false);
    broken_ = !parsed.is_string() || parsed.get_ref<const std::string&>().empty();
    if (!broken_) name_ = parsed.get<std::string>();
    has_name_ = !broken_;
  }
  state_ = State::kAfter;
}

void CallReader::Byte(char c) {
  if (state_ != State::kValue && !in_string_ && IsBlank(c)) return;
  switch (state_) {
    case State::kStart:
      broken_ = c != '{';
      state_ = State::kKey;
      return;
    case State::kKey:
      if (in_string_) {
        if (!escaped_ && c == '"') {
          in_string_ = false;
          state_ = State::kColon;
        } else {
          escaped_ = !escaped_ && c == '\\';
          key_ += c;
        }
      } else if (c == '"') {
        in_string_ = true;
        key_.clear();
      } else if (c == '}') {
        closed_ = true;
      } else {
        broken_ = true;
      }
      return;
    case State::kColon:
      broken_ = c != ':';
      state_ = State::kValue;
      value_.clear();
      in_arguments_ = key_ == "arguments" || key_ == "parameters";
      return;
    case State::kValue:
      break;
    case State::kAfter:
      if (c != ',' && c != '}') broken_ = true;
      closed_ = c == '}';
      state_ = State::kKey;
      return;
    case State::kDone:
      return;
  }
  if (!in_string_ && depth_ == 0) {
    if (value_.empty() && IsBlank(c)) return;
    if (!value_.empty() && (c == ',' || c == '}' || IsBlank(c))) {  // a number, true, null
      EndValue();
      if (!IsBlank(c)) Byte(c);
      return;
    }
  }
  value_ += c;
  if (in_arguments_) arguments_ += c;
  if (in_string_) {
    if (!escaped_ && c == '"') in_string_ = false;
    escaped_ = !escaped_ && c == '\\';
  } else if (c == '"') {
    in_string_ = true;
  } else if (c == '{' || c == '[') {
    ++depth_;
  } else if (c == '}' || c == ']') {
    --depth_;
  }
  const bool whole = !in_string_ && depth_ == 0 && (c == '"' || c == '}' || c == ']');
  if (depth_ < 0) broken_ = true;
  if (whole && !broken_) EndValue();
}

namespace {

// What a reader knows that was not told yet, as a delta: the name first.
void Announce(CallReader* call, int64_t index, bool* announced, AnswerDelta* delta) {
  if (!call->has_name()) return;
  ToolCallDelta step;
  step.index = index;
  step.arguments = call->TakeArguments();
  if (!*announced) {
    step.id = NewCallId();
    step.name = call->name();
    *announced = true;
  } else if (step.arguments.empty()) {
    return;
  }
  delta->calls.push_back(std::move(step));
}

// A call without arguments has an empty object of them.
void AddMissingArguments(const CallReader& call, int64_t index, AnswerDelta* delta) {
  const std::string& raw = call.raw();
  if (raw.find("\"arguments\"") != std::string::npos ||
      raw.find("\"parameters\"") != std::string::npos) {
    return;
  }
  if (!delta->calls.empty() && delta->calls.back().index == index) {
    delta->calls.back().arguments += "{}";
  } else {
    delta->calls.push_back({.index = index, .id = "", .name = "", .arguments = "{}"});
  }
}

}  // namespace

void HermesParser::Content(std::string_view text, AnswerDelta* delta) {
  if (next_index_ == 0) delta->content += text;  // what follows a call is no content
}

void HermesParser::Call(AnswerDelta* delta) {
  if (!call_.closed() && !call_.broken()) {
    held_.erase(0, call_.Push(held_));
    if (!call_.broken() || announced_) Announce(&call_, next_index_, &announced_, delta);
    if (call_.closed() && announced_) AddMissingArguments(call_, next_index_, delta);
  }
  const bool no_call = (call_.broken() || (call_.closed() && !call_.has_name())) && !announced_;
  if (no_call) {
    Content(std::string(kCall) + call_.raw(), delta);
    inside_ = false;
    call_ = CallReader();
    return;
  }
  if (!call_.closed() && !call_.broken()) return;
  const size_t end = held_.find(kCallEnd);
  if (end == std::string::npos) {
    held_.erase(0, held_.size() - TailOf(held_, kCallEnd));
    return;
  }
  held_.erase(0, end + kCallEnd.size());
  inside_ = announced_ = false;
  call_ = CallReader();
  ++next_index_;
}

void HermesParser::Push(std::string_view text, AnswerDelta* delta) {
  held_ += text;
  while (!held_.empty()) {
    if (inside_) {
      const size_t before = held_.size();
      Call(delta);
      if (inside_ && (held_.size() == before || held_.empty())) return;
      if (inside_ && !call_.closed() && !call_.broken()) return;
      continue;
    }
    const size_t begin = held_.find(kCall);
    if (begin == std::string::npos) {
      const size_t ready = held_.size() - TailOf(held_, kCall);
      Content(std::string_view(held_).substr(0, ready), delta);
      held_.erase(0, ready);
      return;
    }
    Content(std::string_view(held_).substr(0, begin), delta);
    held_.erase(0, begin + kCall.size());
    inside_ = true;
  }
}

void HermesParser::Finish(AnswerDelta* delta) {
  if (!inside_) {
    Content(std::exchange(held_, ""), delta);
  } else if (!announced_) {
    Content(std::string(kCall) + call_.raw() + std::exchange(held_, ""), delta);
  } else {
    ++next_index_;
  }
  inside_ = announced_ = false;
}

void CallListParser::Push(std::string_view text, AnswerDelta* delta) {
  while (!text.empty()) {
    if (!inside_) {
      const size_t begin = text.find('{');
      if (begin == std::string_view::npos) return;
      text.remove_prefix(begin);
      inside_ = true;
      call_ = CallReader();
      announced_ = false;
    }
    text.remove_prefix(call_.Push(text));
    Announce(&call_, next_index_, &announced_, delta);
    if (call_.broken()) return;
    if (!call_.closed()) continue;
    inside_ = false;
    if (!announced_) continue;
    AddMissingArguments(call_, next_index_, delta);
    ++next_index_;
  }
}

AnswerParser::AnswerParser(AnswerParserOptions options)
    : options_(std::move(options)), reasoning_(options_.reasoning_open) {}

void AnswerParser::Route(std::string_view text, AnswerDelta* delta) {
  using Kind = ToolChoice::Kind;
  if (text.empty()) return;
  if (!options_.has_tools || options_.tool_choice.kind == Kind::kNone) {
    delta->content += text;
  } else if (options_.tool_choice.kind == Kind::kAuto) {
    hermes_.Push(text, delta);
  } else if (options_.tool_choice.kind == Kind::kRequired) {
    list_.Push(text, delta);
  } else {
    ToolCallDelta step;
    step.arguments = text;
    if (!named_begun_) {
      step.id = NewCallId();
      step.name = options_.tool_choice.name;
      named_begun_ = true;
    }
    delta->calls.push_back(std::move(step));
  }
}

void AnswerParser::Filter(AnswerDelta* delta) {
  if (!options_.include_reasoning) delta->reasoning.clear();
  if (!options_.parallel) {
    std::erase_if(delta->calls, [](const ToolCallDelta& call) { return call.index > 0; });
  }
  called_ |= !delta->calls.empty();
}

AnswerDelta AnswerParser::Push(std::string_view text) {
  AnswerDelta delta;
  if (options_.reasoning) {
    std::string rest;
    reasoning_.Push(text, &delta, &rest);
    Route(rest, &delta);
  } else {
    Route(text, &delta);
  }
  Filter(&delta);
  return delta;
}

AnswerDelta AnswerParser::Finish() {
  AnswerDelta delta;
  if (options_.reasoning) {
    std::string rest;
    reasoning_.Finish(&delta, &rest);
    Route(rest, &delta);
  }
  if (options_.has_tools && options_.tool_choice.kind == ToolChoice::Kind::kAuto) {
    hermes_.Finish(&delta);
  }
  Filter(&delta);
  return delta;
}

std::string RandomHex32() {
  std::array<unsigned char, 16> bytes{};
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1) {
    throw std::runtime_error("no random numbers");
  }
  std::string hex;
  for (const unsigned char byte : bytes) hex += fmt::format("{:02x}", byte);
  return hex;
}

std::string NewCallId() { return "chatcmpl-tool-" + RandomHex32(); }

}  // namespace ingot::server
