// SPDX-License-Identifier: Apache-2.0
// See the header.
#include "server/http_log.h"

#include <chrono>
#include <ctime>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace ingot::server {
namespace {

constexpr size_t kMaxTarget = 512;

// Printable ASCII stays; everything else, quotes and backslashes become \xNN.
std::string Escaped(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, kMaxTarget)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f && c != '"' && c != '\\') {
      out += c;
    } else {
      out += fmt::format("\\x{:02x}", byte);
    }
  }
  if (text.size() > kMaxTarget) out += "...";
  return out;
}

std::string UtcNow() {
  const auto now = std::chrono::system_clock::now();
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  const auto ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count() % 1000;
  std::tm t{};
  gmtime_r(&seconds, &t);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", t.tm_year + 1900, t.tm_mon + 1,
                     t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec, ms);
}

}  // namespace

std::string AccessLine(const AccessRecord& record) {
  const std::string line =
      fmt::format("INFO:     {} - \"{} {} HTTP/1.{}\"", record.peer, Escaped(record.method),
                  Escaped(record.target), record.http_minor);
  if (record.status == 0) return line + " - client left";
  return fmt::format("{} {} {}{}", line, record.status, ReasonPhrase(record.status),
                     record.aborted ? " - client left" : "");
}

std::string AccessLineJson(const AccessRecord& record) {
  const nlohmann::ordered_json json = {{"time", UtcNow()},
                                       {"level", "info"},
                                       {"event", "request"},
                                       {"peer", record.peer},
                                       {"method", Escaped(record.method)},
                                       {"target", Escaped(record.target)},
                                       {"status", record.status},
                                       {"bytes", record.bytes},
                                       {"seconds", record.seconds},
                                       {"aborted", record.aborted},
                                       {"request_id", Escaped(record.request_id)}};
  return json.dump();
}

}  // namespace ingot::server
