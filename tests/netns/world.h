// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// One bridge of a scenario and everything around it, in namespaces of its own: the plain kernel's world, or one in
// which Underpass runs. The same steps are done in several worlds, and what comes out is compared.
//
//   far namespace   f0 ... f7                     sockets that send and receive whole frames
//                    |      |                     (veth)
//   host namespace  p0 ... p7   [br0]   [br1]     and the host itself, by sockets at the bridges and
//                    |            |               at those VLAN devices that are no ports
//                    v8 ... v10 (VLAN devices)
//
// Whoever calls apply() has to stay on one CPU: the kernel queues what is on its way by CPU, so a frame that is sent
// afterwards through a pair of devices of its own arrives when all that was sent before it has.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "harness/frame_socket.h"
#include "harness/process.h"
#include "harness/test_net.h"
#include "scenario.h"

namespace underpass::test {

// What came out, by device: "f0" to "f7", and "br0", "br1", "v8" ... for what the host got.
using Output = std::map<std::string, std::vector<Frame>>;

class World {
public:
    // `hook`: "tc" or "xdp", with Underpass on every bridge; empty: the plain kernel.
    World(Net& net, const std::string& name, const std::string& hook);

    // Fresh bridges, and so many ports, all up and forwarding, or none.
    void begin(const Scenario& scenario);
    void end();

    // Empty, or why the kernel refused it. A frame that was sent has come out wherever it does.
    std::string apply(const Step& step);
    // Adds what has arrived since to `output`.
    void collect(Output& output);
    // "02:... p1 static", one line an entry, in order.
    std::set<std::string> fdb() const;
    // Frames that took the fast path since begin(), those of them that were translated, and all that were counted.
    struct Share {
        std::uint64_t fast = 0;
        std::uint64_t translated = 0;
        std::uint64_t all = 0;
    };
    Share share() const;

    const std::string& name() const { return name_; }
    // The far ends get frames as a wire brings them: tags in the bytes.
    bool is_wire() const { return wire_; }
    static bool is_far(const std::string& device) { return device.starts_with('f'); }

private:
    void send(const Send& send);
    void settle();
    void do_step(const Step& step);
    void set_up(std::size_t port, bool up);
    void join(std::size_t port, std::size_t bridge);
    void leave(std::size_t port);
    void create(const CreateVlanDevice& device);
    void remove(std::size_t vlan_device);
    static bool is_up(const lab::Namespace& where, const std::string& device);
    static void wait_for_carrier(const lab::Namespace& where, const std::string& device, bool carrier);
    void type(const std::string& line) const;
    void catch_up() const;

    std::string name_;
    bool wire_;
    const lab::Network& network_;
    const lab::Namespace& host_;
    const lab::Namespace& far_;
    std::vector<FrameSocket> far_sockets_;
    std::vector<FrameSocket> bridge_sockets_;
    std::map<std::size_t, std::optional<std::size_t>> vlan_devices_;  // that are there, and what they are on
    std::map<std::size_t, FrameSocket> vlan_sockets_;                 // of those that are no ports
    std::vector<FrameSocket> marker_sockets_;                         // where a marker is sent, and where it arrives
    std::optional<Child> daemon_;
};

}  // namespace underpass::test
