// SPDX-License-Identifier: Apache-2.0
// Writes one quantized folder, tensor by tensor, in any order and resumable: the plan of all
// tensors comes first (from the layout rules in checkpoint/folder_layout.h), weights stream into
// partial files, and only Commit() gives anything its final name, config.json last. A folder
// without config.json is not finished.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/folder_layout.h"
#include "checkpoint/model_reader.h"
#include "quant/linear_quant.h"

namespace ingot {

class FolderWriter {
 public:
  struct Options {
    AtomicFile::Mode mode = AtomicFile::Mode::kFresh;
    // A BF16 or F32 value that becomes infinite in F16: an error naming the tensor, or (as the
    // original tool) a warning.
    bool allow_overflow = false;
    ConfigEdits config_edits;
    // ascend-v0: torch_dtype of config.json when it is not the type of the weights. The original
    // writes what its option says ("bfloat16" unless given) over float16 weights. "" = the layout's
    // run type.
    std::string v0_torch_dtype;
    // ascend-v0: element type of input_scale and input_offset; the original's act_method 1 stores
    // F16.
    DType v0_input_dtype = DType::kF32;
  };

  // `source` must outlive the writer. `types`: LinearType of every module of LinearTable; modules
  // not named are float. Creates out_dir and reserves the disk space. Errors: UserError (unknown
  // module, a type that the target refuses), ResourceError.
  FolderWriter(const ModelReader& source, const std::filesystem::path& out_dir,
               const FolderLayout& layout, std::map<std::string, LinearType> types,
               Options options);

  // All tensors of one static or dynamic linear. Errors: InternalError when shapes or type
  // contradict the plan.
  void WriteLinear(const LinearSpec& spec, const QuantizedLinear& linear);
  // One tensor of the original that stays float, cast as the layout says.
  void WriteFloat(const std::string& name);
  // Names for WriteFloat, in the order of the folder; those of one text layer or vision block stand
  // together.
  const std::vector<std::string>& FloatNames() const { return float_names_; }
  // Errors: InternalError when it is not in the plan.
  const LayoutTensor& Planned(const std::string& name) const;
  // Names of the tensors that WriteLinear writes.
  std::vector<std::string> LinearTensorNames(const LinearSpec& spec) const;

  // Resume: these are in the partial files already.
  void MarkWritten(const std::string& tensor);
  bool IsWritten(const std::string& tensor) const;
  void Sync();

  // Side files, index, description and the final names; config.json last. Errors: InternalError
  // when a tensor is missing, ResourceError.
  void Commit();

  // Sum of the tensors' bytes.
  uint64_t data_bytes() const { return writer_->plan().data_bytes; }
  const std::vector<LayoutTensor>& tensors() const { return tensors_; }
  const std::filesystem::path& dir() const { return dir_; }

 private:
  void CopyTensor(const std::string& name, const std::string& source_name,
                  std::span<const std::byte> bytes);
  LinearType TypeOf(const LinearSpec& spec) const;
  void WriteParameter(const LayoutTensor& planned, const QuantizedLinear& linear);
  std::string ConfigText() const;

  const ModelReader& source_;
  std::filesystem::path dir_;
  FolderLayout layout_;
  std::map<std::string, LinearType> types_;
  Options options_;
  std::vector<LayoutTensor> tensors_;
  std::map<std::string, size_t, std::less<>> by_name_;
  std::vector<std::string> float_names_;
  std::string model_quant_type_;
  std::unique_ptr<SafetensorsWriter> writer_;
};

// The tensors of the folder, without creating anything.
std::vector<LayoutTensor> PlannedTensors(const ModelReader& source, const FolderLayout& layout,
                                         const std::map<std::string, LinearType>& types);
// What the folder would take on disk (tensor bytes), without creating anything.
uint64_t PlannedBytes(const ModelReader& source, const FolderLayout& layout,
                      const std::map<std::string, LinearType>& types);

// True when `dir` holds what a finished folder holds (config.json and no partial files).
bool LooksComplete(const std::filesystem::path& dir);

}  // namespace ingot
