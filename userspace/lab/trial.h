// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What a lab's file promises, tried: expectations become tries, one for each address, and tries become outcomes.
//
// To reach means that every echo is answered and that TCP carries data there and back; to be isolated, that no echo is
// answered and no connection comes about. A server for the connection is made where the address is, so what is tried
// is that node and nobody who answers in its place. Of an address that several nodes have (in networks that know
// nothing of each other) only a named namespace can be told apart so; else echoes decide.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "lab/guest.h"
#include "lab/namespace.h"
#include "lab/ping.h"
#include "lab/spec.h"

namespace underpass::lab {

// One promise about one address.
struct Try {
    bool reach = true;  // else: isolated
    std::string from;   // a node
    std::string to;     // a node or an address, as the expectation has it
    IpAddress address;

    bool operator==(const Try&) const = default;
};

// In the order of the expectations. Left out is what nothing can be learnt from: a node's own addresses, addresses
// that never leave a node (loopback, link-local of IPv6) or are a group's, and reaching one of a family that `from` has
// no address of, unless nothing else of that expectation remained. The spec's names are those of its nodes (check.h).
std::vector<Try> tries(const Spec& spec);

struct Outcome {
    Try what;
    bool held = false;
    std::string told;  // "0.05 ms, 1.0 MiB both ways in 3 ms", or what was otherwise than promised
};

// The lab that is up. Both are called from many threads at a time, `run_in_guest` once at a time for each guest.
struct TrialWorld {
    // Of a node of kind `space`; it outlives the trial.
    std::function<const Namespace&(const std::string& node)> space;
    // A command of a guest's shell; may throw. Guests have a TCP server at port 7 that sends back what it gets.
    std::function<GuestAnswer(const std::string& node, const std::string& command)> run_in_guest;
};

// Side by side, first what shall reach, then, when the tables are full and the machine is idle, what shall be isolated.
// Outcomes have the order of `what`; `done` gets each as it comes, one at a time. A try that throws has not held.
// Throws Interrupted, and what `done` throws, once the tries under way have ended.
std::vector<Outcome> run_tries(const Spec& spec, const std::vector<Try>& what, const TrialWorld& world,
                               const std::function<void(const Outcome&)>& done = {});

// What busybox's ping printed about `count` echoes.
PingResult read_guest_ping(std::string_view output, std::size_t count);

}  // namespace underpass::lab
