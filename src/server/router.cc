// SPDX-License-Identifier: Apache-2.0
// See the header.
#include "server/router.h"

#include <utility>

#include "base/error.h"

namespace ingot::server {

void Router::Work(std::string_view method, std::string_view path, Handler handler) {
  Add(method, path, {std::move(handler), false});
}

void Router::Quick(std::string_view method, std::string_view path, Handler handler) {
  Add(method, path, {std::move(handler), true});
}

void Router::Add(std::string_view method, std::string_view path, Route route) {
  const bool added =
      paths_[std::string(path)].emplace(std::string(method), std::move(route)).second;
  if (!added) throw InternalError("route {} {} is there twice", method, path);
}

const Router::Methods* Router::FindPath(std::string_view path) const {
  const auto exact = paths_.find(path);
  if (exact != paths_.end() && !path.ends_with('*')) return &exact->second;
  const Methods* best = nullptr;
  size_t best_size = 0;
  for (const auto& [name, methods] : paths_) {
    if (!name.ends_with('*') || name.size() <= best_size) continue;
    if (!path.starts_with(std::string_view(name).substr(0, name.size() - 1))) continue;
    best = &methods;
    best_size = name.size();
  }
  return best;
}

Router::Match Router::Find(std::string_view method, std::string_view path) const {
  Match match;
  const Methods* methods = FindPath(path);
  if (methods == nullptr) return match;
  auto route = methods->find(method);
  if (route == methods->end() && method == "HEAD") route = methods->find("GET");
  if (route != methods->end()) {
    match.handler = &route->second.handler;
    match.quick = route->second.quick;
    match.status = 200;
    return match;
  }
  for (const auto& [name, unused] : *methods) {
    match.allow += name + ", ";
    if (name == "GET" && !methods->contains("HEAD")) match.allow += "HEAD, ";
  }
  match.allow += "OPTIONS";
  match.status = method == "OPTIONS" ? 204 : 405;
  return match;
}

HttpResponse Router::Refusal(const Match& match) {
  if (match.status == 204) {
    return {.status = 204, .content_type = "", .headers = {{"Allow", match.allow}}};
  }
  HttpResponse response =
      match.status == 405
          ? ErrorResponse(405, fmt::format("Method Not Allowed. Allowed: {}.", match.allow))
          : ErrorResponse(404, "Not Found", "Not Found");
  if (match.status == 405) response.headers.push_back({"Allow", match.allow});
  return response;
}

void Router::Dispatch(HttpRequest request, const ResponderPtr& responder) const {
  const Match match = Find(request.method, request.path);
  if (match.handler == nullptr) {
    responder->Send(Refusal(match));
    return;
  }
  Run(*match.handler, std::move(request), responder);
}

void Router::Run(const Handler& handler, HttpRequest request, const ResponderPtr& responder) {
  const std::string id = request.request_id;
  try {
    handler(std::move(request), responder);
  } catch (...) {
    responder->Send(ErrorResponseOfCurrentException(id));
  }
}

}  // namespace ingot::server
