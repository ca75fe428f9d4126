// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Raw frames at one device: sends them as they are, and receives what comes in there, whole.
//
// What is received is what was on the wire: a VLAN tag that the kernel put beside the bytes is put back. Frames that
// this host sends are not seen. A frame that the socket had no room for is an error, never a silent gap. Frames that
// the kernel has coalesced (GRO: TCP segments in a row) arrive as one.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "harness/frame.h"
#include "lab/namespace.h"
#include "loader/fd.h"

namespace underpass::test {

using std::chrono::milliseconds;

class FrameSocket {
public:
    // Sees everything from construction on. Throws std::system_error.
    FrameSocket(const lab::Namespace& where, const std::string& device);

    void send(const Frame& frame) const;
    // A TCP packet, untagged and without IP options, as a stack or a virtual machine hands it over: to be cut into
    // segments of so many bytes of payload when it leaves (GSO), their checksums still to be made.
    void send_uncut(Frame frame, std::uint16_t segment_bytes) const;

    // All that come in until `time` is over.
    std::vector<Frame> receive(milliseconds time);
    // All until `enough` of them have come, or `time` is over: the caller looks at what it got.
    std::vector<Frame> receive_until(const std::function<bool(const std::vector<Frame>&)>& enough, milliseconds time);
    std::vector<Frame> receive_count(std::size_t count, milliseconds time);
    // Forgets what came in so far.
    void discard();

    int fd() const noexcept { return fd_.get(); }
    const std::string& device() const noexcept { return device_; }

private:
    void send_bytes(const std::vector<std::uint8_t>& bytes) const;
    void throw_if_lost() const;

    std::string device_;
    Fd fd_;
    std::vector<std::uint8_t> buffer_;
};

}  // namespace underpass::test
