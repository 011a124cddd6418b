// SPDX-License-Identifier: Apache-2.0
// A conversation becomes model input: rendered template, expanded placeholders, token ids, and the
// patches of its pictures. Positions (three rotary streams) are computed by the model from `kinds`
// and the grids. Source of the expansion: huggingface/transformers:
// src/transformers/models/qwen3_vl/processing_qwen3_vl.py and qwen2_5_vl/processing_qwen2_5_vl.py.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "checkpoint/config.h"
#include "prompt/conversation.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"
#include "vision/image.h"
#include "vision/patchify.h"
#include "vision/resize.h"

namespace ingot {

// What put a token into the prompt (quant has a Modality of its own: text or vision).
enum class TokenKind : uint8_t { kText = 0, kImage = 1, kVideo = 2 };

// How a Qwen3-VL video stands in the prompt: transformers >= 5.10 keeps the template's outer
// vision_start / vision_end around the timestamped groups, 4.57 replaces them.
enum class VideoPrompt { kKeepOuter, kLegacy };

using Grid = PatchGrid;  // t, h, w in patches; t counts temporal patches

// Pictures or videos of one prompt, in the order of their placeholders.
struct VisionInput {
  std::vector<Grid> grids;
  std::vector<float>
      patches;  // [sum of grids' patches, patch_values], rows grouped by merge x merge windows
  int64_t patch_values = 0;  // channels * temporal_patch * patch * patch
  bool empty() const { return grids.empty(); }
};

struct PreparedPrompt {
  std::vector<int32_t> ids;      // [n_tokens], placeholders expanded
  std::vector<TokenKind> kinds;  // [n_tokens]
  VisionInput images, videos;
  std::vector<double>
      second_per_grid;  // per video: seconds between temporal patches (Qwen2.5-VL's position rule)
  std::string text;     // rendered template before expansion
  int64_t n_tokens() const { return static_cast<int64_t>(ids.size()); }
};

// The expanded prompt has more than max_tokens tokens (at least n_tokens; pictures count first).
struct PromptTooLong : UserError {
  template <typename... Args>
  PromptTooLong(int64_t tokens, fmt::format_string<Args...> format, Args&&... args)
      : UserError(format, std::forward<Args>(args)...), n_tokens(tokens) {}
  int64_t n_tokens;
};

struct PromptLimits {
  int64_t max_tokens = 32768;              // of the expanded prompt
  int64_t max_pictures = 64;               // pictures and videos of one prompt
  int64_t min_pixels = 0, max_pixels = 0;  // of one picture; 0: as preprocessor_config.json says
};

struct PromptOptions {
  VideoPrompt video_rule = VideoPrompt::kKeepOuter;
  PromptLimits limits;
  RenderOptions render;
  double video_fps = 2.0;  // frames a second taken from a video file
  int64_t max_video_frames = 0;  // taken from a video file; 0: as many as the model's rule allows
  double video_timeout_seconds = 300;
  // In place of the folder's template (--chat-template, a request's own); outlives the call.
  const ChatTemplate* chat_template = nullptr;
  // The last turn stays open, so that the model goes on with it instead of answering. Goes with
  // render.add_generation_prompt = false.
  bool continue_final_message = false;
  DecodeOptions decode;    // how pictures are read: alpha policy, orientation, limits
};

class PromptBuilder {
 public:
  // Reads tokenizer, chat template and processor configs of the folder (a missing video config
  // matters only once a video comes). Errors: those of Tokenizer, ChatTemplate and
  // LoadImageProcessor; FormatError when the placeholder tokens of config.json are none of
  // tokenizer.json.
  PromptBuilder(const std::filesystem::path& model_dir, const ModelConfig& config,
                PromptOptions options = {});

  // Errors: UserError naming the picture or the limit, and when the template made another number of
  // places for pictures than there are pictures; those of LoadImage and LoadVideo. Thread-safe.
  PreparedPrompt Build(const Conversation& conversation) const;
  PreparedPrompt Build(const Conversation& conversation, const PromptOptions& options) const;

  // A prompt of given ids, without pictures. Errors: UserError when there are too many of them, or
  // one is a placeholder of a picture.
  PreparedPrompt FromIds(std::vector<int32_t> ids, const PromptOptions& options) const;

  // The ids of the rendered conversation with one placeholder per picture: nothing is opened.
  std::vector<int32_t> RenderedIds(const Conversation& conversation,
                                   const PromptOptions& options) const;

  const Tokenizer& tokenizer() const { return tokenizer_; }
  const ChatTemplate& chat_template() const { return chat_template_; }
  const PromptOptions& options() const { return options_; }
  const ModelConfig& config() const { return config_; }

 private:
  RenderResult Render(const Conversation& conversation, const PromptOptions& options) const;
  ModelConfig config_;
  PromptOptions options_;
  Tokenizer tokenizer_;
  ChatTemplate chat_template_;
  PreprocessParams image_params_;
  std::optional<PreprocessParams> video_params_;
  std::filesystem::path dir_;
  std::string image_pad_, video_pad_, vision_start_, vision_end_;  // spellings of the tokens
};

}  // namespace ingot
