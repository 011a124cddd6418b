// SPDX-License-Identifier: Apache-2.0
// The text of an answer, piece by piece, as what a chat client gets: reasoning, content and tool
// calls. Pieces may be cut anywhere; what could be the beginning of a tag is held back until that
// is decided. The same parser serves streams and whole answers.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "server/api_types.h"

namespace ingot::server {

// One step of a tool call: the name comes once and first, then fragments of the arguments (JSON
// text).
struct ToolCallDelta {
  int64_t index = 0;
  std::string id, name;  // only with the first delta of a call
  std::string arguments;
};

struct AnswerDelta {
  std::string reasoning, content;
  std::vector<ToolCallDelta> calls;
  bool empty() const { return reasoning.empty() && content.empty() && calls.empty(); }
};

// Splits off what stands before </think> (Qwen3). Without a closing tag everything is content once
// no tag came at all; a stream cannot wait for that, so text after <think> (or from the start, when
// the prompt ended with it) is reasoning until the closing tag.
class ReasoningSplitter {
 public:
  explicit ReasoningSplitter(bool starts_inside) : inside_(starts_inside) {}
  void Push(std::string_view text, AnswerDelta* delta, std::string* rest);
  void Finish(AnswerDelta* delta, std::string* rest);

 private:
  bool inside_;
  bool begun_ = false;  // something but white space was seen
  bool done_ = false;
  std::string held_;
};

// Reads one {"name": ..., "arguments"|"parameters": {...}} as it grows.
class CallReader {
 public:
  // Takes text until the object is closed; returns how many bytes were its own.
  size_t Push(std::string_view text);
  bool closed() const { return closed_; }
  bool broken() const { return broken_; }
  const std::string& name() const { return name_; }
  bool has_name() const { return has_name_; }
  // Raw JSON text of the arguments so far, without what was taken before.
  std::string TakeArguments();
  const std::string& raw() const { return raw_; }

 private:
  enum class State { kStart, kKey, kColon, kValue, kAfter, kDone };
  void Byte(char c);
  void EndValue();
  State state_ = State::kStart;
  std::string raw_, key_, value_, name_, arguments_;
  int depth_ = 0;          // brackets inside of the value
  bool in_string_ = false, escaped_ = false;
  bool has_name_ = false, closed_ = false, broken_ = false, in_arguments_ = false;
};

// Hermes: <tool_call>\n{"name": ..., "arguments": {...}}\n</tool_call>, any number, text before the
// first. What is no call after all becomes content.
class HermesParser {
 public:
  void Push(std::string_view text, AnswerDelta* delta);
  void Finish(AnswerDelta* delta);
  int64_t calls() const { return next_index_; }

 private:
  void Content(std::string_view text, AnswerDelta* delta);
  void Call(AnswerDelta* delta);
  bool inside_ = false, announced_ = false;
  std::string held_;
  CallReader call_;
  int64_t next_index_ = 0;
  bool content_begun_ = false;
};

// tool_choice "required": a JSON list of {"name", "parameters"}.
class CallListParser {
 public:
  void Push(std::string_view text, AnswerDelta* delta);
  int64_t calls() const { return next_index_; }

 private:
  bool inside_ = false, announced_ = false;
  CallReader call_;
  int64_t next_index_ = 0;
};

struct AnswerParserOptions {
  bool reasoning = false;         // --reasoning-parser qwen3
  bool include_reasoning = true;  // false: it is dropped
  bool reasoning_open = false;    // the prompt ends inside of <think>
  ToolChoice tool_choice;         // kAuto: Hermes
  bool has_tools = false;
  bool parallel = true;           // false: only the first call is kept
};

class AnswerParser {
 public:
  explicit AnswerParser(AnswerParserOptions options);
  AnswerDelta Push(std::string_view text);
  AnswerDelta Finish();
  bool called() const { return called_; }

 private:
  void Route(std::string_view text, AnswerDelta* delta);
  void Filter(AnswerDelta* delta);
  AnswerParserOptions options_;
  ReasoningSplitter reasoning_;
  HermesParser hermes_;
  CallListParser list_;
  bool named_begun_ = false, called_ = false;
};

// "chatcmpl-tool-" and 32 hex digits, as vLLM names calls.
std::string NewCallId();
// 32 hex digits that nobody can guess.
std::string RandomHex32();

}  // namespace ingot::server
