// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/containers.h"

#include <algorithm>

#include "bench/talk_figures.h"
#include "bench/vxlan.h"

namespace underpass::bench {

namespace {

constexpr const char* kScenario = "container-to-container";

struct Talk {
    const char* name;
    void (*add)(const Ends& ends, const RunOptions& options, const Add& add);
};

const std::vector<Talk>& talks() {
    static const std::vector<Talk> all = {
        {"tcp-bulk", [](const Ends& ends, const RunOptions& options, const Add& add) { add_bulk(ends, options, add); }},
        {"tcp-rr", [](const Ends& ends, const RunOptions& options,
                      const Add& add) { add_request_response(Protocol::tcp, ends, options, add); }},
        {"udp-rr", [](const Ends& ends, const RunOptions& options,
                      const Add& add) { add_request_response(Protocol::udp, ends, options, add); }},
        {"udp-small",
         [](const Ends& ends, const RunOptions& options, const Add& add) { add_small_frames(ends, options, add); }}};
    return all;
}

void run_on_one_bridge(Runner& runner, const RunOptions& options) {
    const auto wanted = [&](const Talk& talk) { return runner.wants(talk.name); };
    if (!runner.wants(Hook::tc) || std::ranges::none_of(talks(), wanted)) return;
    const Topology topology(Ports::containers);
    const Ends ends = {{topology.end(Ports::containers, Side::left).there.fd(), 0},
                       {topology.end(Ports::containers, Side::right).there.fd(), usable_cpus() - 1},
                       Topology::address(Side::right)};
    for (const Talk& talk : talks()) {
        const Measure one = [&](const std::string&, const Add& add) { talk.add(ends, options, add); };
        if (wanted(talk)) runner.run({{topology, Ports::containers, talk.name, kSides, one}}, Hook::tc);
    }
}

}  // namespace

const std::vector<std::string>& container_to_container_cases() {
    static const std::vector<std::string> names = [] {
        std::vector<std::string> all;
        for (const Talk& talk : talks()) all.emplace_back(talk.name);
        for (const std::string& name : vxlan_talk_cases()) all.push_back(name);
        return all;
    }();
    return names;
}

void run_container_to_container(const RunOptions& options, Report& report) {
    Runner runner(kScenario, options, report);
    report.note(kScenario,
                "Two containers with all their offloads at one bridge; vxlan: behind two hosts, each of which has "
                "Underpass, or the limit. TCP in bulk is left to the VXLAN devices for the most part; into a tunnel "
                "without checksums (unsummed) it goes in one step.");
    run_on_one_bridge(runner, options);
    run_vxlan_talks(runner, options);
}

}  // namespace underpass::bench
