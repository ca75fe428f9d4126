// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What hooks nftables has in the way of frames: base chains and flowtables, of every family. iptables-nft and
// ebtables-nft are among them, since they are tables of nftables.
//
// In: a message whose nlmsg_len is within what was received. Out: nothing if it is none of these; what is not
// understood of a hook is said in it, since a rule that was overlooked would be a wrong frame. Pure.
#pragma once

#include <linux/netlink.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/event.h"

namespace underpass {

struct NftHook {
    std::uint8_t family = 0;  // NFPROTO_*
    std::string table;
    std::string chain;  // or the flowtable
    bool flowtable = false;
    std::uint32_t hook = 0;  // NF_INET_*, NF_BR_*, NF_NETDEV_*
    bool nat = false;        // of type nat: registers conntrack even without rules
    bool drops = false;      // its policy is not accept
    std::uint32_t rules = 0;
    std::vector<std::string> devices;  // of the netdev family, inet ingress and flowtables
    std::string unknown;               // what is not known here: "is on devices by a pattern"; empty: nothing
};

// Which event a transaction is, told message by message. It ends with its generation. One of nothing but set elements
// changes what rules say of packets, and none of the rules.
class NftTransaction {
public:
    std::optional<Event> take(const nlmsghdr* message);

private:
    bool elements_ = false, others_ = false;
};

// A chain that is no base chain (it has no hook) gives nothing.
std::optional<NftHook> decode_nft_hook(const nlmsghdr* message);

}  // namespace underpass
