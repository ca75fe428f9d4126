// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// EVPN as FRR sets it up: its BGP tells each machine which addresses are behind which VTEP, and zebra writes that into
// the FDBs of bridge and VXLAN device. Underpass takes it from there, and never knows of BGP.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pwd.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <list>
#include <thread>

#include "trial.h"
#include "vxlan_fixture.h"

namespace underpass::test {

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using ::testing::HasSubstr;

constexpr const char* kPrograms = "/usr/lib/frr";
constexpr std::size_t kMachines = 3;
constexpr milliseconds kGenerous{2000};

milliseconds patience() {
    return milliseconds(is_emulated() ? 300000 : 60000);
}

template <class Done>
bool eventually(Done&& done) {
    for (const auto end = Clock::now() + patience(); Clock::now() < end;) {
        if (done()) return true;
        std::this_thread::sleep_for(milliseconds(50));
    }
    return done();
}

// zebra and bgpd of one machine, with files and sockets of their own. They end with this object.
class Router {
public:
    Router(const lab::Namespace& where, const fs::path& directory, const std::string& bgp)
        : where_(&where), directory_(directory) {
        fs::create_directories(directory_);
        const passwd* user = ::getpwnam("frr");
        if (user == nullptr || ::chown(directory_.c_str(), user->pw_uid, user->pw_gid) != 0)
            throw std::runtime_error("cannot give " + directory_.string() + " to the user frr");
        start("zebra", fmt::format("hostname {}\n", where.name()));
        if (!eventually([this] { return fs::exists(directory_ / "zserv"); }))
            throw std::runtime_error("zebra does not start: " + programs_.front().err());
        start("bgpd", bgp);
    }
    ~Router() {
        for (Child& each : programs_) {
            if (each.running()) each.signal(SIGTERM);
            each.wait(milliseconds(5000));
        }
    }
    Router(const Router&) = delete;
    Router& operator=(const Router&) = delete;

    std::string ask(const std::string& command) const {
        return run(*where_, {"vtysh", "--vty_socket", directory_, "-c", command}).text();
    }

private:
    void start(const std::string& program, const std::string& config) {
        const fs::path file = directory_ / (program + ".conf");
        std::ofstream(file) << config;
        programs_.emplace_back(*where_,
                               std::vector<std::string>{fmt::format("{}/{}", kPrograms, program), "-f", file, "-i",
                                                        directory_ / (program + ".pid"), "-z", directory_ / "zserv",
                                                        "--vty_socket", directory_, "-P", "0"});
    }

    const lab::Namespace* where_;
    fs::path directory_;
    std::list<Child> programs_;
};

class EvpnTest : public TestNet, public ::testing::WithParamInterface<const char*> {
protected:
    void SetUp() override {
        TestNet::SetUp();
        if (IsSkipped()) return;
        for (const char* program : {"zebra", "bgpd"})
            if (!fs::exists(fs::path(kPrograms) / program))
                GTEST_SKIP() << "there is no " << kPrograms << "/" << program << ": apt-get install frr";
        directory_ = fs::temp_directory_path() / name_for_this_test("frr", 60);
        fs::remove_all(directory_);
        fs::create_directories(directory_);
        VxlanPlan plan;
        plan.hook = GetParam();
        plan.machines = kMachines;
        plan.inner_mtu = 1450;
        plan.learning = false;
        plan.floods = false;
        machines_.emplace(net(), plan);
        for (std::size_t machine = 1; machine <= kMachines; machine++) {
            shell_in(machines_->host(machine),
                     fmt::format("bridge link set dev {} neigh_suppress on learning off", VxlanNet::kDevice));
            routers_.emplace_back(machines_->host(machine), directory_ / std::to_string(machine), bgp(machine));
        }
    }

    void TearDown() override {
        routers_.clear();
        if (!directory_.empty()) fs::remove_all(directory_);
    }

    // Every machine is every other's neighbour.
    std::string bgp(std::size_t machine) const {
        std::string config = fmt::format(
            "router bgp 65000\n bgp router-id {}\n no bgp default ipv4-unicast\n timers bgp 1 3\n"
            " neighbor fabric peer-group\n neighbor fabric remote-as 65000\n neighbor fabric timers connect 1\n"
            " neighbor fabric advertisement-interval 0\n",
            machines_->vtep(machine));
        for (std::size_t other = 1; other <= kMachines; other++)
            if (other != machine) config += fmt::format(" neighbor {} peer-group fabric\n", machines_->vtep(other));
        return config +
               " address-family l2vpn evpn\n  neighbor fabric activate\n  advertise-all-vni\n"
               " exit-address-family\nexit\n";
    }

    // What the machine has by EVPN: "MAC dst VTEP self extern_learn". (Neither kernel keeps that it is zebra's.)
    std::string learned(std::size_t machine) const {
        return run(machines_->host(machine),
                   {"sh", "-c", fmt::format("bridge -d fdb show dev {} | grep extern_learn | sort", VxlanNet::kDevice)})
            .out;
    }

    bool knows(std::size_t machine, std::size_t container, std::size_t where) const {
        const std::string entries = learned(machine);
        return entries.find(fmt::format("{} dst {} ", VxlanNet::container_mac(container).text(),
                                        machines_->vtep(where))) != std::string::npos;
    }

    std::string state() const {
        std::string said;
        for (std::size_t machine = 1; machine <= kMachines; machine++)
            said +=
                run(machines_->host(machine), {"sh", "-c", fmt::format("bridge -d fdb show dev {}", VxlanNet::kDevice)})
                    .out;
        return said + routers_.front().ask("show bgp l2vpn evpn") + routers_.front().ask("show evpn mac vni all");
    }

    // Each container says where it is until everybody knows.
    void wait_until_known() const {
        for (std::size_t container = 1; container <= kMachines; container++)
            ASSERT_TRUE(eventually([&] {
                machines_->announce(container);
                for (std::size_t machine = 1; machine <= kMachines; machine++)
                    if (machine != container && !knows(machine, container, container)) return false;
                return true;
            })) << state();
    }

    std::string converse() const {
        std::string said;
        const lab::Namespace& from = machines_->container(1);
        for (const std::size_t other : {2UL, 3UL}) {
            const lab::Namespace& to = machines_->container(other);
            const std::string address = VxlanNet::address(other), address6 = VxlanNet::address6(other);
            said += ping_words(from, "-c 20 " + address) + ping_words(from, "-c 20 " + address6);
            said += ping_words(from, "-c 5 -M do -s 1422 " + address) + ping_words(from, "-c 5 -s 9000 " + address);
            said += exchange_datagrams(from, to, address, 1000) + exchange_datagrams(from, to, address6, 9000);
            said += hold_connections(from, to, address, address6);
        }
        return said;
    }

    // Milliseconds until the first container reaches the second again, which is at another machine now.
    milliseconds move(std::size_t from, std::size_t to) const {
        const std::string address = VxlanNet::address(2);
        EXPECT_THAT(ping_words(machines_->container(1), "-c 10 " + address), HasSubstr(" 0% packet loss"));
        machines_->unplug(2, from);
        machines_->plug(2, to);
        machines_->announce(2);
        const auto taken = time_until_reached(machines_->container(1), address, patience());
        EXPECT_TRUE(taken) << state();
        EXPECT_TRUE(eventually([&] { return knows(1, 2, to); })) << state();
        EXPECT_THAT(ping_words(machines_->container(1), "-c 10 " + address), HasSubstr(" 0% packet loss"));
        return taken.value_or(patience());
    }

    fs::path directory_;
    std::optional<VxlanNet> machines_;
    std::list<Router> routers_;
};

TEST_P(EvpnTest, Conversations) {
    wait_until_known();
    const std::string expected = converse();
    EXPECT_THAT(expected, HasSubstr("20 packets transmitted, 20 received"));
    const std::string known = learned(1);
    machines_->up();
    EXPECT_EQ(converse(), expected);
    EXPECT_EQ(learned(1), known);
    machines_->expect_some(1, VxlanNet::kDevice, REASON_DECAPSULATED);
    machines_->expect_some(2, "c2", REASON_ENCAPSULATED);
    machines_->down();
    EXPECT_EQ(converse(), expected);
    fmt::print("{}{}", expected, known);
}

TEST_P(EvpnTest, AContainerMoves) {
    wait_until_known();
    const auto there_and_back = [this] {
        const milliseconds there = move(2, 3), back = move(3, 2);
        fmt::print("reached again after {} and {} ms\n", there.count(), back.count());
        return std::max(there, back);
    };
    const milliseconds kernel = there_and_back();
    machines_->up();
    const milliseconds now = there_and_back();
    fmt::print("at most {} ms by the kernel alone, {} ms with Underpass\n", kernel.count(), now.count());
    EXPECT_LE(now, kernel + kGenerous);
}

// A machine's routers end, and the others withdraw what they knew by it: its container is reached no more, and is again
// once they are back.
TEST_P(EvpnTest, ARouterEndsAndComesBack) {
    wait_until_known();
    machines_->up();
    EXPECT_THAT(ping_words(machines_->container(1), "-c 10 " + VxlanNet::address(3)), HasSubstr(" 0% packet loss"));
    routers_.pop_back();
    EXPECT_TRUE(eventually([&] { return !knows(1, 3, 3); })) << state();
    EXPECT_THAT(ping_words(machines_->container(1), "-c 5 -W 1 " + VxlanNet::address(3)), HasSubstr(" 0 received"));
    EXPECT_THAT(ping_words(machines_->container(1), "-c 10 " + VxlanNet::address(2)), HasSubstr(" 0% packet loss"));
    routers_.emplace_back(machines_->host(kMachines), directory_ / "again", bgp(kMachines));
    wait_until_known();
    EXPECT_THAT(ping_words(machines_->container(1), "-c 10 " + VxlanNet::address(3)), HasSubstr(" 0% packet loss"));
}

INSTANTIATE_TEST_SUITE_P(Hooks, EvpnTest, ::testing::Values("tc", "xdp"), [](const auto& test) { return test.param; });

}  // namespace

}  // namespace underpass::test
