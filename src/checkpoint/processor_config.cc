// SPDX-License-Identifier: Apache-2.0
// preprocessor_config.json and video_preprocessor_config.json. `size` holds areas in pixels under
// misleading names; min_pixels and max_pixels override it where they stand (transformers:
// models/qwen2_vl/image_processing_qwen2_vl_fast.py).
#include <array>

#include "base/error.h"
#include "checkpoint/config.h"
#include "checkpoint/json_fields.h"
#include "checkpoint/json_value.h"

namespace ingot {
namespace {

constexpr uint64_t kMaxBytes = 1u << 20;
constexpr int64_t kMaxPixels = int64_t{1} << 33;

std::array<float, 3> Three(const JsonFields& fields, const std::string& key, double min,
                           double max) {
  const JsonValue* list = fields.Find(key);
  const std::string expected = fmt::format("three numbers from {} to {}", min, max);
  if (list == nullptr) fields.Fail(key, "is missing", expected);
  if (list->kind != JsonValue::Kind::kArray || list->items.size() != 3) {
    fields.Fail(key, "has another form", expected);
  }
  std::array<float, 3> result{};
  for (size_t i = 0; i < 3; ++i) {
    const JsonValue& item = list->items[i];
    const bool number =
        item.kind == JsonValue::Kind::kInteger || item.kind == JsonValue::Kind::kNumber;
    if (!number || !(item.number >= min && item.number <= max)) {
      fields.Fail(key, "holds something else", expected);
    }
    result[i] = static_cast<float>(item.number);
  }
  return result;
}

ProcessorConfig Load(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) {
    throw UserError(
        "{}: is missing. Copy it from the original model; picture sizes and constants "
        "come from it.",
        path.string());
  }
  const JsonValue json = ReadJsonObject(path, kMaxBytes);
  const JsonFields fields(json, path.string(), "");
  ProcessorConfig config;
  if (const auto size = fields.ObjectIf("size")) {
    config.min_pixels = size->IntOr("shortest_edge", 0, 1, kMaxPixels);
    config.max_pixels = size->IntOr("longest_edge", 0, 1, kMaxPixels);
  }
  config.min_pixels = fields.IntOr("min_pixels", config.min_pixels, 1, kMaxPixels);
  config.max_pixels = fields.IntOr("max_pixels", config.max_pixels, 1, kMaxPixels);
  if (config.min_pixels == 0 || config.max_pixels == 0) {
    fields.Fail("size", "is incomplete",
                "shortest_edge and longest_edge (or min_pixels, max_pixels)");
  }
  if (config.min_pixels > config.max_pixels) {
    fields.Fail("size", fmt::format("has {} > {}", config.min_pixels, config.max_pixels),
                "shortest_edge <= longest_edge");
  }
  config.patch = fields.Int("patch_size", 1, 256);
  config.temporal_patch = fields.Int("temporal_patch_size", 1, 16);
  config.merge = fields.Int("merge_size", 1, 16);
  config.mean = Three(fields, "image_mean", -100, 100);
  config.std = Three(fields, "image_std", 1e-6, 100);
  return config;
}

}  // namespace

ProcessorConfig LoadImageProcessor(const std::filesystem::path& dir) {
  return Load(dir / "preprocessor_config.json");
}

ProcessorConfig LoadVideoProcessor(const std::filesystem::path& dir) {
  return Load(dir / "video_preprocessor_config.json");
}

}  // namespace ingot
