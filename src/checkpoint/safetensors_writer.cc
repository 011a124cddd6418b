// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/safetensors_writer.h"

#include <algorithm>
#include <set>
#include <system_error>

#include "base/error.h"
#include "base/files.h"
#include "checkpoint/json_value.h"
#include "checkpoint/safetensors_header.h"

namespace ingot {
namespace {

uint64_t ByteSize(const PlannedTensor& tensor) {
  return static_cast<uint64_t>(NumElements(tensor.shape)) * DTypeSize(tensor.dtype);
}

// The reference writer sorts by dtype, the last of its enum first, then by name
// (huggingface/safetensors: safetensors/src/tensor.rs, prepare). DType lists the same order.
bool ReferenceLess(const PlannedTensor& a, const PlannedTensor& b) {
  if (a.dtype != b.dtype) return a.dtype > b.dtype;
  return a.name < b.name;
}

std::vector<const PlannedTensor*> OrderedTensors(const std::vector<PlannedTensor>& tensors,
                                                 TensorOrder order) {
  std::vector<const PlannedTensor*> result;
  for (const auto& tensor : tensors) result.push_back(&tensor);
  if (order == TensorOrder::kReference) {
    std::sort(result.begin(), result.end(),
              [](const auto* a, const auto* b) { return ReferenceLess(*a, *b); });
  }
  return result;
}

// Length field and JSON of one shard.
std::string HeaderBytes(const std::vector<const PlannedTensor*>& tensors,
                        const std::optional<std::pair<std::string, std::string>>& metadata) {
  std::string json = "{";
  if (metadata) {
    json += fmt::format("\"__metadata__\":{{{}:{}}}", JsonQuote(metadata->first),
                        JsonQuote(metadata->second));
  }
  uint64_t offset = 0;
  for (const auto* tensor : tensors) {
    const uint64_t end = offset + ByteSize(*tensor);
    json += fmt::format("{}{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}",
                        json.size() > 1 ? "," : "", JsonQuote(tensor->name),
                        DTypeName(tensor->dtype), fmt::join(tensor->shape, ","), offset, end);
    offset = end;
  }
  json += "}";
  json.resize((json.size() + 7) / 8 * 8, ' ');
  if (json.size() > kMaxSafetensorsHeader) {
    throw InternalError("a safetensors header of {} bytes exceeds the limit of readers ({})",
                        json.size(), kMaxSafetensorsHeader);
  }
  std::string bytes(8, '\0');
  for (int i = 0; i < 8; ++i) bytes[i] = static_cast<char>(uint64_t{json.size()} >> (8 * i));
  return bytes + json;
}

// An earlier run may have been stopped between the renames of Commit: its finished file becomes the
// partial file again, so that resuming finds the bytes.
void ReopenCommitted(const std::filesystem::path& path, uint64_t expected_size) {
  std::error_code error;
  const auto partial = AtomicFile::PartialPath(path);
  if (std::filesystem::exists(partial, error)) return;
  if (std::filesystem::file_size(path, error) != expected_size || error) return;
  std::filesystem::rename(path, partial, error);
  if (error) {
    throw ResourceError("{}: cannot rename to {}: {}. Check the permissions of the folder.",
                        path.string(), partial.filename().string(), error.message());
  }
}

}  // namespace

ShardPlan PlanShards(const std::vector<PlannedTensor>& tensors, const ShardPolicy& policy) {
  ShardPlan plan;
  std::set<std::string_view> names;
  for (const auto& tensor : tensors) {
    if (!names.insert(tensor.name).second) {
      throw UserError("tensor {}: is planned twice; every name can be written once.", tensor.name);
    }
    const uint64_t bytes = ByteSize(tensor);
    const bool full = policy.max_bytes != 0 && !plan.shards.empty() &&
                      !plan.shards.back().tensors.empty() &&
                      plan.shards.back().data_bytes + bytes > policy.max_bytes;
    if (plan.shards.empty() || full) plan.shards.emplace_back();
    plan.shards.back().tensors.push_back(tensor);
    plan.shards.back().data_bytes += bytes;
    plan.data_bytes += bytes;
  }
  if (plan.shards.empty()) plan.shards.emplace_back();
  const size_t count = plan.shards.size();
  const bool single = policy.max_bytes == 0 || (count == 1 && !policy.always_numbered);
  for (size_t i = 0; i < count; ++i) {
    plan.shards[i].file_name =
        single ? policy.single_name
               : fmt::format(fmt::runtime(policy.numbered_pattern), i + 1, count);
  }
  return plan;
}

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& dir, ShardPlan plan,
                                     Options options)
    : plan_(std::move(plan)) {
  files_.reserve(plan_.shards.size());
  try {
    for (size_t shard = 0; shard < plan_.shards.size(); ++shard) OpenShard(dir, shard, options);
  } catch (...) {
    if (options.mode == AtomicFile::Mode::kFresh) Discard();
    throw;
  }
}

void SafetensorsWriter::OpenShard(const std::filesystem::path& dir, size_t shard,
                                  const Options& options) {
  const auto& part = plan_.shards[shard];
  const auto ordered = OrderedTensors(part.tensors, options.order);
  const std::string header = HeaderBytes(ordered, options.metadata);
  const auto path = dir / part.file_name;
  const uint64_t size = header.size() + part.data_bytes;
  if (options.mode == AtomicFile::Mode::kResume) ReopenCommitted(path, size);
  files_.emplace_back(path, options.mode);
  files_.back().Resize(size);
  files_.back().WriteAt(0, std::as_bytes(std::span(header.data(), header.size())));
  uint64_t offset = header.size();
  for (const auto* tensor : ordered) {
    const bool fresh =
        slots_.emplace(tensor->name, Slot{shard, offset, tensor->dtype, tensor->shape}).second;
    if (!fresh) throw InternalError("tensor {} is planned in two shards", tensor->name);
    offset += ByteSize(*tensor);
  }
}

SafetensorsWriter::Slot& SafetensorsWriter::Find(const std::string& name) {
  const auto it = slots_.find(name);
  if (it == slots_.end()) throw InternalError("tensor {} is not in the plan of the writer", name);
  return it->second;
}

void SafetensorsWriter::Write(const std::string& name, const TensorView& tensor) {
  Slot& slot = Find(name);
  if (tensor.dtype != slot.dtype || tensor.shape != slot.shape) {
    throw InternalError("tensor {}: planned as {} {}, written as {} {}", name,
                        DTypeName(slot.dtype), ShapeText(slot.shape), DTypeName(tensor.dtype),
                        ShapeText(tensor.shape));
  }
  const uint64_t bytes = static_cast<uint64_t>(NumElements(slot.shape)) * DTypeSize(slot.dtype);
  if (tensor.bytes.size() != bytes) {
    throw InternalError("tensor {}: {} bytes handed over, its shape needs {}", name,
                        tensor.bytes.size(), bytes);
  }
  files_[slot.shard].WriteAt(slot.offset, tensor.bytes);
  slot.written = true;
}

void SafetensorsWriter::WritePart(const std::string& name, uint64_t first_byte,
                                  std::span<const std::byte> bytes) {
  Slot& slot = Find(name);
  const uint64_t total = static_cast<uint64_t>(NumElements(slot.shape)) * DTypeSize(slot.dtype);
  if (first_byte > total || bytes.size() > total - first_byte) {
    throw InternalError("tensor {}: bytes {}+{} lie outside its {}", name, first_byte, bytes.size(),
                        total);
  }
  files_[slot.shard].WriteAt(slot.offset + first_byte, bytes);
}

void SafetensorsWriter::MarkWritten(const std::string& name) { Find(name).written = true; }

void SafetensorsWriter::Sync() {
  for (auto& file : files_) file.Sync();
}

bool SafetensorsWriter::IsWritten(const std::string& name) const {
  const auto it = slots_.find(name);
  return it != slots_.end() && it->second.written;
}

void SafetensorsWriter::Commit() {
  for (const auto& [name, slot] : slots_) {
    if (!slot.written) throw InternalError("tensor {} was planned and never written", name);
  }
  for (auto& file : files_) file.Commit();
}

void SafetensorsWriter::Discard() {
  for (auto& file : files_) file.Discard();
}

std::map<std::string, std::string> SafetensorsWriter::WeightMap() const {
  std::map<std::string, std::string> map;
  for (const auto& shard : plan_.shards) {
    for (const auto& tensor : shard.tensors) map[tensor.name] = shard.file_name;
  }
  return map;
}

std::string IndexJson(uint64_t total_size,
                      const std::vector<std::pair<std::string, std::string>>& weight_map) {
  std::string text = fmt::format(
      "{{\n  \"metadata\": {{\n    \"total_size\": {}\n  }},\n  \"weight_map\": {{", total_size);
  for (size_t i = 0; i < weight_map.size(); ++i) {
    text += fmt::format("{}\n    {}: {}", i == 0 ? "" : ",", JsonQuote(weight_map[i].first, true),
                        JsonQuote(weight_map[i].second, true));
  }
  return text + (weight_map.empty() ? "}\n}" : "\n  }\n}");
}

}  // namespace ingot
