// SPDX-License-Identifier: Apache-2.0
// The serving engine: many requests at once over one model. One thread owns the model and runs
// steps; any thread may submit, cancel and ask for figures. Internals: docs/server-internals.md.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "engine/request.h"
#include "engine/serve_options.h"
#include "engine/stats.h"

namespace ingot {

class Engine;
class ModelRunner;
class Tokenizer;

enum class SubmitStatus {
  kAccepted,
  kQueueFull,  // try again later (429)
  kStopping,   // Drain or Stop was called (503)
  kDead,       // the engine thread has failed (500; health() is false)
};
struct Submitted {
  SubmitStatus status = SubmitStatus::kAccepted;
  uint64_t ticket = 0;  // for Cancel; unique while the engine lives
};

class AsyncEngine {
 public:
  // Serves a loaded model, which must outlive this and is used by nothing else meanwhile (apart
  // from its prompts(), which are thread-safe). Errors: ResourceError when the memory does not
  // suffice for one sequence; UserError on impossible options.
  AsyncEngine(const Engine& engine, const ServeOptions& options);
  // The same with what was allotted to it, of several models in one process.
  AsyncEngine(const Engine& engine, const ServeOptions& options, const MemoryPlan& memory);
  // The same over any runner (tests).
  AsyncEngine(std::unique_ptr<ModelRunner> runner, const Tokenizer& tokenizer,
              const ServeOptions& options);
  ~AsyncEngine();  // Stop()

  // The sink gets every event of the request if and only if the status is kAccepted. Errors:
  // UserError when the request can never be served (parameters out of range, prompt longer than
  // max_model_len() or than all KV pages, pictures that do not fit).
  Submitted Submit(Request request, EventSink sink);
  // Ends the request's open choices with kAbort and gives back everything it holds. Unknown or
  // finished tickets are ignored.
  void Cancel(uint64_t ticket);

  EngineStats Stats() const;
  bool healthy() const;                 // false once the engine thread has failed
  std::string death_reason() const;     // "" while healthy
  const MemoryPlan& memory() const;     // what was allotted at the start
  int64_t max_model_len() const;        // tokens of prompt and answer together
  const ServeOptions& options() const;  // as they took effect

  // Forgets cached prefixes; false (and nothing done) while any request runs.
  bool ResetPrefixCache();
  void ResetPictureCache();

  // Takes no new requests and waits until the accepted ones have ended, at most this long. True
  // when all did.
  bool Drain(std::chrono::milliseconds at_most);
  // Ends all requests with kAbort and joins the thread. Idempotent.
  void Stop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ingot
