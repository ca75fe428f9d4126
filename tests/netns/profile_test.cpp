// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// `underpass bench --profile` on the kernel that is there: every stage has its time, and together they are the
// program's.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "harness/process.h"
#include "harness/test_net.h"
#include "maps/stage.h"

namespace underpass::test {

namespace {

using Json = nlohmann::json;

class ProfileTest : public TestNet {
protected:
    void SetUp() override {
        TestNet::SetUp();
        if (!IsSkipped()) where_ = &make("here");
    }
    Finished bench(std::vector<std::string> words) const {
        words.insert(words.begin(), "bench");
        return underpass(*where_, words, 3 * kPatience);
    }

private:
    const lab::Namespace* where_ = nullptr;
};

const std::vector<std::string>& stages() {
    static const std::vector<std::string> all = {
#define X(symbol, name, what) name,
        STAGES(X)
#undef X
    };
    return all;
}

TEST_F(ProfileTest, StagesOfL2AddUp) {
    const std::string file = ::testing::TempDir() + "profile.json";
    const Finished finished = bench({"l2", "--profile", "--repeat", "3", "--json", file});
    ASSERT_TRUE(finished.ok()) << finished.text();
    std::ifstream stream(file);
    const Json kept = Json::parse(stream);
    std::remove(file.c_str());
    std::vector<std::string> hooks;
    for (const Json& profile : kept.at("profiles")) {
        SCOPED_TRACE(profile.dump());
        hooks.push_back(profile.at("hook"));
        std::vector<std::string> names;
        for (const Json& stage : profile.at("stages")) {
            names.push_back(stage.at("stage"));
            EXPECT_EQ(stage.at("samples").size(), 3U);
        }
        EXPECT_EQ(names, stages());
        const double sum = profile.at("sum").at("ns"), whole = profile.at("whole").at("ns");
        EXPECT_GT(whole, 0);
        // What it costs to be able to end early, and noise.
        EXPECT_LT(std::abs(sum - whole), 0.25 * whole + 5);
        EXPECT_GT(profile.at("traffic").at("ns"), whole / 4);
    }
    EXPECT_THAT(hooks, testing::ElementsAre("xdp", "tc"));
}

TEST_F(ProfileTest, RefusesWhatItCannotProfile) {
    EXPECT_THAT(bench({"mac-scale", "--profile"}).err,
                testing::HasSubstr("there is no profile of 'mac-scale'; there are of: l2, "));
    EXPECT_THAT(bench({"nonsense", "--profile"}).err,
                testing::HasSubstr("there is no scenario 'nonsense'; there are: l2, "));
    EXPECT_THAT(bench({"l2", "--profile", "--case", "frames-1500"}).err,
                testing::HasSubstr("there is no case 'frames-1500' there; there are: frames-60"));
    EXPECT_THAT(bench({"l2", "--profile", "--against", "f"}).err, testing::HasSubstr("--profile measures none"));
}

}  // namespace

}  // namespace underpass::test
