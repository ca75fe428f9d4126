// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/changes.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <memory>
#include <thread>

#include "lab/link.h"
#include "loader/error.h"
#include "netlink/socket.h"

namespace underpass::bench {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kThings = 1024;  // that are there, or not, at a time
constexpr std::uint64_t kSteps = 3;      // added, changed, deleted
constexpr std::chrono::milliseconds kTick(10);
constexpr std::size_t kMessage = 128;  // no change is longer
constexpr std::uint32_t kFirstVid = 1000;

// One after another each thing is added, then each is changed, then each deleted; so several are there at a time.
struct Turn {
    std::uint64_t thing, step;
};

Turn turn_of(std::uint64_t number) {
    return {number % kThings, number / kThings % kSteps};
}

std::array<unsigned char, 6> mac_of_thing(std::uint64_t thing) {
    return {0x02, 0x55, 0x43, 0, static_cast<unsigned char>(thing >> 8), static_cast<unsigned char>(thing)};
}

// In 198.18.0.0/15, which is for benchmarks.
std::uint32_t address_of_thing(std::uint64_t thing) {
    return htonl((198U << 24) | (18U << 16) | static_cast<std::uint32_t>(thing));
}

struct Close {
    void operator()(mnl_socket* socket) const noexcept { mnl_socket_close(socket); }
};
using Socket = std::unique_ptr<mnl_socket, Close>;

Socket open_socket() {
    Socket socket(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC));
    if (!socket || mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0)
        throw_errno(errno, "open a netlink socket");
    return socket;
}

// Waits for the kernel's word on the last of a batch; of the others it says only what it refuses.
void await(const Socket& socket, std::uint32_t last) {
    alignas(nlmsghdr) std::array<char, 8192> buffer{};
    for (;;) {
        const ssize_t size = mnl_socket_recvfrom(socket.get(), buffer.data(), buffer.size());
        if (size < 0) throw_errno(errno, "hear what became of changes");
        int left = static_cast<int>(size);
        for (const auto* message = reinterpret_cast<const nlmsghdr*>(buffer.data()); mnl_nlmsg_ok(message, left);
             message = mnl_nlmsg_next(message, &left)) {
            if (message->nlmsg_type != NLMSG_ERROR) continue;
            const auto* answer = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(message));
            if (answer->error != 0) throw NetlinkError(-answer->error, "change what the bench changes");
            if (message->nlmsg_seq == last) return;
        }
    }
}

ndmsg* put_neighbour_header(nlmsghdr* message, std::uint64_t step) {
    message->nlmsg_type = step == 2 ? RTM_DELNEIGH : RTM_NEWNEIGH;
    message->nlmsg_flags = step == 2 ? 0 : NLM_F_CREATE | NLM_F_REPLACE;
    return static_cast<ndmsg*>(mnl_nlmsg_put_extra_header(message, sizeof(ndmsg)));
}

}  // namespace

Changes::Changes(const Topology& topology, ChangeKind kind, std::uint32_t per_second)
    : topology_(topology),
      kind_(kind),
      per_second_(per_second),
      bridge_(topology.bridge().run([] { return number(lab::ifindex(kBridge)); })),
      left_(topology.end(Ports::wires, Side::left).port),
      right_(topology.end(Ports::wires, Side::right).port) {}

// A static entry, which is changed by being moved to the other port.
void Changes::put_fdb(nlmsghdr* message, std::uint64_t number) const {
    const Turn turn = turn_of(number);
    ndmsg* header = put_neighbour_header(message, turn.step);
    header->ndm_family = AF_BRIDGE;
    header->ndm_ifindex = static_cast<int>(turn.step == 0 ? right_ : left_);
    header->ndm_state = NUD_NOARP;
    header->ndm_flags = NTF_MASTER;
    const auto mac = mac_of_thing(turn.thing);
    mnl_attr_put(message, NDA_LLADDR, mac.size(), mac.data());
}

void Changes::put_neighbour(nlmsghdr* message, std::uint64_t number) const {
    const Turn turn = turn_of(number);
    ndmsg* header = put_neighbour_header(message, turn.step);
    header->ndm_family = AF_INET;
    header->ndm_ifindex = static_cast<int>(bridge_);
    header->ndm_state = NUD_PERMANENT;
    mnl_attr_put_u32(message, NDA_DST, address_of_thing(turn.thing));
    const auto mac = mac_of_thing(turn.thing + turn.step * kThings);
    if (turn.step != 2) mnl_attr_put(message, NDA_LLADDR, mac.size(), mac.data());
}

// To one address, by the bridge; it is changed by another MTU.
void Changes::put_route(nlmsghdr* message, std::uint64_t number) const {
    const Turn turn = turn_of(number);
    message->nlmsg_type = turn.step == 2 ? RTM_DELROUTE : RTM_NEWROUTE;
    message->nlmsg_flags = turn.step == 2 ? 0 : NLM_F_CREATE | NLM_F_REPLACE;
    auto* header = static_cast<rtmsg*>(mnl_nlmsg_put_extra_header(message, sizeof(rtmsg)));
    header->rtm_family = AF_INET;
    header->rtm_dst_len = 32;
    header->rtm_table = RT_TABLE_MAIN;
    header->rtm_protocol = RTPROT_STATIC;
    header->rtm_scope = RT_SCOPE_LINK;
    header->rtm_type = RTN_UNICAST;
    mnl_attr_put_u32(message, RTA_DST, address_of_thing(turn.thing));
    mnl_attr_put_u32(message, RTA_OIF, bridge_);
    if (turn.step != 1) return;
    nlattr* metrics = mnl_attr_nest_start(message, RTA_METRICS);
    mnl_attr_put_u32(message, RTAX_MTU, 1400);
    mnl_attr_nest_end(message, metrics);
}

// At the right port; it is changed by becoming untagged.
void Changes::put_vlan(nlmsghdr* message, std::uint64_t number) const {
    const Turn turn = turn_of(number);
    message->nlmsg_type = turn.step == 2 ? RTM_DELLINK : RTM_SETLINK;
    auto* header = static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(message, sizeof(ifinfomsg)));
    header->ifi_family = AF_BRIDGE;
    header->ifi_index = static_cast<int>(right_);
    bridge_vlan_info vlan = {.flags = static_cast<std::uint16_t>(turn.step == 1 ? BRIDGE_VLAN_INFO_UNTAGGED : 0),
                             .vid = static_cast<std::uint16_t>(kFirstVid + turn.thing)};
    nlattr* family = mnl_attr_nest_start(message, IFLA_AF_SPEC);
    mnl_attr_put(message, IFLA_BRIDGE_VLAN_INFO, sizeof(vlan), &vlan);
    mnl_attr_nest_end(message, family);
}

void Changes::put(nlmsghdr* message, std::uint64_t number) const {
    switch (kind_) {
        case ChangeKind::fdb: return put_fdb(message, number);
        case ChangeKind::neighbour: return put_neighbour(message, number);
        case ChangeKind::route: return put_route(message, number);
        case ChangeKind::vlan: return put_vlan(message, number);
    }
}

Changes::Done Changes::run(const std::stop_token& stop, int cpu) {
    Done done;
    run_at({topology_.bridge().fd(), cpu}, [&] {
        const Socket socket = open_socket();
        std::uint32_t sequence = 0;
        std::uint64_t next = 0;
        const auto change = [&](std::uint64_t count) {
            alignas(nlmsghdr) std::array<char, 64 * kMessage> buffer{};
            while (count > 0) {
                const std::uint64_t batch = std::min<std::uint64_t>(count, buffer.size() / kMessage);
                std::size_t used = 0;
                for (std::uint64_t i = 0; i < batch; i++) {
                    nlmsghdr* message = mnl_nlmsg_put_header(buffer.data() + used);
                    put(message, next++);
                    message->nlmsg_seq = ++sequence;
                    message->nlmsg_flags = static_cast<std::uint16_t>(message->nlmsg_flags | NLM_F_REQUEST |
                                                                      (i + 1 == batch ? NLM_F_ACK : 0));
                    used += MNL_ALIGN(message->nlmsg_len);
                }
                if (mnl_socket_sendto(socket.get(), buffer.data(), used) < 0) throw_errno(errno, "send changes");
                await(socket, sequence);
                count -= batch;
            }
        };
        const auto start = Clock::now();
        for (auto tick = start; !stop.stop_requested(); tick += kTick) {
            std::this_thread::sleep_until(tick);
            const double passed = std::chrono::duration<double>(tick + kTick - start).count();
            const auto due = static_cast<std::uint64_t>(passed * per_second_);
            if (due > next) change(due - next);
        }
        done.in_time = next;
        done.seconds = std::chrono::duration<double>(Clock::now() - start).count();
        constexpr std::uint64_t kRound = kThings * kSteps;  // at its end all are deleted
        change((kRound - next % kRound) % kRound);
        done.all = next;
    });
    return done;
}

}  // namespace underpass::bench
