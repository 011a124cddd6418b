// SPDX-License-Identifier: Apache-2.0
#include "base/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <vector>

namespace ingot {
namespace {

class ThreadPoolTest : public testing::TestWithParam<int> {
 protected:
  void SetUp() override { SetNumThreads(GetParam()); }
  void TearDown() override { SetNumThreads(2); }
};

TEST_P(ThreadPoolTest, EveryIndexOnce) {
  for (const size_t count : {1u, 2u, 7u, 64u, 1000u}) {
    for (const size_t grain : {1u, 4u, 100u}) {
      std::vector<std::atomic<int>> hits(count);
      ParallelFor(count, grain, [&](size_t begin, size_t end) {
        EXPECT_EQ(begin % grain, 0u);
        for (size_t i = begin; i < end; ++i) ++hits[i];
      });
      for (const auto& hit : hits) EXPECT_EQ(hit.load(), 1);
    }
  }
}

TEST_P(ThreadPoolTest, NestedRunsSerially) {
  std::atomic<int> total{0};
  ParallelFor(8, 1, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) {
      ParallelFor(10, 1, [&](size_t b, size_t e) { total += static_cast<int>(e - b); });
    }
  });
  EXPECT_EQ(total.load(), 80);
}

TEST_P(ThreadPoolTest, ExceptionsReachTheCaller) {
  EXPECT_THROW(ParallelFor(100, 1, [](size_t, size_t end) {
                 if (end == 100) throw std::runtime_error("x");
               }),
               std::runtime_error);
  std::atomic<size_t> seen{0};
  ParallelFor(100, 1, [&](size_t begin, size_t end) { seen += end - begin; });  // still works afterwards
  EXPECT_EQ(seen.load(), 100u);
}

INSTANTIATE_TEST_SUITE_P(Threads, ThreadPoolTest, testing::Values(1, 2, 3, 8));

}  // namespace
}  // namespace ingot
