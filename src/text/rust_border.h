// SPDX-License-Identifier: Apache-2.0
// What tokenizer.cc and chat_template.cc share at the border to the Rust crate. Private to text/.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/chat_template.h"
#include "text/rust/ingot_text.h"
#include "text/tokenizer.h"

namespace ingot::text_internal {

// Collects what a call of the crate sends.
class Collector {
 public:
  IngotOutput output() { return {&Collector::Sink, this}; }

  std::string bytes;  // all pieces, concatenated
  std::vector<int32_t> ids;
  std::vector<uint64_t> ranges;  // begin, end, begin, end, ...
  std::string error;

 private:
  static void Sink(void* context, int32_t what, const void* data, size_t size) noexcept;
};

inline IngotText ToText(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// Throws the error that `status` stands for: "<where>: <message>. <remedy>".
void RequireOk(int32_t status, const Collector& collector, std::string_view where,
               std::string_view remedy);

IngotTokenizer* RawHandle(const TokenizerHandle* handle);
IngotTemplate* RawHandle(const TemplateHandle* handle);

}  // namespace ingot::text_internal
