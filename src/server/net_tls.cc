// SPDX-License-Identifier: Apache-2.0
// See the header.
#include "server/net_tls.h"

#include <boost/asio/ssl/context.hpp>
#include <string>

#include "base/error.h"
#include "base/files.h"
#include "server/http_server.h"

namespace ingot::server {
namespace {

namespace ssl = boost::asio::ssl;

// A missing file says so before OpenSSL says something longer.
std::string Pem(const char* option, const std::string& path) {
  try {
    return ReadFile(path, 16 << 20);
  } catch (const Error& error) {
    throw UserError("{}: {}", option, error.what());
  }
}

void Check(const boost::system::error_code& error, const char* option, const std::string& path,
           const char* expected) {
  if (!error) return;
  throw UserError("{} {}: {}; expected {}.", option, path, error.message(), expected);
}

}  // namespace

std::shared_ptr<ssl::context> MakeTlsContext(const TlsOptions& options) {
  auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
  SSL_CTX* raw = context->native_handle();
  SSL_CTX_set_min_proto_version(raw, TLS1_2_VERSION);
  SSL_CTX_set_options(raw, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  // A key with a password would stop the start at a prompt; it is refused instead.
  context->set_password_callback(
      [](size_t, ssl::context::password_purpose) { return std::string(); });

  boost::system::error_code error;
  const std::string cert = Pem("--ssl-certfile", options.cert_file);
  context->use_certificate_chain({cert.data(), cert.size()}, error);
  Check(error, "--ssl-certfile", options.cert_file, "a certificate (and its chain) in PEM form");
  const std::string& key_file = options.key_file.empty() ? options.cert_file : options.key_file;
  const std::string key = Pem("--ssl-keyfile", key_file);
  context->use_private_key({key.data(), key.size()}, ssl::context::pem, error);
  Check(error, "--ssl-keyfile", key_file, "a private key in PEM form without a password");
  if (SSL_CTX_check_private_key(raw) != 1) {
    throw UserError("--ssl-keyfile {}: this is not the key of the certificate in {}.", key_file,
                    options.cert_file);
  }
  if (!options.ca_file.empty()) {
    const std::string ca = Pem("--ssl-ca-certs", options.ca_file);
    context->add_certificate_authority({ca.data(), ca.size()}, error);
    Check(error, "--ssl-ca-certs", options.ca_file, "certificates in PEM form");
  }
  if (options.client_cert_mode > 0) {
    context->set_verify_mode(options.client_cert_mode == 1
                                 ? ssl::verify_peer
                                 : ssl::verify_peer | ssl::verify_fail_if_no_peer_cert);
  }
  return context;
}

}  // namespace ingot::server
