// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A host that routes between its bridge and an uplink, for one hook, and who is beside it.
//
//   client ── port "c" ─ [br0] router "up" ── server
//   other  ── port "d" ─┘
#pragma once

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "harness/process.h"
#include "harness/test_net.h"

namespace underpass::test {

class RouteTest : public TestNet, public ::testing::WithParamInterface<const char*> {
protected:
    void SetUp() override;

    static void shell(const lab::Namespace& where, const std::string& commands);
    static std::string answer(const lab::Namespace& where, const std::vector<std::string>& command);

    void up() const;
    nlohmann::json ask(const std::string& operation) const;
    // Frames that came in by the port, or by all: routed fast so far, or of those `what`, as `status` has it.
    std::uint64_t routed(const std::string& port = "", const std::string& what = "routed") const;
    // `flows` lists what goes on while it looks.
    bool lists_flow(const std::string& out) const;

    const lab::Namespace *router_ = nullptr, *client_ = nullptr, *other_ = nullptr, *server_ = nullptr;
};

}  // namespace underpass::test
