// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// VLAN devices as ports: their frames come and go, tagged, by the device below, the trunk.
#include "prog/cases.h"

namespace underpass::test {

namespace {

constexpr std::uint16_t kVid = 10, kOtherVid = 20;

// A VLAN device as the rules describe it: it takes frames whose second tag may be another's.
Upper upper(std::uint16_t vid, std::uint32_t below) {
    return {.port = {.flags = kReady | DEVICE_VLAN_DEVICE | DEVICE_VLAN_UPPERS, .vid = vid}, .below = below};
}

// No port itself.
Port trunk() {
    return {.flags = DEVICE_PRESENT | DEVICE_TRUNK, .bridge = 0};
}

void from_trunk(World& world) {
    world.in = trunk();
    world.uppers[kUpperSlot] = upper(kVid, kInSlot);
    world.fdb[kFrom].slot = kUpperSlot;
}

// No VLAN device can be on the VLAN device.
void from_trunk_alone(World& world) {
    from_trunk(world);
    world.uppers[kUpperSlot].port.flags &= ~std::uint32_t{DEVICE_VLAN_UPPERS};
}

void to_trunk(World& world) {
    world.out = trunk();
    world.uppers[kOtherUpperSlot] = upper(kOtherVid, kOutSlot);
    world.fdb[kTo].slot = kOtherUpperSlot;
}

void between_trunks(World& world) {
    from_trunk(world);
    to_trunk(world);
}

// Both VLAN devices are on the device that the frame comes in by.
void within_trunk(World& world) {
    from_trunk(world);
    world.uppers[kOtherUpperSlot] = upper(kOtherVid, kInSlot);
    world.fdb[kTo].slot = kOtherUpperSlot;
}

// The trunk is a port of the bridge as well.
void from_port_with_upper(World& world) {
    from_trunk(world);
    world.in = {.flags = kReady | DEVICE_TRUNK | DEVICE_VLAN_UPPERS};
}

// ... and what comes from it now is its own.
void from_port(World& world) {
    from_port_with_upper(world);
    world.in.flags &= ~std::uint32_t{DEVICE_VLAN_UPPERS};
    world.fdb[kFrom].slot = kInSlot;
}

template <std::uint32_t flags>
void upper_lacks(World& world) {
    world.uppers[kUpperSlot].port.flags &= ~flags;
}

template <std::uint32_t flags>
void other_upper_lacks(World& world) {
    world.uppers[kOtherUpperSlot].port.flags &= ~flags;
}

void unreachable(World& world) {
    world.out_takes_xdp = false;
}

// With what a tag can say beside its VLAN: nothing of it outlives the tag.
Frame on_trunk() {
    return tagged({.vid = kVid, .pcp = 5, .dei = true});
}

Frame two_tags(const Vlan& inner) {
    return between_hosts(Vlan{.vid = kVid}, {inner, IPv4{}, UDP{}});
}

std::vector<Case> forwarded_cases() {
    const Frame plain_frame = without_tag(on_trunk());
    return {
        {.description = "from a VLAN device to an access port",
         .frame = on_trunk(),
         .base = from_trunk,
         .out = plain_frame,
         .counted_at = kUpperSlot},
        {.description = "from an access port to a VLAN device",
         .frame = plain(),
         .base = to_trunk,
         .out = with_tag(plain(), k8021Q, kOtherVid)},
        {.description = "from a VLAN device to one on another trunk",
         .frame = on_trunk(),
         .base = between_trunks,
         .out = with_tag(plain_frame, k8021Q, kOtherVid),
         .counted_at = kUpperSlot},
        {.description = "from a VLAN device to another on the same trunk",
         .frame = on_trunk(),
         .base = within_trunk,
         .out = with_tag(plain_frame, k8021Q, kOtherVid),
         .counted_at = kUpperSlot,
         .returns = true},
        {.description = "from a VLAN device by 802.1Q to one by 802.1ad",
         .frame = on_trunk(),
         .base = between_trunks,
         .given = [](World& world) { world.uppers[kOtherUpperSlot].port.vlan_protocol = k8021AD; },
         .out = with_tag(plain_frame, k8021AD, kOtherVid),
         .counted_at = kUpperSlot},
        {.description = "from a VLAN device by 802.1ad to an access port",
         .frame = with_tag(plain(), k8021AD, 0x6000 | kVid),
         .base = from_trunk,
         .given = [](World& world) { world.uppers[kUpperSlot].port.vlan_protocol = k8021AD; },
         .out = plain(),
         .counted_at = kUpperSlot},
        {.description = "a tagged frame to a VLAN device gets a second tag",
         .frame = tagged({.vid = 5, .pcp = 3}),
         .base = to_trunk,
         .out = with_tag(tagged({.vid = 5, .pcp = 3}), k8021Q, kOtherVid)},
        {.description = "a second tag where no VLAN device can be on a VLAN device",
         .frame = two_tags({.vid = 5}),
         .base = from_trunk_alone,
         .out = without_tag(two_tags({.vid = 5})),
         .counted_at = kUpperSlot},
        {.description = "a second tag behind one that is replaced",
         .frame = two_tags({.vid = 5, .pcp = 2, .tpid = k8021AD}),
         .base = between_trunks,
         .given = upper_lacks<DEVICE_VLAN_UPPERS>,
         .out = with_tag(without_tag(two_tags({.vid = 5, .pcp = 2, .tpid = k8021AD})), k8021Q, kOtherVid),
         .counted_at = kUpperSlot},
        {.description = "the trunk's own frame, where it is a port", .frame = plain(), .base = from_port},
        {.description = "a tag that no VLAN device takes, where the trunk is a port",
         .frame = tagged({.vid = kOtherVid}),
         .base = from_port},
        {.description = "a VLAN device's frame, where the trunk is a port",
         .frame = on_trunk(),
         .base = from_port_with_upper,
         .out = plain_frame,
         .counted_at = kUpperSlot},
        {.description = "a VLAN device's frame, where the trunk is a port of a VLAN aware bridge",
         .frame = on_trunk(),
         .base = from_port_with_upper,
         .given =
             [](World& world) {
                 world.in = {.flags = kReady | DEVICE_TRUNK | DEVICE_VLAN_AWARE,
                             .bridge = kOtherBridge,
                             .rights = {{kVid, kTagged | VLAN_UPPER}}};
             },
         .out = plain_frame,
         .counted_at = kUpperSlot},
        {.description = "a VLAN device's frame, where the trunk itself is left to the kernel",
         .frame = on_trunk(),
         .base = from_port_with_upper,
         .given = [](World& world) { world.in.flags &= ~std::uint32_t{DEVICE_INGRESS | DEVICE_FORWARDING}; },
         .out = plain_frame,
         .counted_at = kUpperSlot},
    };
}

std::vector<Case> trunk_cases() {
    return {
        {.description = "a VID that no VLAN device has, on a trunk that is no port",
         .frame = tagged({.vid = kOtherVid}),
         .reason = REASON_VLAN_UPPER,
         .base = from_trunk},
        {.description = "a priority tag on a trunk that is no port",
         .frame = tagged({.vid = 0, .pcp = 5}),
         .reason = REASON_VLAN_UPPER,
         .base = from_trunk},
        {.description = "the VID of a VLAN device in a tag of the other protocol",
         .frame = tagged({.vid = kVid, .tpid = k8021AD}),
         .reason = REASON_VLAN_UPPER,
         .base = from_trunk},
        {.description = "no tag on a trunk that is no port",
         .frame = plain(),
         .reason = REASON_NOT_OURS,
         .base = from_trunk},
        {.description = "a VID that no VLAN device of ours has, on a trunk that is a port",
         .frame = tagged({.vid = kOtherVid}),
         .reason = REASON_VLAN_UPPER,
         .base = from_port,
         .given = [](World& world) { world.in.flags |= DEVICE_VLAN_UPPERS; }},
        {.description = "a VLAN device whose record is closed",
         .frame = on_trunk(),
         .reason = REASON_NOT_OURS,
         .base = from_trunk,
         .given = [](World& world) { world.uppers[kUpperSlot].port.flags = 0; },
         .counted_at = 0},
        {.description = "a VLAN device that is on another device by now",
         .frame = on_trunk(),
         .reason = REASON_NOT_OURS,
         .base = from_trunk,
         .given = [](World& world) { world.uppers[kUpperSlot].elsewhere = true; },
         .counted_at = 0},
        {.description = "a VLAN device whose slot is that of another VLAN by now",
         .frame = on_trunk(),
         .reason = REASON_NOT_OURS,
         .base = from_trunk,
         .given =
             [](World& world) {
                 world.uppers[kUpperSlot].port.vid = kOtherVid;
                 world.uppers[kUpperSlot].listed_vid = kVid;
             },
         .counted_at = 0},
        {.description = "a closed trunk",
         .frame = on_trunk(),
         .reason = REASON_NOT_OURS,
         .base = from_trunk,
         .given = [](World& world) { world.in.flags = 0; }},
    };
}

std::vector<Case> kernel_cases() {
    Frame bad_ip = between_hosts(Vlan{.vid = kVid}, {IPv4{.checksum = 1}, UDP{}, Payload{40}});
    Frame cut = two_tags({.vid = 5});
    cut.resize(14 + 4 + 3);
    return {
        {.description = "a second tag behind a VLAN device's",
         .frame = two_tags({.vid = 5}),
         .reason = REASON_VLAN_UPPER,
         .base = from_trunk_alone,
         .given = [](World& world) { world.uppers[kUpperSlot].port.flags |= DEVICE_VLAN_UPPERS; },
         .counted_at = kUpperSlot},
        {.description = "a second tag that is cut short behind a VLAN device's",
         .frame = cut,
         .reason = REASON_RUNT,
         .base = from_trunk_alone,
         .counted_at = kUpperSlot},
        {.description = "a VLAN device that is not forwarding",
         .frame = on_trunk(),
         .reason = REASON_NOT_FORWARDING,
         .base = from_trunk,
         .given = upper_lacks<DEVICE_FORWARDING>,
         .counted_at = kUpperSlot},
        {.description = "a VLAN device that is left to the kernel",
         .frame = on_trunk(),
         .reason = REASON_LEFT_TO_KERNEL,
         .base = from_trunk,
         .given = upper_lacks<DEVICE_INGRESS>,
         .counted_at = kUpperSlot},
        {.description = "to a VLAN device that is left to the kernel",
         .frame = plain(),
         .reason = REASON_EGRESS_NOT_READY,
         .base = to_trunk,
         .given = other_upper_lacks<DEVICE_EGRESS>},
        {.description = "to a VLAN device that is not forwarding",
         .frame = plain(),
         .reason = REASON_EGRESS_NOT_READY,
         .base = to_trunk,
         .given = other_upper_lacks<DEVICE_FORWARDING>},
        {.description = "to a VLAN device of another bridge",
         .frame = plain(),
         .reason = REASON_EGRESS_NOT_READY,
         .base = to_trunk,
         .given = [](World& world) { world.uppers[kOtherUpperSlot].port.bridge = kOtherBridge; }},
        {.description = "between isolated VLAN devices",
         .frame = on_trunk(),
         .reason = REASON_ISOLATED,
         .base = within_trunk,
         .given =
             [](World& world) {
                 for (auto& [slot, upper] : world.uppers) upper.port.flags |= DEVICE_ISOLATED;
             },
         .counted_at = kUpperSlot},
        {.description = "a destination behind the VLAN device of the source",
         .frame = on_trunk(),
         .reason = REASON_SAME_PORT,
         .base = from_trunk,
         .given = [](World& world) { world.fdb[kTo].slot = kUpperSlot; },
         .counted_at = kUpperSlot},
        {.description = "a source that was at the trunk itself",
         .frame = on_trunk(),
         .reason = REASON_SOURCE_MOVED,
         .base = from_port_with_upper,
         .given = [](World& world) { world.fdb[kFrom].slot = kInSlot; },
         .then = [](World& world, On) { world.fdb[kFrom].distrusted = true; },
         .counted_at = kUpperSlot},
        {.description = "a source whose pulse is due at a VLAN device",
         .frame = on_trunk(),
         .reason = REASON_PULSE,
         .base = from_trunk,
         .given = [](World& world) { world.fdb[kFrom].shown = Shown::long_ago; },
         .then =
             [](World& world, On hook) {
                 if (hook == On::tc) world.fdb[kFrom].shown = Shown::just_now;
             },
         .counted_at = kUpperSlot},
        {.description = "an ARP reply from a VLAN device",
         .frame = between_hosts(Vlan{.vid = kVid}, {Arp{.operation = 2}}),
         .reason = REASON_ARP,
         .base = from_trunk,
         .counted_at = kUpperSlot},
        {.description = "br_netfilter and a good packet from a VLAN device",
         .frame = between_hosts(Vlan{.vid = kVid}, {IPv4{}, UDP{}, Payload{40}}),
         .base = from_trunk,
         .given = [](World& world) { world.uppers[kUpperSlot].port.flags |= DEVICE_BRNF_IPV4; },
         .out = between_hosts(IPv4{}, {UDP{}, Payload{40}}),
         .counted_at = kUpperSlot},
        {.description = "br_netfilter and a doubtful packet from a VLAN device",
         .frame = std::move(bad_ip),
         .reason = REASON_IP_INVALID,
         .base = from_trunk,
         .given = [](World& world) { world.uppers[kUpperSlot].port.flags |= DEVICE_BRNF_IPV4; },
         .counted_at = kUpperSlot},
    };
}

std::vector<Case> unreachable_cases() {
    return {
        {.description = "from a VLAN device to a port that no XDP redirect reaches",
         .frame = on_trunk(),
         .base = from_trunk,
         .given = unreachable,
         .on_xdp = REASON_EGRESS_NOT_READY,
         .out = without_tag(on_trunk()),
         .counted_at = kUpperSlot},
        {.description = "to a VLAN device that no XDP redirect reaches",
         .frame = plain(),
         .base = to_trunk,
         .given = unreachable,
         .on_xdp = REASON_EGRESS_NOT_READY,
         .out = with_tag(plain(), k8021Q, kOtherVid)},
        {.description = "of several pages, to a VLAN device that takes none such by XDP",
         .frame = plain(6000),
         .base = to_trunk,
         .given = [](World& world) { world.uppers[kOtherUpperSlot].port.max_len = 9014; },
         .on_xdp = REASON_EGRESS_NOT_READY,
         .only = On::xdp},
        {.description = "of several pages, to a VLAN device that takes such by XDP",
         .frame = plain(6000),
         .base = to_trunk,
         .given =
             [](World& world) {
                 world.uppers[kOtherUpperSlot].port.max_len = 9014;
                 world.uppers[kOtherUpperSlot].port.flags |= DEVICE_XDP_FRAGS;
             },
         .only = On::xdp,
         .out = with_tag(plain(6000), k8021Q, kOtherVid)},
        {.description = "between VLAN devices that no XDP redirect reaches",
         .frame = on_trunk(),
         .base = within_trunk,
         .given = unreachable,
         .on_xdp = REASON_EGRESS_NOT_READY,
         .out = with_tag(without_tag(on_trunk()), k8021Q, kOtherVid),
         .counted_at = kUpperSlot,
         .returns = true},
    };
}

}  // namespace

std::vector<Case> vlan_device_cases() {
    std::vector<Case> all = forwarded_cases();
    for (const auto& part : {trunk_cases(), kernel_cases(), unreachable_cases()})
        all.insert(all.end(), part.begin(), part.end());
    return all;
}

}  // namespace underpass::test
