// SPDX-License-Identifier: Apache-2.0
// The options of the scripts that the original workflow runs, as rows for the tables of quantize
// and convert, so that old command lines work unchanged. Names and defaults: msmodelslim:
// example/multimodal_vlm/Qwen3-VL/quant_qwen3vl.py.
#pragma once

#include <vector>

#include "cli/command.h"

namespace ingot::cli {

// --model-path --calib-images --save-directory --w-bit --a-bit --device-type --anti-method
// --act-method --open-outlier
// --is-dynamic --is-lowbit --co-sparse --fraction --use-sigma --sigma-factor --torch-dtype
// --part-file-size
// --trust-remote-code. Those that change nothing here are marked as ignored.
std::vector<Option> OriginalQuantizeOptions();

// Refuses what the script could do and this program cannot: other widths, sparse and low-bit
// weights. Errors: UserError.
void CheckOriginalQuantizeOptions(const Options& options);

}  // namespace ingot::cli
