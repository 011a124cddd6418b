// SPDX-License-Identifier: Apache-2.0
#include "server/endpoint.h"

#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "base/error.h"
#include "server/api_error.h"
#include "server/response_json.h"

namespace ingot::server {

void WithErrors(const ResponderPtr& responder, std::string_view request_id,
                const std::function<void()>& body) {
  try {
    body();
  } catch (const ApiError& error) {
    responder->Send(ErrorResponse(error.status(), error.what(), error.type(), error.param()));
  } catch (const UserError& error) {
    responder->Send(ErrorResponse(400, WithoutPaths(error.what())));
  } catch (...) {
    responder->Send(ErrorResponseOfCurrentException(request_id));
  }
}

Handler Guarded(Endpoint endpoint) {
  return [endpoint = std::move(endpoint)](HttpRequest http, ResponderPtr responder) {
    const std::string id = http.request_id;
    WithErrors(responder, id, [&] { endpoint(http, responder); });
  };
}

void RequireJson(const HttpRequest& http) {
  const std::string type = http.MediaType();
  if (type == "application/json" || type.ends_with("+json")) return;
  throw ApiError(400, "Unsupported Media Type: Only 'application/json' is allowed", "Bad Request");
}

HttpResponse JsonResponse(const nlohmann::ordered_json& json) {
  return {.status = 200, .content_type = "application/json", .body = Dump(json)};
}

}  // namespace ingot::server
