// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Many hosts on one bridge: what it takes to build them, to try a few of them, and until the kernel has really
// forgotten them.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <thread>

#include "lab/link.h"
#include "lab_fixture.h"
#include "trial.h"

namespace underpass::test {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

class LabScaleTest : public LabCommandTest {};

TEST_F(LabScaleTest, ManyHosts) {
    const std::string name = lab_name();
    double before = 0;  // ms for each object, of the smaller lab
    for (const std::size_t hosts :
         is_emulated() ? std::vector<std::size_t>{50} : std::vector<std::size_t>{50, 125, 250, 500}) {
        SCOPED_TRACE(hosts);
        const std::string file = file_of(star(
            hosts,
            fmt::format("reach:\n  - {{from: [h1, h{0}], to: [h1, h{0}, h{1}]}}\nisolate:\n  - {{from: h2, to: host}}\n"
                        "  - {{from: h2, to: 10.60.200.1}}\n",
                        hosts, hosts / 2)));
        auto start = Clock::now();
        lab_ok({"up", file, "--name", name});
        const double up = seconds_since(start);
        const auto spaces = spaces_of(name);
        EXPECT_EQ(spaces.size(), hosts + 1);

        start = Clock::now();
        const nlohmann::json tried = lab_json({"test", name});
        const double test = seconds_since(start);
        EXPECT_TRUE(tried.at("ok").get<bool>()) << tried;
        EXPECT_EQ(tried.at("tries").size(), 5U) << tried;
        start = Clock::now();
        EXPECT_EQ(lab_json({"show", name}).at("labs").at(0).at("nodes").size(), hosts + 1);
        const double show = seconds_since(start);

        // The other end of a veth goes when its namespace is destroyed.
        std::vector<std::string> watched;
        for (const std::size_t host : {std::size_t{1}, hosts / 2, hosts}) {
            const auto there = lab::Namespace::open(fmt::format("{}.h{}", name, host));
            watched.push_back(fmt::format("watch{}", host));
            here().run([&] { lab::create_veth(watched.back(), "watched", {.peer_namespace = &there}); });
        }
        start = Clock::now();
        lab_ok({"down", name});
        const double down = seconds_since(start);
        expect_nothing_left(name, spaces);
        start = Clock::now();
        here().run([&] {
            for (const std::string& each : watched)
                while (lab::find_ifindex(each) && seconds_since(start) < 120)
                    std::this_thread::sleep_for(milliseconds(5));
            for (const std::string& each : watched) EXPECT_FALSE(lab::find_ifindex(each)) << "its namespace stays";
        });
        const double destroyed = seconds_since(start);

        const double each = up * 1000 / static_cast<double>(2 * hosts + 2);  // a node and a link for each host
        std::printf(
            "    %zu hosts: up %.2f s (%.2f ms for each of %zu objects%s), test %.2f s, show %.2f s, down %.2f s, "
            "destroyed by the kernel %.2f s later\n",
            hosts, up, each, 2 * hosts + 2,
            before > 0 ? fmt::format(", {:.2f} times as long as before", each / before).c_str() : "", test, show, down,
            destroyed);
        std::fflush(stdout);
        before = each;
        if (is_emulated()) continue;
        EXPECT_LT(up, 60);
        EXPECT_LT(down, 30);
    }
}

}  // namespace

}  // namespace underpass::test
