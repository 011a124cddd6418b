// SPDX-License-Identifier: Apache-2.0
// Options of the subcommands that ask a whole data set.
#pragma once

#include <vector>

#include "cli/command.h"
#include "prompt/dataset.h"

namespace ingot::cli {

// --data --images --limit --question --instruction --max-tokens --skip-bad-images
std::vector<Option> SampleOptionRows(bool data_required);

// The samples that --data names. Problems of single lines end the run unless --skip-bad-images is
// given. Errors: those of LoadDataset.
Dataset LoadSamples(const Options& options);

}  // namespace ingot::cli
