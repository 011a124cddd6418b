// SPDX-License-Identifier: Apache-2.0
#include "server/prompt_input.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/error.h"
#include "base/files.h"
#include "server/api_error.h"

namespace ingot::server {
namespace {

// Prompts that are to be cut may be longer than the context before; this bounds them.
constexpr int64_t kMaxUncutTokens = 4'000'000;

std::unique_ptr<ChatTemplate> LoadServerTemplate(const ApiOptions& options,
                                                 const PromptBuilder& prompts) {
  const std::string& given = options.chat_template;
  if (given.empty()) return nullptr;
  const bool is_text = given.find('{') != std::string::npos;
  std::string source = is_text ? given : ReadFile(given, ChatTemplate::kMaxTemplateBytes);
  return std::make_unique<ChatTemplate>(is_text ? "--chat-template" : given, std::move(source),
                                        prompts.tokenizer(), prompts.chat_template());
}

// What goes wrong while a prompt is made is the request's fault: its texts, pictures, template.
template <typename Body>
auto AsRequestErrors(const Body& body) {
  try {
    return body();
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kUser || error.kind() == ErrorKind::kFormat) {
      throw BadRequest("", "{}", WithoutPaths(error.what()));
    }
    throw;
  }
}

Conversation TextConversation(std::span<const ChatMessage> messages) {
  Conversation conversation;
  for (const ChatMessage& message : messages) {
    Message turn{.role = message.role, .parts = {}, .extra_json = message.extra_json};
    for (const MediaPart& part : message.parts) {
      switch (part.kind) {
        case MediaPart::Kind::kText:
          turn.parts.push_back(Part::Text(part.text));
          break;
        case MediaPart::Kind::kImage:
          turn.parts.push_back(Part::Image("picture"));
          break;
        case MediaPart::Kind::kVideo:
        case MediaPart::Kind::kFrames:
          turn.parts.push_back(Part::Video("video"));
          break;
      }
    }
    conversation.push_back(std::move(turn));
  }
  return conversation;
}

}  // namespace

PromptInput::PromptInput(const ApiOptions& options, const PromptBuilder& prompts,
                         int64_t max_model_len)
    : prompts_(prompts),
      max_model_len_(max_model_len),
      trust_request_template_(options.trust_request_chat_template),
      media_(options.media),
      server_template_(LoadServerTemplate(options, prompts)) {}

PromptInput::Plan PromptInput::PlanOf(const TemplateFields& fields) const {
  const MediaOptions& media = media_.options();
  Plan plan{.options = prompts_.options(), .request_template = nullptr};
  PromptOptions& options = plan.options;
  options.limits.max_tokens = max_model_len_;
  options.limits.max_pictures = media.max_images + media.max_videos;
  options.limits.min_pixels = fields.min_pixels.value_or(media.min_pixels.value_or(0));
  options.limits.max_pixels = fields.max_pixels.value_or(media.max_pixels.value_or(0));
  options.decode.max_file_bytes = kMaxImageBytes;
  options.decode.max_pixels = static_cast<uint64_t>(media.max_image_pixels);
  options.video_fps = media.video_fps.value_or(options.video_fps);
  options.max_video_frames = media.video_frames.value_or(0);
  options.video_timeout_seconds = 120;
  options.continue_final_message = fields.continue_final_message;
  options.render = {.add_generation_prompt = fields.add_generation_prompt,
                    .tools_json = fields.tools_json,
                    .extra_json = fields.kwargs_json,
                    .documents_json = fields.documents_json};
  options.chat_template = server_template_.get();
  if (!fields.chat_template.empty()) {
    if (!trust_request_template_) {
      throw BadRequest("chat_template",
                       "Chat template is passed with the request, but the server was started "
                       "without --trust-request-chat-template.");
    }
    plan.request_template = AsRequestErrors([&] {
      return std::make_unique<ChatTemplate>("chat_template", fields.chat_template,
                                            prompts_.tokenizer(), prompts_.chat_template());
    });
    options.chat_template = plan.request_template.get();
  }
  return plan;
}

void PromptInput::ThrowTooLong(int64_t n_tokens) const {
  throw BadRequest("",
                   "This model's maximum context length is {} tokens. However, the request has at "
                   "least {} input tokens. Please shorten the input, use fewer or smaller "
                   "pictures, or raise --max-model-len.",
                   max_model_len_, n_tokens);
}

int64_t PromptInput::Limit(const CommonFields& common) const {
  return common.truncate_prompt_tokens ? kMaxUncutTokens : max_model_len_;
}

// Keeps the end of the prompt, as vLLM does.
PreparedPrompt PromptInput::Truncated(PreparedPrompt prompt, const CommonFields& common) const {
  if (common.truncate_prompt_tokens) {
    const int64_t asked = *common.truncate_prompt_tokens;
    const int64_t keep = std::min(asked == -1 ? max_model_len_ : asked, max_model_len_);
    const int64_t cut = prompt.n_tokens() - keep;
    if (cut > 0) {
      if (!prompt.images.empty() || !prompt.videos.empty()) {
        throw BadRequest("truncate_prompt_tokens",
                         "truncate_prompt_tokens would cut a prompt of {} tokens that has "
                         "pictures. Shorten it yourself.",
                         prompt.n_tokens());
      }
      prompt.ids.erase(prompt.ids.begin(), prompt.ids.begin() + cut);
      prompt.kinds.erase(prompt.kinds.begin(), prompt.kinds.begin() + cut);
    }
  }
  return prompt;
}

PreparedPrompt PromptInput::OfChat(const ChatRequest& request) const {
  Plan plan = PlanOf(request.prompt);
  plan.options.limits.max_tokens = Limit(request.common);
  LoadedConversation loaded = media_.Load(request.messages);
  try {
    return Truncated(AsRequestErrors([&] {
                       try {
                         return prompts_.Build(loaded.conversation, plan.options);
                       } catch (const PromptTooLong& error) {
                         ThrowTooLong(error.n_tokens);
                       }
                     }),
                     request.common);
  } catch (const ResourceError& error) {
    // A video without ffmpeg, or one that takes too long.
    throw BadRequest("messages", "{}", WithoutPaths(error.what()));
  }
}

PreparedPrompt PromptInput::OfCompletion(const CompletionPrompt& prompt,
                                         const CommonFields& common) const {
  PromptOptions options = prompts_.options();
  options.limits.max_tokens = Limit(common);
  return Truncated(AsRequestErrors([&] {
                     std::vector<int32_t> ids;
                     if (const auto* text = std::get_if<std::string>(&prompt)) {
                       // The whole prompt is the client's, its control tokens included.
                       ids = prompts_.tokenizer().EncodeTrusted(*text);
                     } else {
                       ids = std::get<std::vector<int32_t>>(prompt);
                     }
                     if (ids.empty()) {
                       throw BadRequest("prompt", "The prompt has no tokens. It must not be empty.");
                     }
                     try {
                       return prompts_.FromIds(std::move(ids), options);
                     } catch (const PromptTooLong& error) {
                       ThrowTooLong(error.n_tokens);
                     }
                   }),
                   common);
}

std::vector<int32_t> PromptInput::IdsOf(const TokenizeRequest& request) const {
  if (request.prompt) {
    return AsRequestErrors([&] { return prompts_.tokenizer().EncodeTrusted(*request.prompt); });
  }
  const Plan plan = PlanOf(request.chat);
  return AsRequestErrors(
      [&] { return prompts_.RenderedIds(TextConversation(request.messages), plan.options); });
}

int64_t PromptInput::RoomFor(int64_t prompt_tokens, const std::optional<int64_t>& max_tokens,
                             const std::optional<int64_t>& default_max) const {
  const int64_t room = max_model_len_ - prompt_tokens;
  if (max_tokens && *max_tokens > room) {
    throw BadRequest("max_tokens",
                     "This model's maximum context length is {} tokens. However, you requested {} "
                     "tokens of completion behind {} tokens of prompt. Please reduce one of them.",
                     max_model_len_, *max_tokens, prompt_tokens);
  }
  if (max_tokens) return *max_tokens;
  if (room < 1) ThrowTooLong(prompt_tokens);
  return std::min(room, default_max.value_or(std::numeric_limits<int64_t>::max()));
}

}  // namespace ingot::server
