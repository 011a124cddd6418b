// SPDX-License-Identifier: Apache-2.0
// A small pool with a static split: [0, count) is cut into contiguous parts, one per thread. Work is split over outputs,
// never over a reduction, so results do not depend on the number of threads.
#pragma once

#include <cstddef>
#include <functional>

namespace ingot {

// Number of threads used by ParallelFor (the caller is one of them). Default: the number of CPUs this process may use.
int NumThreads();
// Requires: 1 <= count <= 1024. Not to be called while ParallelFor runs.
void SetNumThreads(int count);

// Calls body(begin, end) on parts of [0, count), each part a multiple of `grain` long except the last. Blocks until all are
// done. Nested calls run serially. The first exception thrown by a body is rethrown here.
void ParallelFor(size_t count, size_t grain, const std::function<void(size_t, size_t)>& body);

}  // namespace ingot
