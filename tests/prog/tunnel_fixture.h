// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A VXLAN device in the maps, and the flows that the kernel was seen to take out of its tunnel or put into it.
//
// Two worlds: packets come out of the tunnel by "in" and leave as frames by the port "out"; or frames come in by the
// port "in" and leave in the tunnel by "out". What a packet must become is built by the harness.
#pragma once

#include <netinet/in.h>

#include "prog/cases.h"
#include "prog/route_fixture.h"

namespace underpass::test {

inline constexpr std::uint32_t kVxlanSlot = kUpperSlot, kVxlanIfindex = 3000, kVni = 42;
inline constexpr std::uint16_t kVxlanPort = 4789, kSourcePort = 50000;
inline constexpr std::uint32_t kUnderlay =
    DEVICE_UNDERLAY | DEVICE_PRESENT | DEVICE_INGRESS | DEVICE_EGRESS | DEVICE_FORWARDING;
inline constexpr std::uint32_t kVxlan = DEVICE_VXLAN | DEVICE_PRESENT | DEVICE_INGRESS | DEVICE_EGRESS |
                                        DEVICE_FORWARDING | DEVICE_LEARNS | DEVICE_VTEP_LEARNS;
inline constexpr MacAddr kRemoteRouter = {{2, 0, 0, 0, 1, 1}};

// Ends of the tunnel: "here" is this host.
inline constexpr const char *kHere4 = "192.0.2.1", *kThere4 = "192.0.2.2", *kElsewhere4 = "192.0.2.3";
inline constexpr const char *kHere6 = "2001:db8::1", *kThere6 = "2001:db8::2", *kElsewhere6 = "2001:db8::3";

inline IPv4 there4() {
    return {.source = kThere4, .destination = kHere4};
}
inline IPv6 there6() {
    return {.source = kThere6, .destination = kHere6};
}
inline UDP tunnel_udp() {
    return {.sport = kSourcePort, .dport = kVxlanPort};
}

inline std::array<__be32, 4> words(bool ipv6, const std::string& address) {
    std::array<__be32, 4> result = {};
    if (::inet_pton(ipv6 ? AF_INET6 : AF_INET, address.c_str(), result.data()) != 1)
        throw std::invalid_argument("not an address: " + address);
    return result;
}

// The mirror's entry for a MAC behind the tunnel.
struct VtepFacts {
    bool known = true;
    const char* address = nullptr;  // none: that of the other end
    bool shown = true, fixed = false, distrusted = false;
};

class Tunnel : public Route {
protected:
    // FLOW_DECAP and FLOW_ENCAP alike.
    struct Seen {
        bool known = true;
        std::uint32_t behind = 0;  // generations
        std::uint32_t asked = 1, answered = 1;
        std::chrono::nanoseconds asked_ago = std::chrono::milliseconds(200);
        std::uint32_t egress = 0;  // 0: the underlay
    };

    flow entry_of(const Seen& seen, Ifindex underlay) const {
        flow entry = {};
        entry.asked_ns = coarse_now() - static_cast<std::uint64_t>(seen.asked_ago.count());
        entry.generation = 0U - seen.behind;
        entry.asked = seen.asked;
        entry.answered = seen.answered;
        entry.egress = seen.egress != 0 ? seen.egress : number(underlay);
        return entry;
    }

    flow_key key_of(bool ipv6, const std::string& source, const std::string& destination, std::uint16_t sport,
                    std::uint16_t dport, std::uint8_t protocol, std::uint8_t tos) const {
        flow_key key = {};
        const auto from = words(ipv6, source), to = words(ipv6, destination);
        std::copy(from.begin(), from.end(), key.source);
        std::copy(to.begin(), to.end(), key.destination);
        return finish(key, protocol, ipv6 ? AF_INET6 : AF_INET, sport, dport, tos);
    }

    void set_vxlan(const device& record, const std::map<std::uint16_t, std::uint8_t>& rights) const {
        Programs& programs = loaded_->programs();
        port_vlans vlans = {};
        for (const auto& [vid, of_vid] : rights)
            vlans.word[vid / VLAN_VIDS_PER_WORD] |= std::uint64_t{of_vid}
                                                    << (vid % VLAN_VIDS_PER_WORD * VLAN_BITS_PER_VID);
        ASSERT_FALSE(programs.port_vlans.update(kVxlanSlot, vlans));
        ASSERT_FALSE(programs.devices.update(kVxlanSlot, record));
        ASSERT_FALSE(programs.device_index.update(record.ifindex % DEVICE_INDEX_SIZE, kVxlanSlot));
        for (const auto& [key, value] : programs.tunnels.entries()) ASSERT_FALSE(programs.tunnels.erase(key));
        const auto family = static_cast<std::uint16_t>((record.flags & DEVICE_OUTER_IPV6) != 0 ? AF_INET6 : AF_INET);
        ASSERT_FALSE(programs.tunnels.update({.vni = kVni, .port = htons(kVxlanPort), .family = family}, kVxlanSlot));
        for (const auto& [key, value] : programs.vteps.entries()) ASSERT_FALSE(programs.vteps.erase(key));
        for (const auto& [key, value] : programs.flows.entries()) ASSERT_FALSE(programs.flows.erase(key));
    }

    static device vxlan_record(std::uint32_t index, std::uint32_t flags, std::uint32_t bridge) {
        device record = {};
        record.ifindex = record.out = index;
        record.flags = flags;
        record.bridge = bridge;
        record.max_len = 1514;
        record.pulse_ns = 60000000000ULL;
        record.vlan_protocol = htons(k8021Q);
        return record;
    }

    static fdb_key vtep_key(std::uint32_t index, const MacAddr& address) {
        fdb_key key = {};
        key.bridge = index;
        std::copy(address.bytes.begin(), address.bytes.end(), key.mac);
        return key;
    }

    void set_vtep(std::uint32_t index, const MacAddr& address, const VtepFacts& facts, bool ipv6) const {
        if (!facts.known) return;
        vtep entry = {};
        const auto at = words(ipv6, facts.address != nullptr ? facts.address : ipv6 ? kThere6 : kThere4);
        std::copy(at.begin(), at.end(), entry.address);
        entry.shown_ns = facts.shown ? coarse_now() - 1000000000 : 0;
        entry.fixed = facts.fixed;
        entry.distrusted = facts.distrusted;
        ASSERT_FALSE(loaded_->programs().vteps.update(vtep_key(index, address), entry));
    }

    // A frame that a hook is to leave alone, and what it says of it.
    void expect_untouched(On hook, const Ran& ran, const Frame& in, reason why, std::uint64_t bytes) const {
        EXPECT_EQ(ran.action, expected(hook, false));
        EXPECT_EQ(difference(in, ran.frame), "");
        Counted counted;
        if (hook == On::tc) counted[{kInSlot, why}] = {1, bytes};
        EXPECT_EQ(text(loaded_->counted()), text(counted));
    }
    static int expected(On hook, bool forwarded) {
        if (hook == On::xdp) return forwarded ? int{XDP_REDIRECT} : int{XDP_PASS};
        return forwarded ? TC_ACT_REDIRECT : TC_ACT_UNSPEC;
    }
};

}  // namespace underpass::test
