// SPDX-License-Identifier: Apache-2.0
// Streaming writer of safetensors files. All names, dtypes and shapes are planned first, so the
// header is written before the first tensor and tensors may then arrive in any order, each written
// at its final place. The bytes of the result depend on the plan and the data alone, not on the
// order of writing: an interrupted run that is resumed gives equal files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/atomic_file.h"
#include "tensor/tensor.h"

namespace ingot {

struct PlannedTensor {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
};

// Order of tensors in one file. kReference is that of the reference writer: by dtype rank (I64,
// F32, I32, BF16, F16, I8; specs of the Ascend formats), then by name. kAsPlanned keeps the order
// of the plan.
enum class TensorOrder { kReference, kAsPlanned };

// How a plan is cut into files.
struct ShardPolicy {
  uint64_t max_bytes = 0;   // 0 = one file; else a shard is closed before it would exceed this (a
                            // tensor is never split)
  std::string single_name;  // "model.safetensors"; used when max_bytes == 0 or (all fits one file
                            // and !always_numbered)
  std::string numbered_pattern;  // "model-{:05}-of-{:05}.safetensors"
  bool always_numbered = false;  // numbered names even for one shard
};

struct ShardPlan {
  struct Shard {
    std::string file_name;
    std::vector<PlannedTensor> tensors;  // in plan order
    uint64_t data_bytes = 0;
  };
  std::vector<Shard> shards;
  uint64_t data_bytes = 0;  // sum over shards
};

// Errors: UserError on duplicate names.
ShardPlan PlanShards(const std::vector<PlannedTensor>& tensors, const ShardPolicy& policy);

// One or more shards written side by side into `dir`. Different tensors may be written by different
// threads at a time.
class SafetensorsWriter {
 public:
  struct Options {
    TensorOrder order = TensorOrder::kReference;
    std::optional<std::pair<std::string, std::string>>
        metadata;  // {"format", "ms"}: one entry of "__metadata__"
    // kResume: the bytes of partial files stay, and files that an interrupted Commit had finished
    // are reopened.
    AtomicFile::Mode mode = AtomicFile::Mode::kFresh;
  };
  // Reserves the disk space of all shards. Errors: ResourceError.
  SafetensorsWriter(const std::filesystem::path& dir, ShardPlan plan, Options options);

  // Errors: InternalError when the name is not planned or dtype/shape differ from the plan.
  void Write(const std::string& name, const TensorView& tensor);
  // A piece of a tensor that is made in pieces; MarkWritten when all are there.
  void WritePart(const std::string& name, uint64_t first_byte, std::span<const std::byte> bytes);
  void MarkWritten(const std::string& name);  // resume: the bytes are in the partial file already
  void Sync();                                // what was written so far survives a crash
  bool IsWritten(const std::string& name) const;

  // Renames the shards to their final names. Errors: InternalError naming a planned tensor that was
  // not written.
  void Commit();
  void Discard();  // removes the partial files
  const ShardPlan& plan() const { return plan_; }
  // name -> file name, for the index.
  std::map<std::string, std::string> WeightMap() const;

 private:
  struct Slot {
    size_t shard;
    uint64_t offset;  // from the start of the file
    DType dtype;
    Shape shape;
    bool written = false;
  };
  void OpenShard(const std::filesystem::path& dir, size_t shard, const Options& options);
  Slot& Find(const std::string& name);
  ShardPlan plan_;
  std::vector<AtomicFile> files_;
  std::map<std::string, Slot> slots_;
};

// Text of a "*.safetensors.index.json": indent 2, metadata.total_size then weight_map in the order
// given.
std::string IndexJson(uint64_t total_size,
                      const std::vector<std::pair<std::string, std::string>>& weight_map);

}  // namespace ingot
