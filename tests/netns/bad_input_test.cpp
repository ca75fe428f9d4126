// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Wrong use, missing means and a host that is not as it should be: one line that names the thing and the way out, the
// exit status, and nothing left half done.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/if_link.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "facts.h"
#include "foreign_xdp.h"
#include "lab/ethtool.h"
#include "loader/directory.h"
#include "loader/error.h"
#include "loader/pin.h"
#include "maps/abi.h"
#include "sync/state.h"
#include "trial.h"

namespace underpass::test {

namespace {

using Clock = std::chrono::steady_clock;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using Command = std::vector<std::string>;

constexpr int kFailed = 1, kWrongUse = 2;

class BadInputTest : public TestNet {
protected:
    static Command with_program(Command before, const Command& words) {
        before.push_back(underpass_path());
        before.insert(before.end(), words.begin(), words.end());
        return before;
    }

    // The kernel looks at a bridge's carrier a moment after its ports have theirs.
    static Facts settled(const lab::Namespace& where) {
        for (int i = 0; i < 1000; i++) {
            Facts facts = facts_of(where);
            const auto state = facts.find("br0 operstate");
            if (state == facts.end() || state->second != "\"UNKNOWN\"") return facts;
            std::this_thread::sleep_for(milliseconds(10));
        }
        throw std::runtime_error("the bridge's carrier stays unknown");
    }

    // Fails with this status and one line on stderr that has all of `parts` in it, and changes nothing.
    static void expect_refused(const lab::Namespace& where, const Command& command, int status,
                               const std::vector<std::string>& parts) {
        SCOPED_TRACE(fmt::format("{}", fmt::join(command, " ")));
        const Facts before = settled(where);
        const Finished finished = run(where, command);
        EXPECT_EQ(finished.status, status) << finished.text();
        EXPECT_EQ(finished.out, "");
        EXPECT_THAT(finished.err, StartsWith("underpass: "));
        EXPECT_EQ(finished.err.find('\n'), finished.err.size() - 1) << "not one line: " << finished.err;
        for (const std::string& part : parts) EXPECT_THAT(finished.err, HasSubstr(part));
        EXPECT_EQ(lasting_changes(before, where), "");
    }

    static void expect_refused_words(const lab::Namespace& where, const Command& words, int status,
                                     const std::vector<std::string>& parts) {
        expect_refused(where, with_program({}, words), status, parts);
    }

    static void expect_ok(const Finished& finished) { ASSERT_TRUE(finished.ok()) << finished.text(); }

    // Every one of 20 frames from A to B goes by the fast path.
    static void expect_fast(Trial& trial) {
        trial.introduce(trial.a(), kHostA);
        trial.introduce(trial.b(), kHostB);
        trial.b().discard();
        const auto before = trial.share();
        for (std::uint32_t number = 0; number < 20; number++) trial.a().send(Trial::numbered(kHostB, number));
        EXPECT_EQ(Trial::numbers(Trial::await(trial.b(), 20)).size(), 20U);
        EXPECT_EQ(trial.share().fast - before.fast, 20U);
    }

    static nlohmann::json port(const nlohmann::json& said, const std::string& name) {
        for (const auto& bridge : said.at("bridges"))
            for (const auto& port : bridge.at("ports"))
                if (port.at("name") == name) return port;
        throw std::runtime_error("no port " + name + " in " + said.dump());
    }

    // Leaves the programs and what is noted, as a crash does.
    static void kill_daemon(const Trial& trial) {
        const pid_t daemon = trial.daemon();
        ::kill(daemon, SIGKILL);
        for (int i = 0; i < 1000 && ::kill(daemon, 0) == 0; i++) std::this_thread::sleep_for(milliseconds(5));
    }

    static RunDirectory notes(const lab::Namespace& where) {
        return where.run([] { return RunDirectory::of_this_namespace(); });
    }
    static PinDirectory pins(const lab::Namespace& where) {
        return where.run([] { return PinDirectory::of_this_namespace(); });
    }
};

// What is about words and not about the kernel, so that one kernel is enough.
class BadWordsTest : public BadInputTest {};

TEST_F(BadWordsTest, WrongWords) {
    const lab::Namespace& host = make("host");
    expect_refused_words(host, {"pktgen", "a", "--destination-mac", "02:00:00:00:00:01", "--size", "10"}, kWrongUse,
                         {"58 bytes at the least", "not 10"});
    expect_refused_words(host, {"pktgen", "a", "--destination-mac", "somewhere"}, kWrongUse,
                         {"--destination-mac somewhere", "not a MAC address"});
    expect_refused_words(host, {"bench", "--case", "frames-60", "--case", "frames-61"}, kWrongUse,
                         {"no case 'frames-61'", "frames-60", "underpass bench --help"});
    const std::string bench = "underpass bench --help";
    expect_refused_words(host, {"bench", "--from", "a"}, kWrongUse, {"--from and --to go together", bench});
    expect_refused_words(host, {"bench", "--from", underpass_path()}, kWrongUse,
                         {"--from is a device", "--show", bench});
    expect_refused_words(host, {"bench", "--to", "a"}, kWrongUse, {"--from and --to go together", bench});
    expect_refused_words(host, {"bench", "--sides", "true"}, kWrongUse, {"--sides goes with --from and --to", bench});
    expect_refused_words(host, {"bench", "l2", "--from", "a", "--to", "b"}, kWrongUse, {"SCENARIO", "--from", bench});
    expect_refused_words(host, {"bench", "--from", "lo", "--to", "lo"}, kWrongUse, {"--from lo --to lo", bench});
    expect_refused_words(host, {"bench", "--loss", "1"}, kWrongUse, {"--ndr", bench});
    expect_refused_words(host, {"bench", "l2", "--profile", "--ndr"}, kWrongUse, {"--ndr", "--profile", bench});
    expect_refused_words(host, {"bench", "l2", "--profile", "--against", "a"}, kWrongUse, {"--against", bench});
    expect_refused_words(host, {"bench", "--show", "a", "--ndr"}, kWrongUse, {"--ndr", "--show", bench});
    expect_refused_words(host, {"bench", "container-to-uplink", "--ndr"}, kWrongUse, {"--ndr", "stacks", bench});
    const std::string sockperf = "sockperf", iperf3 = "iperf3";
    expect_refused_words(host, {"bench", "l2", "--generator", iperf3}, kWrongUse,
                         {"iperf3 makes no case of l2", "container-to-container", bench});
    expect_refused_words(host, {"bench", "container-to-container", "l2", "--generator", sockperf}, kWrongUse,
                         {"sockperf makes no case of l2", bench});
    expect_refused_words(host, {"bench", "nat", "--case", "tcp-crr", "--generator", sockperf}, kWrongUse,
                         {"sockperf does not make the case 'tcp-crr'", "tcp-rr", bench});
    expect_refused_words(host, {"bench", "--case", "frames-60", "--generator", iperf3}, kWrongUse,
                         {"'frames-60'", "tcp-bulk", bench});
    expect_refused_words(host, {"bench", "--generator", iperf3, "--ndr"}, kWrongUse, {"--ndr", iperf3, bench});
    expect_refused_words(host, {}, kWrongUse, {"check, up, down, status, flows, run, lab, bench or pktgen", "--help"});
    expect_refused_words(host, {"frob"}, kWrongUse, {"'frob'", "underpass --help"});
    expect_refused_words(host, {"--frob"}, kWrongUse, {"--frob", "underpass --help"});
    expect_refused_words(host, {"up"}, kWrongUse, {"name a bridge", "--all", "underpass check"});
    expect_refused_words(host, {"up", "br0", "--hok=tc"}, kWrongUse,
                         {"no option '--hok'", "'--hook'", "underpass up --help"});
    expect_refused_words(host, {"up", "br0", "--hook", "zap"}, kWrongUse, {"--hook", "zap", "underpass up --help"});
    expect_refused_words(host, {"up", "br0", "--all"}, kWrongUse, {"--all", "underpass up --help"});
    expect_refused_words(host, {"run", "br0"}, kWrongUse, {"br0", "underpass run --help"});
    expect_refused_words(host, {"run", "-c"}, kWrongUse, {"--config", "underpass run --help"});
    expect_refused_words(host, {"status", "br0"}, kWrongUse, {"br0", "underpass status --help"});
}

TEST_F(BadWordsTest, NoBridge) {
    const lab::Namespace& host = make("host");
    host.run([] {
        lab::create_bridge("br0");
        lab::create_veth("alone", "inside");
        lab::set_master("inside", "br0");
    });
    for (const bool with_daemon : {false, true}) {
        if (with_daemon) expect_ok(underpass(host, {"up", "br0"}));
        expect_refused_words(host, {"up", "nowhere"}, kFailed, {"no device nowhere", "underpass check"});
        expect_refused_words(host, {"up", "alone"}, kFailed,
                             {"alone is not a bridge", "packets cannot be routed fast by it"});
        expect_refused_words(host, {"up", "inside"}, kFailed, {"inside is not a bridge", "a port of br0"});
        expect_refused_words(host, {"up", "br0", "nowhere"}, kFailed, {"no device nowhere"});
        expect_refused_words(host, {"check", "nowhere"}, kFailed, {"no device nowhere", "underpass check"});
        if (with_daemon)
            expect_refused_words(host, {"down", "inside"}, kFailed, {"inside is not a bridge", "a port of br0"});
    }
}

TEST_F(BadWordsTest, NothingToMeasureBy) {
    const lab::Namespace& host = make("host");
    host.run([] { lab::create_veth("a", "b"); });
    expect_refused_words(host, {"bench", "--show", "/nowhere/it.json"}, kFailed, {"/nowhere/it.json", "No such file"});
    expect_refused_words(host, {"bench", "--from", "a", "--to", "nobody"}, kFailed, {"no device nobody", "ip link"});
    expect_refused_words(host, {"bench", "--from", "a", "--to", "b"}, kFailed, {"a is down", "ip link set a up"});
    for (const std::string program : {"iperf3", "sockperf"})
        expect_refused(
            host, with_program({"env", "PATH=/nowhere"}, {"bench", "container-to-container", "--generator", program}),
            kFailed, {"there is no " + program, "install the package " + program});
    // Nor is there a module.
    const Command without = {"unshare", "-m", "sh", "-c",
                             R"(if [ -d /lib/modules ]; then mount -t tmpfs none /lib/modules; fi; exec "$0" "$@")"};
    if (!host.run([] { return std::filesystem::exists("/proc/thread-self/net/pktgen"); }))
        expect_refused(host, with_program(without, {"bench", "l2", "--generator", "pktgen"}), kFailed,
                       {"no pktgen", "--generator frames"});
}

TEST_F(BadWordsTest, NoDaemon) {
    const lab::Namespace& host = make("host");
    const Facts before = settled(host);
    for (const char* command : {"status", "flows"})
        expect_refused_words(host, {command}, kFailed, {"no daemon", "underpass up"});
    const Finished down = underpass(host, {"down"});
    EXPECT_TRUE(down.ok()) << down.text();
    EXPECT_EQ(down.out, "nothing to take down\n");
    EXPECT_EQ(lasting_changes(before, host), "");
}

TEST_F(BadWordsTest, NoPrivilege) {
    const lab::Namespace& host = make("host");
    host.run([] { lab::create_bridge("br0"); });
    for (const Command& words : {Command{"check"}, {"up", "br0"}, {"down"}, {"status"}, {"run"}, {"run", "--all"}})
        expect_refused(host, with_program({"setpriv", "--reuid=65534", "--clear-groups"}, words), kFailed,
                       {"root", "sudo"});
    // Root in a container that was given nothing.
    for (const Command& words : {Command{"up", "br0"}, {"run"}})
        expect_refused(host, with_program({"setpriv", "--bounding-set=-all", "--inh-caps=-all"}, words), kFailed,
                       {"CAP_BPF"});
}

// A container whose /sys has no BPF file system, and that may not mount one: found out late, when much is done already.
TEST_F(BadInputTest, NoBpfFileSystem) {
    const lab::Namespace& host = make("host");
    host.run([] { lab::create_bridge("br0"); });
    const std::string unmounted = "mount -t tmpfs none /sys/fs/bpf && exec ";
    const std::string powerless = R"(setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin "$0" "$@")";
    const Command without = {"unshare", "-m", "sh", "-c", unmounted + powerless};
    expect_refused(host, with_program(without, {"up", "br0"}), kFailed, {"BPF file system", "/sys/fs/bpf"});
    expect_refused(host, with_program(without, {"run", "--all"}), kFailed, {"BPF file system", "/sys/fs/bpf"});
}

// The kernel's types are wanted for connections only.
TEST_F(BadInputTest, NoBtf) {
    const Command without = {
        "unshare", "-m", "sh", "-c",
        "if [ -d /sys/kernel/btf ]; then mount -t tmpfs none /sys/kernel/btf; fi && exec \"$0\" \"$@\""};
    for (const char* hook : {"tc", "xdp"}) {
        SCOPED_TRACE(hook);
        Net net;
        Trial trial(net, hook);
        const Facts before = settled(trial.host());
        const Finished check = run(trial.host(), with_program(without, {"check", "--json"}));
        ASSERT_TRUE(check.ok()) << check.text();
        const auto kernel = nlohmann::json::parse(check.out).at("kernel");
        EXPECT_TRUE(kernel.at("bpf").at("present").get<bool>());
        EXPECT_FALSE(kernel.at("btf").at("present").get<bool>());
        expect_ok(run(trial.host(), with_program(without, {"up", "br0", "--hook", hook})));
        expect_fast(trial);
        expect_ok(underpass(trial.host(), {"down"}));
        EXPECT_EQ(lasting_changes(before, trial.host()), "");
    }
}

TEST_F(BadWordsTest, BadConfiguration) {
    const lab::Namespace& host = make("host");
    host.run([] { lab::create_bridge("br0"); });
    const auto file = std::filesystem::temp_directory_path() / name_for_this_test("config", 60);
    const struct Remove {
        std::filesystem::path path;
        ~Remove() { std::filesystem::remove(path); }
    } whatever_happens{file};
    std::filesystem::remove(file);
    expect_refused_words(host, {"run", "-c", file}, kFailed, {file, "No such file"});
    expect_refused_words(host, {"run", "-c", file.parent_path()}, kFailed, {file.parent_path(), "no file"});
    const auto with = [&file](const std::string& text) {
        std::ofstream(file, std::ios::trunc) << text;
        return Command{"run", "-c", file};
    };
    expect_refused_words(host, with("bridges: [br0]\nbrigdes: [br0]\n"), kFailed,
                         {file.string() + ":2:1", "unknown key 'brigdes'", "'bridges'"});
    expect_refused_words(host, with("bridges: [br0\n"), kFailed, {file.string() + ":", "not valid YAML"});
    expect_refused_words(host,
                         with("\x7f"
                              "ELF\x02\x01\x01"),
                         kFailed, {file.string() + ":"});
    expect_refused_words(host, with("bridges: [br0]\nhook: zap\n"), kFailed,
                         {file.string() + ":2:7", "auto, tc or xdp"});
    expect_refused_words(host, with("bridges: [a-name-of-17-char]\n"), kFailed,
                         {file.string() + ":1:11", "no device name"});
}

TEST_F(BadWordsTest, SecondDaemon) {
    Trial trial(net(), "tc");
    trial.up();
    const pid_t first = trial.daemon();
    for (const Command& words : {Command{"run"}, {"run", "--all"}})
        expect_refused_words(trial.host(), words, kFailed, {"a daemon already runs", "status", "SIGTERM"});
    EXPECT_EQ(trial.daemon(), first);
    expect_fast(trial);
}

// A command that has given up, or was ended, has not asked for anything.
TEST_F(BadWordsTest, HungDaemon) {
    Trial trial(net(), "tc");
    trial.up();
    const pid_t daemon = trial.daemon();
    ASSERT_EQ(::kill(daemon, SIGSTOP), 0);
    const Finished down = run(trial.host(), with_program({}, {"down"}), milliseconds(500));
    EXPECT_TRUE(down.timed_out);
    ASSERT_EQ(::kill(daemon, SIGCONT), 0);
    EXPECT_EQ(trial.daemon(), daemon);
    expect_fast(trial);
}

TEST_F(BadWordsTest, BridgeDeletedMeanwhile) {
    for (const auto& words : std::vector<std::vector<std::string>>{{"down"}, {"down", "br0"}}) {
        Trial trial(net(), "tc");
        trial.up();
        trial.host().run([] { lab::delete_link("br0"); });
        const Finished down = underpass(trial.host(), words);
        expect_ok(down);
        EXPECT_EQ(down.out, "br0: gone before, and not waited for any more\n");
    }
}

// What is left after a crash is told, and a word that was mistyped does not bring it back.
TEST_F(BadWordsTest, AfterACrash) {
    Trial trial(net(), "tc");
    trial.up();
    const pid_t daemon = trial.daemon();
    ASSERT_EQ(::kill(daemon, SIGKILL), 0);
    const Fd ended(static_cast<int>(::syscall(SYS_pidfd_open, daemon, 0)));
    pollfd until = {ended.get(), POLLIN, 0};
    ASSERT_TRUE(!ended || ::poll(&until, 1, 10000) == 1);
    for (const char* command : {"status", "flows"})
        expect_refused_words(trial.host(), {command}, kFailed, {"left its programs behind", "underpass down"});
    expect_refused_words(trial.host(), {"up", "nowhere"}, kFailed, {"no device nowhere"});
    expect_refused_words(trial.host(), {"status"}, kFailed, {"no daemon runs"});
    expect_ok(underpass(trial.host(), {"up", "br0"}));
    expect_fast(trial);
}

// Each wants to start the daemon.
TEST_F(BadWordsTest, TwoCommandsAtOnce) {
    const lab::Namespace& host = make("host");
    host.run([] {
        for (const char* bridge : {"br0", "br1", "br2", "br3"}) lab::create_bridge(bridge);
    });
    const Facts before = settled(host);
    for (int round = 0; round < 3; round++) {
        std::vector<Child> ups;
        for (const char* bridge : {"br0", "br1", "br2", "br3"})
            ups.emplace_back(host, with_program({}, {"up", bridge}));
        for (Child& up : ups) {
            const Finished finished = up.wait(kPatience);
            EXPECT_TRUE(finished.ok()) << finished.text();
        }
        const Finished status = underpass(host, {"status", "--json"});
        ASSERT_TRUE(status.ok()) << status.text();
        EXPECT_EQ(nlohmann::json::parse(status.out).at("bridges").size(), 4U) << status.out;
        expect_ok(underpass(host, {"down"}));
        EXPECT_EQ(lasting_changes(before, host), "");
    }
}

TEST_F(BadInputTest, AnotherXdpProgram) {
    for (const std::uint32_t mode : {XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE}) {
        SCOPED_TRACE(mode == XDP_FLAGS_DRV_MODE ? "native" : "generic");
        Net net;
        Trial trial(net, "xdp");
        const Facts before = settled(trial.host());
        std::optional<ForeignXdp> foreign(std::in_place, trial.host(), "a", mode, XDP_PASS);
        const std::string reason = "another XDP program is on it";
        expect_refused_words(trial.host(), {"up", "br0", "--hook", "xdp"}, kFailed,
                             {"br0", "port a", reason, "--hook auto"});
        const Finished check = underpass(trial.host(), {"check", "--json"});
        ASSERT_TRUE(check.ok()) << check.text();
        EXPECT_EQ(port(nlohmann::json::parse(check.out), "a").at("hook"), "tc");
        EXPECT_THAT(port(nlohmann::json::parse(check.out), "a").at("why_not_xdp").get<std::string>(),
                    HasSubstr(reason));

        expect_ok(underpass(trial.host(), {"up", "br0"}));
        EXPECT_EQ(port(trial.status(), "a").at("hook"), "tc");
        EXPECT_THAT(port(trial.status(), "a").at("why_not_xdp").get<std::string>(), HasSubstr(reason));
        EXPECT_EQ(port(trial.status(), "b").at("hook"), "xdp");
        EXPECT_TRUE(foreign->is_there());
        expect_fast(trial);
        expect_refused_words(trial.host(), {"up", "br0", "--hook", "xdp"}, kFailed, {"port a", reason});
        EXPECT_EQ(port(trial.status(), "a").at("hook"), "tc") << "what went before goes on";

        foreign.reset();
        trial.catch_up();
        EXPECT_EQ(port(trial.status(), "a").at("hook"), "xdp") << "it is gone: " << port(trial.status(), "a").dump();
        foreign.reset();
        expect_ok(underpass(trial.host(), {"down"}));
        EXPECT_EQ(lasting_changes(before, trial.host()), "");
    }
}

TEST_F(BadInputTest, AnotherXdpProgramStays) {
    Trial trial(net(), "xdp");
    const ForeignXdp foreign(trial.host(), "a", XDP_FLAGS_DRV_MODE, XDP_PASS);
    const Facts before = settled(trial.host());
    expect_ok(underpass(trial.host(), {"up", "br0"}));
    expect_ok(underpass(trial.host(), {"down"}));
    EXPECT_TRUE(foreign.is_there());
    EXPECT_EQ(lasting_changes(before, trial.host()), "");
}

// At every moment of `up`, from before the devices are read to after it is done.
TEST_F(BadInputTest, PortVanishes) {
    for (const char* hook : {"tc", "xdp"}) {
        SCOPED_TRACE(hook);
        Net net;
        Trial trial(net, hook);
        const lab::Namespace& far = net.make("far");
        const Facts before = settled(trial.host());
        const int rounds = is_emulated() ? 4 : 20;
        Clock::duration whole{};
        int seen = 0, refused = 0;
        for (int round = 0; round < rounds; round++) {
            trial.host().run([&] {
                lab::create_veth("v", "v", {.peer_namespace = &far});
                lab::set_master("v", "br0");
                lab::set_up("v");
            });
            far.run([&] {
                lab::set_up("v");
                if (trial.hook() == "xdp") lab::make_wire_like("v");
            });
            trial.host().run([] { lab::wait_until_running("v"); });
            const auto begun = Clock::now();
            Child up(trial.host(), with_program({}, {"up", "br0", "--hook", hook, "--json"}));
            // The first time when all is done, then earlier and earlier.
            if (round > 0) std::this_thread::sleep_until(begun + whole * (rounds - round) / rounds);
            while (round == 0 && up.running()) std::this_thread::sleep_for(milliseconds(1));
            if (round == 0) whole = Clock::now() - begun;
            trial.host().run([] { lab::delete_link("v"); });
            const Finished finished = up.wait(kPatience);
            if (!finished.ok()) {
                // It was seen and could not be looked at any more.
                EXPECT_EQ(trial.hook(), "xdp") << finished.text();
                EXPECT_EQ(finished.status, kFailed) << finished.text();
                EXPECT_THAT(finished.err, StartsWith("underpass: br0: XDP cannot take the port v, since "));
                EXPECT_EQ(finished.err.find('\n'), finished.err.size() - 1) << "not one line: " << finished.err;
                ASSERT_EQ(lasting_changes(before, trial.host()), "");
                refused++;
                continue;
            }
            seen += finished.out.find("\"v\"") != std::string::npos ? 1 : 0;
            trial.catch_up();
            const auto status = trial.status();
            EXPECT_EQ(status.at("bridges").at(0).at("ports").size(), 4U) << status.dump(2);
            const auto pinned = pins(trial.host()).names();
            EXPECT_EQ(std::ranges::count_if(pinned, [](const auto& name) { return name.starts_with("tc-"); }),
                      std::ranges::count_if(status.at("bridges").at(0).at("ports"), [](const auto& port) {
                          return port.contains("programs") && port.at("programs").at("tc") == "tcx";
                      }));
            if (round == rounds - 1) expect_fast(trial);
            expect_ok(underpass(trial.host(), {"down"}));
            ASSERT_EQ(lasting_changes(before, trial.host()), "");
        }
        fmt::print("{}: of {} ports that vanished {} were taken before, {} refused\n", hook, rounds, seen, refused);
        EXPECT_GT(seen, 0);
        EXPECT_LT(seen, rounds);
    }
}

TEST_F(BadInputTest, ForeignPins) {
    Trial trial(net(), "tc");
    const Facts before = settled(trial.host());
    trial.host().run([] {
        const auto directory = PinDirectory::of_this_namespace();
        directory.create();
        for (const char* name : {MAP_FDB, MAP_DEVICES, "tc-7", "tc-x", "somebodys"}) {
            const Fd map(bpf_map_create(BPF_MAP_TYPE_ARRAY, "somebodys", 4, 8, 1, nullptr));
            if (!map) throw_errno(errno, "create a map");
            directory.pin(map.get(), name);
        }
    });
    trial.up();
    EXPECT_FALSE(trial.status().at("maps").at("adopted").get<bool>());
    expect_fast(trial);
    expect_ok(underpass(trial.host(), {"down"}));
    EXPECT_EQ(lasting_changes(before, trial.host()), "");
}

// The number of a network namespace comes again once it is gone, and with it the names of its pins and notes.
TEST_F(BadInputTest, PinsOfANamespaceThatIsGone) {
    for (const char* hook : {"tc", "xdp"}) {
        SCOPED_TRACE(hook);
        const auto old = std::filesystem::temp_directory_path() / name_for_this_test("state.json", 60);
        const struct Remove {
            std::filesystem::path path;
            ~Remove() { std::filesystem::remove_all(path); }
        } whatever_happens{old};
        std::filesystem::path old_pins;
        {
            Net net;
            Trial trial(net, hook);
            trial.up();
            expect_fast(trial);
            kill_daemon(trial);
            old_pins = pins(trial.host()).path().string() + "-old";
            std::filesystem::rename(pins(trial.host()).path(), old_pins);
            std::filesystem::copy_file(notes(trial.host()).state(), old);
            notes(trial.host()).remove();
        }
        const struct RemovePins {
            std::filesystem::path path;
            ~RemovePins() {
                std::error_code ignored;
                std::filesystem::remove_all(path, ignored);
            }
        } pins_too{old_pins};
        Net net;
        Trial trial(net, hook);
        const Facts before = settled(trial.host());
        std::filesystem::rename(old_pins, pins(trial.host()).path());
        make_directory(notes(trial.host()).path);
        std::filesystem::copy_file(old, notes(trial.host()).state());
        trial.up();
        expect_fast(trial);
        for (const char* name : {"a", "b", "c", "d"}) {
            EXPECT_EQ(port(trial.status(), name).at("hook"), hook);
            EXPECT_TRUE(port(trial.status(), name).contains("programs"));
        }
        expect_ok(underpass(trial.host(), {"down"}));
        EXPECT_EQ(lasting_changes(before, trial.host()), "");
    }
}

TEST_F(BadInputTest, DamagedState) {
    for (const char* hook : {"tc", "xdp"}) {
        SCOPED_TRACE(hook);
        Net net;
        Trial trial(net, hook);
        const Facts before = settled(trial.host());
        trial.up();
        kill_daemon(trial);
        const auto file = notes(trial.host()).state();
        ASSERT_TRUE(std::filesystem::exists(file));
        std::ofstream(file, std::ios::trunc) << "{ not\n\njson";
        expect_refused_words(trial.host(), {"up", "br0"}, kFailed, {file, "underpass down"});
        expect_refused_words(trial.host(), {"run", "--all"}, kFailed, {file, "underpass down"});
        expect_refused_words(trial.host(), {"status"}, kFailed, {"no daemon"});
        expect_refused_words(trial.host(), {"down", "br0"}, kFailed, {"no daemon runs", "underpass down"});
        expect_ok(underpass(trial.host(), {"down"}));
        EXPECT_EQ(lasting_changes(before, trial.host()), "");
        trial.up();
        expect_fast(trial);
    }
}

}  // namespace

}  // namespace underpass::test
