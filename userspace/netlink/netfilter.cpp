// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "netlink/netfilter.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter_bridge/ebtables.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <system_error>
#include <utility>

#include "loader/error.h"
#include "loader/fd.h"
#include "netlink/decode_nft_rule.h"
#include "netlink/request.h"
#include "netlink/socket.h"

namespace underpass {

namespace {

// A file of /proc; absent if it is not there. That it cannot be read says nothing, so that throws std::system_error.
std::optional<std::istringstream> proc_file(const std::string& path) {
    const Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file && errno == ENOENT) return std::nullopt;
    std::string text;
    std::array<char, 4096> part{};
    ssize_t size = file ? 1 : -1;
    while (size > 0) {
        size = read(file.get(), part.data(), part.size());
        if (size > 0) text.append(part.data(), static_cast<std::size_t>(size));
    }
    if (size < 0) throw_errno(errno, "read " + path);
    return std::istringstream(text);
}

bool is_set(const std::string& sysctl) {
    auto file = proc_file("/proc/sys/net/" + sysctl);
    int value = 0;
    return file && *file >> value && value != 0;
}

// A legacy table is in this list once somebody has used it in this namespace. Whether it has rules is not worth a
// second way of reading them: it counts as rules.
void add_legacy_tables(std::vector<std::string>& tables, const char* list, const char* command) {
    auto file = proc_file(std::string("/proc/thread-self/net/") + list);
    for (std::string table; file && std::getline(*file, table);)
        tables.push_back(fmt::format("{} table {}", command, table));
}

bool module_is_loaded(const std::string& name) {
    return access(("/sys/module/" + name).c_str(), F_OK) == 0;
}

// Where ebtables is a module, asking for a table loads the table's own: so only those are asked that are loaded.
bool ebtables_table_governs(const Fd& socket, const std::string& table) {
    if (module_is_loaded("ebtables") && !module_is_loaded("ebtable_" + table)) return false;
    ebt_replace info = {};
    table.copy(info.name, sizeof(info.name) - 1);
    socklen_t size = sizeof(info);
    if (getsockopt(socket.get(), IPPROTO_IP, EBT_SO_GET_INFO, &info, &size) != 0)
        return errno != ENOENT && errno != ENOPROTOOPT;  // no such table; no ebtables in this kernel
    if (info.nentries != 0) return true;
    // Without entries the table is its chains alone; the policies are in their heads.
    std::vector<char> entries(info.entries_size);
    ebt_replace request = {};
    table.copy(request.name, sizeof(request.name) - 1);
    request.entries_size = info.entries_size;
    request.entries = entries.data();
    size = static_cast<socklen_t>(sizeof(request) + entries.size());
    if (getsockopt(socket.get(), IPPROTO_IP, EBT_SO_GET_ENTRIES, &request, &size) != 0) return true;
    for (std::size_t offset = 0; offset + sizeof(ebt_entries) <= entries.size(); offset += sizeof(ebt_entries)) {
        ebt_entries chain;
        std::memcpy(&chain, entries.data() + offset, sizeof(chain));
        if (chain.policy != EBT_ACCEPT) return true;
    }
    return false;
}

std::vector<std::string> read_ebtables() {
    std::vector<std::string> tables;
    const Fd socket(::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW));
    for (const char* table : {"filter", "nat", "broute"})
        if (!socket || ebtables_table_governs(socket, table))
            tables.push_back(fmt::format("ebtables-legacy table {}", table));
    return tables;
}

void dump_nftables(NetlinkSocket& socket, std::uint16_t command, Netfilter& netfilter,
                   const NetlinkSocket::Callback& item) {
    DumpRequest<nfgenmsg> request(static_cast<std::uint16_t>(NFNL_SUBSYS_NFTABLES << 8 | command));
    request.header->nfgen_family = NFPROTO_UNSPEC;
    request.header->version = NFNETLINK_V0;
    try {
        socket.dump(request.message, "list the rules of nftables", item);
    } catch (const NetlinkError& error) {
        // A kernel without nftables, or without flowtables, has no such rules.
        const int code = error.code().value();
        if (code != EOPNOTSUPP && code != EPROTONOSUPPORT && code != EINVAL) netfilter.unknown = error.what();
    }
}

const char* family_name(std::uint8_t family) {
    switch (family) {
        case NFPROTO_BRIDGE: return "bridge";
        case NFPROTO_INET: return "inet";
        case NFPROTO_IPV4: return "ip";
        case NFPROTO_IPV6: return "ip6";
        case NFPROTO_ARP: return "arp";
        case NFPROTO_NETDEV: return "netdev";
        default: return "of a family that is not known here,";
    }
}

bool is_ip(std::uint8_t family) {
    return family == NFPROTO_IPV4 || family == NFPROTO_IPV6 || family == NFPROTO_INET;
}

// Base chains by which each packet comes that is routed: not those of the host's own packets, nor those of type nat,
// which only the first packet of a connection goes through.
bool sees_each_routed(const NftHook& hook) {
    return is_ip(hook.family) && !hook.nat && hook.hook != NF_INET_LOCAL_IN && hook.hook != NF_INET_LOCAL_OUT;
}

// The same of the host's own, as the packets of tunnels are.
bool sees_each_own(const NftHook& hook) {
    return is_ip(hook.family) && !hook.nat && (hook.hook == NF_INET_LOCAL_IN || hook.hook == NF_INET_LOCAL_OUT);
}

// A table's base chains, by which packets see them; from there they come by any that is no base chain.
struct Chains {
    std::set<std::string> routed, own, others;

    bool see_each_routed(const std::string& chain) const {
        return !routed.empty() && !own.contains(chain) && !others.contains(chain);
    }
    bool see_each_own(const std::string& chain) const {
        return !own.empty() && !routed.contains(chain) && !others.contains(chain);
    }
};
using Tables = std::map<std::pair<std::uint8_t, std::string>, Chains>;

void dump_per_packet(NetlinkSocket& socket, const Tables& tables, Netfilter& netfilter) {
    std::set<std::string> found, own;
    const auto take = [&](std::uint8_t family, const std::string& table, const std::string& chain, bool udp,
                          const std::string& text) {
        const auto chains = tables.find({family, table});
        if (chains == tables.end()) return;
        if (chains->second.see_each_routed(chain))
            found.insert(text);
        else if (udp && chains->second.see_each_own(chain))
            own.insert(text);
    };
    dump_nftables(socket, NFT_MSG_GETRULE, netfilter, [&](const nlmsghdr* message) {
        const auto rule = decode_nft_rule(message);
        if (!rule || rule->per_packet.empty()) return;
        take(rule->family, rule->table, rule->chain, rule->udp,
             fmt::format("{} (table {} {}, chain {})", rule->per_packet, family_name(rule->family), rule->table,
                         rule->chain));
    });
    dump_nftables(socket, NFT_MSG_GETSET, netfilter, [&](const nlmsghdr* message) {
        const auto set = decode_nft_set(message);
        if (!set || !set->changes_itself) return;
        take(set->family, set->table, "", true,
             fmt::format("a set that changes by itself (table {} {}, set {})", family_name(set->family), set->table,
                         set->name));
    });
    netfilter.per_packet.insert(netfilter.per_packet.end(), found.begin(), found.end());
    netfilter.per_own_packet.insert(netfilter.per_own_packet.end(), own.begin(), own.end());
}

// Of hooks in the IP families: all but those of a device. A rule for the host's own packets, too, may need connections:
// they are then tracked, and fragments put together, where br_netfilter shows a frame between two ports.
bool sees_bridged(const NftHook& hook) {
    return hook.hook != NF_INET_INGRESS;
}

}  // namespace

void add_hook(Netfilter& netfilter, const NftHook& hook) {
    const std::string text = fmt::format("table {} {}, {} {}", family_name(hook.family), hook.table,
                                         hook.flowtable ? "flowtable" : "chain", hook.chain);
    if (!hook.unknown.empty()) netfilter.unknown = text + " " + hook.unknown;
    for (const std::string& device : hook.devices)
        if (hook.flowtable || hook.rules > 0 || hook.drops) netfilter.device_chains[device] = text;
    if (hook.flowtable || (hook.rules == 0 && !hook.drops && !hook.nat)) return;
    switch (hook.family) {
        case NFPROTO_BRIDGE: netfilter.bridge_chains.push_back(text); break;
        case NFPROTO_IPV4:
        case NFPROTO_IPV6:
        case NFPROTO_INET:
            if (!sees_bridged(hook)) break;
            netfilter.ip_chains.push_back(text);
            netfilter.tracks_ipv4 = netfilter.tracks_ipv4 || hook.family != NFPROTO_IPV6;
            netfilter.tracks_ipv6 = netfilter.tracks_ipv6 || hook.family != NFPROTO_IPV4;
            break;
        case NFPROTO_ARP:     // ARP frames are the kernel's anyway
        case NFPROTO_NETDEV:  // by device, above
            break;
        default: netfilter.unknown = text;
    }
}

QuickFacts read_quick_facts() {
    QuickFacts facts;
    try {
        facts.call_iptables = is_set("bridge/bridge-nf-call-iptables");
        facts.call_ip6tables = is_set("bridge/bridge-nf-call-ip6tables");
        facts.filter_tagged =
            is_set("bridge/bridge-nf-filter-vlan-tagged") || is_set("bridge/bridge-nf-filter-pppoe-tagged");
        facts.forwards = is_set("ipv4/ip_forward") || is_set("ipv6/conf/all/forwarding");
        add_legacy_tables(facts.legacy_tables, "ip_tables_names", "iptables-legacy");
        add_legacy_tables(facts.legacy_tables, "ip6_tables_names", "ip6tables-legacy");
    } catch (const std::system_error& error) {
        facts.unknown = error.what();
    }
    facts.ebtables = read_ebtables();
    facts.vlan_devices = access("/proc/thread-self/net/vlan", F_OK) == 0;
    return facts;
}

Netfilter read_netfilter() {
    const QuickFacts facts = read_quick_facts();
    Netfilter netfilter;
    netfilter.unknown = facts.unknown;
    netfilter.call_iptables = facts.call_iptables;
    netfilter.call_ip6tables = facts.call_ip6tables;
    netfilter.filter_tagged = facts.filter_tagged;
    netfilter.ip_chains = facts.legacy_tables;
    netfilter.per_packet = facts.legacy_tables;  // their rules are not read
    netfilter.tracks_ipv4 = netfilter.tracks_ipv6 = !facts.legacy_tables.empty();
    netfilter.bridge_chains = facts.ebtables;
    try {
        NetlinkSocket socket(NETLINK_NETFILTER);
        Tables tables;
        const auto take_hook = [&](const nlmsghdr* message) {
            const auto hook = decode_nft_hook(message);
            if (!hook) return;
            add_hook(netfilter, *hook);
            if (hook->flowtable) return;
            Chains& chains = tables[{hook->family, hook->table}];
            const bool routed = sees_each_routed(*hook), own = sees_each_own(*hook);
            (routed ? chains.routed : own ? chains.own : chains.others).insert(hook->chain);
        };
        dump_nftables(socket, NFT_MSG_GETCHAIN, netfilter, take_hook);
        dump_nftables(socket, NFT_MSG_GETFLOWTABLE, netfilter, take_hook);
        if (!netfilter.ip_chains.empty()) dump_per_packet(socket, tables, netfilter);
    } catch (const NetlinkError& error) {
        // A kernel without netfilter's netlink has no nftables either.
        if (error.code().value() != EPROTONOSUPPORT) netfilter.unknown = error.what();
    }
    return netfilter;
}

}  // namespace underpass
