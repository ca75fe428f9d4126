// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// `underpass bench change-rate` on the kernel that is there: the changes are made, at the rate that is asked for, and
// are followed.
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "harness/process.h"
#include "harness/test_net.h"

namespace underpass::test {

namespace {

class ChangeRateTest : public TestNet, public ::testing::WithParamInterface<const char*> {};

TEST_P(ChangeRateTest, ChangesAreMadeAndFollowed) {
    const std::string name = GetParam(), file = ::testing::TempDir() + "change-rate.json";
    const Finished finished = underpass(
        make("here"),
        {"bench", "change-rate", "--case", name, "--hook", "tc", "--repeat", "1", "--seconds", "0.5", "--json", file},
        3 * kPatience);
    ASSERT_TRUE(finished.ok()) << finished.text();
    std::ifstream stream(file);
    const auto kept = nlohmann::json::parse(stream);
    std::remove(file.c_str());
    std::map<std::string, nlohmann::json> figures;
    for (const auto& row : kept.at("results")) figures[row.at("metric")] = row;
    if (figures.empty()) GTEST_SKIP() << kept.at("notes").dump();
    const double wanted = std::stod(name.substr(name.rfind('-') + 1));
    for (const char* side : {"kernel", "underpass", "limit"}) {
        EXPECT_GT(figures["frames"][side], 0) << side;
        EXPECT_GT(figures["changes done"][side], wanted / 10) << side;  // a busy machine is held up
        EXPECT_LT(figures["changes done"][side], wanted * 1.1) << side;
    }
    EXPECT_GT(figures["went fast"]["underpass"], 90);
    for (const char* side : {"kernel", "underpass"}) {
        EXPECT_GT(figures["MAC moved, median"][side], 0) << side;
        EXPECT_LE(figures["MAC moved, median"][side], figures["MAC moved, 99th"][side]) << side;
    }
    EXPECT_TRUE(figures["MAC moved, median"]["limit"].is_null());
}

INSTANTIATE_TEST_SUITE_P(Cases, ChangeRateTest, testing::Values("fdb-1000", "neigh-1000", "route-1000", "vlan-1000"),
                         [](const auto& instance) {
                             const std::string name = instance.param;
                             return name.substr(0, name.find('-'));
                         });

}  // namespace

}  // namespace underpass::test
