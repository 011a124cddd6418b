// SPDX-License-Identifier: Apache-2.0
// `ingot quantize`: options to a plan, samples and a layout; the work is in quant/pipeline.cc.
#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <optional>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/original_script.h"
#include "prompt/dataset.h"
#include "quant/pipeline.h"
#include "quant/plan.h"
#include "quant/report.h"

namespace ingot::cli {
namespace {

namespace fs = std::filesystem;

void Print(const std::string& text) { std::fwrite(text.data(), 1, text.size(), stdout); }

// One value that has a new and an old spelling.
std::string Either(const Options& options, const char* name, const char* old_name) {
  if (options.Has(name) && options.Has(old_name) && options.Text(name) != options.Text(old_name)) {
    throw UserError("{} and {} say different things ({} and {}). Give one of them.", name, old_name,
                    options.Text(name), options.Text(old_name));
  }
  return options.Has(name) ? options.Text(name) : options.Text(old_name);
}

std::string Required(const std::string& value, const char* what) {
  if (value.empty()) throw UserError("quantize needs {}. See `ingot help quantize`.", what);
  return value;
}

// The old command line's names ask for what the old tool wrote.
Target TargetOf(const Options& options) {
  if (options.Has("--target")) return ParseTarget(options.Text("--target"));
  return options.Has("--save-directory") || options.Text("--method") == "v0" ? Target::kAscendV0
                                                                             : Target::kAscend;
}

DType RunDType(const std::string& name) {
  if (name == "bfloat16") return DType::kBF16;
  if (name == "float16") return DType::kF16;
  throw UserError("--run-dtype {}: expected auto, bfloat16 or float16.", name);
}

FolderLayout LayoutOf(const Options& options, const ModelConfig& config, Target target) {
  FolderLayout layout = DefaultLayout(target, config);
  if (target == Target::kAscendV0)
    layout.options.run_dtype = DType::kF16;  // the original loads every model so
  if (options.Text("--run-dtype") != "auto")
    layout.options.run_dtype = RunDType(options.Text("--run-dtype"));
  const std::string activations = options.Text("--activations");
  if (target == Target::kCompressedTensors && activations != "auto") {
    layout.options.ct_dynamic = activations == "dynamic";
    layout.options.ct_symmetric = activations != "static-asymmetric";
  } else if (activations != "auto") {
    throw UserError(
        "--activations {} is for --target compressed-tensors. For other targets use --layers "
        "'PATTERN=static' or 'PATTERN=dynamic'.",
        activations);
  }
  layout.options.vector_scales = options.Flag("--vector-scales");
  if (options.Has("--shard-size")) layout.options.shard_bytes = options.Bytes("--shard-size");
  if (options.Has("--part-file-size")) {
    layout.options.shard_bytes =
        static_cast<uint64_t>(options.Number("--part-file-size") * (1u << 30));
  }
  ValidateLayout(layout);
  return layout;
}

QuantPlan PlanOf(const Options& options, const ModelConfig& config, const FolderLayout& layout) {
  QuantPlan plan = MakeDefaultPlan(config, layout, ParseMethod(options.Text("--method")));
  if (options.Flag("--is-dynamic")) {
    for (auto& linear : plan.linears) {
      if (linear.type == LinearType::kStatic) linear.type = LinearType::kDynamic;
    }
  }
  if (options.Has("--plan")) ApplyPlanFile(&plan, options.Path("--plan"));
  for (const auto& rule : options.List("--layers")) ApplyLayerRule(&plan, rule);
  ValidatePlan(plan);
  return plan;
}

Dataset SamplesOf(const Options& options) {
  const std::string calib = Either(options, "--calib", "--calib-images");
  DatasetOptions dataset_options;
  dataset_options.question = options.Text("--calib-text");
  dataset_options.max_samples = options.Integer("--max-samples");
  if (dataset_options.max_samples < 0) throw UserError("--max-samples: expected 0 (all) or more.");
  if (calib.empty() && !options.Has("--calib-json")) return {};
  if (!options.Has("--calib-json")) return LoadDataset(calib, dataset_options);
  dataset_options.images = calib;
  return LoadDataset(options.Path("--calib-json"), dataset_options);
}

void ReportProblems(const Dataset& data, bool skip) {
  if (data.problems.empty()) return;
  constexpr size_t kShown = 10;
  for (size_t i = 0; i < std::min(kShown, data.problems.size()); ++i) {
    LogWarning("{}: {}", data.problems[i].where, data.problems[i].what);
  }
  if (data.problems.size() > kShown) LogWarning("... and {} more", data.problems.size() - kShown);
  if (!skip) {
    throw UserError(
        "{}: {} more cannot be used ({}). Mend what is named there, or give --skip-bad-images to "
        "leave it out.",
        data.description, data.problems.size(),
        data.problems.size() == 1 ? data.problems[0].where : "listed above");
  }
}

// The engines run a BF16 checkpoint in BF16, and taking the ranges in that arithmetic is three
// times as fast, which matters from a billion weights on; below, float32 costs seconds. V0's
// arithmetic is its own.
Precision PrecisionOf(const Options& options, const ModelReader& reader, const QuantPlan& plan) {
  const std::string text = options.Text("--precision");
  if (text != "auto") return text == "bf16" ? Precision::kBF16 : Precision::kF32;
  if (plan.method == Method::kV0 || plan.linears.empty()) return Precision::kF32;
  const TensorInfo* weight = reader.Find(plan.linears.front().spec.module + ".weight");
  constexpr uint64_t kLargeModel = 2'000'000'000;  // bytes
  const bool bf16 =
      weight != nullptr && weight->dtype == DType::kBF16 && reader.data_bytes() >= kLargeModel;
  return bf16 ? Precision::kBF16 : Precision::kF32;
}

QuantizeOptions RunOptions(const Options& options, const ModelReader& reader, const QuantPlan& plan,
                           const fs::path& out) {
  QuantizeOptions run{.out_dir = out};
  run.calibration.precision = PrecisionOf(options, reader, plan);
  const int64_t act_method = options.Integer("--act-method");
  if (act_method < 1 || act_method > 3)
    throw UserError("--act-method {}: expected 1, 2 or 3.", act_method);
  run.calibration.act_method = static_cast<V0ActMethod>(act_method);
  run.calibration.search_range = !options.Flag("--no-range-search");
  run.calibration.search_weights = !options.Flag("--no-weight-search");
  run.with_answers = plan.method == Method::kBalanced && !options.Flag("--no-answers");
  run.skip_bad_samples = options.Flag("--skip-bad-images");
  run.prompt.decode.alpha = AlphaPolicy::kDrop;  // as the original tool; docs/design
  run.prompt.limits.min_pixels = options.Integer("--min-pixels");
  run.prompt.limits.max_pixels = options.Integer("--max-pixels");
  // The original's folder holds exactly its own files.
  run.report_in_folder = plan.layout.target != Target::kAscendV0;
  if (plan.method == Method::kV0) {
    run.v0_torch_dtype = options.Has("--torch-dtype") ? options.Text("--torch-dtype") : "bfloat16";
  } else if (options.Has("--torch-dtype")) {
    LogOnceText(
        LogLevel::kNote,
        "--torch-dtype is ignored: config.json names the dtype that the scales are made for "
        "(--run-dtype chooses it)");
  }
  return run;
}

std::string Decibel(const std::optional<double>& value) {
  return value ? fmt::format("{:.1f}", *value) : "-";
}

std::string SqnrTable(const std::vector<LinearReport>& linears) {
  const auto kinds = SqnrByKind(linears);
  const bool measured = std::any_of(kinds.begin(), kinds.end(), [](const auto& k) {
    return k.mean_sqnr_db[0].has_value() || k.mean_sqnr_db[1].has_value();
  });
  if (!measured) return {};
  std::string text =
      fmt::format("\n{:<14} {:>6} {:>7} {:>6}   {:>15}   {:>15}\n", "SQNR in dB", "static",
                  "dynamic", "float", "text mean/worst", "vision mean/worst");
  for (const auto& kind : kinds) {
    if (kind.n_static + kind.n_dynamic == 0) continue;
    text += fmt::format("{:<14} {:>6} {:>7} {:>6}   {:>7} / {:>5}   {:>9} / {:>5}\n",
                        LinearKindName(kind.kind), kind.n_static, kind.n_dynamic, kind.n_float,
                        Decibel(kind.mean_sqnr_db[0]), Decibel(kind.worst_sqnr_db[0]),
                        Decibel(kind.mean_sqnr_db[1]), Decibel(kind.worst_sqnr_db[1]));
  }
  return text;
}

std::string NextSteps(const QuantPlan& plan, const fs::path& model, const fs::path& out) {
  std::string text = "\nNext:\n";
  if (plan.layout.target == Target::kAscendV0) {
    text += fmt::format(
        "  ingot convert --original_dir {} --quant_dir {} --target_type 310   # or 910: for "
        "vllm-mindspore\n",
        model.string(), out.string());
  }
  text += fmt::format("  ingot check {}   # is it sound, which engine and flag does it need\n",
                      out.string());
  text += fmt::format(
      "  ingot compare {} {} --data QUESTIONS -o REPORT   # float and quantized side by side\n",
      model.string(), out.string());
  return text;
}

std::string Summary(const QuantReport& report, const fs::path& out) {
  std::string text = fmt::format("{}: {} ({}, method {}), {} of tensors from {}\n", out.string(),
                                 report.target, report.run_dtype, report.method,
                                 HumanBytes(report.output_bytes), HumanBytes(report.source_bytes));
  text += fmt::format("{} samples with {} pictures; {} in all, peak memory {}\n", report.samples,
                      report.pictures, HumanSeconds(report.total_seconds),
                      HumanBytes(report.peak_bytes));
  for (const auto& stage : report.stages) {
    text += fmt::format("  {:<8} {}\n", stage.stage, HumanSeconds(stage.seconds));
  }
  return text;
}

std::string DryRunText(const ModelReader& reader, const QuantPlan& plan, const DryRun& dry,
                       const fs::path& out) {
  std::string text = fmt::format("{} -> {} ({}, {}, method {})\n\n", reader.dir().string(),
                                 out.string(), TargetName(plan.layout.target),
                                 DTypeName(plan.layout.options.run_dtype), MethodName(plan.method));
  text += fmt::format("{:<18} {:>6} {:>7} {:>8}\n", "linear", "float", "static", "dynamic");
  for (const auto& [kind, count] : CountTypes(plan)) {
    text += fmt::format("{:<18} {:>6} {:>7} {:>8}\n", LinearKindName(kind), count[0], count[1],
                        count[2]);
  }
  text += fmt::format("\nsamples      {} with {} pictures: {} tokens, {} patches\n", dry.n_samples,
                      dry.n_pictures, dry.n_tokens, dry.n_patches);
  text += fmt::format("output       {} of tensors (source {})\n", HumanBytes(dry.output_bytes),
                      HumanBytes(dry.source_bytes));
  text += fmt::format("disk         {} free, {} needed ({} of it only while it runs)\n",
                      HumanBytes(dry.free_disk_bytes),
                      HumanBytes(dry.output_bytes + dry.spill_bytes), HumanBytes(dry.spill_bytes));
  text += fmt::format("peak memory  about {}\n", HumanBytes(dry.peak_bytes));
  text += fmt::format("time         about {} ({:.0f} GFLOP at the speed just measured)\n",
                      HumanSeconds(dry.seconds), dry.flops / 1e9);
  return text;
}

int DryRunAndPrint(const ModelReader& reader, const QuantPlan& plan, const Dataset& data,
                   const QuantizeOptions& run, bool json) {
  const DryRun dry = PlanQuantize(reader, plan, data, run);
  Print(json ? DryRunJson(dry, plan) : DryRunText(reader, plan, dry, run.out_dir));
  if (dry.free_disk_bytes < dry.output_bytes + dry.spill_bytes) {
    throw ResourceError("{}: {} free, {} needed. Free some space or choose another output folder.",
                        run.out_dir.string(), HumanBytes(dry.free_disk_bytes),
                        HumanBytes(dry.output_bytes + dry.spill_bytes));
  }
  return 0;
}

int RunQuantizeCommand(const Options& options) {
  CheckOriginalQuantizeOptions(options);
  const fs::path model =
      Required(Either(options, "MODEL", "--model-path"), "the folder of the float model");
  const ModelReader reader(model);
  const Target target = TargetOf(options);
  const FolderLayout layout = LayoutOf(options, reader.config(), target);
  const QuantPlan plan = PlanOf(options, reader.config(), layout);
  if (options.Has("--write-plan")) {
    WriteFileAtomically(options.Path("--write-plan"), PlanJson(plan));
    LogNote("wrote the plan to {}; edit it and give it back with --plan",
            options.Text("--write-plan"));
    if (Either(options, "--output", "--save-directory").empty()) return 0;
  }
  if (options.Flag("--vector-scales") && plan.method == Method::kV0) {
    throw UserError(
        "--vector-scales belongs to --method balanced; V0 knows one scale for each linear. Leave "
        "one of them out.");
  }
  const fs::path out =
      Required(Either(options, "--output", "--save-directory"), "an output folder (-o OUT)");
  const Dataset data = SamplesOf(options);
  ReportProblems(data, options.Flag("--skip-bad-images"));
  const QuantizeOptions run = RunOptions(options, reader, plan, out);
  if (options.Flag("--dry-run")) {
    return DryRunAndPrint(reader, plan, data, run, options.Flag("--json"));
  }

  const QuantReport report = RunQuantize(reader, plan, data, run);
  if (options.Has("--report")) WriteFileAtomically(options.Path("--report"), ReportJson(report));
  if (options.Flag("--json")) {
    Print(ReportJson(report));
    return 0;
  }
  Print(Summary(report, out) + SqnrTable(report.linears) + NextSteps(plan, model, out));
  return 0;
}

std::vector<Option> QuantizeTable() {
  std::vector<Option> table = {
      {.name = "MODEL",
       .kind = Kind::kPath,
       .help = "Folder of the float model, as downloaded from Hugging Face."},
      {.name = "--output",
       .kind = Kind::kPath,
       .value_name = "OUT",
       .help = "The folder to write; new or empty.",
       .aliases = {"-o"}},
      {.name = "--calib",
       .kind = Kind::kPath,
       .value_name = "PATH",
       .help =
           "Calibration data: a folder of pictures, TextVQA's JSON, or JSON lines of messages."},
      {.name = "--calib-json",
       .kind = Kind::kPath,
       .value_name = "FILE",
       .help = "TextVQA's JSON (questions and picture ids) for the pictures in --calib."},
      {.name = "--calib-text",
       .kind = Kind::kText,
       .value_name = "SENTENCE",
       .default_text = kDefaultQuestion,
       .help = "What is asked about each picture of a folder."},
      {.name = "--max-samples",
       .kind = Kind::kInteger,
       .value_name = "N",
       .default_text = "0",
       .help = "Use the first N samples; 0 = all."},
      {.name = "--no-answers",
       .kind = Kind::kFlag,
       .help = "Method balanced: calibrate on the questions alone, not on the reference answers "
               "behind them."},
      {.name = "--skip-bad-images",
       .kind = Kind::kFlag,
       .help = "Leave out samples whose pictures cannot be read; they are listed in the report."},
      {.name = "--target",
       .kind = Kind::kChoice,
       .help = "The layout to write. Default: ascend (ascend-v0 with the old option names or "
               "--method v0).",
       .choices = {"ascend", "ascend-v0", "golden-stick-310", "golden-stick-910",
                   "compressed-tensors"}},
      {.name = "--method",
       .kind = Kind::kChoice,
       .default_text = "balanced",
       .help = "balanced: exact extremes and a range search for text and vision. v0: what "
               "msModelSlim's script computes.",
       .choices = {"balanced", "v0"}},
      {.name = "--layers",
       .kind = Kind::kText,
       .value_name = "PATTERN=TYPE",
       .help = "Type of the linears that match: float, static or dynamic ('*.down_proj=dynamic').",
       .repeated = true},
      {.name = "--plan",
       .kind = Kind::kPath,
       .value_name = "FILE",
       .help = "Types per linear from an edited plan file."},
      {.name = "--write-plan",
       .kind = Kind::kPath,
       .value_name = "FILE",
       .help = "Write the plan as JSON; without -o nothing else is done."},
      {.name = "--run-dtype",
       .kind = Kind::kChoice,
       .default_text = "auto",
       .help = "The type that the engine will run in; scales and their encoding follow it.",
       .choices = {"auto", "bfloat16", "float16"}},
      {.name = "--activations",
       .kind = Kind::kChoice,
       .default_text = "auto",
       .help = "compressed-tensors only: scales per token (dynamic, default) or fixed.",
       .choices = {"auto", "dynamic", "static", "static-asymmetric"}},
      {.name = "--precision",
       .kind = Kind::kChoice,
       .default_text = "auto",
       .help = "Arithmetic of the calibration forward; auto: bf16 for a checkpoint in bfloat16 "
               "from 2 GB on, f32 else and for v0.",
       .choices = {"auto", "f32", "bf16"}},
      {.name = "--no-range-search",
       .kind = Kind::kFlag,
       .help = "Method balanced: take the exact extremes as ranges."},
      {.name = "--no-weight-search",
       .kind = Kind::kFlag,
       .help = "Method balanced: give the largest weight of each row the code 127 instead of "
               "trying a few scales."},
      {.name = "--vector-scales",
       .kind = Kind::kFlag,
       .help = "golden-stick targets: activation scales that differ by input channel where that "
               "helps (smoothing). Not "
               "proven on hardware."},
      {.name = "--shard-size",
       .kind = Kind::kBytes,
       .value_name = "SIZE",
       .help = "Cut the weights into files of this size."},
      {.name = "--min-pixels",
       .kind = Kind::kInteger,
       .value_name = "N",
       .default_text = "0",
       .help = "Smallest picture area after resizing; 0 = as the model says."},
      {.name = "--max-pixels",
       .kind = Kind::kInteger,
       .value_name = "N",
       .default_text = "0",
       .help = "Largest picture area after resizing; 0 = as the model says."},
      {.name = "--dry-run",
       .kind = Kind::kFlag,
       .help = "Print plan, output size, peak memory and time; write nothing."},
      {.name = "--report",
       .kind = Kind::kPath,
       .value_name = "FILE",
       .help = "Also write the report, with times, here."},
      {.name = "--json",
       .kind = Kind::kFlag,
       .help = "Print the report (or the dry run) as one JSON object."},
  };
  const auto old = OriginalQuantizeOptions();
  table.insert(table.end(), old.begin(), old.end());
  return table;
}

}  // namespace

const Command& QuantizeCommand() {
  static const Command command = {
      .name = "quantize",
      .summary = "Turn a float model into a W8A8 folder, calibrated on pictures",
      .description =
          "Reads the model block by block, so the memory needed is that of one block. Work in "
          "progress is kept in "
          "OUT.partial: after an interruption the same command goes on where it stopped and writes "
          "the same bytes. The "
          "options of msModelSlim's quant_qwen3vl.py are accepted as they are.",
      .options = QuantizeTable(),
      .examples =
          {{"ingot quantize Qwen3-VL-8B-Instruct -o Qwen3-VL-8B-W8A8 --calib train_images_64",
            "calibrate on a folder of pictures, for vLLM-Ascend"},
           {"ingot quantize Qwen3-VL-8B-Instruct -o OUT --calib pictures --target golden-stick-310",
            "ready for vllm-mindspore on a 310P, without a convert step"},
           {"ingot quantize MODEL -o OUT --calib pictures --layers '*.o_proj=float' --dry-run",
            "see what would be done with o_proj kept float"},
           {"ingot quantize --model_path A --calib_images B --save_directory C --w_bit 8 --a_bit 8 "
            "--device_type cpu --trust_remote_code True",
            "the original command line"}},
      .run = RunQuantizeCommand,
  };
  return command;
}

}  // namespace ingot::cli
