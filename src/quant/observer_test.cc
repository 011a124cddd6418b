// SPDX-License-Identifier: Apache-2.0
// Statistics and sample rows of a site.
#include "quant/observer.h"

#include <gtest/gtest.h>

namespace ingot {
namespace {

// Row r of a site with two channels holds (r, -r).
std::vector<float> Rows(int first, int count) {
  std::vector<float> x;
  for (int r = first; r < first + count; ++r) {
    x.push_back(static_cast<float>(r));
    x.push_back(static_cast<float>(-r));
  }
  return x;
}

TEST(SiteStatistics, CountsAndExtremesByModality) {
  SiteStatistics site(2);
  site.Observe(Rows(1, 3),
               std::vector<Modality>{Modality::kText, Modality::kVision, Modality::kVision});
  const auto& text = site.of(Modality::kText);
  const auto& vision = site.of(Modality::kVision);
  EXPECT_EQ(text.tokens, 1);
  EXPECT_EQ(vision.tokens, 2);
  EXPECT_EQ(site.tokens(), 3);
  EXPECT_EQ(text.min, -1);
  EXPECT_EQ(text.max, 1);
  EXPECT_EQ(vision.min, -3);
  EXPECT_EQ(vision.max, 3);
  EXPECT_EQ(vision.channel_min, (std::vector<float>{2, -3}));
  EXPECT_EQ(vision.channel_max, (std::vector<float>{3, -2}));
  EXPECT_EQ(text.sample.rows, (std::vector<float>{1, -1}));
}

TEST(SiteStatistics, DividesEverythingByChannel) {
  SiteStatistics site(2);
  site.Observe(Rows(1, 3), std::vector<Modality>(3, Modality::kText));
  const SiteStatistics halved = site.DividedBy(std::vector<float>{2, 0.5f});
  const auto& text = halved.of(Modality::kText);
  EXPECT_EQ(text.tokens, 3);
  EXPECT_EQ(text.min, -6);
  EXPECT_EQ(text.max, 1.5f);
  EXPECT_EQ(text.channel_max, (std::vector<float>{1.5f, -2}));
  EXPECT_EQ(text.sample.rows, (std::vector<float>{0.5f, -2, 1, -4, 1.5f, -6}));
  EXPECT_EQ(halved.of(Modality::kVision).tokens, 0);
}

TEST(SiteStatistics, ExtremesOfPositiveDataDoNotIncludeZero) {
  SiteStatistics site(1);
  site.Observe(std::vector<float>{5, 3}, std::vector<Modality>(2, Modality::kText));
  EXPECT_EQ(site.of(Modality::kText).min, 3);
  EXPECT_EQ(site.of(Modality::kText).max, 5);
}

TEST(SiteStatistics, SampleIsBoundedAndEvenlySpread) {
  SiteStatistics site(2, 8);
  site.Observe(Rows(0, 100), std::vector<Modality>(100, Modality::kVision));
  const auto& part = site.of(Modality::kVision);
  EXPECT_EQ(part.stride, 16);
  ASSERT_EQ(part.sample.n_rows, 7);  // 0, 16, ..., 96
  for (int64_t r = 0; r < part.sample.n_rows; ++r) {
    EXPECT_EQ(part.sample.rows[static_cast<size_t>(2 * r)], static_cast<float>(16 * r));
  }
}

TEST(SiteStatistics, SampleDoesNotDependOnTheCuttingIntoCalls) {
  SiteStatistics whole(2, 16), pieces(2, 16);
  whole.Observe(Rows(0, 333), std::vector<Modality>(333, Modality::kText));
  for (int first = 0; first < 333; first += 37) {
    pieces.Observe(Rows(first, 37), std::vector<Modality>(37, Modality::kText));
  }
  EXPECT_EQ(whole.of(Modality::kText).sample.rows, pieces.of(Modality::kText).sample.rows);
  EXPECT_LE(whole.of(Modality::kText).sample.n_rows, 16);
  EXPECT_GE(whole.of(Modality::kText).sample.n_rows, 8);
}

}  // namespace
}  // namespace ingot
