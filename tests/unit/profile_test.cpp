// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What becomes of the times of programs that end early: stages, shares, texts, pages, a kept report.
#include "bench/profile.h"

#include <expat.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string_view>

#include "bench/copies.h"
#include "bench/kept.h"
#include "bench/page.h"
#include "bench/profile_page.h"
#include "bpf/tc_ingress.skel.h"
#include "bpf/tc_ingress_conntrack.skel.h"
#include "bpf/tc_ingress_profile.skel.h"
#include "bpf/tc_ingress_profile_conntrack.skel.h"
#include "bpf/xdp_ingress.skel.h"
#include "bpf/xdp_ingress_conntrack.skel.h"
#include "bpf/xdp_ingress_profile.skel.h"
#include "bpf/xdp_ingress_profile_conntrack.skel.h"
#include "maps/stage.h"

namespace underpass::bench {
namespace {

using testing::DoubleEq;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr std::size_t kStages = STAGE_COUNT - 1;

// In run r stage number i takes i + r ns, and an empty program 40.
Profile made_up(const std::string& name = "l2") {
    Profile profile = empty_profile(name, name, name);
    for (int run = 0; run < 3; run++) {
        std::vector<double> prefixes = {40};
        for (std::size_t i = 0; i < kStages; i++) prefixes.push_back(prefixes.back() + static_cast<double>(i) + run);
        profile.add_run(prefixes, 240 + run, 300 + run);
    }
    return profile;
}

bool is_well_formed(const std::string& xml) {
    const std::unique_ptr<XML_ParserStruct, void (*)(XML_Parser)> parser(XML_ParserCreate("UTF-8"), XML_ParserFree);
    return XML_Parse(parser.get(), xml.data(), static_cast<int>(xml.size()), 1) == XML_STATUS_OK;
}

TEST(ProfileTest, StagesAreDifferencesOfNeighbours) {
    const Profile profile = made_up();
    ASSERT_EQ(profile.stages.size(), kStages);
    EXPECT_EQ(profile.stages.front().name, "entry");
    EXPECT_EQ(profile.stages.back().name, "emit");
    for (std::size_t i = 0; i < kStages; i++) {
        const double ns = static_cast<double>(i);
        EXPECT_THAT(profile.stages[i].ns, ElementsAre(DoubleEq(ns), DoubleEq(ns + 1), DoubleEq(ns + 2)));
    }
    EXPECT_THAT(profile.empty, ElementsAre(40, 40, 40));
    EXPECT_THAT(profile.whole, ElementsAre(200, 201, 202));
    EXPECT_THAT(profile.traffic, ElementsAre(300, 301, 302));
}

TEST(ProfileTest, SharesAreOfTheSum) {
    const Profile profile = made_up();
    const double n = kStages, sum = n * (n - 1) / 2;
    EXPECT_THAT(profile.sums(), ElementsAre(DoubleEq(sum), DoubleEq(sum + n), DoubleEq(sum + 2 * n)));
    double shares = 0;
    for (const Profile::Stage& stage : profile.stages) shares += profile.share(stage);
    EXPECT_NEAR(shares, 1, 1e-9);
    EXPECT_EQ(empty_profile("", "", "").share({"", "", {5}}), 0);
}

TEST(ProfileTest, ARunHasAllStages) {
    Profile profile = empty_profile("l2", "", "xdp");
    EXPECT_THROW(profile.add_run(std::vector<double>(kStages), 0, 0), std::logic_error);
    EXPECT_TRUE(profile.empty.empty());
}

TEST(ProfileTest, TheMiddleHalfCounts) {
    EXPECT_EQ(middle_mean({}), 0);
    EXPECT_EQ(middle_mean({7}), 7);
    EXPECT_EQ(middle_mean({1, 3}), 2);
    EXPECT_EQ(middle_mean({100000, 10, 12, 0}), 11);
    EXPECT_EQ(middle_mean({5, 9000, 5, 6, 7, 6, 0, 1}), (5 + 5 + 6 + 6) / 4.0);
}

TEST(ProfileTest, TextHasEveryStage) {
    const std::string text = table(made_up());
    for (const Profile::Stage& stage : made_up().stages) {
        EXPECT_THAT(text, HasSubstr("\n  " + stage.name));
        EXPECT_THAT(text, HasSubstr(stage.what + "\n"));
    }
    for (const char* part :
         {"10.0 (9.0..11.0)", "whole       201.0 (200.0..202.0)", "in traffic  301.0", "empty       40.0"})
        EXPECT_THAT(text, HasSubstr(part));
    EXPECT_EQ(ns_figure(-0.04), "0.0");
    EXPECT_EQ(ns_figure(-0.06), "-0.1");
    EXPECT_EQ(ns_text({}), "-");
}

TEST(ProfileTest, IsKept) {
    Report report;
    report.profiles = {made_up("l2"), made_up("nat")};
    const Report back = from_json(to_json(report));
    ASSERT_EQ(back.profiles.size(), 2U);
    EXPECT_EQ(table(back.profiles[1]), table(report.profiles[1]));
    EXPECT_EQ(to_json(back), to_json(report));
    EXPECT_FALSE(to_json({}).contains("profiles"));
    EXPECT_THROW(
        {
            auto broken = to_json(report);
            broken["profiles"][0]["stages"][3].erase("samples");
            from_json(broken);
        },
        std::runtime_error);
}

TEST(ProfileTest, Pages) {
    for (const std::string name : {"l2", "</p><script>\" onload='x' & |\n#"}) {
        Report report;
        report.profiles = {made_up(name)};
        const std::string html = html_page(report);
        EXPECT_TRUE(is_well_formed(html)) << name;
        EXPECT_THAT(html, Not(HasSubstr("<script>")));
        EXPECT_TRUE(is_well_formed(profile_chart(report.profiles[0], name)));
        for (const Profile::Stage& stage : report.profiles[0].stages) {
            EXPECT_THAT(html, HasSubstr(">" + stage.name + "<"));
            EXPECT_THAT(markdown_page(report), HasSubstr("| " + stage.name + " |"));
        }
        // Of the sides nothing is told where none was measured.
        EXPECT_THAT(html, Not(HasSubstr("Linux forwards alone")));
        report.add("l2", "frames-60", "tc", "frames", "frames/s", "kernel", 1);
        EXPECT_THAT(html_page(report), HasSubstr("Linux forwards alone"));
    }
}

// What the daemon loads cannot end early: that is another build of the same source.
TEST(ProfileTest, TheDaemonsProgramsHaveNothingOfIt) {
    const auto has_section = [](const void* (*bytes)(std::size_t*)) {
        std::size_t size = 0;
        const auto* text = static_cast<const char*>(bytes(&size));
        return std::string_view(text, size).find(PROFILE_SECTION) != std::string_view::npos;
    };
    for (const auto bytes : {tc_ingress__elf_bytes, tc_ingress_conntrack__elf_bytes, xdp_ingress__elf_bytes,
                             xdp_ingress_conntrack__elf_bytes})
        EXPECT_FALSE(has_section(bytes));
    for (const auto bytes : {tc_ingress_profile__elf_bytes, tc_ingress_profile_conntrack__elf_bytes,
                             xdp_ingress_profile__elf_bytes, xdp_ingress_profile_conntrack__elf_bytes})
        EXPECT_TRUE(has_section(bytes));
}

TEST(ProfileTest, OddTimes) {
    Profile profile = made_up();
    profile.stages[0].ns = {-5, -3, NAN};
    profile.stages[1].ns = {};
    const std::string svg = profile_chart(profile, "t");
    EXPECT_TRUE(is_well_formed(svg));
    EXPECT_THAT(svg, Not(HasSubstr("width=\"-")));
    EXPECT_THAT(svg, Not(HasSubstr("\"nan")));
    EXPECT_TRUE(is_well_formed(profile_chart(empty_profile("l2", "", "tc"), "no run")));
}

}  // namespace
}  // namespace underpass::bench
