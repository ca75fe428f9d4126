// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What random lives of a host that routes between two bridges have in common: the host at port P is 10.9.B.(10+P), B
// being its bridge, and the host itself 10.9.B.1 on each. All neighbours are known, so that nothing but what was sent
// is on the wires.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "scenario.h"

namespace underpass::test {

class RoutedLife {
protected:
    explicit RoutedLife(std::uint64_t seed) : random_(seed) {}

    std::uint64_t below(std::uint64_t limit) { return random_() % limit; }
    bool chance(std::uint64_t percent) { return below(100) < percent; }
    template <class List>
    auto any_of(const List& list) {
        return list[below(list.size())];
    }
    std::size_t any_port() { return below(scenario_.ports); }
    void step(Step step) { scenario_.steps.push_back(std::move(step)); }
    void type(std::string line) { step(Command{std::move(line)}); }
    void send(std::size_t port, Frame frame);  // no longer than the wire takes

    static std::size_t bridge_of(std::size_t port) { return port % 2; }
    static std::string address(std::size_t port);
    static std::string neighbour(std::size_t port, const MacAddr& mac);

    // Addresses, routes and neighbours, and every host has spoken.
    void begin();
    // Such changes end, all of them: routes and rules outlive the bridges.
    void undo_changes();
    // What a router has to look at frame by frame.
    void make_odd(IPv4& ip);
    // Something that routing depends on, or the end of such a change. Of the last two kinds some keep frames from the
    // host's IP altogether.
    static constexpr std::uint64_t kChanges = 9, kChangesOfRouting = 7;
    void change(std::uint64_t kinds = kChanges);

    std::mt19937_64 random_;
    Scenario scenario_;

private:
    std::vector<std::string> undo_;
};

}  // namespace underpass::test
