// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What a daemon must know of the one before it and the kernel does not tell: which bridges were asked for, what was
// attached where, which features of devices were turned off for that. A small JSON file under
// /run/underpass/<namespace>/, written anew in one step on every change; it goes with a reboot, as the attachments do.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "loader/attach.h"
#include "model/rules.h"

namespace underpass {

struct Attached {
    std::optional<TcMethod> tc;
    std::optional<TcMethod> witness;  // TcPoint::egress
    std::optional<XdpMethod> xdp;
    std::set<std::string> features_off;  // of the device, which were on before: to be turned on again in the end

    bool operator==(const Attached&) const = default;
};

struct State {
    Selection selection;
    std::map<Ifindex, Attached> attached;

    bool operator==(const State&) const = default;
};

// The run-time files of the calling thread's network namespace.
struct RunDirectory {
    std::filesystem::path path;

    static RunDirectory of_this_namespace();

    std::filesystem::path socket() const { return path / "control.sock"; }
    std::filesystem::path lock() const { return path / "lock"; }
    std::filesystem::path log() const { return path / "daemon.log"; }
    std::filesystem::path state() const { return path / "state.json"; }
    std::filesystem::path fresh_state() const { return path / "state.json.new"; }  // while it is written

    void remove() const;  // with all our files, and the common parent if that is empty
};

// Absent: no file. Throws std::runtime_error if it is there but cannot be understood.
std::optional<State> read_state(const RunDirectory& directory);
void write_state(const RunDirectory& directory, const State& state);

// Throws a sentence if this network namespace has no device of that name.
void require_device(const std::string& name);

// Whether the device's traffic control holds nothing but ours.
bool is_alone(const Host& host, Ifindex device);

// Turns features of a device on again. One that has vanished is no error; throws std::system_error if the driver
// refuses.
void restore_features(const std::string& device, const std::set<std::string>& features);

// Detaches and unpins everything that `state` and the pins name, and turns features on again: what a crashed daemon
// left. Needs no daemon. Throws what restore_features() does, once all else is done.
void clean_up(const PinDirectory& pins, const State& state);

}  // namespace underpass
