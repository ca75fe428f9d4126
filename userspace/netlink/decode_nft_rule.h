// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Whether a rule of nftables says the same of every packet of a connection's direction, once that is established. If
// so, the kernel need not be asked about each. What is not known to be so is named: an expression that counts, limits,
// changes or hands on, or that looks at what differs from packet to packet.
//
// iptables-nft's matches and targets are among the expressions. (Counters in rules are taken to be for people.)
//
// In: a message whose nlmsg_len is within what was received. Out: nothing if it is no rule, or no set. Pure.
#pragma once

#include <linux/netlink.h>

#include <cstdint>
#include <optional>
#include <string>

namespace underpass {

struct NftRule {
    std::uint8_t family = 0;  // NFPROTO_*
    std::string table;
    std::string chain;
    std::string per_packet;  // what of it is not the same for all packets: "limit"; empty: it is
    bool udp = true;         // ... of UDP packets, too
};
std::optional<NftRule> decode_nft_rule(const nlmsghdr* message);

struct NftSet {
    std::uint8_t family = 0;
    std::string table;
    std::string name;
    bool changes_itself = false;  // elements time out, are added by packets, or limit them: no event tells
};
std::optional<NftSet> decode_nft_set(const nlmsghdr* message);

}  // namespace underpass
