// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The network of one test: namespaces with names that derive from the test's own, and everything in them gone with it.
//
//   TEST_F(TestNet, forwards) {
//       const lab::Namespace& host = make("host");      // "TestNet-forwards-host", shortened by a hash if too long
//       host.run([] { lab::create_bridge("br0"); ... });
//   }
//
// Skips where it is not root. In the end, passed, failed, thrown or killed: processes in its namespaces are killed,
// what Underpass has pinned and noted for them is removed, and so are they. (After a kill a process of its own does
// that, which waits for nothing else.) What is left even so is removed before the next run.
#pragma once

#include <gtest/gtest.h>

#include <list>
#include <string>

#include "lab/link.h"
#include "lab/network.h"
#include "model/types.h"

namespace underpass::test {

// A name of at most `longest` characters that belongs to the running test alone, and is the same in its next run.
std::string name_for_this_test(const std::string& part, std::size_t longest);

// The namespaces, for a test that is no TestNet.
class Net {
public:
    Net() = default;
    Net(const Net&) = delete;
    Net& operator=(const Net&) = delete;
    ~Net();

    // Stays where it is: the reference is good as long as this object.
    const lab::Namespace& make(const std::string& part);
    // A whole lab, likewise; `spec` gets a name of the test's own.
    const lab::Network& build(lab::Spec spec, const std::string& part = "");

private:
    std::list<lab::Namespace> namespaces_;
    std::list<std::pair<lab::Spec, lab::Network>> labs_;
};

// A port of a bridge in `host` and, at its other end, a device in a namespace of its own, both up and running, without
// IPv6, so that no frame comes of itself. The port forwards at once if the bridge is up.
struct Wire {
    const lab::Namespace& far;
    std::string port;    // in the host
    std::string device;  // in `far`; has the same name
};
// `wire_like`: the far end sends whole checksums and unsegmented frames, and takes what XDP redirects to the port.
Wire add_wire(Net& net, const lab::Namespace& host, const std::string& bridge, const std::string& name,
              bool wire_like = true, const lab::VethOptions& options = {});

class TestNet : public ::testing::Test {
protected:
    void SetUp() override;

    const lab::Namespace& make(const std::string& part) { return net_.make(part); }
    Net& net() { return net_; }

private:
    Net net_;
};

}  // namespace underpass::test
