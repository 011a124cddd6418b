// SPDX-License-Identifier: Apache-2.0
// Copies the tensors that stay float into the output folder, on a thread of its own: the disk works while the blocks are
// calibrated. Finished tensors are reported in portions, after they have reached the disk.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <future>
#include <string>
#include <vector>

#include "checkpoint/model_reader.h"
#include "quant/folder_writer.h"

namespace ingot {

class FloatCopier {
 public:
  // Called on the copying thread with the names of tensors that are on disk now.
  using MarkFn = std::function<void(const std::vector<std::string>& names)>;
  // `reader` and `writer` must outlive the copier. Tensors that are written already are left out.
  FloatCopier(const ModelReader& reader, FolderWriter* writer, MarkFn mark);
  ~FloatCopier();  // stops behind the tensor that is being copied
  FloatCopier(const FloatCopier&) = delete;
  FloatCopier& operator=(const FloatCopier&) = delete;

  // Begins, unless the source's tensors lie at odd offsets: then views are copies that somebody else may be using, and
  // all is left to Finish.
  void Start();
  void ThrowIfFailed();  // what the copying thread has thrown, once
  // Waits for the rest, with a progress bar. After an interruption (base/interrupt.h) some tensors may be missing.
  void Finish();

 private:
  void Run();
  bool Aligned() const;

  const ModelReader& reader_;
  FolderWriter* writer_;
  MarkFn mark_;
  std::vector<std::string> names_;
  uint64_t total_bytes_ = 0;
  std::atomic<uint64_t> copied_bytes_ = 0;
  std::atomic<bool> stop_ = false;
  bool drop_ = false;  // nobody else reads these tensors
  std::future<void> running_;
};

}  // namespace ingot
