// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// `underpass bench --generator iperf3|sockperf` on the kernel that is there: what it makes is measured, of all sides,
// with the figures that the same case has without; and nothing else is.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "harness/process.h"
#include "harness/test_net.h"

namespace underpass::test {

namespace {

using Json = nlohmann::json;

class TalkGeneratorTest : public TestNet {
protected:
    void SetUp() override {
        TestNet::SetUp();
        if (!IsSkipped()) where_ = &make("here");
    }

    // What is kept of it; null if it failed.
    Json bench(std::vector<std::string> words) const {
        const std::string file = ::testing::TempDir() + "talk.json";
        words.insert(words.begin(), {"bench", "container-to-container"});
        words.insert(words.end(), {"--repeat", "1", "--seconds", "0.5", "--json", file});
        const Finished finished = underpass(*where_, words, 4 * kPatience);
        EXPECT_TRUE(finished.ok()) << finished.text();
        if (!finished.ok()) return {};
        std::ifstream stream(file);
        Json kept = Json::parse(stream);
        std::remove(file.c_str());
        return kept;
    }

    // Units by case and metric.
    static std::map<std::string, std::string> units(const Json& kept) {
        std::map<std::string, std::string> all;
        for (const Json& row : kept.at("results"))
            all[row.at("case").get<std::string>() + ": " + row.at("metric").get<std::string>()] = row.at("unit");
        return all;
    }

private:
    const lab::Namespace* where_ = nullptr;
};

void expect_all_sides(const Json& kept, const std::string& generator) {
    EXPECT_EQ(kept.at("run").at("generator"), generator);
    for (const Json& row : kept.at("results")) {
        EXPECT_EQ(row.at("generator"), generator) << row;
        for (const char* side : {"kernel", "underpass", "limit"}) EXPECT_GT(row.at(side), 0) << row;
    }
}

TEST_F(TalkGeneratorTest, SockperfMeasuresTheSame) {
    const std::vector<std::string> cases = {"--case", "tcp-rr", "--case", "udp-rr", "--case", "udp-small"};
    std::vector<std::string> with = cases;
    with.insert(with.end(), {"--generator", "sockperf"});
    const Json own = bench(cases), other = bench(with);
    ASSERT_FALSE(own.is_null() || other.is_null());
    expect_all_sides(other, "sockperf");
    EXPECT_THAT(units(other), testing::Contains(testing::Pair("udp-rr: latency, median", "us")));
    EXPECT_EQ(units(own), units(other));
}

TEST_F(TalkGeneratorTest, Iperf3AndNothingElse) {
    const Json kept = bench({"--generator", "iperf3", "--hook", "tc", "--case", "tcp-bulk"});
    ASSERT_FALSE(kept.is_null());
    expect_all_sides(kept, "iperf3");
    EXPECT_THAT(units(kept), testing::UnorderedElementsAre(testing::Pair("tcp-bulk: throughput", "bit/s"),
                                                           testing::Pair("tcp-bulk: CPU per kilobyte", "ns")));
}

// Without a case it is all that it makes, and of a scenario that has frames no frames.
TEST_F(TalkGeneratorTest, OnlyWhatItMakesIsChosen) {
    const std::string file = ::testing::TempDir() + "talk.json";
    const Finished finished = underpass(
        make("there"), {"bench", "nat", "--generator", "sockperf", "--repeat", "1", "--seconds", "0.5", "--json", file},
        4 * kPatience);
    ASSERT_TRUE(finished.ok()) << finished.text();
    std::ifstream stream(file);
    const Json kept = Json::parse(stream);
    std::remove(file.c_str());
    std::set<std::string> cases;
    for (const Json& row : kept.at("results")) cases.insert(row.at("case"));
    EXPECT_THAT(cases, testing::ElementsAre("tcp-rr"));
    EXPECT_EQ(kept.at("run").at("generator"), "sockperf");
}

}  // namespace

}  // namespace underpass::test
