// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The kernel's nf_tables_fill_chain_info() and nf_tables_fill_flowtable_info() read backwards.
#include "netlink/decode_nftables.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include <utility>

#include "netlink/attribute.h"

namespace underpass {

namespace {

constexpr std::uint16_t kNewChain = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWCHAIN;
constexpr std::uint16_t kNewElement = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWSETELEM;
constexpr std::uint16_t kDeletedElement = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_DELSETELEM;
constexpr std::uint16_t kNewGeneration = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWGEN;
constexpr std::uint16_t kNewFlowtable = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWFLOWTABLE;

constexpr const char* kMalformed = "cannot be understood";

void add_devices(NftHook& hook, Bytes list) {
    const bool ok = for_each_attribute(list, [&](const Attribute& attribute) {
        if (attribute.type == NFTA_DEVICE_NAME)
            hook.devices.emplace_back(attribute.text());
        else
            hook.unknown = "is on devices by a pattern";  // since 6.16: by the beginning of their names
        return true;
    });
    if (!ok) hook.unknown = kMalformed;
}

bool decode_chain_hook(NftHook& hook, Bytes attributes) {
    bool has_number = false;
    const bool ok = for_each_attribute(attributes, [&](const Attribute& attribute) {
        switch (attribute.type) {
            case NFTA_HOOK_HOOKNUM: has_number = store(hook.hook, attribute.be32()); return has_number;
            case NFTA_HOOK_DEV: hook.devices.emplace_back(attribute.text()); return true;
            case NFTA_HOOK_DEVS:
                hook.devices.clear();
                add_devices(hook, attribute.payload);
                return true;
            default: return true;
        }
    });
    return ok && has_number;
}

std::optional<NftHook> decode_chain(NftHook hook, Bytes attributes) {
    bool is_base = false;
    const bool ok = for_each_attribute(attributes, [&](const Attribute& attribute) {
        switch (attribute.type) {
            case NFTA_CHAIN_TABLE: hook.table = attribute.text(); return true;
            case NFTA_CHAIN_NAME: hook.chain = attribute.text(); return true;
            case NFTA_CHAIN_TYPE: hook.nat = attribute.text() == "nat"; return true;
            case NFTA_CHAIN_USE: return store(hook.rules, attribute.be32());
            case NFTA_CHAIN_POLICY: hook.drops = attribute.be32() != NF_ACCEPT; return true;
            case NFTA_CHAIN_HOOK: return is_base = decode_chain_hook(hook, attribute.payload);
            default: return true;
        }
    });
    if (ok && !is_base) return std::nullopt;
    if (!ok) hook.unknown = kMalformed;
    return hook;
}

NftHook decode_flowtable(NftHook hook, Bytes attributes) {
    hook.flowtable = true;
    const bool ok = for_each_attribute(attributes, [&](const Attribute& attribute) {
        if (attribute.type == NFTA_FLOWTABLE_TABLE) hook.table = attribute.text();
        if (attribute.type == NFTA_FLOWTABLE_NAME) hook.chain = attribute.text();
        if (attribute.type == NFTA_FLOWTABLE_HOOK)
            return for_each_attribute(attribute.payload, [&](const Attribute& part) {
                if (part.type == NFTA_FLOWTABLE_HOOK_DEVS) add_devices(hook, part.payload);
                return true;
            });
        return true;
    });
    if (!ok) hook.unknown = kMalformed;
    return hook;
}

}  // namespace

std::optional<Event> NftTransaction::take(const nlmsghdr* message) {
    switch (message->nlmsg_type) {
        case kNewElement:
        case kDeletedElement: elements_ = true; return std::nullopt;
        case kNewGeneration: break;
        default: others_ = true; return std::nullopt;
    }
    const bool elements_alone = std::exchange(elements_, false) && !others_;
    others_ = false;
    return elements_alone ? Event(RoutingChanged{}) : Event(RulesetChanged{});
}

std::optional<NftHook> decode_nft_hook(const nlmsghdr* message) {
    if (message->nlmsg_type != kNewChain && message->nlmsg_type != kNewFlowtable) return std::nullopt;
    NftHook hook;
    const auto payload = payload_of<nfgenmsg>(message);
    if (!payload) {
        hook.unknown = kMalformed;
        return hook;
    }
    hook.family = payload->header.nfgen_family;
    if (message->nlmsg_type == kNewChain) return decode_chain(std::move(hook), payload->attributes);
    return decode_flowtable(std::move(hook), payload->attributes);
}

}  // namespace underpass
