// SPDX-License-Identifier: Apache-2.0
// See the header.
#include "cli/sample_options.h"

#include "base/log.h"
#include "cli/engine_options.h"

namespace ingot::cli {
namespace {

constexpr char kGroup[] = "What is asked";

}  // namespace

std::vector<Option> SampleOptionRows(bool data_required) {
  return {
      {.name = "--data",
       .kind = Kind::kPath,
       .help = "TextVQA's JSON, messages as JSON lines, or a folder of pictures.",
       .required = data_required,
       .group = kGroup},
      {.name = "--images",
       .kind = Kind::kPath,
       .value_name = "DIR",
       .help = "The pictures of a TextVQA file; default: beside it.",
       .group = kGroup},
      {.name = "--limit",
       .kind = Kind::kInteger,
       .default_text = "0",
       .help = "Only the first N samples; 0 means all.",
       .group = kGroup},
      {.name = "--question", .help = "The question for a folder of pictures.", .group = kGroup},
      {.name = "--instruction",
       .help = "A line added to every question, such as \"Answer with one word.\"",
       .group = kGroup},
      {.name = "--max-tokens",
       .kind = Kind::kInteger,
       .default_text = "64",
       .help = "Longest answer.",
       .aliases = {"-n"},
       .group = kGroup},
      {.name = "--skip-bad-images",
       .kind = Kind::kFlag,
       .help = "Leave out samples that cannot be read, and list them, instead of stopping.",
       .group = kGroup},
  };
}

Dataset LoadSamples(const Options& options) {
  DatasetOptions dataset_options;
  if (options.Has("--question")) dataset_options.question = options.Text("--question");
  dataset_options.images = options.Path("--images");
  dataset_options.max_samples = IntegerBetween(options, "--limit", 0, INT64_MAX);
  Dataset dataset = LoadDataset(options.Path("--data"), dataset_options);
  if (!options.Flag("--skip-bad-images")) {
    RequireNoProblems(dataset);
  } else {
    for (const DatasetProblem& problem : dataset.problems) {
      LogWarning("{}: {}; skipped.", problem.where, problem.what);
    }
  }
  return dataset;
}

}  // namespace ingot::cli
