// SPDX-License-Identifier: Apache-2.0
// http and https through libcurl, for pictures. The address is checked where the connection is
// made, so that a name that resolves differently the second time gains nothing.
#pragma once

#include <chrono>
#include <string>

#include "server/media.h"

namespace ingot::server {

// The body behind the URL, at most `limit` bytes, redirects included before the deadline. Errors:
// ApiError 400 (refused address or domain, HTTP error, too large, too slow).
std::string FetchUrl(const std::string& url, const MediaOptions& options, size_t limit,
                     std::chrono::steady_clock::time_point deadline, const std::string& what);

// True for addresses of the public internet. `address` is a sockaddr of AF_INET or AF_INET6.
bool IsPublicAddress(const void* address);

}  // namespace ingot::server
