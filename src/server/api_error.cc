// SPDX-License-Identifier: Apache-2.0
#include "server/api_error.h"

#include <algorithm>

namespace ingot::server {

std::string WithoutPaths(std::string_view message) {
  constexpr std::string_view kEnds = " \t\n:;,'\"()[]{}<>";
  std::string out;
  for (size_t at = 0; at < message.size();) {
    const bool begins = at == 0 || kEnds.find(message[at - 1]) != std::string_view::npos;
    if (message[at] != '/' || !begins) {
      out += message[at++];
      continue;
    }
    const size_t end = std::min(message.find_first_of(kEnds, at), message.size());
    const std::string_view path = message.substr(at, end - at);
    out += path.size() > 1 ? path.substr(path.find_last_of('/') + 1) : path;
    at = end;
  }
  return out;
}

}  // namespace ingot::server
