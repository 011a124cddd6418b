// SPDX-License-Identifier: Apache-2.0
// Reader of one .safetensors file: 8 bytes little-endian header length, JSON header, data
// (huggingface/safetensors README). The file is mapped; nothing in it is believed before it is
// checked: header length against the file and a 100 MiB cap, UTF-8 and JSON, no duplicate names,
// known dtypes, shapes without overflow, dtype x shape = byte length, offsets inside the data, in
// bounds, no overlap and no hole, total = file size.
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/mapped_file.h"
#include "tensor/tensor.h"

namespace ingot {

struct TensorInfo {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  uint64_t offset = 0;  // from the start of the file
  uint64_t nbytes = 0;
};

class SafetensorsFile {
 public:
  // Errors: UserError (missing), FormatError naming file, tensor, found, expected, remedy.
  explicit SafetensorsFile(const std::filesystem::path& path);
  ~SafetensorsFile();
  SafetensorsFile(SafetensorsFile&& other) noexcept;

  const std::filesystem::path& path() const { return file_.path(); }
  const std::vector<TensorInfo>& tensors() const { return tensors_; }  // in header order
  const std::map<std::string, std::string>& metadata() const {
    return metadata_;
  }                                                     // "__metadata__"
  const TensorInfo* Find(std::string_view name) const;  // nullptr when absent
  // Points into the map, or into an aligned copy when the file places the data at an odd offset
  // (valid until Drop). Thread-safe.
  TensorView View(const TensorInfo& info) const;
  TensorView View(std::string_view name) const;  // FormatError when absent
  void Drop(const TensorInfo& info) const;
  // Gives back the pages of some of its bytes; views stay valid (the pages are read again on use).
  void DropPages(const TensorInfo& info, uint64_t first_byte, uint64_t n_bytes) const;
  // The same by elements, as ForEachPiece counts them.
  void DropPart(const TensorInfo& info, int64_t first, int64_t count) const;
  void Prefetch(const TensorInfo& info) const;
  uint64_t file_size() const { return file_.bytes().size(); }
  uint64_t data_bytes() const { return data_bytes_; }

 private:
  struct AlignedCopies;
  MappedFile file_;
  std::unique_ptr<AlignedCopies> aligned_;
  std::vector<TensorInfo> tensors_;
  std::map<std::string, size_t, std::less<>> by_name_;
  std::map<std::string, std::string> metadata_;
  uint64_t data_bytes_ = 0;
};

// Calls body(first, count) for consecutive pieces of at most kPieceElements elements: what streams
// over a tensor of a gigabyte drops each piece behind itself (DropPart), so that its pages do not
// count as memory.
inline constexpr int64_t kPieceElements = int64_t{8} << 20;
template <typename Body>
void ForEachPiece(int64_t n_elements, Body body) {
  for (int64_t first = 0; first < n_elements; first += kPieceElements) {
    body(first, std::min(kPieceElements, n_elements - first));
  }
}

}  // namespace ingot
