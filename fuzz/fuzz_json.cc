// SPDX-License-Identifier: Apache-2.0
// libFuzzer target: any bytes are JSON text that is parsed or refused with a FormatError; what is
// parsed survives being quoted and parsed again.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "base/error.h"
#include "checkpoint/json_value.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  try {
    const ingot::JsonValue value = ingot::ParseJson(text, "fuzz.json");
    if (value.IsString()) {
      const auto again =
          ingot::ParseJson(ingot::JsonQuote(value.text, size % 2 == 0), "again.json");
      if (again.text != value.text) std::abort();
    }
  } catch (const ingot::FormatError&) {
  }
  ingot::Printable(text);
  return 0;
}
