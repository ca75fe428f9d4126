// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The programs and their maps, as one generation: loaded together, pinned together.
//
// A daemon that starts finds the pins of the one before it. If all maps have our shape and ABI they are adopted, with
// what they hold; else new ones are made, and the old stay pinned and in use until pin() and the attachments replace
// them. Nothing that is running is disturbed by loading.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "loader/map.h"
#include "loader/pin.h"
#include "maps/control.h"
#include "maps/counters.h"
#include "maps/device.h"
#include "maps/fdb.h"
#include "maps/flow.h"
#include "maps/memo.h"
#include "maps/tunnel.h"
#include "maps/vlan.h"

struct bpf_object;
struct ring_buffer;
struct xdp_program;

namespace underpass {

struct BpfObjectDeleter {
    void operator()(bpf_object* object) const noexcept;
};
using BpfObject = std::unique_ptr<bpf_object, BpfObjectDeleter>;

struct XdpProgramDeleter {
    void operator()(xdp_program* program) const noexcept;
};
// What libxdp made of an XDP object.
struct LoadedXdp {
    BpfObject object;
    std::unique_ptr<xdp_program, XdpProgramDeleter> program;
    bool by_libxdp = false;  // in the form that it chose for a device
};

// The heartbeat's record, mapped into our memory.
class Heartbeat {
public:
    explicit Heartbeat(int map_fd);
    Heartbeat(Heartbeat&& other) noexcept : control_(std::exchange(other.control_, nullptr)) {}
    Heartbeat& operator=(Heartbeat&& other) noexcept {
        std::swap(control_, other.control_);
        return *this;
    }
    ~Heartbeat();

    // The maps may be believed: they have all that had happened by `as_of_ns`, a now_ns() from before it was taken in.
    // So a daemon that is held up between the two does not vouch for what it missed.
    void beat(std::uint64_t as_of_ns = now_ns());
    static std::uint64_t now_ns();  // CLOCK_MONOTONIC_COARSE
    void distrust();                // from now on everything goes the kernel's way, until the next beat
    std::uint64_t age_ns() const;   // since the last beat; UINT64_MAX if there was none
    // What routing depends on has changed: the kernel is asked anew about every flow.
    void tell_change();
    // Of the FDB something was taken away, or made another thing: what was remembered of it ends.
    void tell_fdb_change();
    std::uint32_t fdb_generation() const;
    // Families whose routed packets rules see (enum control_flags). True if it was otherwise.
    bool set_tracked(std::uint32_t flags);

private:
    control* control_ = nullptr;
};

// What the programs ask for, in the order in which they did.
class Requests {
public:
    explicit Requests(int map_fd);

    int fd() const;  // readable when there are some
    std::vector<flow_request> take();

private:
    struct Close {
        void operator()(ring_buffer* buffer) const noexcept;
    };
    // libbpf calls back with its address, which stays when this moves.
    std::unique_ptr<std::vector<flow_request>> taken_;
    std::unique_ptr<ring_buffer, Close> buffer_;
};

class Programs {
public:
    // How many entries the maps can hold. Throws VerifierError, std::system_error.
    struct Sizes {
        std::uint32_t fdb = FDB_DEFAULT_SIZE;
        std::uint32_t flows = FLOWS_DEFAULT_SIZE;
    };
    static Programs load(const PinDirectory& pins, const Sizes& sizes);

    // Whether the maps of an earlier daemon are in use.
    bool adopted() const { return adopted_; }
    // Why the programs cannot look connections up: the kernel's words; empty: they can.
    const std::string& why_no_connections() const { return why_no_connections_; }
    // Makes the maps findable for the next daemon.
    void pin(const PinDirectory& pins) const;

    int tc_fd() const;
    int witness_fd() const;
    // A fresh XDP object on the same maps, not loaded: libxdp loads it itself, in the form that the device needs. To
    // look connections up it needs the kernel's types, which take long to read: until then, what is tracked is left to
    // the TC program behind it.
    BpfObject open_xdp() const;
    // From now on. False if it was so, or connections cannot be looked up here.
    bool let_xdp_find_connections() {
        if (!why_no_connections_.empty() || std::exchange(xdp_finds_connections_, true)) return false;
        loaded_xdp.program.reset();
        loaded_xdp.object.reset();
        loaded_xdp.by_libxdp = false;
        return true;
    }
    // For one device, and so there for all that it suits. Empty: none is loaded yet.
    LoadedXdp loaded_xdp;

    Map<std::uint32_t, std::uint32_t> device_index;
    Map<std::uint32_t, device> devices;
    Map<fdb_key, fdb_entry> fdb;
    Map<std::uint32_t, std::uint32_t> tx_ports;
    PerCpuArray<device_counters> counters;
    Map<std::uint32_t, struct port_vlans> port_vlans;
    Map<vlan_upper_key, std::uint32_t> vlan_uppers;
    PerCpuHash<vlan_count_key, struct vlan_counters> vlan_counters;
    Map<flow_key, flow> flows;
    Map<tunnel_key, std::uint32_t> tunnels;
    Map<fdb_key, vtep> vteps;
    Requests requests;
    std::uint32_t fdb_size = 0;
    std::uint32_t flows_size = 0;
    Heartbeat heartbeat;

private:
    Programs(BpfObject tc, bool adopted, std::string why_no_connections);

    BpfObject tc_;
    bool adopted_;
    std::string why_no_connections_;
    bool xdp_finds_connections_ = false;
};

// Ids of all programs in the kernel with this name.
std::vector<std::uint32_t> program_ids(const std::string& name);

// The number of CPUs that per-CPU maps have a copy for.
std::size_t possible_cpus();

}  // namespace underpass
