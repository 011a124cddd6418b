// SPDX-License-Identifier: Apache-2.0
#include "text/rust_border.h"

#include <cstring>

#include "base/error.h"

namespace ingot::text_internal {

void Collector::Sink(void* context, int32_t what, const void* data, size_t size) noexcept {
  auto* self = static_cast<Collector*>(context);
  const char* chars = static_cast<const char*>(data);
  switch (what) {
    case kIngotBytes:
      self->bytes.append(chars, size);
      break;
    case kIngotError:
      self->error.assign(chars, size);
      break;
    case kIngotIds:
      self->ids.resize(size / sizeof(uint32_t));
      if (size != 0) std::memcpy(self->ids.data(), data, size);
      break;
    case kIngotRanges:
      self->ranges.resize(size / sizeof(uint64_t));
      if (size != 0) std::memcpy(self->ranges.data(), data, size);
      break;
    default:
      break;
  }
}

void RequireOk(int32_t status, const Collector& collector, std::string_view where,
               std::string_view remedy) {
  const std::string_view gap = remedy.empty() ? "" : ". ";
  switch (status) {
    case 0:
      return;
    case 1:
      throw UserError("{}: {}{}{}", where, collector.error, gap, remedy);
    case 2:
      throw FormatError("{}: {}{}{}", where, collector.error, gap, remedy);
    default:
      throw InternalError("{}: {}", where, collector.error);
  }
}

}  // namespace ingot::text_internal
