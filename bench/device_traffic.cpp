// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/device_traffic.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <system_error>

#include "bench/frames.h"
#include "lab/interrupt.h"
#include "lab/link.h"
#include "loader/error.h"

namespace underpass::bench {

namespace {

using std::chrono::milliseconds;

// A driver that makes its rings anew for XDP has no carrier for a while.
void wait_until_up(const std::string& name) try {
    lab::wait_until_running(name);
} catch (const std::system_error& error) {
    if (error.code().value() != ETIMEDOUT) throw;
    throw std::runtime_error(
        fmt::format("{} is down, or has no carrier: `ip link set {} up`, and a cable, or what is for it", name, name));
}

void attach(std::optional<Sink>& sink, std::uint32_t index, const std::string& name) try {
    sink.emplace(index, Counts::marked);
} catch (const std::system_error& error) {
    if (error.code().value() != EBUSY && error.code().value() != EEXIST) throw;
    throw std::runtime_error(
        fmt::format("another XDP program is at {}, where the frames are to be counted: `underpass "
                    "down`, or `ip link set dev {} xdp off`",
                    name, name));
}

std::uint32_t network_order(const IpAddress& address) {
    std::uint32_t bytes = 0;
    std::memcpy(&bytes, address.storage.data(), sizeof(bytes));
    return bytes;
}

frame_template frame_there(const DeviceOptions& options, std::uint16_t frame_bytes) {
    return marked_frame(lab::mac(options.from), options.destination_mac.value_or(lab::mac(options.to)),
                        network_order(options.source), network_order(options.destination), frame_bytes);
}

// By a socket, whatever the driver.
void send_frame(std::uint32_t ifindex, const frame_template& frame) {
    const Fd socket(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
    if (!socket) throw_errno(errno, "make a packet socket");
    sockaddr_ll to = {};
    to.sll_family = AF_PACKET;
    to.sll_ifindex = static_cast<int>(ifindex);
    if (::sendto(socket.get(), &frame, TEMPLATE_WRITTEN, 0, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) < 0 &&
        errno != ENOBUFS)
        throw_errno(errno, "send a frame");
}

}  // namespace

std::uint32_t require_device(const std::string& name) {
    const std::uint32_t index = ::if_nametoindex(name.c_str());
    if (index == 0) throw std::runtime_error(fmt::format("there is no device {} (`ip link` shows all)", name));
    return index;
}

std::uint32_t require_up(const std::string& name) {
    const std::uint32_t index = require_device(name);
    ifreq request = {};
    name.copy(request.ifr_name, IF_NAMESIZE - 1);
    const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (::ioctl(socket.get(), SIOCGIFFLAGS, &request) != 0) throw_errno(errno, "ask for the state of " + name);
    if ((request.ifr_flags & IFF_UP) == 0)
        throw std::runtime_error(fmt::format("{} is down: `ip link set {} up`", name, name));
    return index;
}

DeviceSinks::DeviceSinks(const std::string& from, const std::string& to)
    : from_(require_up(from)), to_(require_up(to)) {
    attach(at_from_, from_, from);
    attach(at_to_, to_, to);
    for (const std::string& name : {from, to}) wait_until_up(name);
}

std::uint64_t DeviceSinks::settled() const {
    constexpr milliseconds kStep(20), kQuiet(100), kMost(2000);
    std::uint64_t last = at_to_->count().frames;
    milliseconds quiet(0);
    for (milliseconds passed(0); passed < kMost && quiet < kQuiet; passed += kStep) {
        lab::pause_for(kStep);
        const std::uint64_t now = at_to_->count().frames;
        quiet = now == last ? quiet + kStep : milliseconds(0);
        last = now;
    }
    return last;
}

DeviceTraffic::DeviceTraffic(const DeviceOptions& options, const DeviceSinks& sinks, std::uint16_t frame_bytes, int cpu)
    : sinks_(sinks),
      cpu_(cpu),
      there_(frame_there(options, TEMPLATE_WRITTEN)),
      back_(marked_frame(lab::mac(options.to), lab::mac(options.from), network_order(options.destination),
                         network_order(options.source), TEMPLATE_WRITTEN)),
      generator_({.ifindex = sinks.from(), .frame_bytes = frame_bytes, .flows = options.flows, .moved = true},
                 {frame_there(options, frame_bytes)}) {}

// A bridge learns from the first, and Underpass, which by then has read its entry, believes it when the host has been
// seen once more.
void DeviceTraffic::learn() {
    constexpr milliseconds kMirrored(60);
    for (int round = 0; round < 3; round++) {
        send_frame(sinks_.to(), back_);
        send_frame(sinks_.from(), there_);
        lab::pause_for(kMirrored);
    }
}

Traffic::Passed DeviceTraffic::forward(const Load& load) {
    Traffic::Passed passed;
    const std::uint64_t before = sinks_.settled();
    run_at({-1, cpu_}, [&] {
        const Sent sent = generator_.send_for(load);
        passed.sent = sent.frames;
        passed.seconds = sent.seconds;
    });
    lab::throw_if_interrupted();
    passed.received = sinks_.settled() - before;
    return passed;
}

}  // namespace underpass::bench
