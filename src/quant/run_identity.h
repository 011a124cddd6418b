// SPDX-License-Identifier: Apache-2.0
// Whether a model may be quantized, and what makes two runs the same run.
#pragma once

#include <string>

#include "checkpoint/model_reader.h"
#include "prompt/dataset.h"
#include "quant/pipeline.h"
#include "quant/plan.h"

namespace ingot {

// Errors: UserError when the folder is quantized already or its family is not supported;
// FormatError as ValidateFloat.
void RequireQuantizable(const ModelReader& reader);

// One line of text. Two runs with equal text write equal bytes: source files (names, sizes, times
// of change), plan, samples and their pictures, options, version.
std::string RunFingerprint(const ModelReader& reader, const QuantPlan& plan, const Dataset& data,
                           const QuantizeOptions& options);

}  // namespace ingot
