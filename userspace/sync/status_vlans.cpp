// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A VLAN-aware bridge has few VLANs that differ and may have thousands: they are told by segments, each from one place
// where some port changes to the next.
#include "sync/status_vlans.h"

#include <fmt/format.h>
#include <linux/if.h>

#include <algorithm>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "model/vlan_rules.h"
#include "sync/status.h"

namespace underpass {

namespace {

using Json = nlohmann::json;

constexpr std::uint16_t kLastVid = VLAN_VIDS - 2;

// A port in a VLAN. Two that are equal look the same to people.
struct Member {
    const PortPlan* port = nullptr;
    bool tagged = true;
    bool pvid = false;
    bool upper = false;  // a VLAN device takes its tagged frames
    std::string state;
    std::string why;  // left to the kernel; empty: it is not

    bool operator==(const Member&) const = default;
};

struct Segment {
    std::uint16_t first = 0;
    std::uint16_t last = 0;
    std::vector<Member> members;
    bool has_frames = false;
};

// As the plan names it.
std::string text(const VlanRange& range) {
    return range.first == range.last ? fmt::format("{}", range.first) : fmt::format("{}-{}", range.first, range.last);
}

const PortVlans& vlans_of(const Host& host, Ifindex port) {
    static const PortVlans nothing{};
    const auto found = host.vlans.find(port);
    return found == host.vlans.end() ? nothing : found->second;
}

// Of the port as a whole where that decides, else of the VLAN (br_allowed_ingress).
std::string state_text(const Link& link, PortState of_vlan) {
    if ((link.flags & IFF_UP) == 0) return "down";
    if (!link.carrier) return "no carrier";
    const PortState port = link.port ? link.port->state : PortState::disabled;
    return name(port == PortState::forwarding ? of_vlan : port);
}

std::string why_left(const BridgePlan& bridge, const PortPlan& port) {
    return bridge.refusal.empty() ? port.refusal : bridge.refusal;
}

std::string why_left(const BridgePlan& bridge, const PortPlan& port, const VlanRange& range) {
    const auto refusal = port.vlan_refusals.find(text(range));
    const std::string whole = why_left(bridge, port);
    return whole.empty() && refusal != port.vlan_refusals.end() ? refusal->second : whole;
}

// Where some port's part in the VLANs may change.
std::set<std::uint16_t> boundaries(const Host& host, const BridgePlan& bridge, const VlanCounts& counts) {
    std::set<std::uint16_t> found;
    const auto add = [&found](std::uint16_t first, std::uint16_t last) {
        found.insert(first);
        found.insert(static_cast<std::uint16_t>(last + 1));
    };
    for (const PortPlan& port : bridge.ports) {
        const PortVlans& vlans = vlans_of(host, port.index);
        for (const VlanRange& range : vlans.ranges) add(range.first, range.last);
        add(number(vlans.pvid), number(vlans.pvid));
        for (std::uint16_t vid = 1; vid <= kLastVid; vid++)
            if (rights_of(port.vlans, vid) != rights_of(port.vlans, vid - 1)) found.insert(vid);
    }
    for (const auto& [key, counter] : counts) add(key.second, key.second);
    return found;
}

Segment segment(const Host& host, const BridgePlan& bridge, std::uint16_t first, const VlanCounts& counts) {
    Segment result{.first = first, .last = first};
    for (const PortPlan& port : bridge.ports) {
        const PortVlans& vlans = vlans_of(host, port.index);
        const auto range = std::ranges::find_if(vlans.ranges, [first](const VlanRange& candidate) {
            return candidate.first <= first && first <= candidate.last;
        });
        const auto link = host.links.find(port.index);
        if (range == vlans.ranges.end() || link == host.links.end()) continue;
        result.members.push_back({.port = &port,
                                  .tagged = !range->untagged,
                                  .pvid = vlans.pvid == Vid{first},
                                  .upper = (rights_of(port.vlans, first) & VLAN_UPPER) != 0,
                                  .state = state_text(link->second, range->state),
                                  .why = why_left(bridge, port, *range)});
        result.has_frames = result.has_frames || counts.contains({port.index, first});
    }
    return result;
}

std::vector<Segment> segments_of_aware(const Host& host, const BridgePlan& bridge, const VlanCounts& counts) {
    std::vector<Segment> segments;
    const auto starts = boundaries(host, bridge, counts);
    for (auto start = starts.begin(); start != starts.end(); ++start) {
        if (*start == 0 || *start > kLastVid) continue;
        Segment next = segment(host, bridge, *start, counts);
        if (next.members.empty()) continue;
        const auto end = std::next(start);
        next.last =
            end == starts.end() ? kLastVid : std::min<std::uint16_t>(kLastVid, static_cast<std::uint16_t>(*end - 1));
        if (!segments.empty() && !segments.back().has_frames && !next.has_frames &&
            segments.back().last + 1 == next.first && segments.back().members == next.members)
            segments.back().last = next.last;
        else
            segments.push_back(std::move(next));
    }
    return segments;
}

Json counter_json(const counter& counted) {
    return {{"packets", counted.packets}, {"bytes", counted.bytes}};
}

Json member_json(const Host& host, const Member& member, const vlan_counters& counted) {
    Json json = port_name_json(host, *member.port);
    json["hook"] = name(member.why.empty() ? member.port->hook() : Hook::kernel);
    json["tagged"] = member.tagged;
    json["pvid"] = member.pvid;
    json["state"] = member.state;
    if (!member.why.empty()) json["why"] = member.why;
    if (member.upper) json["vlan_device"] = true;
    json["fast"] = counter_json(counted.fast);
    json["slow"] = counter_json(counted.slow);
    return json;
}

Json segment_json(const Host& host, const Segment& segment, std::uint16_t protocol, const VlanCounts& counts) {
    Json json = {{"first", segment.first}, {"last", segment.last}, {"protocol", vlan_protocol_name(protocol)}};
    json["ports"] = Json::array();
    for (const Member& member : segment.members) {
        const auto counted = counts.find({member.port->index, segment.first});
        json["ports"].push_back(member_json(host, member, counted == counts.end() ? vlan_counters{} : counted->second));
    }
    return json;
}

// VLAN devices that are ports: in the frames of the device below they are tagged.
Json devices_json(const Host& host, const BridgePlan& bridge, const VlanCounts& counts) {
    std::map<std::tuple<std::uint16_t, std::uint16_t>, Segment> by_vlan;
    for (const PortPlan& port : bridge.ports) {
        const auto found = host.links.find(port.index);
        if (found == host.links.end() || !found->second.vlan) continue;
        const Link& link = found->second;
        const std::uint16_t vid = number(link.vlan->id);
        Segment& segment = by_vlan[{vid, link.vlan->protocol}];
        segment.first = segment.last = vid;
        segment.members.push_back({.port = &port,
                                   .state = state_text(link, link.port ? link.port->state : PortState::disabled),
                                   .why = why_left(bridge, port)});
    }
    Json vlans = Json::array();
    for (const auto& [vlan, segment] : by_vlan) vlans.push_back(segment_json(host, segment, std::get<1>(vlan), counts));
    return vlans;
}

}  // namespace

Json vlans_json(const Host& host, const BridgePlan& bridge, const VlanCounts& counts) {
    const auto link = host.links.find(bridge.index);
    if (link == host.links.end() || !link->second.bridge) return Json::array();
    const Link& device = link->second;
    if (!bridge.vlan_aware) return devices_json(host, bridge, counts);
    Json vlans = Json::array();
    for (const Segment& segment : segments_of_aware(host, bridge, counts))
        vlans.push_back(segment_json(host, segment, device.bridge->vlan_protocol, counts));
    return vlans;
}

}  // namespace underpass
