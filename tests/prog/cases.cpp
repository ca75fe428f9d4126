// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "prog/cases.h"

namespace underpass::test {

bool Case::is_live(On hook) const {
    const unsigned type = unsigned{frame.at(12)} << 8U | frame.at(13);
    return hook == On::tc && ((type == 0x0800 && frame.size() < 14 + 20) || (type == 0x86dd && frame.size() < 14 + 40));
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

const std::vector<Case>& all_cases() {
    static const std::vector<Case> cases = [] {
        std::vector<Case> all;
        for (auto* part : {&admit_cases, &source_cases, &bridge_cases, &netfilter_cases})
            for (auto& each : part()) all.push_back(std::move(each));
        return all;
    }();
    return cases;
}

}  // namespace underpass::test
