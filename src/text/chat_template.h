// SPDX-License-Identifier: Apache-2.0
// The chat template of a model folder, rendered as Hugging Face renders it (Jinja with tojson,
// raise_exception, strftime_now, Python's string methods). Which characters came from the
// conversation and not from the template is tracked through the rendering, so that text typed by a
// person cannot become a control token (how: text/rust/src/guard.rs). Thread-safe after
// construction.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace ingot {

namespace text_internal {
struct TemplateHandle;
struct TemplateDeleter {
  void operator()(TemplateHandle* handle) const;
};
}  // namespace text_internal

struct RenderOptions {
  bool add_generation_prompt = true;
  bool add_vision_id = false;  // "Picture 1: " before each picture
  std::string tools_json;      // "" or a JSON array of tool definitions
  std::string extra_json;  // "" or a JSON object of more template variables (chat_template_kwargs)
  std::string documents_json;  // "" or a JSON array of documents, for templates that know them
  bool protect =
      true;  // false: control tokens spelled in the conversation count, as in the reference
};

struct RenderResult {
  std::string text;  // what a person would read
  std::vector<TextSegment>
      segments;  // their concatenation is `text`; hand them to Tokenizer::Encode
};

class ChatTemplate {
 public:
  static constexpr uint64_t kMaxTemplateBytes = 1u << 20;
  static constexpr size_t kMaxMessagesBytes = 32u << 20;
  // Budget of one rendering: a step of the template, or 64 bytes that it makes, cost one.
  static constexpr uint64_t kFuel = 8'000'000;

  // Takes DIR/chat_template.jinja, else chat_template.json, else tokenizer_config.json's
  // chat_template (of a list: "default", and "tool_use" when tools are given). Errors: UserError
  // when there is none; FormatError when it does not parse.
  ChatTemplate(const std::filesystem::path& dir, const Tokenizer& tokenizer);
  // From template text; `name` stands in messages.
  ChatTemplate(std::string name, std::string source, const Tokenizer& tokenizer);
  // The same with the special tokens (bos_token, ...) that `like` has.
  ChatTemplate(std::string name, std::string source, const Tokenizer& tokenizer,
               const ChatTemplate& like);

  // `messages_json` is a JSON array of messages: {"role", "content": string or list of parts, ...}.
  // Errors: UserError when it is no such array, when the template refuses it (raise_exception, null
  // content, ...), or a limit is exceeded. Numbers and key order pass unchanged, so JSON text and
  // not a parsed value crosses here.
  RenderResult Render(std::string_view messages_json, const RenderOptions& options = {}) const;

  const std::string& name() const { return name_; }      // the file that the template came from
  const std::string& source() const { return source_; }  // the template text

 private:
  using Handle = std::unique_ptr<text_internal::TemplateHandle, text_internal::TemplateDeleter>;
  static Handle Compile(const std::string& name, const std::string& source,
                        const Tokenizer& tokenizer);

  std::string name_, source_;
  std::string special_tokens_json_ = "{}";  // bos_token, eos_token, ... of tokenizer_config.json
  Handle handle_,
      tool_handle_;  // tool_handle_: the template for conversations with tools, often absent
};

}  // namespace ingot
