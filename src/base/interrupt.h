// SPDX-License-Identifier: Apache-2.0
// SIGINT and SIGTERM as a flag that long loops poll between steps. A second signal ends the process at once.
#pragma once

namespace ingot {

void InstallInterruptHandler();
bool InterruptRequested();
// Forgets the signals seen so far: a conversation goes on after Ctrl-C has ended one answer.
void ClearInterrupt();
void ResetInterruptForTest();

}  // namespace ingot
