// SPDX-License-Identifier: Apache-2.0
// Carries out a plan: streams the tensors into new weight files, one tensor in memory at a time,
// and reads them back.
#pragma once

#include <filesystem>

#include "checkpoint/safetensors_writer.h"
#include "convert/rules.h"

namespace ingot {

// Writes the weight files of `shards` into `dir`. Errors: ResourceError (disk), InterruptedError
// between tensors.
void WriteWeights(const ConversionPlan& plan, const ShardPlan& shards,
                  const SafetensorsWriter::Options& options, const std::filesystem::path& dir);

// Opens the files again and compares every tensor with the source: kept ones byte by byte, the
// others by what their numbers mean. Errors: ResourceError naming the tensor when the disk gives
// back something else.
void VerifyWeights(const ConversionPlan& plan, const ShardPlan& shards,
                   const std::filesystem::path& dir);

}  // namespace ingot
