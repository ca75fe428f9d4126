// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Conversations by way of a host that routes, and may translate: frames that fit together, and odd ones between them.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "routed_life.h"

namespace underpass::test {

inline constexpr std::uint8_t kIcmp = 1, kTcp = 6, kUdp = 17;
inline constexpr std::size_t kClient = 0, kServer = 1;

// One end of a conversation: who it is, and whom it believes to talk to.
struct End {
    std::size_t port = 0;
    std::string own, peer;
    std::uint16_t own_port = 0, peer_port = 0;
    std::uint32_t sequence = 0;  // of what it says next
};

struct Conversation {
    std::uint8_t protocol = kTcp;
    std::array<End, 2> ends;
    std::uint32_t count = 0;
    bool young = true;  // none of it can go fast yet
};

class TalkingLife : protected RoutedLife {
protected:
    using RoutedLife::RoutedLife;

    void open(Conversation& one);
    // As it should be.
    void say(Conversation& one, std::size_t from);
    // So many, by either, some of them odd.
    void mix(Conversation& one, std::size_t count);
    // TCP alone ends, in one way or another, or begins anew.
    void close(Conversation& one);

private:
    IPv4 header(const End& from);
    Layer upper(const Conversation& one, std::size_t from);
    void send_from(const End& end, const Stack& frame) { send(end.port, frame); }
    // The TCP frame of these flags alone, which count as they do in its sequence numbers.
    void flag(Conversation& one, std::size_t from, std::uint8_t flags);
    // One that says nothing new, but has something about it.
    void say_odd(Conversation& one, std::size_t from);
    using RoutedLife::make_odd;
    void make_odd(TCP& tcp, bool young);
    void make_odd(UDP& udp, bool young);
    // A payload with which the checksum is 0, as it is sent or as it arrives translated.
    Bytes sum_to_zero(const Conversation& one, std::size_t from, Layer layer);
    // In two parts, or one of them alone.
    void send_fragments(const End& end, IPv4 ip, const Layer& layer, std::size_t size);
    // About something that has come to this end.
    void send_error(const Conversation& one, std::size_t from);

    bool scaled_ = false;  // windows
};

}  // namespace underpass::test
