// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/safetensors.h"

#include <cstring>
#include <mutex>

#include "base/error.h"
#include "checkpoint/json_value.h"
#include "checkpoint/safetensors_header.h"

namespace ingot {

// Copies of the tensors whose data does not begin at a multiple of their element size. The format
// allows that (the reference writer never does it), the processor's typed loads do not.
struct SafetensorsFile::AlignedCopies {
  std::mutex mutex;
  std::map<uint64_t, Tensor> by_offset;
};

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path)
    : file_(path), aligned_(std::make_unique<AlignedCopies>()) {
  const auto bytes = file_.bytes();
  SafetensorsHeader header = ParseSafetensorsHeader(
      {reinterpret_cast<const char*>(bytes.data()), bytes.size()}, bytes.size(), path.string());
  tensors_ = std::move(header.tensors);
  metadata_ = std::move(header.metadata);
  data_bytes_ = header.data_bytes;
  for (size_t i = 0; i < tensors_.size(); ++i) by_name_.emplace(tensors_[i].name, i);
}

SafetensorsFile::~SafetensorsFile() = default;
SafetensorsFile::SafetensorsFile(SafetensorsFile&&) noexcept = default;

const TensorInfo* SafetensorsFile::Find(std::string_view name) const {
  const auto it = by_name_.find(name);
  return it == by_name_.end() ? nullptr : &tensors_[it->second];
}

TensorView SafetensorsFile::View(const TensorInfo& info) const {
  const auto mapped = file_.bytes().subspan(info.offset, info.nbytes);
  TensorView view{info.dtype, info.shape, mapped};
  if (info.nbytes == 0 || reinterpret_cast<uintptr_t>(mapped.data()) % DTypeSize(info.dtype) == 0) {
    return view;
  }
  const std::lock_guard lock(aligned_->mutex);
  Tensor& copy = aligned_->by_offset[info.offset];
  if (copy.bytes().size() != info.nbytes) {
    copy = Tensor(info.dtype, info.shape);
    std::memcpy(copy.bytes().data(), mapped.data(), info.nbytes);
  }
  view.bytes = std::as_const(copy).bytes();
  return view;
}

TensorView SafetensorsFile::View(std::string_view name) const {
  const TensorInfo* info = Find(name);
  if (info == nullptr) {
    throw FormatError(
        "{}: tensor {}: is not in the file, which has {} tensors. Check that the file "
        "belongs to this model.",
        path().string(), Printable(name), tensors_.size());
  }
  return View(*info);
}

void SafetensorsFile::Drop(const TensorInfo& info) const {
  file_.Drop(file_.bytes().subspan(info.offset, info.nbytes));
  const std::lock_guard lock(aligned_->mutex);
  aligned_->by_offset.erase(info.offset);
}

void SafetensorsFile::DropPages(const TensorInfo& info, uint64_t first_byte,
                                uint64_t n_bytes) const {
  file_.Drop(file_.bytes().subspan(info.offset, info.nbytes).subspan(first_byte, n_bytes));
}

void SafetensorsFile::DropPart(const TensorInfo& info, int64_t first, int64_t count) const {
  const auto size = static_cast<uint64_t>(DTypeSize(info.dtype));
  DropPages(info, static_cast<uint64_t>(first) * size, static_cast<uint64_t>(count) * size);
}

void SafetensorsFile::Prefetch(const TensorInfo& info) const {
  file_.Prefetch(file_.bytes().subspan(info.offset, info.nbytes));
}

}  // namespace ingot
