// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "cli/client.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <stdexcept>
#include <string>

#include "cli/output.h"
#include "loader/error.h"
#include "loader/fd.h"
#include "loader/pin.h"
#include "sync/control.h"
#include "sync/daemon.h"
#include "sync/state.h"

namespace underpass {

namespace {

constexpr std::chrono::milliseconds kPatience{10000};

constexpr const char* kLeftBehind =
    "no daemon runs, but one has left its programs behind (they pass every frame to the kernel): "
    "`underpass down` without names removes them, `underpass up BRIDGE` takes them over";

// In the child: becomes the daemon. Nothing may be thrown past this.
[[noreturn]] void become_daemon(int ready_fd) {
    setsid();
    if (fork() != 0) _exit(0);  // the parent's child ends at once: nobody has to wait for the daemon
    const int null = open("/dev/null", O_RDWR);
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) dup2(null, fd);
    [[maybe_unused]] const int ignored = chdir("/");
    fcntl(ready_fd, F_SETFD, 0);
    const std::string descriptor = std::to_string(ready_fd);
    execl("/proc/self/exe", "underpass", "run", "--background", "--ready-fd", descriptor.c_str(), nullptr);
    _exit(127);
}

void wait_for_end(pid_t daemon) {
    const Fd process(static_cast<int>(syscall(SYS_pidfd_open, daemon, 0)));
    if (!process) return;  // it has
    pollfd ended = {process.get(), POLLIN, 0};
    if (poll(&ended, 1, static_cast<int>(kPatience.count())) == 0)
        throw std::runtime_error(fmt::format("the daemon (pid {}) does not end", daemon));
}

// What a daemon that is not there any more left behind.
nlohmann::json clean_up_after_a_crash(const std::vector<std::string>& bridges) {
    const RunDirectory run = RunDirectory::of_this_namespace();
    const PinDirectory pins = PinDirectory::of_this_namespace();
    std::optional<State> state;
    try {
        state = read_state(run);
    } catch (const std::runtime_error&) {
        // Damaged. What is attached is found without it.
        state.emplace();
    }
    for (const std::string& bridge : bridges)
        if (!(state && state->selection.bridges.contains(bridge))) require_device(bridge);
    if (!state && !pins.exists()) return {{"ok", true}, {"bridges", nlohmann::json::array()}};
    if (!bridges.empty()) throw std::runtime_error(kLeftBehind);
    clean_up(pins, state.value_or(State{}));
    run.remove();
    nlohmann::json taken = nlohmann::json::array();
    if (state)
        for (const auto& [bridge, hook] : state->selection.bridges) taken.push_back(bridge);
    return {{"ok", true}, {"bridges", taken}, {"after_crash", true}};
}

// Starts a daemon in the background and returns when it is ready, or another one runs (which may not answer yet, or may
// be about to end). Throws its own sentence if it cannot start.
void start_daemon() {
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) throw_errno(errno, "open a pipe");
    const Fd reader(ends[0]);
    Fd writer(ends[1]);
    const pid_t child = fork();
    if (child < 0) throw_errno(errno, "start the daemon");
    if (child == 0) become_daemon(writer.get());
    writer = Fd();
    waitpid(child, nullptr, 0);
    std::string text;
    std::array<char, 4096> chunk{};
    for (ssize_t length = 0; (length = read(reader.get(), chunk.data(), chunk.size())) > 0;)
        text.append(chunk.data(), static_cast<std::size_t>(length));
    if (text == kReady || text == kLocked) return;
    throw std::runtime_error(text.empty() ? "the daemon ended before it was ready" : text);
}

}  // namespace

std::optional<nlohmann::json> ask(const nlohmann::json& request) {
    auto answer = control_request(RunDirectory::of_this_namespace().socket(), request);
    if (!answer) return answer;
    if (answer->value("ends", false)) wait_for_end(answer->at("pid").get<pid_t>());
    require_ok(*answer);
    return answer;
}

nlohmann::json ask_status(bool vlans) {
    if (auto answer = ask({{"operation", "status"}, {"vlans", vlans}})) return std::move(*answer);
    if (PinDirectory::of_this_namespace().exists()) throw std::runtime_error(kLeftBehind);
    throw std::runtime_error("no daemon runs in this network namespace: `underpass up BRIDGE` starts one");
}

nlohmann::json bring_up(const std::vector<std::string>& bridges, bool all, const std::string& hook, bool rxvlan_off) {
    const nlohmann::json request = {
        {"operation", "up"}, {"bridges", bridges}, {"hook", hook}, {"all", all}, {"rxvlan_off", rxvlan_off}};
    // Another command may start the daemon, or have it end, at the same time.
    for (const auto end = std::chrono::steady_clock::now() + kPatience;;) {
        try {
            if (const auto answer = ask(request)) return *answer;
        } catch (const DaemonGone&) {
            if (std::chrono::steady_clock::now() > end) throw;
        }
        if (std::chrono::steady_clock::now() > end)
            throw std::runtime_error("the daemon ended as soon as it had started");
        // Not for a name that was mistyped: it would take over what another has left behind, too.
        for (const std::string& bridge : bridges) require_device(bridge);
        start_daemon();
    }
}

nlohmann::json take_down(const std::vector<std::string>& bridges) {
    if (auto answer = ask({{"operation", "down"}, {"bridges", bridges}})) return std::move(*answer);
    return clean_up_after_a_crash(bridges);
}

}  // namespace underpass
