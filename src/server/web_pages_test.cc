// SPDX-License-Identifier: Apache-2.0
// The chat page's route and what /ingot/info says.
#include "server/web_pages.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "server/http_testing.h"

namespace ingot::server {
namespace {

using Json = nlohmann::json;

HttpResponse Get(const Router& router, const std::string& path) {
  auto responder = std::make_shared<RecordingResponder>();
  HttpRequest request;
  request.method = "GET";
  request.target = request.path = path;
  router.Dispatch(std::move(request), responder);
  EXPECT_TRUE(responder->Wait());
  return responder->response();
}

std::string HeaderOf(const HttpResponse& response, const std::string& name) {
  for (const HttpHeader& header : response.headers) {
    if (EqualsNoCase(header.name, name)) return header.value;
  }
  return "";
}

TEST(WebPages, ChatPageIsWholeAndItsPolicyForbidsEverythingElse) {
  Router router;
  AddWebPages("1.0", {.name = "m"}, std::nullopt, &router);
  const HttpResponse page = Get(router, "/");
  EXPECT_EQ(page.status, 200);
  EXPECT_EQ(page.content_type, "text/html; charset=utf-8");
  EXPECT_TRUE(page.body.starts_with("<!doctype html>"));
  EXPECT_NE(page.body.find("</html>"), std::string::npos);
  EXPECT_EQ(page.body.find("/*SCRIPT*/"), std::string::npos);
  EXPECT_EQ(page.body.find(" src=\"http"), std::string::npos);
  const std::string policy = HeaderOf(page, "Content-Security-Policy");
  EXPECT_TRUE(policy.starts_with("default-src 'none'; script-src 'sha256-")) << policy;
  EXPECT_EQ(policy.find("unsafe"), std::string::npos);
  // A header is one line.
  EXPECT_TRUE(std::all_of(policy.begin(), policy.end(), [](char c) { return c >= 32; }));
  EXPECT_EQ(HeaderOf(page, "X-Content-Type-Options"), "nosniff");
}

TEST(WebPages, InfoLeavesOutWhatIsNotKnown) {
  Router router;
  AddWebPages("1.0", {.name = "m", .format = "float", .weight_bytes = 5}, std::nullopt, &router);
  const HttpResponse response = Get(router, "/ingot/info");
  EXPECT_EQ(response.content_type, "application/json");
  const Json info = Json::parse(response.body);
  EXPECT_EQ(info, Json::parse(R"({"version": "1.0", "name": "m", "format": "float",
                                  "memory": {"weights_bytes": 5}, "compare": null})"));
}

TEST(WebPages, InfoOfTwoModels) {
  const ServedInfo a = {.name = "float"};
  const ServedInfo b = {.name = "w8\xff", .emulate = "310p", .kv_bytes = 7};
  const Json info = Json::parse(ServedInfoJson("1.0", a, b));
  EXPECT_EQ(info["compare"]["a"], "float");
  EXPECT_EQ(info["compare"]["b"], "w8\xef\xbf\xbd") << "no UTF-8 becomes the replacement sign";
  EXPECT_EQ(info["other"]["emulate"], "310p");
  EXPECT_EQ(info["other"]["memory"]["kv_cache_bytes"], 7);
}

}  // namespace
}  // namespace ingot::server
