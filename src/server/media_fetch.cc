// SPDX-License-Identifier: Apache-2.0
#include "server/media_fetch.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstring>
#include <memory>
#include <mutex>
#include <span>
#include <unistd.h>

#include "base/error.h"
#include "server/api_error.h"

namespace ingot::server {
namespace {

struct Net4 {
  uint32_t base;
  int bits;
};

constexpr uint32_t Ip(uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
  return a << 24 | b << 16 | c << 8 | d;
}

// Everything that is not the public internet. Source: IANA IPv4 Special-Purpose Address Registry
// (RFC 6890 and its updates).
constexpr std::array<Net4, 15> kSpecial4 = {{
    {Ip(0, 0, 0, 0), 8},        // this network
    {Ip(10, 0, 0, 0), 8},       // private
    {Ip(100, 64, 0, 0), 10},    // carrier NAT
    {Ip(127, 0, 0, 0), 8},      // loopback
    {Ip(169, 254, 0, 0), 16},   // link local, cloud metadata
    {Ip(172, 16, 0, 0), 12},    // private
    {Ip(192, 0, 0, 0), 24},     // protocol assignments
    {Ip(192, 0, 2, 0), 24},     // documentation
    {Ip(192, 88, 99, 0), 24},   // 6to4 relays
    {Ip(192, 168, 0, 0), 16},   // private
    {Ip(198, 18, 0, 0), 15},    // benchmarks
    {Ip(198, 51, 100, 0), 24},  // documentation
    {Ip(203, 0, 113, 0), 24},   // documentation
    {Ip(224, 0, 0, 0), 4},      // multicast
    {Ip(240, 0, 0, 0), 4},      // reserved, broadcast
}};

bool IsPublic4(uint32_t address) {
  return std::ranges::none_of(kSpecial4, [&](const Net4& net) {
    return (address ^ net.base) >> (32 - net.bits) == 0;
  });
}

// Only 2000::/3 is assigned to the public; parts of it lead elsewhere (RFC 4291, 4380, 3056, 3849,
// 5180, 6052).
bool IsPublic6(const std::array<uint8_t, 16>& a) {
  const auto word = [&](int i) { return static_cast<uint32_t>(a[2 * i] << 8 | a[2 * i + 1]); };
  const uint32_t low = word(6) << 16 | word(7);
  const bool mapped = std::all_of(a.begin(), a.begin() + 10, [](uint8_t b) { return b == 0; }) &&
                      word(5) == 0xffff;
  if (mapped) return IsPublic4(low);
  if (word(0) == 0x64 && word(1) == 0xff9b) return false;  // NAT64
  if (a[0] >> 5 != 1) return false;
  if (word(0) == 0x2001 && word(1) < 0x200) return false;   // Teredo, ORCHID, benchmarks
  if (word(0) == 0x2001 && word(1) == 0xdb8) return false;  // documentation
  if (word(0) == 0x2002) return false;                      // 6to4
  return word(0) != 0x3fff;                                 // documentation
}

}  // namespace

bool IsPublicAddress(const void* address) {
  const auto* any = static_cast<const sockaddr*>(address);
  if (any->sa_family == AF_INET) {
    sockaddr_in in{};
    std::memcpy(&in, address, sizeof(in));
    return IsPublic4(ntohl(in.sin_addr.s_addr));
  }
  if (any->sa_family == AF_INET6) {
    sockaddr_in6 in{};
    std::memcpy(&in, address, sizeof(in));
    std::array<uint8_t, 16> bytes{};
    std::memcpy(bytes.data(), &in.sin6_addr, bytes.size());
    return IsPublic6(bytes);
  }
  return false;
}

namespace {

struct EasyCleanup {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
struct UrlCleanup {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
using Easy = std::unique_ptr<CURL, EasyCleanup>;
using Url = std::unique_ptr<CURLU, UrlCleanup>;

std::string PartOf(CURLU* url, CURLUPart part) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, 0) != CURLUE_OK) return "";
  std::string result = text;
  curl_free(text);
  return result;
}

// One parser for checking and for connecting: curl gets this object, not the text again.
Url ParseUrl(const std::string& text, const std::string& what) {
  // Characters on which parsers disagree have no business in a URL.
  const bool odd = std::ranges::any_of(text, [](unsigned char c) {
    return c <= ' ' || c >= 127 || c == '\\';
  });
  Url url(curl_url());
  if (odd || text.size() > 8192 || !url ||
      curl_url_set(url.get(), CURLUPART_URL, text.c_str(), 0) != CURLUE_OK) {
    throw BadRequest("", "{}: the URL is malformed.", what);
  }
  const std::string scheme = PartOf(url.get(), CURLUPART_SCHEME);
  if (scheme != "http" && scheme != "https") {
    throw BadRequest("", "{}: the URL must be a data, http, https or file URL.", what);
  }
  if (!PartOf(url.get(), CURLUPART_USER).empty() ||
      !PartOf(url.get(), CURLUPART_PASSWORD).empty()) {
    throw BadRequest("", "{}: the URL must not contain a user name or password.", what);
  }
  return url;
}

void CheckDomain(CURLU* url, const MediaOptions& options, const std::string& what) {
  if (options.allowed_domains.empty()) return;
  std::string host = PartOf(url, CURLUPART_HOST);
  std::ranges::transform(host, host.begin(), [](unsigned char c) { return std::tolower(c); });
  if (host.ends_with('.')) host.pop_back();
  if (std::ranges::find(options.allowed_domains, host) != options.allowed_domains.end()) return;
  throw BadRequest("", "{}: the host of the URL is not among the domains that this server allows.",
                   what);
}

struct Transfer {
  const MediaOptions* options;
  std::string body;
  size_t limit = 0;
  bool too_large = false, refused_address = false;
};

size_t OnBody(char* data, size_t size, size_t count, void* context) {
  auto* transfer = static_cast<Transfer*>(context);
  const size_t bytes = size * count;
  if (transfer->body.size() + bytes > transfer->limit) {
    transfer->too_large = true;
    return 0;
  }
  transfer->body.append(data, bytes);
  return bytes;
}

// The address that a connection is about to be made to. This is where rebinding ends.
curl_socket_t OnSocket(void* context, curlsocktype, struct curl_sockaddr* address) {
  auto* transfer = static_cast<Transfer*>(context);
  if (!transfer->options->allow_private_addresses && !IsPublicAddress(&address->addr)) {
    transfer->refused_address = true;
    return CURL_SOCKET_BAD;
  }
  return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

void Configure(CURL* handle, CURLU* url, Transfer* transfer, std::chrono::milliseconds left) {
  const auto set = [&](CURLoption option, auto value) {
    if (curl_easy_setopt(handle, option, value) != CURLE_OK) {
      throw InternalError("libcurl does not know option {}", static_cast<int>(option));
    }
  };
  set(CURLOPT_CURLU, url);
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_FOLLOWLOCATION, 0L);  // each hop is checked by us
  set(CURLOPT_PROXY, "");           // a proxy of the environment would resolve names itself
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_TIMEOUT_MS, static_cast<long>(left.count()));
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(left.count()));
  set(CURLOPT_MAXFILESIZE_LARGE, static_cast<curl_off_t>(transfer->limit));
  set(CURLOPT_USERAGENT, "ingot");
  set(CURLOPT_OPENSOCKETFUNCTION, &OnSocket);
  set(CURLOPT_OPENSOCKETDATA, static_cast<void*>(transfer));
  set(CURLOPT_WRITEFUNCTION, &OnBody);
  set(CURLOPT_WRITEDATA, static_cast<void*>(transfer));
}

[[noreturn]] void ThrowFailure(CURLcode code, const Transfer& transfer, const std::string& what) {
  if (transfer.refused_address) {
    throw BadRequest("", "{}: the URL leads to an address that is not public, which this server "
                     "does not fetch.", what);
  }
  if (transfer.too_large || code == CURLE_FILESIZE_EXCEEDED) {
    throw BadRequest("", "{}: larger than the limit of {} bytes.", what, transfer.limit);
  }
  if (code == CURLE_OPERATION_TIMEDOUT) {
    throw BadRequest("", "{}: the server of the URL did not deliver in time.", what);
  }
  if (code == CURLE_COULDNT_RESOLVE_HOST) {
    throw BadRequest("", "{}: the host of the URL was not found.", what);
  }
  throw BadRequest("", "{}: the URL could not be fetched.", what);
}

}  // namespace

std::string FetchUrl(const std::string& text, const MediaOptions& options, size_t limit,
                     std::chrono::steady_clock::time_point deadline, const std::string& what) {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
  using Clock = std::chrono::steady_clock;
  Url url = ParseUrl(text, what);
  for (int hop = 0;; ++hop) {
    CheckDomain(url.get(), options, what);
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
    Transfer transfer{.options = &options, .body = {}};
    transfer.limit = limit;
    if (left.count() <= 0) ThrowFailure(CURLE_OPERATION_TIMEDOUT, transfer, what);
    const Easy handle(curl_easy_init());
    if (!handle) throw ResourceError("libcurl cannot make another transfer");
    Configure(handle.get(), url.get(), &transfer, left);
    const CURLcode code = curl_easy_perform(handle.get());
    if (code != CURLE_OK) ThrowFailure(code, transfer, what);
    long status = 0;
    curl_easy_getinfo(handle.get(), CURLINFO_RESPONSE_CODE, &status);
    if (status == 200) return std::move(transfer.body);
    char* target = nullptr;
    curl_easy_getinfo(handle.get(), CURLINFO_REDIRECT_URL, &target);
    if (status < 300 || status > 399 || target == nullptr) {
      throw BadRequest("", "{}: the server of the URL answered with status {}.", what, status);
    }
    if (!options.allow_redirects || hop >= kMaxRedirects) {
      throw BadRequest("", "{}: the URL redirects {}.", what,
                       options.allow_redirects ? "too often" : "elsewhere, which is not allowed");
    }
    url = ParseUrl(target, what);
  }
}

}  // namespace ingot::server
