// SPDX-License-Identifier: Apache-2.0
// SIGINT and SIGTERM as a flag that long loops poll between steps. A second signal ends the process at once.
#pragma once

namespace ingot {

void InstallInterruptHandler();
bool InterruptRequested();
void ResetInterruptForTest();

}  // namespace ingot
