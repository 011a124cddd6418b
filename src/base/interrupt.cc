// SPDX-License-Identifier: Apache-2.0
#include "base/interrupt.h"

#include <unistd.h>

#include <atomic>
#include <csignal>

namespace ingot {
namespace {

std::atomic<int> signals_seen{0};
static_assert(std::atomic<int>::is_always_lock_free);

void OnSignal(int signal) {
  if (signals_seen.fetch_add(1) > 0) _exit(128 + signal);  // the second one means it
}

}  // namespace

void InstallInterruptHandler() {
  struct sigaction action {};
  action.sa_handler = OnSignal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

bool InterruptRequested() { return signals_seen.load() > 0; }
void ClearInterrupt() { signals_seen.store(0); }
void ResetInterruptForTest() { signals_seen.store(0); }

}  // namespace ingot
