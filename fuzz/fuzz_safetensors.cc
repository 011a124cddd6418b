// SPDX-License-Identifier: Apache-2.0
// libFuzzer target: any bytes are a safetensors file that is either refused with a FormatError or
// keeps what its header promises (docs of the limits: src/checkpoint/safetensors_header.cc).
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "checkpoint/safetensors_header.h"

namespace {

void Require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "accepted a file in which %s\n", what);
  std::abort();
}

void CheckPromises(const ingot::SafetensorsHeader& header, uint64_t size) {
  uint64_t total = 0;
  for (const auto& tensor : header.tensors) {
    uint64_t bytes = ingot::DTypeSize(tensor.dtype);
    bool empty = false;
    for (const int64_t dim : tensor.shape) {
      Require(dim >= 0, "a dimension is negative");
      empty = empty || dim == 0;
      Require(dim == 0 || bytes <= UINT64_MAX / static_cast<uint64_t>(dim), "a shape overflows");
      if (dim != 0) bytes *= static_cast<uint64_t>(dim);
    }
    Require(tensor.nbytes == (empty ? 0 : bytes), "shape and size disagree");
    Require(tensor.nbytes <= size && tensor.offset <= size - tensor.nbytes,
            "a tensor lies outside the file");
    Require(!tensor.name.empty(), "a tensor has no name");
    total += tensor.nbytes;
  }
  Require(total == header.data_bytes && total <= size, "tensors do not fill the data");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const auto header = ingot::ParseSafetensorsHeader({reinterpret_cast<const char*>(data), size},
                                                      size, "fuzz.safetensors");
    CheckPromises(header, size);
  } catch (const ingot::FormatError& error) {
    Require(std::string_view(error.what()).starts_with("fuzz.safetensors"),
            "the error does not name the file");
  }
  return 0;
}
