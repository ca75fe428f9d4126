// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "harness/test_net.h"

#include <fcntl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <sstream>
#include <stdexcept>

#include "harness/process.h"
#include "lab/ethtool.h"
#include "loader/error.h"
#include "loader/fd.h"

namespace underpass::test {

namespace {

// iproute2 shows longer ones badly, and a name is for people.
constexpr std::size_t kLongestName = 40;

// FNV-1a: the same in every build, as std::hash need not be.
std::string hash(const std::string& text) {
    std::uint32_t value = 2166136261U;
    for (const char c : text) value = (value ^ static_cast<std::uint8_t>(c)) * 16777619U;
    std::array<char, 9> hex{};
    std::snprintf(hex.data(), hex.size(), "%08x", value);
    return hex.data();
}

void remove_leftover(const std::string& name) {
    if (::access(("/run/netns/" + name).c_str(), F_OK) != 0) return;
    try {
        clear_out(lab::Namespace::open(name));
    } catch (const std::system_error&) {
        // The file of a namespace that was never mounted: the name alone has to go.
    }
    lab::Namespace::remove(name);
}

// In a process of its own: reads names, a line each, until all that could write more are gone; then none may be left.
[[noreturn]] void sweep(int names) {
    std::string text;
    std::array<char, 4096> part{};
    for (ssize_t length = 0; (length = ::read(names, part.data(), part.size())) > 0;)
        text.append(part.data(), static_cast<std::size_t>(length));
    std::istringstream lines(text);
    for (std::string name; std::getline(lines, name);) {
        try {
            remove_leftover(name);
        } catch (const std::exception& error) {
            std::fprintf(stderr, "%s stays: %s\n", name.c_str(), error.what());
        }
    }
    ::_exit(0);
}

// The process that sweeps.
class Sweeper {
public:
    Sweeper() {
        std::array<int, 2> ends{};
        if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw_errno(errno, "make a pipe");
        child_ = ::fork();
        if (child_ < 0) throw_errno(errno, "fork");
        if (child_ == 0) {
            ::close(ends[1]);
            ::setsid();  // what ends the tests from a terminal does not end it
            sweep(ends[0]);
        }
        ::close(ends[0]);
        names_ = Fd(ends[1]);
    }
    Sweeper(const Sweeper&) = delete;
    Sweeper& operator=(const Sweeper&) = delete;
    ~Sweeper() {
        names_ = Fd();
        ::waitpid(child_, nullptr, 0);
    }

    void tell(const std::string& name) const {
        const std::string line = name + "\n";
        if (::write(names_.get(), line.data(), line.size()) < 0) throw_errno(errno, "write into a pipe");
    }

private:
    pid_t child_ = -1;
    Fd names_;
};

// Removes the namespace once this process has ended without having done so itself.
void sweep_if_killed(const std::string& name) {
    static const Sweeper sweeper;
    sweeper.tell(name);
}

}  // namespace

std::string name_for_this_test(const std::string& part, std::size_t longest) {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    if (test == nullptr) throw std::logic_error("no test is running");
    std::string name = std::string(test->test_suite_name()) + "-" + test->name();
    for (char& c : name)
        if (c == '/') c = '-';  // a parameterized test's
    const std::size_t room = part.empty() ? longest : longest - part.size() - 1;
    if (name.size() > room) {
        const std::string digest = hash(name);
        name = name.substr(0, room > digest.size() ? room - digest.size() - 1 : 0);
        name += (name.empty() ? "" : "-") + digest;
    }
    return part.empty() ? name : name + "-" + part;
}

const lab::Namespace& Net::make(const std::string& part) {
    const std::string name = name_for_this_test(part, kLongestName);
    remove_leftover(name);
    sweep_if_killed(name);
    return namespaces_.emplace_back(lab::Namespace::create(name));
}

const lab::Network& Net::build(lab::Spec spec, const std::string& part) {
    spec.name = name_for_this_test(part, kLongestName);
    for (const lab::Node& node : spec.nodes) {
        remove_leftover(lab::namespace_name(spec.name, node.name));
        sweep_if_killed(lab::namespace_name(spec.name, node.name));
    }
    lab::Network network = lab::build(spec);
    return labs_.emplace_back(std::move(spec), std::move(network)).second;
}

Net::~Net() {
    const auto clear = [](const lab::Namespace& space) {
        try {
            clear_out(space);
        } catch (const std::exception& error) {
            ADD_FAILURE() << "what the test left in " << space.name() << " stays: " << error.what();
        }
    };
    for (const auto& space : namespaces_) clear(space);
    for (const auto& [spec, network] : labs_)
        for (const lab::Node& node : spec.nodes)
            if (node.kind == lab::NodeKind::space) clear(network.space(node.name));
}

Wire add_wire(Net& net, const lab::Namespace& host, const std::string& bridge, const std::string& name, bool wire_like,
              const lab::VethOptions& options) {
    const lab::Namespace& far = net.make(name);
    host.run([&] {
        lab::VethOptions there = options;
        there.peer_namespace = &far;
        lab::create_veth(name, name, there);
        lab::disable_ipv6(name);
        lab::set_master(name, bridge);
        lab::set_up(name);
    });
    far.run([&] {
        lab::disable_ipv6(name);
        lab::set_up(name);
        if (wire_like) lab::make_wire_like(name);
        lab::wait_until_running(name);
    });
    host.run([&] { lab::wait_until_running(name); });
    return {far, name, name};
}

void TestNet::SetUp() {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
}

}  // namespace underpass::test
