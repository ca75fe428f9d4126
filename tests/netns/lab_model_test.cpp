// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The labs that come with the program, as a person uses them: built once, tried, looked at, entered, taken away without
// a trace; drawn, and copied to start from.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <set>
#include <string>
#include <tuple>

#include "lab/link.h"
#include "lab/models.h"
#include "lab/vlan.h"
#include "lab_fixture.h"
#include "netlink/socket.h"

namespace underpass::test {

namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Whether this kernel has what the work needs.
template <class Work>
bool has(const lab::Namespace& where, Work&& work) {
    try {
        where.run(work);
        return true;
    } catch (const NetlinkError& error) {
        if (error.code().value() != EOPNOTSUPP) throw;
        return false;
    }
}

std::vector<std::string> model_names() {
    std::vector<std::string> names;
    for (const auto& [name, text] : lab::models())
        if (name != "guests") names.emplace_back(name);
    return names;
}

// Those that must go fast, whatever else is there: (model, node).
const std::set<std::pair<std::string, std::string>> kSurelyFast = {
    {"isolated", "host"},  {"routed", "host"},     {"nat", "host"},     {"bridged", "host"}, {"vrouter", "host"},
    {"vrouter", "router"}, {"tunnel", "underlay"}, {"vlan", "devices"}, {"vlan", "aware"}};

class LabModelTest : public LabCommandTest, public ::testing::WithParamInterface<std::tuple<std::string, const char*>> {
protected:
    static std::string model() { return std::get<0>(GetParam()); }
    static std::string how() { return std::get<1>(GetParam()); }

    bool kernel_has_vlans() {
        const lab::Namespace& probe = make("probe");
        return has(probe, [] { lab::create_bridge("br0", {.vlan_filtering = true}); }) && has(probe, [] {
                   lab::create_veth("a", "b");
                   lab::create_vlan("a.5", "a", Vid{5});
               });
    }

    static void expect_promises_kept(const json& said) {
        EXPECT_TRUE(said.at("ok").get<bool>());
        EXPECT_FALSE(said.at("tries").empty());
        for (const json& each : said.at("tries")) EXPECT_TRUE(each.at("held").get<bool>()) << each;
    }

    // What goes fast has done so; of what does not, there is a word why.
    static void expect_fast_or_told(const json& accelerated, const json& frames) {
        for (const auto& [model_of, node] : kSurelyFast)
            if (model_of == model()) {
                ASSERT_TRUE(frames.contains(node)) << frames;
                EXPECT_GT(frames.at(node).at("fast").get<std::uint64_t>(), 0U) << node;
            }
        for (const auto& [node, bridges] : accelerated.items()) {
            if (frames.at(node).at("fast").get<std::uint64_t>() > 0) continue;
            std::string reasons;
            for (const json& bridge : bridges) {
                if (bridge.at("state") != "fast") reasons += bridge.at("why").get<std::string>();
                for (const json& port : bridge.at("ports"))
                    if (port.at("hook") == "kernel") reasons += port.at("why").get<std::string>();
            }
            EXPECT_NE(reasons, "") << node << ": " << bridges;
        }
    }

    // Every device is up, and both ends of a link know each other.
    static void expect_shown(const json& lab) {
        EXPECT_EQ(lab.at("state"), "up");
        std::map<std::string, std::string> joined;
        for (const json& node : lab.at("nodes")) {
            EXPECT_EQ(node.at("state"), "up");
            EXPECT_FALSE(node.at("devices").empty());
            for (const json& device : node.at("devices")) {
                EXPECT_EQ(device.at("state"), "up") << node.at("name") << ": " << device;
                const std::string end =
                    fmt::format("{}:{}", node.at("name").get<std::string>(), device.at("name").get<std::string>());
                if (device.contains("joined_to")) joined[end] = device.at("joined_to");
                EXPECT_EQ(device.at("kind") == "veth", device.contains("joined_to")) << end;
            }
        }
        EXPECT_THAT(joined, ::testing::Not(IsEmpty()));
        for (const auto& [end, far] : joined) EXPECT_EQ(joined[far], end);
    }

    void expect_statuses_passed(const std::string& lab, const json& nodes) {
        for (const json& node : nodes) {
            const std::string name = fmt::format("{}.{}", lab, node.at("name").get<std::string>());
            EXPECT_EQ(this->lab({"exec", name, "--", "true"}).status, 0);
            const Finished seven = this->lab({"exec", name, "--", "sh", "-c", "echo out; exit 7"});
            EXPECT_EQ(seven.status, 7);
            EXPECT_EQ(seven.out, "out\n");
            EXPECT_EQ(seven.err, "");
        }
    }
};

TEST_P(LabModelTest, IsBuiltTriedAndTakenAway) {
    if (model() == "vlan" && !kernel_has_vlans()) GTEST_SKIP() << "this kernel has no VLAN devices or VLAN filtering";
    const std::string name = lab_name();
    const Words up = {"up", model(), "--name", name, "--accelerate", how()};
    const json built = lab_json(up);
    EXPECT_TRUE(built.at("changed").get<bool>());
    const auto spaces = spaces_of(name);
    EXPECT_EQ(spaces.size(), built.at("nodes").get<std::size_t>());

    EXPECT_THAT(lab_ok(up), HasSubstr("nothing was changed"));
    EXPECT_EQ(spaces_of(name), spaces);

    const json tried = lab_json({"test", name});
    expect_promises_kept(tried);
    if (how() != "false")
        expect_fast_or_told(built.at("accelerated"), tried.at("frames"));
    else
        EXPECT_TRUE(built.at("accelerated").empty() && tried.at("frames").empty()) << built;

    const json shown = lab_json({"show", name}).at("labs").at(0);
    EXPECT_EQ(shown.at("nodes").size(), spaces.size());
    expect_shown(shown);
    EXPECT_THAT(lab_ok({"show", name}), HasSubstr(name + ": up, "));
    expect_statuses_passed(name, shown.at("nodes"));

    const Finished down = lab({"down", name});
    EXPECT_TRUE(down.ok() && down.err.empty()) << down.text();
    EXPECT_EQ(down.out.find("stays"), std::string::npos) << down.out;
    expect_nothing_left(name, spaces);
    expect_refused({"down", name}, kFailed, {"no lab " + name});
}

std::string case_name(const ::testing::TestParamInfo<LabModelTest::ParamType>& each) {
    const std::string how = std::get<1>(each.param);
    return std::get<0>(each.param) + "_" + (how == "false" ? "plain" : how);
}

INSTANTIATE_TEST_SUITE_P(Lab, LabModelTest,
                         ::testing::Combine(::testing::ValuesIn(model_names()),
                                            ::testing::Values("false", "tc", "auto")),
                         case_name);

// A model's file is one to start from: it is a lab, and can be drawn without being built.
TEST_F(LabCommandTest, FilesToStartFromAndPictures) {
    for (const auto& [model, text] : lab::models()) {
        const std::string file = file_of(lab_ok({"init", std::string(model)}));
        EXPECT_THAT(lab_ok({"graph", file}), HasSubstr("eth0")) << model;
        EXPECT_EQ(lab_ok({"graph", file, "--format", "dot"}), lab_ok({"graph", std::string(model), "--format", "dot"}));
    }
    EXPECT_THAT(lab_ok({"graph", "tunnel", "--format", "svg"}),
                ::testing::AllOf(HasSubstr("<svg"), HasSubstr("192.0.2.3"), HasSubstr("</svg>")));
    EXPECT_TRUE(json::parse(lab_ok({"schema"})).contains("definitions"));
    EXPECT_EQ(lab_json({"models"}).at("models").size(), lab::models().size());
}

}  // namespace

}  // namespace underpass::test
