// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <fmt/format.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "cli/client.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "loader/map.h"
#include "loader/object.h"
#include "loader/pin.h"
#include "maps/flow.h"
#include "model/ip.h"
#include "model/types.h"
#include "netlink/dump.h"

namespace underpass {

namespace {

using Json = nlohmann::json;
using Flows = std::vector<std::pair<flow_key, flow>>;

std::string address_text(const __be32* words, std::uint8_t family) {
    IpAddress address;
    address.v6 = family == AF_INET6;
    __builtin_memcpy(address.storage.data(), words, address.v6 ? 16 : 4);
    return address.text();
}

std::string protocol_text(std::uint8_t protocol) {
    switch (protocol) {
        case IPPROTO_TCP: return "TCP";
        case IPPROTO_UDP: return "UDP";
        case IPPROTO_UDPLITE: return "UDP-Lite";
        case IPPROTO_SCTP: return "SCTP";
        case IPPROTO_DCCP: return "DCCP";
        case IPPROTO_ICMP: return "ICMP echo";
        case IPPROTO_ICMPV6: return "ICMPv6 echo";
        default: return fmt::format("protocol {}", protocol);
    }
}

bool has_ports(const flow_key& key) {
    return key.protocol != IPPROTO_ICMP && key.protocol != IPPROTO_ICMPV6 &&
           (key.source_port != 0 || key.destination_port != 0);
}

std::string device_text(std::uint32_t ifindex) {
    char name[IF_NAMESIZE] = {};
    if (ifindex == 0) return "";
    return if_indextoname(ifindex, name) != nullptr ? name : fmt::format("device {}", ifindex);
}

MacAddr mac_of(const std::uint8_t (&bytes)[ETH_ADDR_LEN]) {
    MacAddr mac;
    std::copy(std::begin(bytes), std::end(bytes), mac.bytes.begin());
    return mac;
}

double seconds(std::uint64_t ns) {
    return static_cast<double>(ns) / 1e9;
}

// Idle ones are no live flows; the daemon forgets them a little later.
bool is_live(const flow& flow, std::uint64_t now) {
    return flow.packets > 0 && flow.asked_ns + 2 * FLOW_PULSE_NS > now;
}

const char* kind_text(std::uint8_t kind) {
    switch (kind) {
        case FLOW_DECAP: return "decapsulated";
        case FLOW_ENCAP: return "encapsulated";
        default: return "routed";
    }
}

// The VXLAN devices that flows name, as the kernel has them.
class Tunnels {
public:
    // Absent: it is gone.
    std::optional<VxlanAttributes> find(std::uint32_t ifindex) {
        const auto [known, fresh] = known_.try_emplace(ifindex);
        if (!fresh) return known->second;
        if (const auto link = get_link(route_, Ifindex{ifindex})) known->second = link->vxlan;
        return known->second;
    }

private:
    NetlinkSocket route_{NETLINK_ROUTE};
    std::map<std::uint32_t, std::optional<VxlanAttributes>> known_;
};

// Of VXLAN packets the key is of the outer headers, and names the VXLAN device; so does that of frames that are put
// into one, whose outer ends are in `out`.
void add_tunnel(Json& json, const flow_key& key, const flow& flow, Tunnels& tunnels) {
    if (key.kind != FLOW_DECAP && key.kind != FLOW_ENCAP) return;
    const auto vxlan = tunnels.find(key.ifindex);
    const bool out = key.kind == FLOW_ENCAP;
    const auto family = static_cast<std::uint8_t>(vxlan && vxlan->ipv6 ? AF_INET6 : AF_INET);
    json["vxlan"] = {{"name", device_text(key.ifindex)},
                     {"vni", vxlan ? Json(vxlan->vni) : Json()},
                     {"vtep", out ? address_text(flow.out.destination, family) : address_text(key.source, key.family)}};
    json["in"] = out ? "" : device_text(flow.egress);
    json["out"] = out ? device_text(flow.egress) : device_text(key.ifindex);
}

// "eth0 to 192.0.2.2 by vxlan7 (VNI 7)"
std::string tunnel_text(const Json& flow, const char* end, const char* direction) {
    auto text = flow.at(end).get<std::string>();
    if (!flow.contains("vxlan")) return text;
    const Json& vxlan = flow.at("vxlan");
    const std::string vni = vxlan.at("vni").is_null() ? "gone" : "VNI " + vxlan.at("vni").dump();
    return fmt::format("{} {} {} by {} ({})", text, direction, vxlan.at("vtep").get<std::string>(),
                       vxlan.at("name").get<std::string>(), vni);
}

Json flow_json(const flow_key& key, const flow& flow, std::uint64_t now, Tunnels& tunnels) {
    const double age = seconds(now > flow.begun_ns ? now - flow.begun_ns : 0);
    Json json = {{"kind", kind_text(key.kind)},
                 {"protocol", key.protocol},
                 {"protocol_name", protocol_text(key.protocol)},
                 {"source", address_text(key.source, key.family)},
                 {"destination", address_text(key.destination, key.family)},
                 {"tos", key.tos},
                 {"in", device_text(key.ifindex)},
                 {"out", device_text(flow.egress)},
                 {"next_hop", mac_of(flow.destination).text()},
                 {"fast", flow.asked == flow.answered},
                 {"packets", flow.packets},
                 {"bytes", flow.bytes},
                 {"age_s", age},
                 {"packets_per_s", age > 0 ? static_cast<double>(flow.packets) / age : 0}};
    add_tunnel(json, key, flow, tunnels);
    if (key.kind == FLOW_ROUTED && (flow.out.flags & FLOW_TRANSLATED) != 0)
        json["translated"] = {{"source", address_text(flow.out.source, key.family)},
                              {"destination", address_text(flow.out.destination, key.family)}};
    if (has_ports(key)) {
        if (json.contains("translated")) {
            json["translated"]["source_port"] = ntohs(flow.out.source_port);
            json["translated"]["destination_port"] = ntohs(flow.out.destination_port);
        }
        json["source_port"] = ntohs(key.source_port);
        json["destination_port"] = ntohs(key.destination_port);
    }
    return json;
}

std::string end_text(const Json& flow, const char* address, const char* port) {
    auto text = flow.at(address).get<std::string>();
    if (!flow.contains(port)) return text;
    const bool v6 = text.find(':') != std::string::npos;
    return fmt::format("{}:{}", v6 ? "[" + text + "]" : text, flow.at(port).get<int>());
}

std::string translation_text(const Json& flow) {
    if (!flow.contains("translated")) return "";
    const Json& out = flow.at("translated");
    return fmt::format("{} > {}", end_text(out, "source", "source_port"),
                       end_text(out, "destination", "destination_port"));
}

void print_flows(const Json& flows, std::size_t all) {
    std::vector<std::vector<std::string>> rows = {
        {"protocol", "from", "to", "translated to", "in", "out", "next hop", "frames", "bytes", "frames/s", "age", ""}};
    for (const Json& flow : flows)
        rows.push_back(
            {flow.at("protocol_name").get<std::string>(), end_text(flow, "source", "source_port"),
             end_text(flow, "destination", "destination_port"), translation_text(flow),
             flow.at("kind") == "decapsulated" ? tunnel_text(flow, "in", "from") : flow.at("in").get<std::string>(),
             flow.at("kind") == "encapsulated" ? tunnel_text(flow, "out", "to") : flow.at("out").get<std::string>(),
             flow.at("next_hop").get<std::string>(), count_text(flow.at("packets").get<std::uint64_t>()),
             bytes_text(flow.at("bytes").get<std::uint64_t>()),
             count_text(static_cast<std::uint64_t>(flow.at("packets_per_s").get<double>())),
             fmt::format("{:.1f} s", flow.at("age_s").get<double>()),
             flow.at("fast").get<bool>() ? "" : "by the kernel at the moment"});
    if (flows.empty())
        fmt::print("no flow is routed fast at the moment\n");
    else
        print_table(rows, "");
    if (flows.size() < all) fmt::print("... and {} more (--top {})\n", all - flows.size(), all);
}

void list_flows(std::size_t top, bool json) {
    require_root();
    ask_status();
    auto map = PinDirectory::of_this_namespace().open(MAP_FLOWS);
    Flows flows;
    if (map) flows = Map<flow_key, flow>(std::move(*map)).entries();  // a daemon that has nothing to do has none
    const std::uint64_t now = Heartbeat::now_ns();
    std::erase_if(flows, [now](const auto& each) { return !is_live(each.second, now); });
    std::ranges::sort(flows, [](const auto& a, const auto& b) { return a.second.packets > b.second.packets; });
    const std::size_t all = flows.size();
    if (!json && flows.size() > top) flows.resize(top);
    Json list = Json::array();
    Tunnels tunnels;
    for (const auto& [key, flow] : flows) list.push_back(flow_json(key, flow, now, tunnels));
    if (json)
        fmt::print("{}\n", Json{{"flows", std::move(list)}}.dump(2));
    else
        print_flows(list, all);
}

}  // namespace

void add_flows(CLI::App& app) {
    struct Options {
        std::size_t top = 50;
        bool json = false;
    };
    auto options = std::make_shared<Options>();
    CLI::App* command = app.add_subcommand(
        "flows", "The flows that are routed, go past rules or through tunnels, fast; those with most frames first");
    command->add_option("--top", options->top, "So many of them")->check(CLI::PositiveNumber)->capture_default_str();
    command->add_flag("--json", options->json, "Print JSON, with all of them");
    command->footer("Examples:\n  underpass flows\n  underpass flows --json | jq '.flows | length'");
    command->callback([options] { list_flows(options->top, options->json); });
}

}  // namespace underpass
