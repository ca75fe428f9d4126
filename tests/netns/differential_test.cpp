// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The plain kernel is the oracle: the same random life of a bridge, by the kernel alone, with Underpass on TC and with
// Underpass on XDP. Frames out, in their order at each port, and the FDB in the end must be the same.
//
//   UNDERPASS_SEED=N    which lives; a random one otherwise, and printed
//   UNDERPASS_CASES=N   how many, however long they take; else as many as the time allows
//   UNDERPASS_SECONDS=N that time
//   UNDERPASS_CASE=N    this one of the seed alone
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <sched.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <future>
#include <random>

#include "lab/vlan.h"
#include "loader/error.h"
#include "netlink/socket.h"
#include "scenario.h"
#include "trial.h"
#include "world.h"

namespace underpass::test {

namespace {

using namespace std::chrono_literals;

std::optional<std::uint64_t> environment(const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr || *value == 0 ? std::nullopt : std::optional(std::strtoull(value, nullptr, 10));
}

// Keeps the calling thread, and those that it starts, on the CPU where it is.
class OneCpu {
public:
    OneCpu() {
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(static_cast<std::size_t>(::sched_getcpu()), &one);
        if (::sched_getaffinity(0, sizeof(before_), &before_) != 0 || ::sched_setaffinity(0, sizeof(one), &one) != 0)
            throw_errno(errno, "stay on one CPU");
    }
    ~OneCpu() { ::sched_setaffinity(0, sizeof(before_), &before_); }
    OneCpu(const OneCpu&) = delete;
    OneCpu& operator=(const OneCpu&) = delete;

private:
    cpu_set_t before_{};
};

// What differs between two worlds' output, device by device; empty if nothing does.
std::string difference(const Output& kernel, const Output& other) {
    std::string text;
    std::set<std::string> devices;
    for (const auto* output : {&kernel, &other})
        for (const auto& [device, frames] : *output) devices.insert(device);
    for (const std::string& device : devices) {
        const auto frames = [&device](const Output& output) {
            const auto found = output.find(device);
            return found == output.end() ? std::vector<Frame>() : found->second;
        };
        const auto expected = frames(kernel), actual = frames(other);
        if (expected == actual) continue;
        text +=
            fmt::format("  at {}: the kernel sends {} frames, Underpass {}\n", device, expected.size(), actual.size());
        for (const Frame& frame : expected) text += "    kernel:    " + describe(frame) + "\n";
        for (const Frame& frame : actual) text += "    underpass: " + describe(frame) + "\n";
    }
    return text;
}

// Without frames whose first tag has no whole ethertype behind it. A bridge can send such a one (a cut frame that it
// puts a tag on); a kernel that gets the tag in the bytes, as on a wire, drops it before anybody sees it, and one that
// gets it beside them does not.
Output as_on_a_wire(Output output) {
    const auto is_cut = [](const Frame& frame) {
        const auto type = frame.size() < 14 ? 0 : frame[12] << 8 | frame[13];
        return (type == ETH_P_8021Q || type == ETH_P_8021AD) && frame.size() < 20;
    };
    for (auto& [device, frames] : output)
        if (World::is_far(device)) std::erase_if(frames, is_cut);
    return output;
}

// What leaves the host. Of what it says itself (ICMP) the identification is left out, since no two are alike, and so is
// that something is unreachable: the kernel says that some times a second.
Output as_routed(Output output) {
    constexpr std::size_t kId = 14 + 4, kProtocol = 14 + 9, kChecksum = 14 + 10, kType = 14 + 20;
    constexpr std::uint8_t kUnreachable = 3, kTooBig = 4;
    const auto is_icmp = [](const Frame& frame) {
        return frame.size() > kType + 1 && frame[12] == 8 && frame[13] == 0 && frame[kProtocol] == IPPROTO_ICMP;
    };
    std::erase_if(output, [](const auto& of_device) { return !World::is_far(of_device.first); });
    for (auto& [device, frames] : output) {
        std::erase_if(frames, [&](const Frame& frame) {
            return is_icmp(frame) && frame[kType] == kUnreachable && frame[kType + 1] != kTooBig;
        });
        for (Frame& frame : frames)
            if (is_icmp(frame))
                for (const std::size_t at : {kId, kId + 1, kChecksum, kChecksum + 1}) frame[at] = 0;
    }
    return output;
}

// What the underlay gets. The identification of an outer IPv4 header is arbitrary; so is when a host says which groups
// it listens to. That nobody listens is said some times a second.
Output as_tunnelled(Output output) {
    constexpr std::size_t kIp = 14, kProtocol = kIp + 9, kNextHeader = kIp + 6, kUdp = kIp + 20;
    const auto is = [](const Frame& frame, std::uint16_t type, std::size_t at, std::uint8_t protocol) {
        return frame.size() > kUdp + 8 && (frame[12] << 8 | frame[13]) == type && frame[at] == protocol;
    };
    // With itself, a right checksum sums to nothing.
    const auto is_right = [](const Frame& frame) {
        std::uint32_t sum = 0;
        for (std::size_t at = kIp; at < kUdp; at += 2)
            sum += static_cast<std::uint32_t>(frame[at] << 8 | frame[at + 1]);
        return (sum & 0xffff) + (sum >> 16) == 0xffff;
    };
    const auto underlay = output.find("f0");
    if (underlay == output.end()) return output;
    std::erase_if(underlay->second, [&](const Frame& frame) {
        return is(frame, ETH_P_IP, kProtocol, IPPROTO_ICMP) || is(frame, ETH_P_IPV6, kNextHeader, IPPROTO_ICMPV6) ||
               is(frame, ETH_P_IPV6, kNextHeader, IPPROTO_HOPOPTS);
    });
    for (Frame& frame : underlay->second)
        if (is(frame, ETH_P_IP, kProtocol, IPPROTO_UDP) && is_right(frame))
            for (const std::size_t at : {kIp + 4, kIp + 5, kIp + 10, kIp + 11}) frame[at] = 0;
    return output;
}

class Differential {
public:
    explicit Differential(Net& net) : kernel_(net, "k", ""), others_{World(net, "t", "tc"), World(net, "x", "xdp")} {}

    // What differed; empty if nothing did.
    std::string run(const Scenario& scenario) {
        for (World* world : all()) world->begin(scenario);
        std::string wrong;
        std::vector<std::string> history;
        for (const Step& step : scenario.steps) {
            history.push_back(describe(step));
            wrong = compare_step(step, scenario);
            if (!wrong.empty()) break;
        }
        if (wrong.empty()) wrong = compare_fdb();
        for (World& world : others_) {
            const auto share = world.share();
            fast_[world.name()].fast += share.fast;
            fast_[world.name()].translated += share.translated;
            fast_[world.name()].all += share.all;
        }
        end();
        if (wrong.empty()) return {};
        std::string text = wrong + fmt::format("  {} ports; what was done:\n", scenario.ports);
        for (const std::string& line : history) text += "    " + line + "\n";
        return text;
    }

    const std::map<std::string, World::Share>& fast() const { return fast_; }

private:
    std::vector<World*> all() { return {&kernel_, &others_[0], &others_[1]}; }

    // Side by side: the kernel takes its time to be rid of a bridge.
    void end() {
        std::vector<std::future<void>> ends;
        for (World* world : all()) ends.push_back(std::async(std::launch::async, [world] { world->end(); }));
        for (auto& each : ends) each.get();
    }

    std::string compare_step(const Step& step, const Scenario& scenario) {
        const std::string expected = kernel_.apply(step);
        for (World& world : others_) {
            const std::string actual = world.apply(step);
            if (actual != expected)
                return fmt::format("  {}: the kernel alone says '{}', here it says '{}'\n", world.name(), expected,
                                   actual);
        }
        if (!std::holds_alternative<Send>(step)) return {};
        Output kernel;
        kernel_.collect(kernel);
        if (scenario.routed) kernel = as_routed(std::move(kernel));
        if (scenario.tunnels) kernel = as_tunnelled(std::move(kernel));
        for (World& world : others_) {
            Output output;
            world.collect(output);
            if (scenario.routed) output = as_routed(std::move(output));
            if (scenario.tunnels) output = as_tunnelled(std::move(output));
            const std::string wrong = difference(world.is_wire() ? as_on_a_wire(kernel) : kernel, output);
            if (!wrong.empty()) return fmt::format("  {}: other frames came out\n{}", world.name(), wrong);
        }
        return {};
    }

    std::string compare_fdb() {
        const auto expected = kernel_.fdb();
        for (World& world : others_) {
            const auto actual = world.fdb();
            if (actual == expected) continue;
            std::string text = fmt::format("  {}: the kernel's FDB is another in the end\n", world.name());
            for (const auto& line : expected)
                if (!actual.contains(line)) text += "    only by the kernel:   " + line + "\n";
            for (const auto& line : actual)
                if (!expected.contains(line)) text += "    only with Underpass: " + line + "\n";
            return text;
        }
        return {};
    }

    World kernel_;
    std::array<World, 2> others_;
    OneCpu one_cpu_;  // from here on: the daemons have the others
    std::map<std::string, World::Share> fast_;
};

class DifferentialTest : public TestNet {};

// One life in which little can go fast must not stand for all.
bool enough_for_a_share(const std::map<std::string, World::Share>& shares) {
    constexpr std::uint64_t kFrames = 600;
    return std::ranges::all_of(shares, [](const auto& share) { return share.second.all >= kFrames; });
}

// Which part of the frames has to go fast, and to be translated then: else the comparison means little.
struct Least {
    double fast = 0.1;
    double translated = 0;
};

// `most` of them, or as many as the time allows.
void compare_lives(Net& net, Scenario (*make)(std::uint64_t), std::uint64_t most, std::chrono::seconds time,
                   const Least& least = {}) {
    const std::uint64_t seed = environment("UNDERPASS_SEED").value_or(std::random_device()());
    const auto wanted = environment("UNDERPASS_CASES");
    const std::uint64_t count = wanted.value_or(most);
    const std::chrono::seconds limit(
        environment("UNDERPASS_SECONDS").value_or(static_cast<std::uint64_t>(time.count())));
    const auto only = environment("UNDERPASS_CASE");
    fmt::print("seed {}, {} cases\n", seed, only ? 1 : count);
    std::fflush(stdout);
    Differential differential(net);
    const auto begun = std::chrono::steady_clock::now();
    const auto taken = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun); };
    std::size_t wrong = 0, done = 0;
    for (std::uint64_t i = only.value_or(0); i < only.value_or(count - 1) + 1; i++) {
        if (!wanted && !only && taken() > limit && enough_for_a_share(differential.fast())) break;
        const std::string difference = differential.run(make(seed + i * 0x9e3779b97f4a7c15ULL));
        done++;
        if (difference.empty()) continue;
        ADD_FAILURE() << "case " << i << " of seed " << seed << " (UNDERPASS_SEED=" << seed << " UNDERPASS_CASE=" << i
                      << "):\n"
                      << difference;
        ASSERT_LT(++wrong, 3) << "enough";
    }
    fmt::print("{} cases in {:.0f} s\n", done, taken().count());
    for (const auto& [world, share] : differential.fast()) {
        const auto all = static_cast<double>(share.all), part = static_cast<double>(share.fast) / all;
        fmt::print("{}: {} of {} frames went fast ({:.1f} %), {} of them translated\n", world, share.fast, share.all,
                   100 * part, share.translated);
        if (!only) {
            EXPECT_GE(part, least.fast) << world;
            EXPECT_GE(static_cast<double>(share.translated), least.translated * all) << world;
        }
    }
}

TEST_F(DifferentialTest, SameFramesSamePortsSameFdb) {
    compare_lives(net(), make_scenario, is_emulated() ? 25 : 500, is_emulated() ? 40s : 60s);
}

// Where a kernel has no such thing there is nothing to compare.
std::string missing(const lab::Namespace& where) {
    try {
        where.run([] {
            lab::create_bridge("br0", {.vlan_filtering = true});
            lab::create_vlan("v0", "br0", Vid{1});
        });
        return {};
    } catch (const NetlinkError& error) {
        return error.what();
    }
}

TEST_F(DifferentialTest, VlansSameFramesSamePortsSameFdb) {
    if (const std::string why = missing(make("probe")); !why.empty()) GTEST_SKIP() << why;
    compare_lives(net(), make_vlan_scenario, 2000, 60s);
}

TEST_F(DifferentialTest, RoutedSameFramesSamePorts) {
    compare_lives(net(), make_route_scenario, is_emulated() ? 1 : 40, 40s);
}

// ... and for NAT: why there is none.
std::string missing_nat(const lab::Namespace& where) {
    const Finished finished =
        run(where, {"nft", "add table ip n; add chain ip n c { type nat hook postrouting priority 0; }"});
    return finished.ok() ? "" : "this kernel has no NAT for nftables: " + finished.text();
}

TEST_F(DifferentialTest, NatSameFramesSamePorts) {
    if (const std::string why = missing_nat(make("probe")); !why.empty()) GTEST_SKIP() << why;
    // (Where everything is slow, few TCP connections have as many frames a second as are asked for.)
    compare_lives(net(), make_nat_scenario, is_emulated() ? 1 : 40, 40s,
                  is_emulated() ? Least{.fast = 0} : Least{.translated = 0.03});
}

// ... and for tunnels.
std::string missing_vxlan(const lab::Namespace& where) {
    const Finished finished = run(where, {"ip", "link", "add", "vx0", "type", "vxlan", "id", "42", "dstport", "4789"});
    return finished.ok() ? "" : "this kernel has no VXLAN: " + finished.text();
}

TEST_F(DifferentialTest, VxlanSameFramesSamePorts) {
    if (const std::string why = missing_vxlan(make("probe")); !why.empty()) GTEST_SKIP() << why;
    compare_lives(net(), make_vxlan_scenario, is_emulated() ? 1 : 200, 40s,
                  is_emulated() ? Least{.fast = 0} : Least{.fast = 0.1});
}

}  // namespace

}  // namespace underpass::test
