// SPDX-License-Identifier: Apache-2.0
// A small pool with a static split: [0, count) is cut into contiguous parts, one per thread. Work is split over outputs,
// never over a reduction, so results do not depend on the number of threads.
#pragma once

#include <concepts>
#include <cstddef>
#include <type_traits>

namespace ingot {

// Number of threads used by ParallelFor (the caller is one of them). Default: the number of CPUs this process may use.
int NumThreads();
// Requires: 1 <= count <= 1024. Not to be called while ParallelFor runs.
void SetNumThreads(int count);

// A reference to something that is called with a range; it must live until the call returns. (A std::function would
// allocate in the token loop.)
class RangeBody {
 public:
  template <typename F>
    requires(!std::same_as<std::remove_cvref_t<F>, RangeBody>)
  RangeBody(const F& body)  // implicit: a lambda is passed as it is
      : body_(&body),
        call_([](const void* f, size_t begin, size_t end) { (*static_cast<const F*>(f))(begin, end); }) {}
  void operator()(size_t begin, size_t end) const { call_(body_, begin, end); }

 private:
  const void* body_;
  void (*call_)(const void*, size_t, size_t);
};

// Calls body(begin, end) on parts of [0, count), each part a multiple of `grain` long except the last. Blocks until all are
// done. Nested calls run serially. The first exception thrown by a body is rethrown here.
void ParallelFor(size_t count, size_t grain, RangeBody body);

}  // namespace ingot
