// SPDX-License-Identifier: Apache-2.0
#include "quant/run_identity.h"

#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/sha256.h"

namespace ingot {
namespace {

using Json = nlohmann::json;

// Raised whenever the bytes that a run writes, or the layout of its spill files, change.
constexpr int kRunVersion = 2;

Json FileIdentity(const std::filesystem::path& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) return Json{path.string()};
  return Json{path.string(), status.st_size, static_cast<int64_t>(status.st_mtim.tv_sec), status.st_mtim.tv_nsec};
}

Json ConversationIdentity(const Conversation& conversation) {
  Json json = Json::array();
  for (const Message& message : conversation) {
    Json parts = Json::array();
    for (const Part& part : message.parts) {
      parts.push_back(part.kind == Part::Kind::kText ? Json(part.text) : FileIdentity(part.path));
      if (part.sampled != nullptr) {
        for (const auto& frame : part.sampled->frames) parts.push_back(FileIdentity(frame));
      }
      if (part.bytes != nullptr) {
        parts.push_back(Sha256Hex(std::as_bytes(std::span(part.bytes->data(), part.bytes->size()))));
      }
    }
    json.push_back({message.role, parts, message.extra_json});
  }
  return json;
}

}  // namespace

void RequireQuantizable(const ModelReader& reader) {
  RequireSupported(reader.config(), reader.dir());
  if (reader.format() != FolderFormat::kFloat) {
    throw UserError("{}: is quantized already ({}). Quantize the float original; ingot convert changes the format.",
                    reader.dir().string(), FolderFormatName(reader.format()));
  }
  ValidateFloat(reader);
}

std::string RunFingerprint(const ModelReader& reader, const QuantPlan& plan, const Dataset& data,
                           const QuantizeOptions& options) {
  Json json{{"version", kRunVersion}, {"plan", PlanJson(plan)}};
  const LayoutOptions& layout = plan.layout.options;
  json["layout"] = {layout.vector_scales, layout.keep_weight_scale, layout.write_tied_head, layout.ct_dynamic,
                    layout.ct_symmetric};
  for (const auto& file : reader.files()) json["source"].push_back(FileIdentity(file->path()));
  json["config"] = FileIdentity(reader.dir() / "config.json");
  for (const Sample& sample : data.samples) {
    json["samples"].push_back({sample.id, ConversationIdentity(sample.conversation), sample.answers});
  }
  const PromptOptions& prompt = options.prompt;
  json["options"] = {options.shard_bytes,
                     options.skip_bad_samples,
                     options.report_in_folder,
                     options.with_answers,
                     options.v0_torch_dtype,
                     static_cast<int>(options.calibration.precision),
                     static_cast<int>(options.calibration.act_method),
                     options.calibration.search_range,
                     options.calibration.search_weights,
                     static_cast<int>(prompt.video_rule),
                     prompt.limits.max_tokens,
                     prompt.limits.min_pixels,
                     prompt.limits.max_pixels,
                     prompt.video_fps};
  const std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace);
  return Json{{"ingot_quantize_journal", kRunVersion},
              {"run", Sha256Hex(std::as_bytes(std::span(text.data(), text.size())))}}
      .dump();
}

}  // namespace ingot
