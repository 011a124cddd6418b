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

// The written tensor is the source's, byte by byte.
bool IsKept(const SourceTensor& source, const SourceTensor& written) {
  const TensorView a = source.view(), b = written.view();
  bool same = a.bytes.size() == b.bytes.size();
  ForEachPiece(same ? a.elements() : 0, [&](int64_t first, int64_t count) {
    same = same && SameBytes(PartOf(a, first, count), PartOf(b, first, count));
    source.DropPart(first, count);
    written.DropPart(first, count);
  });
  return same;
}

void WriteKept(const OutputTensor& tensor, SafetensorsWriter* writer) {
  const TensorView view = tensor.source->view();
  const auto size = static_cast<int64_t>(DTypeSize(view.dtype));
  ForEachPiece(view.elements(), [&](int64_t first, int64_t count) {
    writer->WritePart(tensor.out.name, static_cast<uint64_t>(first * size),
                      PartOf(view, first, count).bytes);
    tensor.source->DropPart(first, count);
  });
  writer->MarkWritten(tensor.out.name);
}

uint64_t StoredBytes(const ConversionPlan& plan) {
  uint64_t bytes = 0;
  for (const OutputTensor& tensor : plan.tensors) {
    if (tensor.out.stored) bytes += LayoutBytes(tensor.out);
  }
  return bytes;
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

bool Agrees(const OutputTensor& tensor, const SourceTensor& file_tensor) {
  const TensorView written = file_tensor.view();
  switch (tensor.action) {
    case Action::kKeep:
      return IsKept(*tensor.source, file_tensor);
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
  ByteProgress progress("convert", StoredBytes(plan));
  for (const OutputTensor& tensor : plan.tensors) {
    StopIfAsked();
    if (!tensor.out.stored) continue;
    if (tensor.make) {
      writer.Write(tensor.out.name, tensor.make().view());
    } else {
      WriteKept(tensor, &writer);
    }
    if (tensor.source != nullptr) tensor.source->Drop();
    progress.Advance(LayoutBytes(tensor.out));
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
  ByteProgress progress("verify", StoredBytes(plan));
  for (const OutputTensor& tensor : plan.tensors) {
    StopIfAsked();
    if (!tensor.out.stored) continue;
    const SafetensorsFile& file = *file_of.at(tensor.out.name);
    const SourceTensor written{&file, file.Find(tensor.out.name)};
    if (written.info == nullptr || written.info->dtype != tensor.out.dtype ||
        written.info->shape != tensor.out.shape || !Agrees(tensor, written)) {
      throw ResourceError(
          "{}: tensor {}: the bytes read back are not those that were written. Check the disk; the "
          "old files "
          "are still in place.",
          file.path().string(), tensor.out.name);
    }
    written.Drop();
    if (tensor.source != nullptr) tensor.source->Drop();
    progress.Advance(LayoutBytes(tensor.out));
  }
}

}  // namespace ingot
