// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/scenarios.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "bench/change_rate.h"
#include "bench/containers.h"
#include "bench/flow_scale.h"
#include "bench/l2.h"
#include "bench/l2_brnf.h"
#include "bench/mac_scale.h"
#include "bench/route.h"
#include "bench/vlan.h"
#include "bench/vxlan.h"

namespace underpass::bench {

const std::vector<Scenario>& all_scenarios() {
    static const std::vector<Scenario> all = {
        {"l2", "between two ports of a bridge", l2_cases(), run_l2},
        {"l2-brnf", "the same, seen by rules through br_netfilter", l2_brnf_cases(), run_l2_brnf},
        {"vlan-push", "from an access port to a trunk", vlan_cases(), run_vlan_push},
        {"vlan-pop", "from a trunk to an access port", vlan_cases(), run_vlan_pop},
        {"vlan-keep", "from a trunk to a trunk", vlan_cases(), run_vlan_keep},
        {"route", "from a bridge to an uplink", route_cases(), run_route, route_talks()},
        {"nat", "the same, masqueraded", route_cases(), run_nat, route_talks()},
        {"nat-filter", "and through a stateful filter", route_cases(), run_nat_filter, route_talks()},
        {"vxlan-decap", "out of a VXLAN tunnel", vxlan_cases(), run_vxlan_decap},
        {"vxlan-encap", "into one", vxlan_cases(), run_vxlan_encap},
        {"container-to-container", "TCP and UDP at one bridge, and by VXLAN between two hosts",
         names_of(container_to_container_talks()), run_container_to_container, container_to_container_talks()},
        {"container-to-uplink", "TCP, routed, masqueraded and filtered", names_of(container_to_uplink_talks()),
         run_container_to_uplink, container_to_uplink_talks()},
        {"mac-scale", "256 to 65,536 MACs", mac_scale_cases(), run_mac_scale},
        {"flow-scale", "256 to 1,000,000 masqueraded connections", flow_scale_cases(), run_flow_scale},
        {"change-rate", "l2, while the FDB, neighbours, routes or VLANs change", change_rate_cases(), run_change_rate}};
    return all;
}

std::vector<Scenario> scenarios_named(const std::vector<std::string>& names, const std::vector<Scenario>& all) {
    for (const std::string& name : names)
        if (std::ranges::none_of(all, [&](const Scenario& each) { return each.name == name; })) {
            std::string known;
            for (const Scenario& each : all) known += (known.empty() ? "" : ", ") + each.name;
            const bool of_another_kind =
                std::ranges::any_of(all_scenarios(), [&](const Scenario& each) { return each.name == name; });
            throw std::invalid_argument(of_another_kind
                                            ? fmt::format("there is no profile of '{}'; there are of: {}", name, known)
                                            : fmt::format("there is no scenario '{}'; there are: {}", name, known));
        }
    std::vector<Scenario> chosen;
    for (const Scenario& each : all)
        if (names.empty() || std::ranges::count(names, each.name) > 0) chosen.push_back(each);
    return chosen;
}

}  // namespace underpass::bench
