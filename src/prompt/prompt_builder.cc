// SPDX-License-Identifier: Apache-2.0
#include "prompt/prompt_builder.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "prompt/expansion.h"
#include "prompt/message_json.h"
#include "vision/video.h"

namespace ingot {
namespace {

constexpr char kVideoConfig[] = "video_preprocessor_config.json";

PreprocessParams ToParams(const ProcessorConfig& config) {
  return {.min_pixels = config.min_pixels,
          .max_pixels = config.max_pixels,
          .patch = config.patch,
          .temporal_patch = config.temporal_patch,
          .merge = config.merge,
          .mean = config.mean,
          .std = config.std};
}

bool IsQwen3(const ModelConfig& config) {
  return config.family == ModelFamily::kQwen3VL || config.family == ModelFamily::kQwen3VLMoe;
}

// The text of a placeholder token that config.json names by id.
std::string Spelling(const Tokenizer& tokenizer, int64_t id, const char* field,
                     const std::filesystem::path& dir) {
  const auto found = std::ranges::find(tokenizer.added_tokens(), id, &AddedToken::id);
  if (found == tokenizer.added_tokens().end()) {
    throw FormatError(
        "{}: {} is {}, which is no added token of tokenizer.json. The two files come from "
        "different models",
        (dir / "config.json").string(), field, id);
  }
  return found->text;
}

void Append(VisionInput* input, Patches&& patches) {
  input->grids.push_back(patches.grid);
  input->patch_values = patches.patch_values;
  if (input->patches.empty()) {
    input->patches = std::move(patches.values);
  } else {
    input->patches.insert(input->patches.end(), patches.values.begin(), patches.values.end());
  }
}

// The pictures and videos of one conversation, opened in order, with a running count of their
// tokens.
class VisionReader {
 public:
  VisionReader(const ModelConfig& config, const PromptOptions& options,
               const PreprocessParams& image_params, const PreprocessParams* video_params,
               const std::filesystem::path& dir)
      : config_(config),
        options_(options),
        image_params_(image_params),
        video_params_(video_params),
        dir_(dir) {
    if (options.limits.min_pixels > 0) image_params_.min_pixels = options.limits.min_pixels;
    if (options.limits.max_pixels > 0) image_params_.max_pixels = options.limits.max_pixels;
  }

  void Read(const Part& part) {
    if (part.kind == Part::Kind::kText) return;
    if (++n_parts_ > options_.limits.max_pictures) {
      throw UserError(
          "the conversation has more than {} pictures and videos. Use fewer or raise the limit",
          options_.limits.max_pictures);
    }
    part.kind == Part::Kind::kImage ? ReadImage(part) : ReadVideo(part);
  }

  VisionInput images, videos;
  std::vector<std::vector<double>> seconds;  // per video, one per temporal patch
  std::vector<double> second_per_grid;       // per video

 private:
  static std::span<const std::byte> Bytes(const std::string& bytes) {
    return std::as_bytes(std::span(bytes));
  }

  // Refuses before the patches of a picture that would be too much are made.
  void Count(int64_t tokens, const std::string& name) {
    n_tokens_ += tokens;
    if (n_tokens_ > options_.limits.max_tokens) {
      throw PromptTooLong(
          n_tokens_,
          "{}: with this one the pictures take {} tokens, more than the {} of a whole prompt. Use "
          "fewer or "
          "smaller pictures, a smaller pixel limit, or a larger token limit",
          name, n_tokens_, options_.limits.max_tokens);
    }
  }

  void ReadImage(const Part& part) {
    const std::string name =
        part.path.empty() ? fmt::format("picture {}", n_parts_) : part.path.string();
    const Image image = part.bytes != nullptr
                            ? DecodeImage(Bytes(*part.bytes), options_.decode, name)
                            : LoadImage(part.path, options_.decode);
    Count(CountImageTokens(image.height, image.width, image_params_), name);
    Append(&images, PreprocessImage(image, image_params_));
  }

  VideoSampling Sampling() const {
    VideoSampling sampling{.rule = IsQwen3(config_) ? VideoRule::kQwen3 : VideoRule::kQwen2,
                           .fps = options_.video_fps,
                           .num_frames = {}};
    if (options_.max_video_frames > 0) {
      sampling.max_frames = std::min(sampling.max_frames, options_.max_video_frames);
    }
    return sampling;
  }

  void ReadVideo(const Part& part) {
    if (video_params_ == nullptr) {
      throw UserError(
          "{}: is missing, and the conversation has a video. Copy it from the original model "
          "folder",
          (dir_ / kVideoConfig).string());
    }
    if (part.sampled != nullptr) {
      ReadSampled(*part.sampled);
      return;
    }
    VideoOptions video_options;
    video_options.frame = options_.decode;
    video_options.timeout_seconds = options_.video_timeout_seconds;
    Video video = LoadVideo(part.path, Sampling(), *video_params_, video_options);
    AddVideo(std::move(video.patches), std::move(video.seconds), video.second_per_grid,
             part.path.string());
  }

  void ReadSampled(const SampledFrames& sampled) {
    const PreprocessParams& params = *video_params_;
    const auto n_frames = static_cast<int64_t>(sampled.frames.size());
    const bool bytes_fit = sampled.bytes.empty() || sampled.bytes.size() == sampled.frames.size();
    if (n_frames == 0 || !bytes_fit || sampled.indices.size() != sampled.frames.size() ||
        !(sampled.fps > 0)) {
      throw UserError(
          "a video of given frames needs one index per frame and a positive frame rate; it has {} "
          "frames, {} "
          "indices, {} frames a second",
          n_frames, sampled.indices.size(), sampled.fps);
    }
    std::vector<Image> frames;
    ImageSize source, target;
    for (size_t i = 0; i < sampled.frames.size(); ++i) {
      const std::filesystem::path& path = sampled.frames[i];
      const Image frame = sampled.bytes.empty()
                              ? LoadImage(path, options_.decode)
                              : DecodeImage(Bytes(*sampled.bytes[i]), options_.decode,
                                            path.string());
      if (frames.empty()) {
        source = {frame.height, frame.width};
        target = IsQwen3(config_) ? SmartResizeVideo(n_frames, frame.height, frame.width, params)
                                  : SmartResize(frame.height, frame.width, params);
      }
      if (ImageSize{frame.height, frame.width} != source) {
        throw UserError(
            "{}: a frame of {} x {} pixels in a video of {} x {}; all frames must have one size",
            path.string(), frame.width, frame.height, source.width, source.height);
      }
      frames.push_back(ResizeBicubic(frame, target, PreprocessBackend::kTorchvision));
    }
    Patches patches{.grid = GridOf(n_frames, target, params),
                    .patch_values = 3 * params.temporal_patch * params.patch * params.patch,
                    .values = {}};
    patches.values.resize(static_cast<size_t>(patches.grid.n_patches() * patches.patch_values));
    Patchify(frames, params, PreprocessBackend::kTorchvision, patches.values);
    const int64_t total =
        sampled.total_frames > 0 ? sampled.total_frames : sampled.indices.back() + 1;
    const double taken_fps =
        static_cast<double>(n_frames) / static_cast<double>(total) * sampled.fps;
    AddVideo(std::move(patches),
             FrameTimestamps(sampled.indices, sampled.fps, params.temporal_patch),
             static_cast<double>(params.temporal_patch) / taken_fps, sampled.frames[0].string());
  }

  void AddVideo(Patches&& patches, std::vector<double>&& times, double per_grid,
                const std::string& name) {
    Count(patches.grid.n_tokens(video_params_->merge), name);
    Append(&videos, std::move(patches));
    seconds.push_back(std::move(times));
    second_per_grid.push_back(per_grid);
  }

  const ModelConfig& config_;
  const PromptOptions& options_;
  PreprocessParams image_params_;
  const PreprocessParams* video_params_;
  const std::filesystem::path& dir_;
  int64_t n_parts_ = 0, n_tokens_ = 0;
};

std::vector<TokenKind> KindsOf(const std::vector<int32_t>& ids, const ModelConfig& config) {
  std::vector<TokenKind> kinds(ids.size(), TokenKind::kText);
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] == config.image_token) kinds[i] = TokenKind::kImage;
    if (ids[i] == config.video_token) kinds[i] = TokenKind::kVideo;
  }
  return kinds;
}

int64_t TokensOf(const VisionInput& input, int64_t merge) {
  int64_t tokens = 0;
  for (const Grid& grid : input.grids) tokens += grid.n_tokens(merge);
  return tokens;
}

// The model would read another picture's rows, or none, where these differ.
void CheckCounts(const PreparedPrompt& prompt, const ModelConfig& config) {
  const int64_t merge = config.vision.merge;
  const std::pair<TokenKind, const VisionInput*> kinds[] = {{TokenKind::kImage, &prompt.images},
                                                            {TokenKind::kVideo, &prompt.videos}};
  for (const auto& [kind, input] : kinds) {
    const int64_t found = std::ranges::count(prompt.kinds, kind);
    const int64_t expected = TokensOf(*input, merge);
    if (found != expected) {
      throw UserError(
          "the prompt has {} {} tokens for pictures or videos that need {}. The conversation's "
          "text must not "
          "spell placeholder tokens",
          found, kind == TokenKind::kImage ? "picture" : "video", expected);
    }
  }
}

}  // namespace

PromptBuilder::PromptBuilder(const std::filesystem::path& model_dir, const ModelConfig& config,
                             PromptOptions options)
    : config_(config),
      options_(std::move(options)),
      tokenizer_(model_dir),
      chat_template_(model_dir, tokenizer_),
      image_params_(ToParams(LoadImageProcessor(model_dir))),
      dir_(model_dir) {
  std::error_code ignored;
  if (std::filesystem::exists(model_dir / kVideoConfig, ignored)) {
    video_params_ = ToParams(LoadVideoProcessor(model_dir));
  } else if (!IsQwen3(config)) {
    video_params_ = image_params_;  // older families keep both in preprocessor_config.json
  }
  image_pad_ = Spelling(tokenizer_, config.image_token, "image_token_id", model_dir);
  video_pad_ = Spelling(tokenizer_, config.video_token, "video_token_id", model_dir);
  vision_start_ =
      Spelling(tokenizer_, config.vision_start_token, "vision_start_token_id", model_dir);
  vision_end_ = Spelling(tokenizer_, config.vision_end_token, "vision_end_token_id", model_dir);
}

namespace {

std::string_view Strip(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n\f\v";
  const size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

// The last text of the last turn.
const std::string& FinalText(const Conversation& conversation) {
  if (!conversation.empty()) {
    const std::vector<Part>& parts = conversation.back().parts;
    for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
      if (part->kind == Part::Kind::kText) return part->text;
    }
  }
  throw UserError("the final message has no text to go on with");
}

// Cuts what the template put behind the final message. Source: huggingface/transformers:
// src/transformers/utils/chat_template_utils.py (render_jinja_template, continue_final_message).
void CutAfterFinalMessage(const Conversation& conversation, RenderResult* rendered) {
  const std::string_view text = FinalText(conversation);
  const std::string_view stripped = Strip(text);
  const size_t at = stripped.empty() ? std::string::npos : rendered->text.rfind(stripped);
  if (at == std::string::npos) {
    throw UserError(
        "the final message cannot be continued: its text is not in the rendered prompt as it is");
  }
  const std::string_view from_start = text.substr(static_cast<size_t>(stripped.data() - text.data()));
  const bool keeps_blanks = rendered->text.compare(at, from_start.size(), from_start) == 0;
  size_t left = at + (keeps_blanks ? from_start.size() : stripped.size());
  rendered->text.resize(left);
  std::vector<TextSegment> segments;
  for (TextSegment& segment : rendered->segments) {
    if (left == 0) break;
    if (segment.text.size() > left) segment.text.resize(left);
    left -= segment.text.size();
    segments.push_back(std::move(segment));
  }
  rendered->segments = std::move(segments);
}

}  // namespace

RenderResult PromptBuilder::Render(const Conversation& conversation,
                                   const PromptOptions& options) const {
  const ChatTemplate& chat =
      options.chat_template != nullptr ? *options.chat_template : chat_template_;
  RenderResult rendered = chat.Render(MessagesJson(conversation), options.render);
  if (options.continue_final_message) CutAfterFinalMessage(conversation, &rendered);
  return rendered;
}

std::vector<int32_t> PromptBuilder::RenderedIds(const Conversation& conversation,
                                                const PromptOptions& options) const {
  return tokenizer_.Encode(Render(conversation, options).segments);
}

PreparedPrompt PromptBuilder::FromIds(std::vector<int32_t> ids,
                                      const PromptOptions& options) const {
  PreparedPrompt prompt;
  prompt.ids = std::move(ids);
  prompt.kinds = KindsOf(prompt.ids, config_);
  CheckCounts(prompt, config_);
  if (prompt.n_tokens() > options.limits.max_tokens) {
    throw PromptTooLong(prompt.n_tokens(), "the prompt has {} tokens, more than the limit of {}",
                        prompt.n_tokens(), options.limits.max_tokens);
  }
  return prompt;
}

PreparedPrompt PromptBuilder::Build(const Conversation& conversation) const {
  return Build(conversation, options_);
}

PreparedPrompt PromptBuilder::Build(const Conversation& conversation,
                                    const PromptOptions& options) const {
  RenderResult rendered = Render(conversation, options);
  VisionReader vision(config_, options, image_params_, video_params_ ? &*video_params_ : nullptr,
                      dir_);
  for (const Message& message : conversation) {
    for (const Part& part : message.parts) vision.Read(part);
  }
  const VideoTokens tokens{.pad = video_pad_, .start = vision_start_, .end = vision_end_};
  const int64_t merge_area = config_.vision.merge * config_.vision.merge;
  std::vector<std::string> video_texts;
  for (size_t i = 0; i < vision.videos.grids.size(); ++i) {
    const Grid& grid = vision.videos.grids[i];
    const std::vector<double>& seconds = vision.seconds[i];
    video_texts.push_back(
        VideoText(tokens, grid.t, grid.h * grid.w / merge_area,
                  IsQwen3(config_) ? std::span<const double>(seconds) : std::span<const double>()));
  }
  const bool whole_triple = IsQwen3(config_) && options.video_rule == VideoPrompt::kLegacy;
  const std::vector<TextSegment> segments =
      ExpandVideos(rendered.segments, tokens, video_texts, whole_triple);
  std::vector<int64_t> image_counts;
  for (const Grid& grid : vision.images.grids)
    image_counts.push_back(grid.n_tokens(config_.vision.merge));

  PreparedPrompt prompt;
  prompt.ids = ExpandImages(tokenizer_.Encode(segments), static_cast<int32_t>(config_.image_token),
                            image_counts);
  prompt.kinds = KindsOf(prompt.ids, config_);
  prompt.images = std::move(vision.images);
  prompt.videos = std::move(vision.videos);
  prompt.second_per_grid = std::move(vision.second_per_grid);
  prompt.text = std::move(rendered.text);
  CheckCounts(prompt, config_);
  if (prompt.n_tokens() > options.limits.max_tokens) {
    throw PromptTooLong(
        prompt.n_tokens(),
        "the prompt has {} tokens ({} of them for pictures), more than the limit of {}. Shorten "
        "the text, use "
        "fewer or smaller pictures, or raise the limit",
        prompt.n_tokens(), prompt.n_tokens() - std::ranges::count(prompt.kinds, TokenKind::kText),
        options.limits.max_tokens);
  }
  return prompt;
}

}  // namespace ingot
