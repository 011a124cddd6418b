// SPDX-License-Identifier: Apache-2.0
// See the header.
#include "cli/engine_options.h"

#include "base/error.h"

namespace ingot::cli {
namespace {

constexpr char kGroup[] = "How the model is run";
constexpr int64_t kMaxPixels = 178'956'970;  // limit of the picture decoder

}  // namespace

std::vector<Option> EngineOptionRows() {
  return {
      {.name = "--precision",
       .kind = Kind::kChoice,
       .default_text = "bf16",
       .help = "Arithmetic of the float parts: bf16 as engines do it, f32 as exact as possible.",
       .choices = {"bf16", "f32"},
       .group = kGroup},
      {.name = "--kv-cache-dtype",
       .kind = Kind::kChoice,
       .default_text = "auto",
       .help = "Keys and values of earlier tokens: as --precision says (auto), bfloat16, or int8 with "
               "a scale for each token and head, in half the memory.",
       .choices = {"auto", "bfloat16", "int8"},
       .group = kGroup},
      {.name = "--emulate",
       .kind = Kind::kChoice,
       .default_text = "none",
       .help = "Round the scales of W8A8 linears as this NPU's engine does.",
       .choices = {"none", "310p", "310", "910b", "910"},
       .group = kGroup},
      {.name = "--alpha",
       .kind = Kind::kChoice,
       .default_text = "white",
       .help = "Transparent pixels: put on white, or drop the transparency.",
       .choices = {"white", "drop"},
       .group = kGroup},
      {.name = "--min-pixels",
       .kind = Kind::kInteger,
       .help = "Smaller pictures are enlarged to this; default: the model's processor config.",
       .group = kGroup},
      {.name = "--max-pixels",
       .kind = Kind::kInteger,
       .help = "Larger pictures are reduced to this; default: the model's processor config.",
       .group = kGroup},
      {.name = "--fps",
       .kind = Kind::kNumber,
       .default_text = "2",
       .help = "Frames taken per second of a video.",
       .group = kGroup},
  };
}

std::vector<Option> Join(std::vector<Option> rows, const std::vector<Option>& more) {
  rows.insert(rows.end(), more.begin(), more.end());
  return rows;
}

int64_t IntegerBetween(const Options& options, std::string_view name, int64_t low, int64_t high) {
  const int64_t value = options.Integer(name);
  if (value < low || value > high) {
    throw UserError("{} is {}; expected a number from {} to {}.", name, value, low, high);
  }
  return value;
}

EngineOptions EngineOptionsOf(const Options& options) {
  EngineOptions engine;
  engine.precision = ParsePrecision(options.Text("--precision"));
  engine.kv = ParseKvType(options.Text("--kv-cache-dtype"));
  engine.emulate = ParseEmulate(options.Text("--emulate"));
  PromptOptions& prompt = engine.prompt;
  prompt.decode.alpha =
      options.Text("--alpha") == "drop" ? AlphaPolicy::kDrop : AlphaPolicy::kWhite;
  for (const auto& [name, value] : {std::pair{"--min-pixels", &prompt.limits.min_pixels},
                                    std::pair{"--max-pixels", &prompt.limits.max_pixels}}) {
    if (options.Has(name)) *value = IntegerBetween(options, name, 1, kMaxPixels);
  }
  prompt.video_fps = options.Number("--fps");
  if (!(prompt.video_fps > 0 && prompt.video_fps <= 1000)) {
    throw UserError("--fps is {}; expected a number above 0 and up to 1000.", prompt.video_fps);
  }
  return engine;
}

}  // namespace ingot::cli
