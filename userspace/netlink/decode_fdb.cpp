// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The kernel's fdb_fill_info() and, of VXLAN devices, vxlan_fdb_info() read backwards.
#include "netlink/decode_fdb.h"

#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "netlink/attribute.h"

namespace underpass {
namespace {

// Newer than the headers this is built with.
constexpr std::uint32_t kExtLocked = 1U << 1;  // NTF_EXT_LOCKED, 6.2

constexpr std::uint16_t kMaxVid = 4094;

bool is_group(const IpAddress& address) {
    return address.v6 ? address.storage[0] == 0xff : address.storage[0] >> 4 == 0xe;
}

// Only a VXLAN device has entries with an IP address. Of groups and of all other addresses, which have more than one
// VTEP, nothing is kept. So one message tells all of an address.
std::optional<Event> decode_vtep(std::uint16_t type, const Payload<ndmsg>& payload) {
    FdbKey key{Ifindex{static_cast<std::uint32_t>(payload.header.ndm_ifindex)}, Vid::none, {}};
    std::optional<IpAddress> address;
    bool has_mac = false, has_address = false, special = false;
    const bool ok = for_each_attribute(payload.attributes, [&](const Attribute& attribute) {
        switch (attribute.type) {
            case NDA_LLADDR: return has_mac = store(key.mac, attribute.mac());
            case NDA_DST: address = attribute.ip(); return has_address = address.has_value();
            // A VTEP reached in another way than the device's others, or several.
            case NDA_PORT:
            case NDA_VNI:
            case NDA_IFINDEX:
            case NDA_SRC_VNI:
            case NDA_NH_ID: return special = true;
            default: return true;
        }
    });
    if (!ok || !has_mac || !key.mac.is_unicast() || (!has_address && !special)) return std::nullopt;
    if (type == RTM_DELNEIGH || special || is_group(*address)) return VtepGone{key};
    const bool fixed = (payload.header.ndm_state & (NUD_PERMANENT | NUD_NOARP)) != 0;
    return VtepChanged{key, {*address, fixed}};
}

}  // namespace

std::optional<Event> decode_fdb(const nlmsghdr* message) {
    if (message->nlmsg_type != RTM_NEWNEIGH && message->nlmsg_type != RTM_DELNEIGH) return std::nullopt;
    auto payload = payload_of<ndmsg>(message);
    if (!payload || payload->header.ndm_family != AF_BRIDGE || payload->header.ndm_ifindex <= 0) return std::nullopt;
    if (payload->header.ndm_flags & NTF_SELF) return decode_vtep(message->nlmsg_type, *payload);

    FdbKey key;
    bool has_mac = false;
    std::uint16_t vid = 0;
    std::uint32_t ext_flags = 0;
    bool ok = for_each_attribute(payload->attributes, [&](const Attribute& attribute) {
        switch (attribute.type) {
            case NDA_LLADDR: return has_mac = store(key.mac, attribute.mac());
            case NDA_MASTER: return store(key.bridge, attribute.ifindex());
            case NDA_VLAN: return store(vid, attribute.u16());
            case NDA_FLAGS_EXT: return store(ext_flags, attribute.u32());
            default: return true;
        }
    });
    if (!ok || !has_mac || key.bridge == Ifindex::none || vid > kMaxVid) return std::nullopt;
    key.vid = Vid{vid};
    if (message->nlmsg_type == RTM_DELNEIGH) return FdbGone{key};

    const auto device = Ifindex{static_cast<std::uint32_t>(payload->header.ndm_ifindex)};
    FdbRecord record;
    // An entry without a port is reported on the bridge itself.
    record.port = device == key.bridge ? Ifindex::none : device;
    record.local = payload->header.ndm_state & NUD_PERMANENT;
    record.is_static = payload->header.ndm_state & NUD_NOARP;
    record.sticky = payload->header.ndm_flags & NTF_STICKY;
    record.offloaded = payload->header.ndm_flags & NTF_OFFLOADED;
    record.locked = ext_flags & kExtLocked;
    return FdbChanged{key, record};
}

}  // namespace underpass
