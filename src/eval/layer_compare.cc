// SPDX-License-Identifier: Apache-2.0
// See the header.
#include "eval/layer_compare.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <map>
#include <string>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/progress.h"
#include "eval/metrics.h"

namespace ingot {
namespace {

constexpr size_t kText = 0, kVision = 1;

// Rows of one matrix that are looked at, by modality.
using RowChoice = std::array<std::vector<int64_t>, 2>;

// At most `max_rows` of `rows`, evenly spread, first and last included.
std::vector<int64_t> Spread(const std::vector<int64_t>& rows, int64_t max_rows) {
  const auto n = static_cast<int64_t>(rows.size());
  if (n <= max_rows) return rows;
  std::vector<int64_t> chosen;
  for (int64_t i = 0; i < max_rows; ++i) {
    chosen.push_back(rows[static_cast<size_t>(i * (n - 1) / std::max<int64_t>(1, max_rows - 1))]);
  }
  return chosen;
}

// Rows are tokens of the prompt (`kinds`), the last token alone, or rows inside the vision tower.
RowChoice ChooseRows(const std::vector<TokenKind>& kinds, bool vision_part, int64_t n_rows,
                     int64_t max_rows) {
  RowChoice all;
  const bool whole_prompt = !vision_part && n_rows == static_cast<int64_t>(kinds.size());
  for (int64_t row = 0; row < n_rows; ++row) {
    const bool is_vision =
        vision_part || (whole_prompt && kinds[static_cast<size_t>(row)] != TokenKind::kText);
    all[is_vision ? kVision : kText].push_back(row);
  }
  return {Spread(all[kText], max_rows), Spread(all[kVision], max_rows)};
}

std::vector<float> GatherRows(const float* data, int64_t width, const std::vector<int64_t>& rows) {
  std::vector<float> out;
  out.reserve(rows.size() * static_cast<size_t>(width));
  for (const int64_t row : rows)
    out.insert(out.end(), data + row * width, data + (row + 1) * width);
  return out;
}

// "text.layer.12.next" and "vision.block.3"; nothing else is a stage.
bool ParseStage(std::string_view name, std::string* part, int64_t* layer) {
  static constexpr std::string_view kTextPrefix = "text.layer.", kVisionPrefix = "vision.block.";
  std::string_view number;
  if (name.starts_with(kTextPrefix) && name.ends_with(".next")) {
    *part = "text";
    number = name.substr(kTextPrefix.size(), name.size() - kTextPrefix.size() - 5);
  } else if (name.starts_with(kVisionPrefix)) {
    *part = "vision";
    number = name.substr(kVisionPrefix.size());
  } else {
    return false;
  }
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), *layer);
  return error == std::errc() && end == number.data() + number.size();
}

struct StageSums {
  std::string part;
  int64_t layer = 0;
  std::array<Sqnr, 2> sqnr;
};

struct LinearPair {
  const Linear* a = nullptr;
  const Linear* b = nullptr;
  LinearSpec spec;
  std::array<Sqnr, 2> sqnr;
};

template <typename Fn>
void ForEachLinear(const QwenVlModel& model, const Fn& fn) {
  for (const VisionBlock& block : model.vision.blocks) {
    for (const Linear* linear : {&block.qkv, &block.proj, &block.fc1, &block.fc2}) fn(*linear);
  }
  fn(model.vision.merger.fc1);
  fn(model.vision.merger.fc2);
  for (const VisionMerger& merger : model.vision.deepstack) {
    fn(merger.fc1);
    fn(merger.fc2);
  }
  for (const DecoderLayer& layer : model.text.layers) {
    for (const Linear* linear :
         {&layer.q, &layer.k, &layer.v, &layer.o, &layer.gate, &layer.up, &layer.down}) {
      fn(*linear);
    }
  }
  fn(model.text.head.head);
}

std::optional<double> DbOf(const Sqnr& sqnr) {
  return sqnr.empty() ? std::nullopt : std::optional(sqnr.Db());
}

class LayerCompare {
 public:
  LayerCompare(Engine& a, Engine& b, const LayerCompareOptions& options)
      : a_(a), b_(b), options_(options) {
    std::map<std::string, const Linear*> of_b;
    ForEachLinear(b.model(), [&](const Linear& linear) { of_b[linear.module] = &linear; });
    std::map<std::string, const Linear*> of_a;
    ForEachLinear(a.model(), [&](const Linear& linear) { of_a[linear.module] = &linear; });
    for (const LinearSpec& spec : LinearTable(a.model().config)) {
      const auto at_a = of_a.find(spec.module), at_b = of_b.find(spec.module);
      if (at_a == of_a.end()) continue;
      if (at_b == of_b.end() || at_b->second->out != spec.out || at_b->second->in != spec.in) {
        throw UserError("{} is not a {} x {} linear in both models; they cannot be compared.",
                        spec.module, spec.out, spec.in);
      }
      by_site_[spec.site].push_back(pairs_.size());
      pairs_.push_back({at_a->second, at_b->second, spec, {}});
    }
  }

  void Run(const Conversation& conversation) {
    const PreparedPrompt prompt = a_.Prepare(conversation);
    kinds_ = prompt.kinds;
    a_.Observe(
        prompt,
        [&](std::string_view name, std::span<const int64_t> shape, const float* data) {
          KeepStage(name, shape, data);
        },
        [&](std::string_view site, float* x, int64_t rows, int64_t cols) {
          CompareSite(site, x, rows, cols);
        });
    b_.Observe(prompt,
               [&](std::string_view name, std::span<const int64_t> shape, const float* data) {
                 CompareStage(name, shape, data);
               },
               {});
    kept_.clear();
  }

  LayerFigures Result() const {
    LayerFigures figures;
    for (const char* part : {"vision", "text"}) {
      std::map<int64_t, const StageSums*> by_layer;
      std::map<int64_t, std::string> names;
      for (const auto& [name, sums] : stages_) {
        if (sums.part != part) continue;
        by_layer[sums.layer] = &sums;
        names[sums.layer] = name;
      }
      for (const auto& [layer, sums] : by_layer) {
        figures.stages.push_back(
            {names[layer], part, layer, {DbOf(sums->sqnr[kText]), DbOf(sums->sqnr[kVision])}});
      }
    }
    for (const LinearPair& pair : pairs_) {
      LinearFigures linear;
      linear.module = pair.spec.module;
      linear.kind = LinearKindName(pair.spec.kind);
      linear.part = pair.spec.part == TensorPart::kVision ? "vision" : "text";
      linear.layer = pair.spec.layer;
      linear.exec = LinearExecName(pair.b->exec);
      linear.sqnr_db = {DbOf(pair.sqnr[kText]), DbOf(pair.sqnr[kVision])};
      figures.linears.push_back(std::move(linear));
    }
    return figures;
  }

 private:
  void KeepStage(std::string_view name, std::span<const int64_t> shape, const float* data) {
    std::string part;
    int64_t layer = 0;
    if (!ParseStage(name, &part, &layer)) return;
    StageSums& sums = stages_[std::string(name)];
    sums.part = part;
    sums.layer = layer;
    const RowChoice rows = ChooseRows(kinds_, part == "vision", shape[0], options_.max_rows);
    for (const size_t modality : {kText, kVision}) {
      kept_[std::string(name)].push_back(GatherRows(data, shape[1], rows[modality]));
    }
  }

  void CompareStage(std::string_view name, std::span<const int64_t> shape, const float* data) {
    std::string part;
    int64_t layer = 0;
    if (!ParseStage(name, &part, &layer)) return;
    const std::string key(name);
    auto& kept = kept_[key];
    if (kept.size() < 2) throw InternalError("stage {} is not reported by both models", name);
    const RowChoice rows = ChooseRows(kinds_, part == "vision", shape[0], options_.max_rows);
    // Pictures and videos pass the vision tower one after the other: the oldest entry belongs to
    // this call.
    for (const size_t modality : {kText, kVision}) {
      stages_[key].sqnr[modality].Add(kept[modality], GatherRows(data, shape[1], rows[modality]));
    }
    kept.erase(kept.begin(), kept.begin() + 2);
  }

  void CompareSite(std::string_view site, const float* x, int64_t n_rows, int64_t n_cols) {
    const auto it = by_site_.find(std::string(site));
    if (it == by_site_.end()) return;
    const bool vision = pairs_[it->second.front()].spec.part == TensorPart::kVision;
    const RowChoice rows = ChooseRows(kinds_, vision, n_rows, options_.max_rows);
    for (const size_t modality : {kText, kVision}) {
      if (rows[modality].empty()) continue;
      const std::vector<float> input = GatherRows(x, n_cols, rows[modality]);
      for (const size_t index : it->second) {
        CompareLinear(&pairs_[index], input, static_cast<int64_t>(rows[modality].size()), modality);
      }
    }
  }

  void CompareLinear(LinearPair* pair, const std::vector<float>& input, int64_t n_rows,
                     size_t modality) {
    if (pair->b->exec == LinearExec::kFloat && pair->a->exec == LinearExec::kFloat) return;
    std::vector<float> of_a(static_cast<size_t>(n_rows * pair->spec.out)), of_b(of_a.size());
    RunLinear(*pair->a, input.data(), n_rows, of_a.data(), a_.options().precision);
    RunLinear(*pair->b, input.data(), n_rows, of_b.data(), b_.options().precision);
    pair->sqnr[modality].Add(of_a, of_b);
  }

  Engine& a_;
  Engine& b_;
  LayerCompareOptions options_;
  std::vector<LinearPair> pairs_;
  std::map<std::string, std::vector<size_t>> by_site_;
  std::map<std::string, StageSums> stages_;
  std::vector<TokenKind> kinds_;
  std::map<std::string, std::vector<std::vector<float>>>
      kept_;  // per stage: text rows, vision rows, ...
};

}  // namespace

LayerFigures CompareLayers(Engine& a, Engine& b, const std::vector<Conversation>& conversations,
                           const LayerCompareOptions& options) {
  LayerCompare compare(a, b, options);
  Progress progress("compare: layers", "samples", conversations.size());
  for (const Conversation& conversation : conversations) {
    if (InterruptRequested())
      throw InterruptedError("the comparison was ended; nothing was written.");
    compare.Run(conversation);
    progress.Advance();
  }
  return compare.Result();
}

}  // namespace ingot
