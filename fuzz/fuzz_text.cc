// SPDX-License-Identifier: Apache-2.0
// libFuzzer target: what crosses the border to the Rust crate of text/. The first line says what
// the rest is: text of a person, messages for the chat template, a template, a tokenizer file or a
// grammar. Nothing gets through the border but UserError and FormatError.
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "base/error.h"
#include "fuzz.h"
#include "text/chat_template.h"
#include "text/grammar.h"
#include "text/tokenizer.h"

namespace {

namespace fs = std::filesystem;
using namespace ingot;  // NOLINT
using fuzz::Require;

const fs::path kModel = INGOT_FUZZ_MODEL;

const Tokenizer& ModelTokenizer() {
  static const Tokenizer tokenizer(kModel);
  return tokenizer;
}

void RequireNoControl(const std::vector<int32_t>& ids, const Tokenizer& tokenizer) {
  for (const int32_t id : ids) {
    Require(id >= 0 && id < tokenizer.vocab_size(), "ids are in the vocabulary");
    Require(!tokenizer.IsSpecial(id), "text of a person makes no control token");
  }
}

// Whole or streamed, ids become the same text.
void ReadText(std::string_view text) {
  const Tokenizer& tokenizer = ModelTokenizer();
  const std::vector<int32_t> ids = tokenizer.EncodeUser(text);
  RequireNoControl(ids, tokenizer);
  const std::string decoded = tokenizer.Decode(ids, false);
  StreamDecoder stream(tokenizer, false);
  std::string streamed;
  for (const int32_t id : ids) streamed += stream.Push(id);
  streamed += stream.Finish();
  Require(streamed == decoded, "a stream of ids has the text of all ids");
  tokenizer.EncodeTrusted(text);
}

// Any bytes as ids.
void ReadIds(std::string_view bytes) {
  std::vector<int32_t> ids;
  for (size_t i = 0; i + 2 <= bytes.size(); i += 2) {
    ids.push_back(static_cast<unsigned char>(bytes[i]) << 8 |
                  static_cast<unsigned char>(bytes[i + 1]));
  }
  const Tokenizer& tokenizer = ModelTokenizer();
  StreamDecoder stream(tokenizer);
  std::string streamed;
  for (const int32_t id : ids) streamed += stream.Push(id);
  streamed += stream.Finish();
  Require(streamed == tokenizer.Decode(ids, true), "a stream of ids has the text of all ids");
  for (const int32_t id : ids) tokenizer.TokenBytes(id);
}

void Render(const ChatTemplate& chat, std::string_view messages) {
  const RenderResult result = chat.Render(messages);
  std::string joined;
  std::vector<TextSegment> untrusted;
  for (const TextSegment& segment : result.segments) {
    joined += segment.text;
    if (!segment.trusted)
      RequireNoControl(ModelTokenizer().Encode({&segment, 1}), ModelTokenizer());
  }
  Require(joined == result.text, "segments make up the text");
}

void ReadMessages(std::string_view messages) {
  static const ChatTemplate chat(kModel, ModelTokenizer());
  Render(chat, messages);
}

void ReadTemplate(std::string_view source) {
  Render(
      ChatTemplate("fuzz.jinja", std::string(source), ModelTokenizer()),
      R"([{"role": "user", "content": "Hi <|im_start|>"}, {"role": "assistant", "content": "x"}])");
}

void ReadTokenizer(std::string_view json) {
  static const fs::path dir = [] {
    const fs::path base = fs::exists("/dev/shm") ? "/dev/shm" : fs::temp_directory_path();
    const fs::path path = base / ("ingot-fuzz-text-" + std::to_string(getpid()));
    fs::create_directories(path);
    return path;
  }();
  std::ofstream(dir / "tokenizer.json", std::ios::binary) << json;
  const Tokenizer tokenizer(dir);
  tokenizer.Decode(tokenizer.EncodeUser("A text, <|im_end|> \xe4\xbd\xa0"), true);
}

// A grammar that compiles goes on: some token may come, or the text is finished.
void ReadGrammar(GrammarKind kind, std::string_view text) {
  static GrammarCompiler compiler = [] {
    const std::array<int32_t, 1> ends{ModelTokenizer().TokenId("<|im_end|>").value()};
    return GrammarCompiler(ModelTokenizer(), ModelTokenizer().vocab_size(), ends);
  }();
  const auto matcher = compiler.Compile(kind, text);
  std::vector<uint32_t> words(static_cast<size_t>((ModelTokenizer().vocab_size() + 31) / 32));
  for (int step = 0; step < 8 && !matcher->IsFinished(); ++step) {
    matcher->FillMask(words);
    size_t token = 0;
    while (token < words.size() * 32 && (words[token / 32] >> token % 32 & 1) == 0) ++token;
    if (token == words.size() * 32) return;
    Require(matcher->Accept(static_cast<int32_t>(token)), "an allowed token is accepted");
  }
}

using Reader = void (*)(std::string_view);
const std::map<std::string, Reader, std::less<>> kReaders = {
    {"text", ReadText},
    {"ids", ReadIds},
    {"messages", ReadMessages},
    {"template", ReadTemplate},
    {"tokenizer", ReadTokenizer},
    {"schema", [](std::string_view text) { ReadGrammar(GrammarKind::kJsonSchema, text); }},
    {"regex", [](std::string_view text) { ReadGrammar(GrammarKind::kRegex, text); }},
    {"lark", [](std::string_view text) { ReadGrammar(GrammarKind::kLark, text); }},
    {"ebnf", [](std::string_view text) { ReadGrammar(GrammarKind::kLark, LarkOfEbnf(text)); }},
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto [what, content] = fuzz::SplitFirstLine(fuzz::AsText(data, size));
  const auto reader = kReaders.find(what);
  if (reader == kReaders.end()) return -1;  // not kept in the corpus
  try {
    reader->second(content);
  } catch (const Error& error) {
    Require(error.kind() == ErrorKind::kUser || error.kind() == ErrorKind::kFormat,
            std::string("bad content is the user's: ") + error.what());
  }
  return 0;
}
