// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A Spec as a real network: its namespaces, with all that is in them.
//
// build() makes it; if anything fails, or a step throws, what was made is gone again. What build() returns is removed
// with the object, unless keep() was called. Guests and acceleration are not its matter: whoever calls starts them.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <string>

#include "lab/namespace.h"
#include "lab/spec.h"

namespace underpass::lab {

class Network {
public:
    // Opens what build() made and keep() left. Throws std::system_error if a namespace is gone.
    static Network open(const Spec& spec);

    // Of a node that is a namespace. Throws std::out_of_range.
    const Namespace& space(const std::string& node) const { return spaces_.at(node); }
    void keep();

private:
    friend class Builder;

    std::map<std::string, Namespace> spaces_;
};

// What somebody wants to know meanwhile. Each may be empty; what they throw ends the building.
struct BuildObserver {
    std::function<void(const std::string& object)> step;            // before each object: "veth host:a - a:eth0"
    std::function<void(const std::string& namespace_name)> making;  // before a namespace's name is taken
    std::function<void(const Namespace&)> made;
};

// How many times `step` will be called.
std::size_t steps_of(const Spec& spec);

// Namespaces are named by spec.name. Throws what the kernel refuses, with the device's and the node's name.
Network build(const Spec& spec, const BuildObserver& observer = {});

}  // namespace underpass::lab
