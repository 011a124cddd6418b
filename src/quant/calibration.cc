// SPDX-License-Identifier: Apache-2.0
#include "quant/calibration.h"

#include <nlohmann/json.hpp>

#include "base/error.h"

namespace ingot {
namespace {

using Json = nlohmann::json;

std::vector<GridThw> ToGrids(const std::vector<Grid>& grids) {
  std::vector<GridThw> out;
  for (const Grid& grid : grids) out.push_back({grid.t, grid.h, grid.w});
  return out;
}

int64_t CountPatches(const std::vector<GridThw>& grids) {
  int64_t total = 0;
  for (const GridThw& grid : grids) total += grid[0] * grid[1] * grid[2];
  return total;
}

}  // namespace

int64_t CalibrationSample::n_patches() const { return CountPatches(images) + CountPatches(videos); }

std::vector<GridThw> CalibrationSample::grids() const {
  std::vector<GridThw> all = images;
  all.insert(all.end(), videos.begin(), videos.end());
  return all;
}

SampleRows CountRows(const std::vector<CalibrationSample>& samples) {
  SampleRows rows{{0}, {0}};
  for (const auto& sample : samples) {
    rows.first_token.push_back(rows.first_token.back() + static_cast<uint64_t>(sample.n_tokens()));
    rows.first_patch.push_back(rows.first_patch.back() + static_cast<uint64_t>(sample.n_patches()));
  }
  return rows;
}

CalibrationSample MakeSample(const std::string& id, const PreparedPrompt& prompt) {
  CalibrationSample sample{.id = id, .ids = prompt.ids};
  for (const TokenKind kind : prompt.kinds) {
    sample.modality.push_back(kind == TokenKind::kText ? Modality::kText : Modality::kVision);
  }
  sample.images = ToGrids(prompt.images.grids);
  sample.videos = ToGrids(prompt.videos.grids);
  return sample;
}

std::vector<float> AllPatches(const PreparedPrompt& prompt) {
  std::vector<float> rows = prompt.images.patches;
  rows.insert(rows.end(), prompt.videos.patches.begin(), prompt.videos.patches.end());
  return rows;
}

std::string SampleLine(const CalibrationSample& sample) {
  std::string modality;
  for (const Modality m : sample.modality) modality += m == Modality::kText ? 't' : 'v';
  return Json{{"sample", sample.id},
              {"ids", sample.ids},
              {"modality", modality},
              {"images", sample.images},
              {"videos", sample.videos}}
      .dump(-1, ' ', false, Json::error_handler_t::replace);
}

CalibrationSample ParseSampleLine(const std::string& line, const std::string& file) {
  try {
    const Json json = Json::parse(line);
    CalibrationSample sample{.id = json.at("sample"), .ids = json.at("ids")};
    for (const char c : json.at("modality").get<std::string>()) {
      sample.modality.push_back(c == 't' ? Modality::kText : Modality::kVision);
    }
    sample.images = json.at("images").get<std::vector<GridThw>>();
    sample.videos = json.at("videos").get<std::vector<GridThw>>();
    if (sample.modality.size() != sample.ids.size()) throw FormatError("{}: modality and ids differ in length", file);
    return sample;
  } catch (const Json::exception& error) {
    throw FormatError("{}: a sample line of the journal is damaged ({}). Delete the folder to start afresh.", file,
                      error.what());
  }
}

}  // namespace ingot
