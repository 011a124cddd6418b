// SPDX-License-Identifier: Apache-2.0
#include "model/session.h"

#include <algorithm>

#include "base/error.h"
#include "model/buffer.h"

namespace ingot {

Session::Session(const QwenVlModel& model, RunContext context, std::optional<KvType> kv)
    : model_(model),
      context_(std::move(context)),
      pool_(std::make_unique<KvPool>(model.text.config, kv.value_or(KvTypeOf(context_.precision)))),
      sequence_(pool_.get()),
      runner_(model, context_),
      quiet_runner_(model, {.precision = context_.precision, .observe = {}, .hook = context_.hook}) {
}

Session::Visual Session::Start(const ModelInput& input) {
  sequence_.Clear();
  const TextConfig& config = model_.text.config;
  const int64_t n = static_cast<int64_t>(input.token_ids.size());
  if (n == 0) throw UserError("the prompt has no tokens");
  if (config.max_positions > 0 && n > config.max_positions)
    throw UserError("the prompt has {} tokens, the model takes {}", n, config.max_positions);
  Visual visual;
  if (!input.images.empty())
    visual.images = RunVisionTower(model_.vision, input.images, "image", context_);
  if (!input.videos.empty())
    visual.videos = RunVisionTower(model_.vision, input.videos, "video", context_);
  if (context_.observe) {
    const MergedPrompt prompt = MergePrompt(model_.config, model_.text.embedding, input,
                                            &visual.images, &visual.videos);
    Report(context_, {n, config.hidden}, prompt.hidden.data(), "text.embeds");
  }
  const VisionOutput *images = &visual.images, *videos = &visual.videos;
  visual.rows = PlaceVisualRows(model_.config, input.token_ids, {&images, 1}, {&videos, 1});
  positions_ = TextPositions(model_.config, input.token_ids, input.images.grids,
                             input.videos.grids, input.rule);
  return visual;
}

std::span<const float> Session::Prefill(const ModelInput& input, int64_t chunk) {
  const Visual visual = Start(input);
  const size_t n = input.token_ids.size(), step = chunk > 0 ? static_cast<size_t>(chunk) : n;
  std::span<const float> logits;
  for (size_t first = 0; first < n; first += step) {
    const SequenceStep next{.sequence = &sequence_,
                            .tokens = std::span(input.token_ids)
                                          .subspan(first, std::min(step, n - first)),
                            .positions = &positions_,
                            .visual = visual.rows,
                            .last_logits = first + step >= n,
                            .each_logits = {}};
    logits = runner_.Run({&next, 1});
  }
  Report(context_, {static_cast<int64_t>(logits.size())}, logits.data(), "logits.last");
  return logits;
}

std::span<const float> Session::Step(int32_t token) {
  if (sequence_.length() == 0) throw InternalError("Session::Step before Prefill");
  const SequenceStep next{.sequence = &sequence_,
                          .tokens = {&token, 1},
                          .positions = &positions_,
                          .visual = {},
                          .each_logits = {}};
  return quiet_runner_.Run({&next, 1});
}

std::vector<float> Session::AllLogits(const ModelInput& input) {
  const Visual visual = Start(input);
  std::vector<float> all;
  const int64_t n = static_cast<int64_t>(input.token_ids.size()), vocab = runner_.vocab();
  all.reserve(static_cast<size_t>(n * vocab));
  const SequenceStep prompt{.sequence = &sequence_,
                            .tokens = input.token_ids,
                            .positions = &positions_,
                            .visual = visual.rows,
                            .last_logits = false,
                            .each_logits = [&](int64_t, std::span<const float> logits) {
                              all.insert(all.end(), logits.begin(), logits.end());
                            }};
  runner_.Run({&prompt, 1});
  Report(context_, {n, vocab}, all.data(), "logits.all");
  return all;
}

}  // namespace ingot
