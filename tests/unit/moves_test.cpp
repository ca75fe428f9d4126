// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/moves.h"

#include <gtest/gtest.h>

#include <numeric>

namespace underpass::bench {
namespace {

TEST(MovesTest, PercentileIsOneOfTheValues) {
    EXPECT_EQ(percentile({}, 0.5), 0);
    EXPECT_EQ(percentile({7}, 0.99), 7);
    EXPECT_EQ(percentile({3, 1, 2}, 0.5), 2);
    EXPECT_EQ(percentile({4, 3, 1, 2}, 0.5), 2);
    EXPECT_EQ(percentile({4, 3, 1, 2}, 0), 1);
    EXPECT_EQ(percentile({4, 3, 1, 2}, 1), 4);
    std::vector<double> hundred(100);
    std::iota(hundred.begin(), hundred.end(), 1);
    EXPECT_EQ(percentile(hundred, 0.99), 99);
    hundred.push_back(1000);
    EXPECT_EQ(percentile(hundred, 0.99), 100);
}

}  // namespace
}  // namespace underpass::bench
