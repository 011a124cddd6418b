// SPDX-License-Identifier: Apache-2.0
// Method and path to handler. A path is exact ("/v1/models") or, with a star at its end, a prefix
// ("/assets/*"); exact wins, then the longest prefix. HEAD is GET without the body (the transport
// drops it), OPTIONS lists the methods, an unknown path is 404, a known one with another method
// 405.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "server/http.h"

namespace ingot::server {

class Router {
 public:
  // `Work` routes run on the worker pool, `Quick` ones on the network thread. Requires: the pair of
  // method and path is new (InternalError otherwise).
  void Work(std::string_view method, std::string_view path, Handler handler);
  void Quick(std::string_view method, std::string_view path, Handler handler);

  struct Match {
    const Handler* handler = nullptr;  // nullptr: answer with `status`
    bool quick = true;
    int status = 404;   // 200, 404 or 405; 204 for OPTIONS
    std::string allow;  // "GET, HEAD, OPTIONS"; for 405 and 204
  };
  Match Find(std::string_view method, std::string_view path) const;

  // The answer to a request without a handler.
  static HttpResponse Refusal(const Match& match);

  // Finds and runs the handler on this thread; its exceptions become error responses. For tests and
  // for aliases.
  void Dispatch(HttpRequest request, const ResponderPtr& responder) const;
  static void Run(const Handler& handler, HttpRequest request, const ResponderPtr& responder);

 private:
  struct Route {
    Handler handler;
    bool quick = false;
  };
  using Methods = std::map<std::string, Route, std::less<>>;
  void Add(std::string_view method, std::string_view path, Route route);
  const Methods* FindPath(std::string_view path) const;
  std::map<std::string, Methods, std::less<>> paths_;  // prefixes keep their star
};

}  // namespace ingot::server
