// SPDX-License-Identifier: Apache-2.0
// What all endpoints have in common: errors of a request become responses, answers are JSON.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "server/http.h"

namespace ingot::server {

// Runs `body`; its exceptions go to the client: ApiError as it says, UserError as 400, others as
// ErrorResponseOfCurrentException.
void WithErrors(const ResponderPtr& responder, std::string_view request_id,
                const std::function<void()>& body);

// An endpoint as a handler, its errors answered.
using Endpoint = std::function<void(HttpRequest&, const ResponderPtr&)>;
Handler Guarded(Endpoint endpoint);

// Errors: ApiError when the body does not say that it is JSON.
void RequireJson(const HttpRequest& http);

HttpResponse JsonResponse(const nlohmann::ordered_json& json);

}  // namespace ingot::server
