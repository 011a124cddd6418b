// SPDX-License-Identifier: Apache-2.0
#include "convert/execute.h"

#include <bit>
#include <cstring>
#include <map>
#include <memory>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/progress.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/w8a8_arithmetic.h"

namespace ingot {
namespace {

void StopIfAsked() {
  if (InterruptRequested()) {
    throw InterruptedError(
        "the folder is as it was before. Run the same command again to convert it.");
  }
}

bool SameBytes(const TensorView& a, const TensorView& b) {
  return a.bytes.size() == b.bytes.size() &&
         std::memcmp(a.bytes.data(), b.bytes.data(), a.bytes.size()) == 0;
}

// The written numbers are the source's, rounded to the written type, one for all or one for each.
bool SameNumbers(const TensorView& written, const TensorView& source) {
  const std::vector<float> w = ToFloats(written), s = ToFloats(source);
  const size_t n = std::max(w.size(), s.size());
  if ((w.size() != n && w.size() != 1) || (s.size() != n && s.size() != 1)) return false;
  for (size_t i = 0; i < n; ++i) {
    if (w[w.size() == 1 ? 0 : i] != NearestIn(written.dtype, s[s.size() == 1 ? 0 : i]))
      return false;
  }
  return true;
}

bool SameScales(const TensorView& written, const TensorView& source, const std::string& name) {
  const std::vector<float> w = DecodeDeqScale(written, name), s = DecodeDeqScale(source, name);
  if (w.size() != s.size()) return false;
  for (size_t i = 0; i < w.size(); ++i) {
    if (std::bit_cast<uint32_t>(w[i]) != std::bit_cast<uint32_t>(s[i])) return false;
  }
  return true;
}

bool Agrees(const OutputTensor& tensor, const TensorView& written) {
  switch (tensor.action) {
    case Action::kKeep:
      return SameBytes(written, tensor.source->view());
    case Action::kCast:
    case Action::kExpand:
    case Action::kCollapse:
      return SameNumbers(written, tensor.source->view());
    case Action::kRetype:
      return SameScales(written, tensor.source->view(), tensor.out.name);
    case Action::kDerive:
      return SameBytes(written, tensor.make().view());
    case Action::kDrop:
      return false;
  }
  return false;
}

}  // namespace

void WriteWeights(const ConversionPlan& plan, const ShardPlan& shards,
                  const SafetensorsWriter::Options& options, const std::filesystem::path& dir) {
  SafetensorsWriter writer(dir, shards, options);
  Progress progress("convert", "tensors", plan.tensors.size());
  for (const OutputTensor& tensor : plan.tensors) {
    StopIfAsked();
    progress.Advance();
    if (!tensor.out.stored) continue;
    if (tensor.make) {
      writer.Write(tensor.out.name, tensor.make().view());
    } else {
      writer.Write(tensor.out.name, tensor.source->view());
    }
    if (tensor.source != nullptr) tensor.source->Drop();
  }
  writer.Commit();
}

void VerifyWeights(const ConversionPlan& plan, const ShardPlan& shards,
                   const std::filesystem::path& dir) {
  std::vector<std::unique_ptr<SafetensorsFile>> files;
  std::map<std::string, const SafetensorsFile*> file_of;
  for (const ShardPlan::Shard& shard : shards.shards) {
    files.push_back(std::make_unique<SafetensorsFile>(dir / shard.file_name));
    for (const PlannedTensor& tensor : shard.tensors) file_of[tensor.name] = files.back().get();
  }
  Progress progress("verify", "tensors", plan.tensors.size());
  for (const OutputTensor& tensor : plan.tensors) {
    StopIfAsked();
    progress.Advance();
    if (!tensor.out.stored) continue;
    const SafetensorsFile& file = *file_of.at(tensor.out.name);
    const TensorView written = file.View(tensor.out.name);
    if (written.dtype != tensor.out.dtype || written.shape != tensor.out.shape ||
        !Agrees(tensor, written)) {
      throw ResourceError(
          "{}: tensor {}: the bytes read back are not those that were written. Check the disk; the "
          "old files "
          "are still in place.",
          file.path().string(), tensor.out.name);
    }
    file.Drop(*file.Find(tensor.out.name));
    if (tensor.source != nullptr) tensor.source->Drop();
  }
}

}  // namespace ingot
