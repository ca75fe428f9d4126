// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Lives of bridges with VLANs, of two kinds: one bridge that filters by them, and two that have VLAN devices as ports.
//
// A host speaks as its switch port wants it, most of the time, and mostly to hosts in its own VLAN: or nothing would go
// fast. What is changed is mostly changed back later, for the same reason.
#include <fmt/format.h>

#include <array>
#include <random>
#include <set>

#include "scenario.h"

namespace underpass::test {

namespace {

constexpr std::uint16_t kDot1q = 0x8100, kDot1ad = 0x88a8;
constexpr std::array<std::uint16_t, 5> kVids = {1, 10, 20, 30, 4094};
constexpr std::uint16_t kInstances = 3;  // spanning trees

class VlanMaker {
public:
    explicit VlanMaker(std::uint64_t seed) : random_(seed) {}

    Scenario make() {
        scenario_.joined = false;
        scenario_.ports = 2 + below(4);
        step(SetBridgeNetfilter{chance(15)});
        if (chance(30)) std::swap(own_, other_);
        if (chance(60))
            filtering_bridge();
        else
            bridges_of_vlan_devices();
        step(CatchUp{});
        if (chance(90)) let_all_speak();
        const std::size_t acts = 12 + below(20);
        for (std::size_t i = 0; i < acts; i++) act();
        return std::move(scenario_);
    }

private:
    struct Host {
        MacAddr mac;
        std::size_t port;
        std::vector<Vlan> tags;
        std::uint64_t domain;  // hosts with the same reach each other
    };

    std::uint64_t below(std::uint64_t limit) { return random_() % limit; }
    bool chance(std::uint64_t percent) { return below(100) < percent; }
    std::size_t any_port() { return below(scenario_.ports); }
    std::uint16_t any_vid() {
        return chance(90) ? kVids[below(kVids.size())] : static_cast<std::uint16_t>(below(4096));
    }
    // Of a real VLAN: netlink takes no other.
    Vid any_vlan() { return Vid{kVids[below(kVids.size())]}; }
    Host& any_host() { return hosts_[below(hosts_.size())]; }
    void step(Step step) { scenario_.steps.push_back(std::move(step)); }

    // --- what there is at first ---

    void filtering_bridge() {
        filters_ = true;
        mst_ = chance(12);
        if (mst_) {
            // Refused while there is a VLAN, and the bridge itself has one from the beginning.
            step(DeleteVlan{std::nullopt, Vid{1}});
            step(SetBridge{0, {.mst = true}});
        }
        step(SetBridge{0, {.vlan_filtering = true, .vlan_protocol = own_}});
        for (std::size_t port = 0; port < scenario_.ports; port++) join_with_vlans(port);
        for (const std::uint16_t vid : kVids)
            if (chance(30)) step(AddVlan{std::nullopt, Vid{vid}, {.pvid = chance(20), .untagged = chance(30)}});
        for (const std::uint16_t vid : kVids)
            if (mst_ && chance(40)) step(SetMsti{Vid{vid}, static_cast<std::uint16_t>(1 + below(kInstances))});
        if (chance(25)) create_vlan_device(kMostPorts);
    }

    void join_with_vlans(std::size_t port) {
        step(Join{port, 0});
        std::optional<std::uint16_t> pvid = 1;
        if (chance(65)) pvid = chance(75) ? std::optional(kVids[below(kVids.size())]) : std::nullopt;
        if (pvid != 1) step(DeleteVlan{port, Vid{1}});
        std::vector<std::uint16_t> members;
        for (const std::uint16_t vid : kVids) {
            if (vid == pvid || !chance(50)) continue;
            step(AddVlan{port, Vid{vid}, {.untagged = chance(25)}});
            members.push_back(vid);
        }
        if (pvid) {
            if (pvid != 1) step(AddVlan{port, Vid{*pvid}, {.pvid = true, .untagged = chance(85)}});
            members.push_back(*pvid);
        }
        const std::size_t count = 1 + below(3);
        for (std::size_t i = 0; i < count; i++) {
            const std::uint16_t vid = members.empty() ? any_vid() : members[below(members.size())];
            std::vector<Vlan> tags;
            if (vid != pvid || chance(30))
                tags = {tag(vid, own_)};
            else if (chance(25))
                tags = {tag(0, own_)};
            else if (chance(10))
                tags = {tag(any_vid(), other_)};  // payload to this bridge
            add_host(port, std::move(tags), vid);
        }
    }

    // Port 0 is the trunk. Its VLAN devices are ports of two bridges, and it may be one itself.
    void bridges_of_vlan_devices() {
        scenario_.bridges = 2;
        for (std::size_t bridge = 0; bridge < 2; bridge++)
            if (chance(12)) step(SetBridge{bridge, {.vlan_filtering = true}});
        const std::size_t second_trunk = chance(25) ? 1 : 0;
        make_trunk_port(kMostPorts, 0, 10, 0);
        make_trunk_port(kMostPorts + 1, 0, 20, 1);
        if (chance(60)) {
            make_trunk_port(kMostPorts + 2, second_trunk, second_trunk == 0 ? 30 : 10, below(2));
            if (chance(40)) step(Leave{kMostPorts + 2});  // the host's
        }
        for (std::size_t port = 0; port < scenario_.ports; port++) {
            if (port == 0 && chance(65)) continue;
            const std::size_t bridge = below(2);
            step(Join{port, bridge});
            add_host(port, {}, bridge);
        }
    }

    void make_trunk_port(std::size_t device, std::size_t trunk, std::uint16_t vid, std::size_t bridge) {
        step(CreateVlanDevice{device, trunk, Vid{vid}, own_ == kDot1ad});
        step(Join{device, bridge});
        devices_.insert(device);
        for (int i = 0; i < 2; i++) add_host(trunk, {tag(vid, own_)}, bridge);
    }

    void create_vlan_device(std::size_t device) {
        const auto lower = chance(70) ? std::optional(any_port()) : std::nullopt;
        step(CreateVlanDevice{device, lower, any_vlan(), chance(80) ? own_ == kDot1ad : own_ != kDot1ad});
        devices_.insert(device);
    }

    // The device at the port's other end is the first host there.
    void add_host(std::size_t port, std::vector<Vlan> tags, std::uint64_t domain) {
        bool first = true;
        for (const Host& host : hosts_) first = first && host.port != port;
        const MacAddr mine = first ? far_mac(port) : mac(static_cast<std::uint16_t>(0x1000 + hosts_.size()));
        hosts_.push_back({mine, port, std::move(tags), domain});
    }

    // --- frames ---

    Vlan tag(std::uint16_t vid, std::uint16_t protocol) {
        return {.vid = vid, .pcp = static_cast<std::uint8_t>(below(8)), .dei = chance(20), .tpid = protocol};
    }

    const Host& peer_of(const Host& host) {
        for (int tries = 0; tries < 20; tries++)
            if (const Host& other = any_host(); other.domain == host.domain && other.port != host.port) return other;
        return any_host();
    }

    void send(std::optional<std::size_t> port, Frame frame) { step(Send{port, std::move(frame)}); }

    // Twice, so that whoever mirrors the bridge's FDB has read each entry and seen its host since.
    void let_all_speak() {
        for (int round = 0; round < 2; round++) {
            for (const Host& host : hosts_) send(host.port, plain(host, peer_of(host).mac));
            step(CatchUp{});
        }
    }

    void act() {
        if (!undo_.empty() && chance(50)) {
            const std::size_t which = below(undo_.size());
            step(undo_[which]);
            undo_.erase(undo_.begin() + static_cast<std::ptrdiff_t>(which));
            return step(CatchUp{});
        }
        if (chance(35)) return let_two_talk();
        if (chance(60)) return send_some();
        const std::size_t count = 1 + below(2);
        for (std::size_t i = 0; i < count; i++) change();
        step(CatchUp{});
    }

    void send_some() {
        const std::size_t count = 2 + below(9);
        for (std::size_t i = 0; i < count; i++) {
            Host& host = any_host();
            if (chance(5)) host.port = any_port();  // it has moved, and says so by this frame
            if (chance(8))
                send(std::nullopt, with_tags(host.mac, bridge_mac(), chance(50) ? host.tags : wild_tags()));
            else
                send(chance(95) ? host.port : any_port(), frame(host, destination(host)));
        }
        if (chance(50)) step(CatchUp{});
    }

    void let_two_talk() {
        const Host one = any_host(), other = peer_of(one);
        for (std::size_t i = 0; i < 10; i++) {
            const Host& from = i % 2 == 0 ? one : other;
            const Host& to = i % 2 == 0 ? other : one;
            send(from.port, i < 2 ? plain(from, to.mac) : frame(from, to.mac));
            if (i == 1) step(CatchUp{});
        }
    }

    MacAddr destination(const Host& host) {
        if (chance(75)) return peer_of(host).mac;
        switch (below(7)) {
            case 0: return kBroadcast;
            case 1: return {{0x33, 0x33, 0x00, 0x01, 0x02, 0x03}};
            case 2: return {{0x01, 0x80, 0xc2, 0x00, 0x00, 0x0e}};  // of the link alone
            case 3: return bridge_mac(below(2));
            case 4: return port_mac(any_port());
            case 5: return mac(static_cast<std::uint16_t>(0x3000 + below(4)));  // nobody's
            default: return any_host().mac;
        }
    }

    Frame plain(const Host& from, const MacAddr& to) {
        Stack stack = layers(to, from.mac, from.tags);
        return stack / IPv4{.id = next_id()} / UDP{} / Payload{18, mark_++};
    }

    Frame frame(const Host& from, const MacAddr& to) {
        if (chance(50)) return plain(from, to);
        return with_tags(to, from.mac, chance(55) ? from.tags : wild_tags());
    }

    // What a switch has to make sense of.
    std::vector<Vlan> wild_tags() {
        switch (below(8)) {
            case 0: return {};
            case 1: return {tag(0, own_)};
            case 2: return {tag(any_vid(), other_)};
            case 3: return {tag(any_vid(), own_), tag(any_vid(), kDot1q)};
            case 4: return {tag(0, own_), tag(any_vid(), own_)};
            case 5: return {tag(any_vid(), kDot1ad), tag(any_vid(), kDot1q), tag(any_vid(), kDot1q)};
            default: return {tag(any_vid(), own_)};
        }
    }

    static Stack layers(const MacAddr& to, const MacAddr& from, const std::vector<Vlan>& tags) {
        Stack stack{Layer(Ethernet{.destination = to, .source = from})};
        for (const Vlan& each : tags) stack = stack / each;
        return stack;
    }

    Frame with_tags(const MacAddr& to, const MacAddr& from, const std::vector<Vlan>& tags) {
        const Stack stack = layers(to, from, tags);
        switch (below(8)) {
            case 0: return stack / IPv4{.id = next_id()} / TCP{.sequence = mark_++} / Payload{below(1000)};
            // Around the MTU: just below, at, and above it.
            case 1: return stack / IPv4{.id = next_id()} / UDP{} / Payload{1460 + below(24), mark_++};
            case 2: return stack / IPv6{} / UDP{} / Payload{below(300), mark_++};
            case 3: return stack / Arp{.sender_mac = from, .target_mac = to};
            case 4: return stack / IPv4{.checksum = next_id()} / UDP{} / Payload{20};
            case 5: {
                // In the middle of a tag, or of what is behind it. With a tag in its bytes a frame has 20 of them at
                // least, or whoever receives it drops it.
                Frame whole = stack / IPv4{.id = next_id()} / UDP{} / Payload{2};
                whole.resize(tags.empty() ? 16 + below(7) : 15 + below(12));
                return whole;
            }
            default: return stack / IPv4{.id = next_id()} / UDP{} / Payload{20, mark_++};
        }
    }

    std::uint16_t next_id() { return static_cast<std::uint16_t>(random_()); }

    // --- changes ---

    void step_and_undo(Step done, Step undo) {
        step(std::move(done));
        if (chance(85)) undo_.push_back(std::move(undo));
    }

    PortState any_state() {
        constexpr std::array<PortState, 5> kStates = {PortState::disabled, PortState::listening, PortState::learning,
                                                      PortState::forwarding, PortState::blocking};
        return kStates[below(kStates.size())];
    }

    // A port, or a VLAN device if there is one.
    std::size_t any_port_or_device() {
        if (devices_.empty() || chance(filters_ ? 90 : 40)) return any_port();
        return *std::next(devices_.begin(), static_cast<std::ptrdiff_t>(below(devices_.size())));
    }

    void change() {
        if (chance(45)) return filters_ ? change_vlans() : change_devices();
        change_port(any_port_or_device());
    }

    void change_vlans() {
        const std::size_t port = any_port();
        const Vid vid = any_vlan();
        switch (below(mst_ ? 13 : 11)) {
            case 0:
            case 1: return step_and_undo(AddVlan{port, vid, {.untagged = chance(40)}}, AddVlan{port, vid, {}});
            case 2: return step(AddVlan{port, vid, {.pvid = true, .untagged = chance(70)}});
            case 3:
            case 4: return step_and_undo(DeleteVlan{port, vid}, AddVlan{port, vid, {.pvid = chance(30)}});
            case 5:
            case 6:
                return step_and_undo(SetVlanState{port, vid, any_state()},
                                     SetVlanState{port, vid, PortState::forwarding});
            case 7:
                return step_and_undo(SetBridge{0, {.vlan_filtering = false}}, SetBridge{0, {.vlan_filtering = true}});
            case 8:
                return step_and_undo(SetBridge{0, {.vlan_protocol = other_}}, SetBridge{0, {.vlan_protocol = own_}});
            case 9:
                if (chance(60)) return step(AddVlan{std::nullopt, vid, {.pvid = chance(30), .untagged = chance(50)}});
                return step(DeleteVlan{std::nullopt, vid});
            case 10:
                if (!devices_.contains(kMostPorts)) return create_vlan_device(kMostPorts);
                devices_.erase(kMostPorts);
                return step(DeleteVlanDevice{kMostPorts});
            case 11: return step(SetMsti{vid, static_cast<std::uint16_t>(below(kInstances + 1))});
            default: {
                const auto instance = static_cast<std::uint16_t>(below(kInstances + 1));
                return step_and_undo(SetMstState{port, instance, any_state()},
                                     SetMstState{port, instance, PortState::forwarding});
            }
        }
    }

    void change_devices() {
        const std::size_t device = kMostPorts + below(kMostVlanDevices);
        switch (below(5)) {
            case 0:
                // Another one may have its name and its place at once.
                step(DeleteVlanDevice{device});
                [[fallthrough]];
            case 1: {
                const std::uint16_t vid = kVids[1 + below(3)];
                return make_trunk_port(device, chance(85) ? 0 : any_port(), vid, below(2));
            }
            case 2: return step(DeleteVlanDevice{device});
            case 3: return step_and_undo(Leave{device}, Join{device, below(2)});
            default: return step(Join{device, below(2)});
        }
    }

    void change_port(std::size_t port) {
        const Vid vid = filters_ && chance(80) ? any_vlan() : Vid::none;
        switch (below(12)) {
            case 0: return step_and_undo(SetPort{port, {.isolated = true}}, SetPort{port, {.isolated = false}});
            case 1: return step_and_undo(SetPort{port, {.learning = false}}, SetPort{port, {.learning = true}});
            case 2:
                if (chance(50))
                    return step_and_undo(SetPort{port, {.hairpin = true}}, SetPort{port, {.hairpin = false}});
                return step_and_undo(SetPort{port, {.locked = true}}, SetPort{port, {.locked = false}});
            case 3:
                return step_and_undo(SetPort{port, {.state = any_state()}},
                                     SetPort{port, {.state = PortState::forwarding}});
            case 4:
            case 5: return step_and_undo(SetUp{port, false}, SetUp{port, true});
            case 6: return step_and_undo(Leave{port}, Join{port, below(scenario_.bridges)});
            case 7:
                return step_and_undo(SetMtu{port, static_cast<std::uint32_t>(600 + below(1200))},
                                     SetMtu{port, kUsualMtu});
            case 8: {
                constexpr std::array<lab::FdbKind, 4> kKinds = {lab::FdbKind::dynamic, lab::FdbKind::fixed,
                                                                lab::FdbKind::sticky, lab::FdbKind::local};
                return step(SetFdb{port, any_host().mac, kKinds[below(kKinds.size())], vid});
            }
            case 9: return step(DeleteFdb{port, any_host().mac, vid});
            case 10: return step(FlushFdb{chance(50) ? std::optional(port) : std::nullopt});
            default:
                if (chance(60)) return step(SetBridgeNetfilter{chance(50)});
                return step_and_undo(SetBridgeUp{false}, SetBridgeUp{true});
        }
    }

    std::mt19937_64 random_;
    Scenario scenario_;
    std::uint16_t own_ = kDot1q, other_ = kDot1ad;
    bool filters_ = false, mst_ = false;
    std::set<std::size_t> devices_;  // VLAN devices that there may be
    std::vector<Host> hosts_;
    std::vector<Step> undo_;
    std::uint8_t mark_ = 0;
};

}  // namespace

Scenario make_vlan_scenario(std::uint64_t seed) {
    return VlanMaker(seed).make();
}

}  // namespace underpass::test
