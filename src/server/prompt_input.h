// SPDX-License-Identifier: Apache-2.0
// Parsed requests to prompts: pictures loaded, template rendered, tokens counted against the
// context. Everything that can be wrong with a prompt is a 400 here.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "prompt/prompt_builder.h"
#include "server/api_types.h"
#include "server/media.h"
#include "server/serve_config.h"

namespace ingot::server {

class PromptInput {
 public:
  // Errors: UserError when --chat-template is no template or --allowed-local-media-path no folder.
  PromptInput(const ApiOptions& options, const PromptBuilder& prompts, int64_t max_model_len);

  // Errors of all: ApiError.
  PreparedPrompt OfChat(const ChatRequest& request) const;
  PreparedPrompt OfCompletion(const CompletionPrompt& prompt, const CommonFields& common) const;
  // /tokenize: one placeholder per picture, which is not opened.
  std::vector<int32_t> IdsOf(const TokenizeRequest& request) const;

  // max_tokens of the request (or its absence) made to fit behind the prompt.
  int64_t RoomFor(int64_t prompt_tokens, const std::optional<int64_t>& max_tokens,
                  const std::optional<int64_t>& default_max) const;

 private:
  struct Plan {
    PromptOptions options;
    std::unique_ptr<ChatTemplate> request_template;  // options.chat_template may point to it
  };
  Plan PlanOf(const TemplateFields& fields) const;
  int64_t Limit(const CommonFields& common) const;
  PreparedPrompt Truncated(PreparedPrompt prompt, const CommonFields& common) const;
  [[noreturn]] void ThrowTooLong(int64_t n_tokens) const;

  const PromptBuilder& prompts_;
  const int64_t max_model_len_;
  const bool trust_request_template_;
  MediaLoader media_;
  std::unique_ptr<ChatTemplate> server_template_;  // --chat-template
};

}  // namespace ingot::server
