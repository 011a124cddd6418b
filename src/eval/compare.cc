// SPDX-License-Identifier: Apache-2.0
// See the header.
#include "eval/compare.h"

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <ctime>
#include <map>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "eval/layer_compare.h"
#include "quant/report.h"

namespace ingot {
namespace {

// Starts a new measurement of PeakResidentBytes (Linux: proc(5), clear_refs 5). Without the right
// to do so the figure of the second model includes the first.
void ResetPeakMemory() {
  const int fd = ::open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  [[maybe_unused]] const ssize_t wrote = ::write(fd, "5", 1);
  ::close(fd);
}

std::string UtcNow() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  char text[32];
  std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

std::string NameOf(const std::filesystem::path& dir) {
  const std::filesystem::path clean = std::filesystem::absolute(dir).lexically_normal();
  return clean.filename().empty() ? clean.parent_path().filename().string()
                                  : clean.filename().string();
}

std::optional<double> Rate(int64_t n, double seconds) {
  return n > 0 && seconds > 0 ? std::optional(static_cast<double>(n) / seconds) : std::nullopt;
}

ModelFigures FiguresOf(const Engine& engine, const RunCost& cost) {
  ModelFigures figures;
  figures.dir = engine.reader().dir().string();
  figures.name = NameOf(engine.reader().dir());
  figures.format = FolderFormatName(engine.reader().format());
  figures.precision = PrecisionName(engine.options().precision);
  figures.emulate = EmulateName(engine.options().emulate);
  figures.weight_bytes = engine.reader().data_bytes();
  figures.peak_bytes = PeakResidentBytes();
  figures.load_seconds = engine.load_seconds();
  figures.total_seconds = cost.total_seconds;
  figures.prefill_tokens_per_second = Rate(cost.prefill_tokens, cost.prefill_seconds);
  figures.decode_tokens_per_second = Rate(cost.decode_tokens, cost.decode_seconds);
  return figures;
}

// `count` of the answered samples, evenly spread over the data.
std::vector<Conversation> ChooseSamples(const TokenCompare& tokens, int64_t count) {
  const auto n = static_cast<int64_t>(tokens.answered().size());
  count = std::min(count, n);
  std::vector<Conversation> chosen;
  for (int64_t i = 0; i < count; ++i) {
    chosen.push_back(tokens.ConversationOf(tokens.answered()[static_cast<size_t>(i * n / count)]));
  }
  return chosen;
}

PerModality ToPerModality(const LinearQuality& quality) {
  return {quality.sqnr_db[static_cast<size_t>(Modality::kText)],
          quality.sqnr_db[static_cast<size_t>(Modality::kVision)]};
}

// What the quantization itself measured and decided, when its report is in the folder.
void AddQuantReport(const std::filesystem::path& dir, CompareReport* report) {
  const std::filesystem::path path = dir / kReportName;
  if (!std::filesystem::exists(path)) return;
  const QuantReport quant = ParseReport(ReadFile(path), path.string());
  std::map<std::string, const LinearReport*> by_module;
  for (const LinearReport& linear : quant.linears) by_module[linear.module] = &linear;
  for (LinearFigures& figures : report->linears) {
    const auto it = by_module.find(figures.module);
    if (it == by_module.end()) continue;
    figures.reason = it->second->reason;
    if (it->second->quality) figures.calibration_sqnr_db = ToPerModality(*it->second->quality);
  }
  report->notes.push_back(
      fmt::format("{} was quantized with method {} for target {} on {} samples.", report->b.name,
                  quant.method, quant.target, quant.samples));
}

std::string Percent(const std::optional<double>& share) {
  return share ? fmt::format("{:.1f} %", 100 * *share) : "-";
}

std::string Figure(const std::optional<double>& value) {
  return value ? fmt::format("{:.4g}", *value) : "-";
}

// Loads both models once (views into the files, little is read) before hours are spent on the
// first.
void RequireComparable(const std::filesystem::path& a, const std::filesystem::path& b,
                       Emulate emulate) {
  const ModelReader first(a), second(b);
  RequireSupported(first.config(), a);
  RequireSupported(second.config(), b);
  const auto shape = [](const ModelConfig& config) {
    return fmt::format("{} text layers of width {}, {} vision blocks of width {}, {} tokens",
                       config.text.n_layers, config.text.hidden, config.vision.depth,
                       config.vision.hidden, config.text.vocab);
  };
  if (shape(first.config()) != shape(second.config())) {
    throw UserError("{} has {}, {} has {}; only a model and its quantized form can be compared.",
                    a.string(), shape(first.config()), b.string(), shape(second.config()));
  }
  LoadModel(first, {.emulate = emulate});
  LoadModel(second, {.emulate = emulate});
}

// The folder of the report; a folder that was made for nothing goes away again.
class OutputDir {
 public:
  explicit OutputDir(const std::filesystem::path& dir)
      : dir_(dir), made_(std::filesystem::create_directories(dir)) {}
  OutputDir(const OutputDir&) = delete;
  OutputDir& operator=(const OutputDir&) = delete;
  ~OutputDir() {
    std::error_code ignored;
    if (made_ && !kept_) std::filesystem::remove(dir_, ignored);  // only when empty
  }
  void Keep() { kept_ = true; }

 private:
  std::filesystem::path dir_;
  bool made_, kept_ = false;
};

EngineOptions ReferenceOptions(EngineOptions options) {
  options.kv.reset();
  return options;
}

}  // namespace

CompareReport Compare(const std::filesystem::path& a, const std::filesystem::path& b,
                      const Dataset& dataset, const std::string& data_path,
                      const CompareOptions& options) {
  CompareReport report;
  report.program_version = options.program_version;
  report.created = UtcNow();
  report.command = options.command;
  report.data_path = data_path;
  report.data_description = dataset.description;
  report.max_tokens = options.tokens.max_tokens;
  report.metric = "VQA accuracy";
  RequireComparable(a, b, options.engine.emulate);
  OutputDir out(options.out_dir);
  TokenCompare tokens(dataset, options.tokens, options.out_dir);
  {
    Engine engine(a, ReferenceOptions(options.engine));
    tokens.RunFirst(engine);
    report.a = FiguresOf(engine, tokens.cost_a());
  }
  ResetPeakMemory();
  Engine second(b, options.engine);
  tokens.RunSecond(second);
  report.b = FiguresOf(second, tokens.cost_b());
  const std::vector<Conversation> chosen = ChooseSamples(tokens, options.layer_samples);
  report.layer_samples = static_cast<int64_t>(chosen.size());
  if (!chosen.empty()) {
    Engine first(a, ReferenceOptions(options.engine));
    LayerFigures layers = CompareLayers(first, second, chosen);
    report.stages = std::move(layers.stages);
    report.linears = std::move(layers.linears);
  }
  AddQuantReport(b, &report);
  report.samples = tokens.TakeSamples();
  for (const std::string& skipped : tokens.skipped()) report.notes.push_back("Skipped: " + skipped);
  SummarizeReport(&report);
  JudgeReport(options, tokens.n_not_finite(), &report);
  out.Keep();
  return report;
}

void WriteReport(const CompareReport& report, const std::filesystem::path& dir) {
  std::filesystem::create_directories(dir);
  const std::string page = RenderReportPage(report);  // before the first file is written
  WriteFileAtomically(dir / "report.json", CompareReportJson(report, true) + "\n");
  WriteFileAtomically(dir / "report.html", page);
}

std::string CompareTable(const CompareReport& report) {
  std::string out;
  const auto row = [&](std::string_view name, const std::string& a, const std::string& b) {
    out += fmt::format("{:<26} {:>24} {:>24}\n", name, a, b);
  };
  const ModelFigures &a = report.a, &b = report.b;
  row("", a.name, b.name);
  row("format", a.format, b.format);
  row("weights", HumanBytes(a.weight_bytes), HumanBytes(b.weight_bytes));
  row("peak memory", HumanBytes(a.peak_bytes), HumanBytes(b.peak_bytes));
  row("time", HumanSeconds(a.total_seconds), HumanSeconds(b.total_seconds));
  row("answer tokens per second", Figure(a.decode_tokens_per_second),
      Figure(b.decode_tokens_per_second));
  if (report.totals.n_scored > 0) {
    row("VQA accuracy", Percent(a.accuracy), Percent(b.accuracy));
    row("exact match", Percent(a.exact_match), Percent(b.exact_match));
    row("ANLS", Percent(a.anls), Percent(b.anls));
  }
  const CompareTotals& t = report.totals;
  out +=
      fmt::format("\n{} samples, {} tokens: KL mean {}, 99 % below {}, largest {}; same token {}\n",
                  t.n_samples, t.n_tokens, Figure(t.kl_mean), Figure(t.kl_p99), Figure(t.kl_max),
                  Percent(t.top1_agree));
  out += fmt::format("{} of {} answers are identical; {} leave the float model's path",
                     t.identical_texts, t.n_samples, t.n_diverged);
  if (t.first_divergence_median) {
    out += fmt::format(", at token {:.0f} in the median", *t.first_divergence_median + 1);
  }
  out += "\n";
  for (const std::string& finding : report.findings) out += "WRONG: " + finding + "\n";
  for (const std::string& remark : RemarksOn(report)) out += "note: " + remark + "\n";
  return out;
}

}  // namespace ingot
