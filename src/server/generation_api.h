// SPDX-License-Identifier: Apache-2.0
// The endpoints that generate: /v1/chat/completions, /v1/completions, /invocations.
#pragma once

#include <atomic>
#include <cstdint>

#include "server/answer_writer.h"
#include "server/model_lane.h"
#include "server/router.h"
#include "server/task_pool.h"

namespace ingot::server {

class GenerationApi {
 public:
  // `lanes` outlives this.
  explicit GenerationApi(const ModelLanes& lanes) : lanes_(lanes) {}
  void Register(Router* router);
  int64_t load() const { return load_.load(); }  // answers under way

 private:
  struct ChatTask;
  void Chat(HttpRequest& http, const ResponderPtr& responder);
  void Completions(HttpRequest& http, const ResponderPtr& responder);
  void Invocations(HttpRequest& http, const ResponderPtr& responder);
  void Generate(ChatTask& task);

  const ModelLanes& lanes_;
  std::atomic<int64_t> load_ = 0;
  WriterThread writer_thread_;  // uses the others
  TaskPool fetchers_{8, 64};    // last: requests that fetch pictures
};

}  // namespace ingot::server
