// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "pktgen/traffic.h"

#include <fmt/format.h>

#include <regex>
#include <sstream>

namespace underpass::pktgen {

namespace {

constexpr std::uint64_t kMost = 9999999999, kFastest = 1000000000;

bool is_ipv6(const Traffic& traffic) {
    return traffic.source.first.v6;
}

// The bytes that a packet has at the least: pktgen puts its own 16 behind the UDP header.
std::uint32_t smallest(const Traffic& traffic) {
    constexpr std::uint32_t kEthernet = 14, kTag = 4, kIpv4 = 20, kIpv6 = 40, kUdp = 8, kOwn = 16;
    return kEthernet + (traffic.vid ? kTag : 0) + (is_ipv6(traffic) ? kIpv6 : kIpv4) + kUdp + kOwn;
}

std::uint64_t share(std::uint64_t all, std::uint32_t thread, std::uint32_t threads) {
    return all / threads + (thread < all % threads ? 1 : 0);
}

class Lines {
public:
    template <class... Args>
    void add(fmt::format_string<Args...> format, Args&&... args) {
        lines_.push_back(fmt::format(format, std::forward<Args>(args)...));
    }
    std::vector<std::string> take() { return std::move(lines_); }

private:
    std::vector<std::string> lines_;
};

void add_addresses(const Traffic& traffic, Lines& lines) {
    const auto& [source, destination] = std::pair(traffic.source, traffic.destination);
    if (is_ipv6(traffic)) {
        lines.add("src6 {}", source.first.text());
        lines.add("dst6 {}", destination.first.text());
        return;
    }
    lines.add("src_min {}", source.first.text());
    lines.add("src_max {}", source.last.text());
    lines.add("dst_min {}", destination.first.text());
    lines.add("dst_max {}", destination.last.text());
}

// The last one is the first that is not taken, but for one port alone; so 65535 is in no range.
void add_ports(const char* end, const Range<std::uint16_t>& ports, Lines& lines) {
    lines.add("udp_{}_min {}", end, ports.first);
    lines.add("udp_{}_max {}", end, ports.is_one() ? ports.last : ports.last + 1);
}

}  // namespace

std::string fault_of(const Traffic& traffic, std::uint32_t threads) {
    if (!traffic.destination_mac.first.is_unicast() && (traffic.destination_mac.first.bytes[0] & 1) == 0)
        return "00:00:00:00:00:00 is nobody's address";
    if (traffic.source_mac && !traffic.source_mac->first.is_unicast())
        return fmt::format("{} cannot be where a frame comes from", traffic.source_mac->first.text());
    const std::initializer_list<const Range<IpAddress>*> both = {&traffic.source, &traffic.destination};
    for (const auto* range : both) {
        if (range->first.v6 != traffic.source.first.v6 || range->last.v6 != range->first.v6)
            return "addresses are all IPv4, or all IPv6";
        if (range->last < range->first)
            return fmt::format("{}-{} goes backwards", range->first.text(), range->last.text());
    }
    // What it has for a range of destinations takes any bits of the two.
    if (is_ipv6(traffic) && !(traffic.source.is_one() && traffic.destination.is_one()))
        return "of IPv6 the kernel's generator has no ranges: one address, please";
    const std::initializer_list<const Range<std::uint16_t>*> numbers = {&traffic.source_port, &traffic.destination_port,
                                                                        &traffic.size};
    for (const auto* range : numbers)
        if (range->last < range->first) return fmt::format("{}-{} goes backwards", range->first, range->last);
    for (const auto* ports : {&traffic.source_port, &traffic.destination_port})
        if (!ports->is_one() && ports->last == 65535) return "a range of ports ends at 65534 at the most";
    if (traffic.size.first < smallest(traffic))
        return fmt::format("such a packet has {} bytes at the least, not {}", smallest(traffic), traffic.size.first);
    if (traffic.vid && (*traffic.vid == 0 || *traffic.vid > 4094))
        return fmt::format("VLAN {}: they are numbered from 1 to 4094", *traffic.vid);
    if (traffic.priority > 7) return fmt::format("priority {}: they are numbered from 0 to 7", traffic.priority);
    // It reads ten digits, and takes a count of 0 for one without an end.
    if (traffic.count > kMost) return fmt::format("a count is {} at the most", kMost);
    if (traffic.rate && *traffic.rate > kFastest) return fmt::format("a rate is {} at the most", kFastest);
    if ((traffic.count > 0 && traffic.count < threads) || (traffic.rate && *traffic.rate < threads))
        return fmt::format("each of the {} threads sends one packet at the least", threads);
    if (traffic.burst == 0) return "a burst has one packet at the least";
    if (traffic.burst > 1 && traffic.way == Traffic::Way::queue)
        return "what goes through the queueing discipline goes one by one: no --burst";
    if (traffic.clone > 0 && traffic.way == Traffic::Way::receive)
        return "what is received cannot be sent again: no --clone";
    return "";
}

std::vector<std::string> device_commands(const Traffic& traffic, std::uint32_t thread, std::uint32_t threads) {
    Lines lines;
    constexpr const char* kWays[] = {"start_xmit", "queue_xmit", "netif_receive"};
    lines.add("xmit_mode {}", kWays[static_cast<int>(traffic.way)]);
    lines.add("count {}", share(traffic.count, thread, threads));
    lines.add("delay 0");
    if (traffic.rate) lines.add("ratep {}", share(*traffic.rate, thread, threads));
    lines.add("min_pkt_size {}", traffic.size.first);
    lines.add("max_pkt_size {}", traffic.size.last);
    lines.add("dst_mac {}", traffic.destination_mac.first.text());
    lines.add("dst_mac_count {}", traffic.destination_mac.count > 1 ? traffic.destination_mac.count : 0);
    if (traffic.source_mac) {
        lines.add("src_mac {}", traffic.source_mac->first.text());
        lines.add("src_mac_count {}", traffic.source_mac->count > 1 ? traffic.source_mac->count : 0);
    }
    if (traffic.vid) {
        lines.add("vlan_id {}", *traffic.vid);
        lines.add("vlan_p {}", traffic.priority);
    }
    add_addresses(traffic, lines);
    add_ports("src", traffic.source_port, lines);
    add_ports("dst", traffic.destination_port, lines);
    if (traffic.random)
        for (const char* flag : {"IPSRC_RND", "IPDST_RND", "UDPSRC_RND", "UDPDST_RND", "MACSRC_RND", "MACDST_RND"})
            lines.add("flag {}", flag);
    if (threads > 1) lines.add("flag QUEUE_MAP_CPU");
    lines.add("burst {}", traffic.burst);
    lines.add("clone_skb {}", traffic.clone);
    return lines.take();
}

// "Result: OK: 1000094(c1000012+d82) usec, 1000 (60byte,0frags)\n  999pps 0Mb/sec (479520bps) errors: 0"
std::optional<Result> parse_result(const std::string& text) {
    static const std::regex pattern(
        R"(Result: OK: (\d+)\(c\d+\+d\d+\) usec, (\d+) \(\d+byte,\d+frags\)\s+\d+pps [^\n]*errors: (\d+))");
    std::smatch found;
    if (!std::regex_search(text, found, pattern)) return std::nullopt;
    try {
        return Result{.packets = std::stoull(found[2]),
                      .errors = std::stoull(found[3]),
                      .seconds = static_cast<double>(std::stoull(found[1])) / 1e6};
    } catch (const std::out_of_range&) {
        return std::nullopt;
    }
}

std::uint64_t parse_progress(const std::string& text) {
    static const std::regex pattern(R"(pkts-sofar: (\d{1,19})\b)");
    std::smatch found;
    return std::regex_search(text, found, pattern) ? std::stoull(found[1]) : 0;
}

// "Running: \nStopped: eth0@0 \nResult: NA"
std::vector<std::string> parse_devices(const std::string& text) {
    std::vector<std::string> devices;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        if (!line.starts_with("Running:") && !line.starts_with("Stopped:")) continue;
        std::istringstream words(line.substr(line.find(':') + 1));
        for (std::string word; words >> word;) devices.push_back(word);
    }
    return devices;
}

}  // namespace underpass::pktgen
