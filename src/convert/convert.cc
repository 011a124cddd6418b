// SPDX-License-Identifier: Apache-2.0
#include "convert/convert.h"

#include <algorithm>
#include <set>
#include <system_error>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/files.h"
#include "checkpoint/json_value.h"
#include "checkpoint/serve_command.h"
#include "convert/execute.h"
#include "convert/folder_transaction.h"
#include "convert/rules.h"
#include "convert/source.h"

namespace ingot {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kScriptWeightName = "quant_model_weight_w8a8.safetensors";
constexpr std::string_view kScriptIndexName = "model.safetensors.index.json";
constexpr std::string_view kOldDescriptionName = "quant_model_description_w8a8.json";
constexpr uint64_t kSpareBytes = 16u << 20;  // room for the small files

// One conversion on its way: new files as text or as copies, weights by plan.
class Conversion {
 public:
  Conversion(const fs::path& dir, FolderTransaction* transaction)
      : dir_(dir), transaction_(transaction) {}

  // A small file; skipped when the folder holds the same bytes already.
  void Text(const std::string& name, std::string content) {
    if (IsSame(name, content)) return;
    texts_.emplace_back(name, std::move(content));
  }
  void Copy(const fs::path& from) { copies_.push_back(from); }
  void Weights(const ConversionPlan* plan, ShardPlan shards, SafetensorsWriter::Options options,
               bool owner_only) {
    plan_ = plan;
    shards_ = std::move(shards);
    options_ = std::move(options);
    owner_only_ = owner_only;
  }
  void Remove(const std::string& name) { removals_.push_back(name); }
  bool HasCopy(const std::string& name) const {
    return std::any_of(copies_.begin(), copies_.end(),
                       [&](const fs::path& path) { return path.filename() == name; });
  }

  bool empty() const {
    return texts_.empty() && copies_.empty() && plan_ == nullptr && removals_.empty();
  }
  void Run();
  uint64_t bytes_written() const { return bytes_; }
  std::vector<std::string> copied() const {
    std::vector<std::string> names;
    for (const fs::path& path : copies_) names.push_back(path.filename().string());
    return names;
  }

 private:
  bool IsSame(const std::string& name, const std::string& content) const {
    const fs::path path = dir_ / name;
    std::error_code error;
    return fs::file_size(path, error) == content.size() && !error && ReadFile(path) == content;
  }
  void RequireSpace() const;
  void CopyFile(const fs::path& from);

  fs::path dir_;
  FolderTransaction* transaction_;
  std::vector<std::pair<std::string, std::string>> texts_;
  std::vector<fs::path> copies_;
  std::vector<std::string> removals_;
  const ConversionPlan* plan_ = nullptr;
  ShardPlan shards_;
  SafetensorsWriter::Options options_;
  bool owner_only_ = false;
  uint64_t bytes_ = 0;
};

void Conversion::RequireSpace() const {
  uint64_t need = kSpareBytes + (plan_ != nullptr ? shards_.data_bytes : 0);
  std::error_code ignored;
  for (const fs::path& path : copies_) need += fs::file_size(path, ignored);
  const uint64_t free = FreeDiskBytes(dir_);
  if (free >= need) return;
  throw ResourceError(
      "{}: the new files need {} beside the old ones, and {} are free. Free some space, or convert "
      "into a folder "
      "on another disk with -o.",
      dir_.string(), HumanBytes(need), HumanBytes(free));
}

// Content, mode and time, as the original script copies.
void Conversion::CopyFile(const fs::path& from) {
  const fs::path to = transaction_->files() / from.filename();
  std::error_code error;
  fs::copy_file(from, to, fs::copy_options::overwrite_existing, error);
  if (error)
    throw ResourceError("{}: cannot copy the file: {}. Check its permissions.", from.string(),
                        error.message());
  fs::last_write_time(to, fs::last_write_time(from, error), error);
  bytes_ += fs::file_size(to, error);
  transaction_->Replace(from.filename().string());
}

void Conversion::Run() {
  RequireSpace();
  transaction_->Begin();
  for (const fs::path& path : copies_) CopyFile(path);
  for (const auto& [name, content] : texts_) {
    WriteFileAtomically(transaction_->files() / name, content);
    bytes_ += content.size();
    transaction_->Replace(name);
  }
  if (plan_ != nullptr) {
    WriteWeights(*plan_, shards_, options_, transaction_->files());
    VerifyWeights(*plan_, shards_, transaction_->files());
    bytes_ += shards_.data_bytes;
    for (const ShardPlan::Shard& shard : shards_.shards) {
      if (owner_only_)
        fs::permissions(transaction_->files() / shard.file_name, fs::perms::owner_read);
      transaction_->Replace(shard.file_name);
    }
  }
  for (const std::string& name : removals_) transaction_->Remove(name);
  transaction_->Commit();
}

// ---- what a folder lacks

bool EndsWith(const std::string& name, std::string_view end) { return name.ends_with(end); }

// Files that the original folder has beside its weights and `dir` has not. The original script
// takes everything that is not
// *.safetensors; by default weights of other formats and the float model's index stay behind as
// well.
std::vector<fs::path> MissingFiles(const fs::path& original, const fs::path& dir, bool exact) {
  std::vector<fs::path> missing;
  for (const fs::path& path : ListFiles(original)) {
    const std::string name = path.filename().string();
    if (path.extension() == ".safetensors" || fs::exists(dir / name)) continue;
    const bool weights = EndsWith(name, ".bin") || EndsWith(name, ".pt") ||
                         EndsWith(name, ".pth") || EndsWith(name, ".gguf") ||
                         EndsWith(name, ".index.json") || EndsWith(name, ".partial");
    if (weights && !exact) continue;
    missing.push_back(path);
  }
  return missing;
}

int64_t IntegerAt(const JsonValue& config, std::string_view key) {
  const JsonValue* text = config.Find("text_config");
  const JsonValue* value = text != nullptr ? text->Find(key) : nullptr;
  if (value == nullptr) value = config.Find(key);
  return value != nullptr && value->kind == JsonValue::Kind::kInteger ? value->integer : -1;
}

// The tokenizer of another model would be copied without a word.
void RequireSameModel(const SourceFolder& source, const fs::path& original) {
  const fs::path path = original / "config.json";
  if (!fs::exists(path) || path == source.config_path()) return;
  const JsonValue theirs = ReadJsonObject(path, 4u << 20);
  const JsonValue ours = ParseJson(source.config_text(), source.config_path().string());
  for (const char* key : {"hidden_size", "num_hidden_layers", "vocab_size"}) {
    const int64_t a = IntegerAt(ours, key), b = IntegerAt(theirs, key);
    if (a == b || a < 0 || b < 0) continue;
    throw UserError(
        "{}: {} is {}, but {} says {}: the original model is another one. Give the float model "
        "that was quantized.",
        path.string(), key, b, source.config_path().string(), a);
  }
}

void RequireFolder(const fs::path& dir, const char* option, const char* what) {
  if (fs::is_directory(dir)) return;
  throw UserError("{}: is no folder. Give {} with {}.", dir.string(), what, option);
}

DType RunDType(const SourceFolder& source, Target target, std::optional<DType> wanted) {
  if (wanted) return *wanted;
  return target == Target::kGoldenStick310 ? DType::kF16 : source.run_dtype();
}

void FillReport(const ConversionPlan& plan, ConvertReport* report) {
  for (const OutputTensor& tensor : plan.tensors) {
    if (tensor.out.stored) ++report->actions[std::string(ActionName(tensor.action))];
  }
  if (!plan.dropped.empty()) report->actions["drop"] = static_cast<int64_t>(plan.dropped.size());
  if (plan.n_renamed > 0) report->actions["rename"] = plan.n_renamed;
  report->notes.insert(report->notes.end(), plan.notes.begin(), plan.notes.end());
}

// ---- in place

// The script maps every key of the description but model_quant_type to the one file and writes the
// size that the file had.
std::string ScriptIndex(const SourceFolder& source) {
  std::vector<std::pair<std::string, std::string>> map;
  const fs::path path = source.dir() / kDescriptionName;
  for (const auto& [key, value] : ParseJson(source.description_text(), path.string()).members) {
    if (key != "model_quant_type") map.emplace_back(key, kScriptWeightName);
  }
  return IndexJson(source.files()[0]->file_size(), map);
}

bool FilesAre(const SourceFolder& source, const ShardPlan& shards) {
  if (source.files().size() != shards.shards.size()) return false;
  for (size_t i = 0; i < shards.shards.size(); ++i) {
    if (source.files()[i]->path().filename() != shards.shards[i].file_name) return false;
  }
  return true;
}

void RemoveOldWeights(const SourceFolder& source, const ShardPlan& shards, Conversion* conversion) {
  std::set<std::string> kept;
  for (const ShardPlan::Shard& shard : shards.shards) kept.insert(shard.file_name);
  for (const auto& file : source.files()) {
    const std::string name = file->path().filename().string();
    if (!kept.count(name)) conversion->Remove(name);
  }
  for (const fs::path& path : ListFiles(source.dir())) {
    const std::string name = path.filename().string();
    if (EndsWith(name, ".safetensors.index.json") && name != kScriptIndexName)
      conversion->Remove(name);
  }
}

void PlanDescription(const SourceFolder& source, const ConversionPlan& plan,
                     Conversion* conversion) {
  // Kept to the byte unless a label or a name changes: it may carry headers of its own.
  const auto labels = Labels(plan.Layout());
  const std::string text =
      labels == source.description().labels
          ? source.description_text()
          : QuantDescriptionJson(ModelQuantType(labels), labels, DescriptionStyle::kV0);
  conversion->Text(std::string(kDescriptionName), text);
  if (fs::exists(source.dir() / kOldDescriptionName))
    conversion->Remove(std::string(kOldDescriptionName));
}

void PlanInPlace(const SourceFolder& source, const ConversionPlan& plan,
                 const ConvertOptions& options, Conversion* conversion) {
  ShardPolicy policy = ShardPolicyFor(plan.layout, "W8A8");
  if (options.exact) policy = {0, std::string(kScriptWeightName), {}, false};
  const ShardPlan shards = PlanShards(StoredTensors(plan.Layout()), policy);
  const bool rewrite = !plan.OnlyKeeps() || !FilesAre(source, shards);
  if (rewrite) {
    conversion->Weights(&plan, shards, WriterOptions(plan.layout), options.exact);
    RemoveOldWeights(source, shards, conversion);
  }
  if (options.exact) {
    conversion->Text(std::string(kDescriptionName), source.description_text());
    if (fs::exists(source.dir() / kOldDescriptionName))
      conversion->Remove(std::string(kOldDescriptionName));
    if (rewrite || !fs::exists(source.dir() / kScriptIndexName)) {
      conversion->Text(std::string(kScriptIndexName), ScriptIndex(source));
    }
    return;
  }
  PlanDescription(source, plan, conversion);
  conversion->Text(std::string(kScriptIndexName), IndexText(plan.layout, shards));
  conversion->Text("config.json", RewriteConfig(plan.layout, source.config_text(), {},
                                                source.config_path().string()));
}

void NoteMends(const SourceFolder& source, const ConversionPlan& plan, ConvertReport* report) {
  if (plan.layout.target == Target::kGoldenStick910) {
    const auto it = report->actions.find("retype");
    if (it != report->actions.end()) {
      report->notes.push_back(
          "deq_scale written as F32: the original script leaves int64, which vllm-mindspore reads "
          "by value "
          "(garbage)");
    }
  }
  if (plan.layout.options.run_dtype != source.run_dtype()) {
    report->notes.push_back("config.json now says torch_dtype float16, the only type of a 310P");
  }
}

// ---- into a new folder

// True when the folder was made here.
bool MakeFolder(const fs::path& src, const fs::path& dst) {
  std::error_code error;
  if (fs::exists(dst) && !fs::is_directory(dst))
    throw UserError("{}: exists and is no folder. Choose another -o.", dst.string());
  if (fs::equivalent(src, dst, error)) {
    throw UserError(
        "{}: is the source itself. Choose another folder with -o; to convert in place use "
        "--quant_dir.",
        dst.string());
  }
  const bool made = fs::create_directories(dst, error);
  if (error)
    throw ResourceError("{}: cannot create the folder: {}. Choose another one with -o.",
                        dst.string(), error.message());
  return made;
}

// A new output folder that stays empty goes away again.
class EmptyFolderGuard {
 public:
  EmptyFolderGuard(const fs::path& dir, bool made) : dir_(dir), made_(made) {}
  ~EmptyFolderGuard() {
    std::error_code ignored;
    if (made_) fs::remove(dir_, ignored);  // fails on a folder that holds something
  }
  EmptyFolderGuard(const EmptyFolderGuard&) = delete;
  EmptyFolderGuard& operator=(const EmptyFolderGuard&) = delete;

 private:
  fs::path dir_;
  bool made_;
};

void RequireEmpty(const fs::path& dst) {
  if (fs::directory_iterator(dst) == fs::directory_iterator()) return;
  throw UserError("{}: is not empty. Remove it or choose another folder with -o.", dst.string());
}

ConvertReport FinishedEarlier(const fs::path& dst, Target target) {
  const SourceFolder folder(dst);
  if (folder.format() != FormatOf(target)) {
    throw UserError(
        "{}: an interrupted conversion to {} was completed now; the folder is not empty. Choose "
        "another folder for {}.",
        dst.string(), FolderFormatName(folder.format()), TargetName(target));
  }
  ConvertReport report{dst, folder.format(), folder.format(), folder.run_dtype()};
  report.notes.push_back("an interrupted conversion was completed");
  return report;
}

void PlanSideFiles(const fs::path& src, const fs::path& original, Conversion* conversion) {
  for (const std::string& name : SideFiles(src, Target::kAscend)) conversion->Copy(src / name);
  if (original.empty()) return;
  for (const std::string& name : SideFiles(original, Target::kAscend)) {
    if (!conversion->HasCopy(name)) conversion->Copy(original / name);
  }
}

std::string NewConfig(const SourceFolder& source, const ConversionPlan& plan) {
  ConfigEdits edits;
  if (plan.layout.target == Target::kCompressedTensors) {
    const ModelConfig config = LoadModelConfig(source.config_path().parent_path());
    edits.ct_ignore = CompressedTensorsIgnore(config, [&](const LinearSpec& linear) {
      const SourceModule* module = source.FindModule(linear.module);
      return module == nullptr ? LinearType::kFloat : module->type;
    });
  }
  return RewriteConfig(plan.layout, source.config_text(), edits, source.config_path().string());
}

void PlanNewFolder(const SourceFolder& source, const ConversionPlan& plan, Conversion* conversion) {
  const std::vector<LayoutTensor> layout = plan.Layout();
  const auto labels = Labels(layout);
  const std::string type = ModelQuantType(labels);
  const ShardPlan shards = PlanShards(StoredTensors(layout), ShardPolicyFor(plan.layout, type));
  conversion->Weights(&plan, shards, WriterOptions(plan.layout), false);
  if (const auto style = DescriptionStyleOf(plan.layout.target)) {
    conversion->Text(std::string(kDescriptionName), QuantDescriptionJson(type, labels, *style));
  }
  if (const auto index = IndexName(plan.layout, shards, type))
    conversion->Text(*index, IndexText(plan.layout, shards));
  conversion->Text("config.json", NewConfig(source, plan));
}

}  // namespace

ConvertReport ConvertInPlace(const fs::path& quant_dir, Target target,
                             const ConvertOptions& options) {
  if (!IsGoldenStick(target))
    throw UserError("target {}: in place only 310 and 910 are possible. Use -o.",
                    TargetName(target));
  RequireFolder(quant_dir, "--quant_dir", "the folder that the quantizer wrote");
  RequireFolder(options.original_dir, "--original_dir", "the float model that was quantized");
  FolderTransaction transaction(quant_dir);
  const SourceFolder source(quant_dir, options.original_dir);
  if (!source.has_description()) {
    throw UserError(
        "{}: has no quant_model_description.json. Convert this {} folder with -o and --target.",
        quant_dir.string(), FolderFormatName(source.format()));
  }
  if (!options.exact) RequireSameModel(source, options.original_dir);

  FolderLayout layout{target, {}};
  layout.options.run_dtype = RunDType(source, target, std::nullopt);
  layout.options.shard_bytes = options.shard_bytes;
  const ConversionPlan plan =
      options.exact ? PlanExact(source, target) : PlanConversion(source, layout);
  Conversion conversion(quant_dir, &transaction);
  for (const fs::path& path : MissingFiles(options.original_dir, quant_dir, options.exact)) {
    const bool rewritten = path.filename() == "config.json" && !options.exact;
    if (!rewritten) conversion.Copy(path);
  }
  PlanInPlace(source, plan, options, &conversion);

  ConvertReport report{quant_dir, source.format(), FormatOf(target)};
  report.run_dtype = options.exact ? source.run_dtype() : layout.options.run_dtype;
  report.changed = !conversion.empty();
  if (transaction.rolled_forward())
    report.notes.push_back("an interrupted conversion was completed first");
  FillReport(plan, &report);
  if (!options.exact) NoteMends(source, plan, &report);
  if (report.changed) conversion.Run();
  report.copied = conversion.copied();
  report.bytes_written = conversion.bytes_written();
  return report;
}

ConvertReport ConvertFolder(const fs::path& src, const fs::path& dst, Target target,
                            const ConvertOptions& options) {
  if (options.exact)
    throw UserError(
        "--exact belongs to the old flags (--quant_dir and --target_type). Leave it out with -o.");
  RequireFolder(src, "the first argument", "the folder to convert");
  if (!options.original_dir.empty())
    RequireFolder(options.original_dir, "--original_dir", "the float model that was quantized");
  const SourceFolder source(src, options.original_dir);
  if (!options.original_dir.empty()) RequireSameModel(source, options.original_dir);
  FolderLayout layout{target, {}};
  layout.options.run_dtype = RunDType(source, target, options.run_dtype);
  layout.options.shard_bytes = options.shard_bytes;
  layout.options.write_tied_head = target == Target::kAscend || target == Target::kAscendV0;
  ValidateLayout(layout);
  const ConversionPlan plan = PlanConversion(source, layout);

  const EmptyFolderGuard guard(dst, MakeFolder(src, dst));
  FolderTransaction transaction(dst);
  if (transaction.rolled_forward()) return FinishedEarlier(dst, target);
  RequireEmpty(dst);
  Conversion conversion(dst, &transaction);
  PlanSideFiles(src, options.original_dir, &conversion);
  PlanNewFolder(source, plan, &conversion);
  ConvertReport report{dst, source.format(), FormatOf(target), layout.options.run_dtype};
  FillReport(plan, &report);
  if (fs::is_directory(src / "optional")) {
    report.notes.push_back("the subfolder optional/ is not copied: no engine needs it");
  }
  conversion.Run();
  report.copied = conversion.copied();
  report.bytes_written = conversion.bytes_written();
  return report;
}

std::string ConvertReportText(const ConvertReport& report) {
  std::string text;
  if (!report.changed) {
    text += fmt::format("{}: is complete already, nothing was changed.\n", report.dir.string());
  } else {
    text += fmt::format("{}: {} -> {}, {} written and read back.\n", report.dir.string(),
                        FolderFormatName(report.from), FolderFormatName(report.to),
                        HumanBytes(report.bytes_written));
  }
  std::string counts;
  for (const auto& [action, count] : report.actions)
    counts += fmt::format("{}{} {}", counts.empty() ? "" : ", ", action, count);
  if (report.changed && !counts.empty()) text += fmt::format("tensors: {}\n", counts);
  if (!report.copied.empty())
    text += fmt::format("files added: {}\n", fmt::join(report.copied, ", "));
  for (const std::string& note : report.notes) text += fmt::format("note: {}\n", note);
  text +=
      fmt::format("serve it with:\n  {}\n", ServeCommand(report.to, report.dir, report.run_dtype));
  return text;
}

}  // namespace ingot
