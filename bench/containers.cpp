// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/containers.h"

#include <algorithm>

#include "bench/vxlan.h"

namespace underpass::bench {

namespace {

constexpr const char* kScenario = "container-to-container";

const std::vector<Talk>& talks() {
    static const std::vector<Talk> all = {{"tcp-bulk", TalkKind::bulk},
                                          {"tcp-rr", TalkKind::tcp_transactions},
                                          {"udp-rr", TalkKind::udp_transactions},
                                          {"udp-small", TalkKind::small_frames}};
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
        const Measure one = [&](const std::string&, const Add& add) { add_talk(talk, ends, options, add); };
        if (wanted(talk))
            runner.run({{.topology = topology,
                         .ports = Ports::containers,
                         .case_name = talk.name,
                         .sides = kSides,
                         .measure = one,
                         .generator = generator_of_talks(options)}},
                       Hook::tc);
    }
}

}  // namespace

std::vector<Talk> container_to_container_talks() {
    std::vector<Talk> all = talks();
    for (const Talk& talk : vxlan_talks()) all.push_back(talk);
    return all;
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
