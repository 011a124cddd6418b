// SPDX-License-Identifier: Apache-2.0
// The server's TLS settings as OpenSSL takes them. Seen by net.cc only.
#pragma once

#include <memory>

namespace boost::asio::ssl {
class context;
}

namespace ingot::server {

struct TlsOptions;

// TLS 1.2 and later. Errors: UserError naming the option and the file.
std::shared_ptr<boost::asio::ssl::context> MakeTlsContext(const TlsOptions& options);

}  // namespace ingot::server
