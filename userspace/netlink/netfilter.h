// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Who else looks at bridged frames, in the calling thread's network namespace: nftables (and with it iptables-nft and
// ebtables-nft), the older iptables and ebtables, and the sysctls of br_netfilter.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/host.h"
#include "netlink/decode_nftables.h"

namespace underpass {

// What changes without an event. Cheap enough to be read many times a second.
struct QuickFacts {
    // net.bridge.bridge-nf-*; all false where br_netfilter is not loaded.
    bool call_iptables = false;
    bool call_ip6tables = false;
    bool filter_tagged = false;
    std::vector<std::string> legacy_tables;  // of iptables and ip6tables: "iptables-legacy table filter"
    std::vector<std::string> ebtables;       // with rules or a drop policy: "ebtables-legacy table filter"
    bool forwards = false;                   // net.ipv4.ip_forward or net.ipv6.conf.all.forwarding
    bool vlan_devices = false;               // 8021q is there
    std::optional<std::string> unknown;      // why the above may be wrong

    bool operator==(const QuickFacts&) const = default;
};
QuickFacts read_quick_facts();

// All of it. What cannot be read is said in Netfilter::unknown, which the rules take as "governed".
Netfilter read_netfilter();

// Takes one hook into account. Pure.
void add_hook(Netfilter& netfilter, const NftHook& hook);

}  // namespace underpass
