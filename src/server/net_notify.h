// SPDX-License-Identifier: Apache-2.0
// Tells the service manager how the server is (sd_notify(3)): a datagram to $NOTIFY_SOCKET. Does
// nothing when there is none.
#pragma once

#include <string_view>

namespace ingot::server {

// "READY=1\nSTATUS=serving", "STOPPING=1".
void NotifyServiceManager(std::string_view state);

}  // namespace ingot::server
