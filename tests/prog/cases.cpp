// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "prog/cases.h"

namespace underpass::test {

namespace {

constexpr std::ptrdiff_t kTagOffset = 12, kTagSize = 4;

unsigned type_of(const Frame& frame) {
    return unsigned{frame.at(12)} << 8U | frame.at(13);
}

}  // namespace

World Case::world() const {
    World world;
    if (base != nullptr) base(world);
    if (given != nullptr) given(world);
    return world;
}

bool Case::has_test_run(On hook) const {
    const unsigned type = type_of(frame);
    const bool no_whole_ip = (type == 0x0800 && frame.size() < 14 + 20) || (type == 0x86dd && frame.size() < 14 + 40);
    return hook == On::xdp || !(no_whole_ip || not_in_bytes);
}

bool Case::is_live() const {
    return runs_on(On::tc) && gso.size == 0 && (!has_test_run(On::tc) || has_tag(frame) || !out.empty());
}

Frame between_hosts(const Layer& first, const std::vector<Layer>& more) {
    Stack stack = Ethernet{.destination = kTo, .source = kFrom} / first;
    for (const auto& layer : more) stack = stack / layer;
    return stack / PadTo{60};
}

Frame plain(std::size_t size) {
    constexpr std::size_t kHeaders = 14 + 20 + 8;
    return between_hosts(IPv4{}, {UDP{}, Payload{size - kHeaders}});
}

Frame tagged(const Vlan& tag) {
    return between_hosts(tag, {IPv4{}, UDP{}});
}

bool has_tag(const Frame& frame) {
    return frame.size() >= 18 && (type_of(frame) == k8021Q || type_of(frame) == k8021AD);
}

Frame with_tag(const Frame& frame, std::uint16_t protocol, std::uint16_t tci) {
    Frame result = frame;
    result.insert(result.begin() + kTagOffset,
                  {static_cast<std::uint8_t>(protocol >> 8), static_cast<std::uint8_t>(protocol),
                   static_cast<std::uint8_t>(tci >> 8), static_cast<std::uint8_t>(tci)});
    return result;
}

Frame without_tag(const Frame& frame) {
    Frame result = frame;
    result.erase(result.begin() + kTagOffset, result.begin() + kTagOffset + kTagSize);
    return result;
}

const std::vector<Case>& all_cases() {
    static const std::vector<Case> cases = [] {
        std::vector<Case> all;
        for (auto* part : {&admit_cases, &source_cases, &bridge_cases, &netfilter_cases, &vlan_cases,
                           &vlan_device_cases, &vlan_length_cases})
            for (auto& each : part()) all.push_back(std::move(each));
        return all;
    }();
    return cases;
}

}  // namespace underpass::test
