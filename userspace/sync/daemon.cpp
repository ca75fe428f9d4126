// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "sync/daemon.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/sinks/rotating_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <optional>
#include <set>
#include <stdexcept>

#include "loader/error.h"
#include "loader/lock.h"
#include "loader/probe.h"
#include "sync/control.h"
#include "sync/engine.h"
#include "sync/status.h"
#include "yaml/reader.h"

namespace underpass {

namespace {

using Json = nlohmann::json;

constexpr std::size_t kLogSize = 1 << 20;  // bytes; then it starts anew, since /run is memory

struct Locked : std::runtime_error {
    using runtime_error::runtime_error;
};

Fd take_lock(const RunDirectory& run) {
    if (auto lock = try_lock(run.lock())) return std::move(*lock);
    throw Locked(
        "a daemon already runs for this network namespace: talk to it with `underpass up`, "
        "`down` or `status`, which tells its pid (SIGTERM ends it)");
}

Fd signal_fd() {
    sigset_t signals;
    sigemptyset(&signals);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
    sigprocmask(SIG_BLOCK, &signals, nullptr);
    Fd fd(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!fd) throw_errno(errno, "open a signalfd");
    return fd;
}

Fd tick_fd() {
    Fd fd(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
    const auto ns = std::chrono::nanoseconds(Engine::kTick).count();
    const itimerspec every = {{0, ns}, {0, ns}};
    if (!fd || timerfd_settime(fd.get(), 0, &every, nullptr) != 0) throw_errno(errno, "start a timer");
    return fd;
}

std::filesystem::path own_file() {
    return std::filesystem::read_symlink("/proc/self/exe");
}

// Whoever started us waits for this. A second word after the first goes nowhere: the reader has closed its end.
void announce(int fd, std::string_view text) {
    if (fd < 0) return;
    [[maybe_unused]] const auto ignored = write(fd, text.data(), text.size());
    close(fd);
}

class Daemon {
public:
    explicit Daemon(const DaemonOptions& options)
        : options_(options),
          own_file_(own_file()),
          pins_(PinDirectory::of_this_namespace()),
          run_(RunDirectory::of_this_namespace()),
          config_(options.config ? read_config(*options.config) : Config{}) {
        const std::string unusable = why_unusable(probe_bpf());
        if (!unusable.empty()) throw std::runtime_error(unusable);
        lock_ = take_lock(run_);
        const bool nothing_before = !std::filesystem::exists(run_.state()) && !pins_.exists();
        try {
            begin();
        } catch (...) {
            if (nothing_before) {
                take_down();
                run_.remove();
            }
            throw;
        }
    }

    void run() {
        announce(options_.ready_fd, kReady);
        sd_notify(0, "READY=1");
        spdlog::info("underpass {} runs (pid {})", options_.version, getpid());
        while (!ending_) step();
        sd_notify(0, "STOPPING=1");
        take_down();
        server_.reset();
        spdlog::info("everything is taken away");
        run_.remove();
    }

private:
    void begin() {
        open_log();
        signals_ = signal_fd();
        ticks_ = tick_fd();
        epoll_ = Fd(epoll_create1(EPOLL_CLOEXEC));
        if (!epoll_) throw_errno(errno, "open an epoll descriptor");
        server_.emplace(run_.socket(), [this](const Json& request) { return answer(request); });
        setpriority(PRIO_PROCESS, 0, -10);  // late removals are wrong frames; a refusal only makes it less prompt

        Selection wanted = config_.selection;
        State state;
        if (const auto earlier = read_state(run_)) {
            state = *earlier;
            wanted.bridges.insert(earlier->selection.bridges.begin(), earlier->selection.bridges.end());
            if (earlier->selection.all) wanted.all = earlier->selection.all;
            wanted.except = earlier->selection.except;
            wanted.rxvlan_off = wanted.rxvlan_off || earlier->selection.rxvlan_off;
        }
        if (options_.all) wanted.all = options_.all;
        if (options_.rxvlan_off) wanted.rxvlan_off = true;
        if (!wanted.empty() || !state.attached.empty()) start_engine(std::move(state));
        select(std::move(wanted));
    }

    void open_log() {
        auto logger = options_.background ? spdlog::rotating_logger_mt("underpass", run_.log().string(), kLogSize, 0)
                                          : spdlog::stderr_logger_mt("underpass");
        logger->flush_on(spdlog::level::info);
        // journald stamps its lines itself.
        logger->set_pattern(getenv("INVOCATION_ID") != nullptr ? "%l: %v" : "%Y-%m-%d %H:%M:%S.%e %l: %v");
        spdlog::set_default_logger(std::move(logger));
    }

    void start_engine(State state) {
        const bool was_there = pins_.exists();
        try {
            pins_.create();
            engine_.emplace(pins_, std::move(state), config_.sizes);
        } catch (...) {
            if (!was_there) pins_.remove();
            throw;
        }
        if (engine_->programs().adopted()) spdlog::info("adopted what an earlier daemon left");
    }

    void select(Selection selection) {
        if (selection.empty() && !engine_) return;
        if (!engine_) start_engine({});
        engine_->select(std::move(selection));
        tell_changes();
        if (engine_->selection().empty()) take_down();
    }

    void take_down() {
        if (engine_) engine_->take_down();
        engine_.reset();
        told_.clear();
    }

    // Each bridge's and port's lot is logged when it changes.
    void tell_changes() {
        std::map<std::string, std::string> now;
        for (const auto& [index, bridge] : engine_->plan()) {
            now[bridge.name] = bridge.refusal.empty() ? "fast" : "left to the kernel: " + bridge.refusal;
            for (const PortPlan& port : bridge.ports)
                now[bridge.name + " port " + port.name] = port.refusal.empty()
                                                              ? fmt::format("hook {}", name(port.hook()))
                                                              : "left to the kernel: " + port.refusal;
        }
        for (const auto& [bridge, why] : waited_for(engine_->host(), engine_->selection()))
            now[bridge] = "waiting: " + why;
        for (const auto& [what, lot] : now)
            if (const auto before = told_.find(what); before == told_.end() || before->second != lot)
                spdlog::info("{}: {}", what, lot);
        told_ = std::move(now);
    }

    void step() {
        std::set<int> fds = {signals_.get(), ticks_.get()};
        if (engine_)
            for (const int fd : engine_->event_fds()) fds.insert(fd);
        std::map<int, std::uint32_t> wanted;
        for (const int fd : fds) wanted[fd] = EPOLLIN;
        for (const auto& interest : server_->interests()) wanted[interest.fd] = interest.write ? EPOLLOUT : EPOLLIN;
        watch(wanted);

        int timeout = -1;
        if (engine_)
            if (const auto after = engine_->flush(Engine::Clock::now())) timeout = static_cast<int>(after->count());
        std::array<epoll_event, 32> ready{};
        const int count = epoll_wait(epoll_.get(), ready.data(), static_cast<int>(ready.size()), timeout);
        if (count < 0 && errno != EINTR) throw_errno(errno, "wait for events");
        for (int i = 0; i < count; i++) dispatch(ready[static_cast<std::size_t>(i)].data.fd);
    }

    // One catch per event: what fails once is told and does not end the daemon.
    void dispatch(int fd) {
        try {
            if (fd == signals_.get()) return on_signal();
            if (fd == ticks_.get()) {
                std::uint64_t expirations = 0;
                [[maybe_unused]] const auto length = read(ticks_.get(), &expirations, sizeof(expirations));
                if (engine_) engine_->on_tick(Engine::Clock::now());
            } else if (engine_ && std::ranges::count(engine_->event_fds(), fd) != 0) {
                engine_->on_events();
            } else {
                server_->on_ready(fd);
            }
            if (engine_) tell_changes();
        } catch (const std::exception& error) {
            spdlog::error("{}", error.what());
        }
    }

    void watch(const std::map<int, std::uint32_t>& wanted) {
        for (auto [fd, events] : watched_)
            if (!wanted.contains(fd)) epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);  // closed ones are gone
        for (auto [fd, events] : wanted) {
            epoll_event event = {events, {.fd = fd}};
            // A descriptor that was closed and opened again has the same number but is not watched any more.
            if (epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) != 0 &&
                (errno != ENOENT || epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0))
                throw_errno(errno, "watch a descriptor");
        }
        watched_ = wanted;
    }

    void on_signal() {
        signalfd_siginfo info = {};
        while (read(signals_.get(), &info, sizeof(info)) == sizeof(info)) {
            if (info.ssi_signo == SIGHUP)
                reload();
            else
                ending_ = true;
        }
    }

    // On success this does not return: the program file is executed anew in this process.
    void reload() {
        Config fresh;
        try {
            if (options_.config) fresh = read_config(*options_.config);
        } catch (const FileError& error) {
            spdlog::error("not reloaded, the old configuration stays: {}", error.what());
            return;
        }
        if (engine_) {
            Selection selection = engine_->selection();
            for (const auto& [bridge, hook] : config_.selection.bridges) selection.bridges.erase(bridge);
            selection.bridges.insert(fresh.selection.bridges.begin(), fresh.selection.bridges.end());
            if (config_.selection.all) selection.all = fresh.selection.all;
            if (config_.selection.rxvlan_off) selection.rxvlan_off = fresh.selection.rxvlan_off;
            State state = engine_->state();
            state.selection = std::move(selection);
            write_state(run_, state);
        }
        std::vector<std::string> words = {own_file_.string(), "run"};
        if (options_.config) words.insert(words.end(), {"--config", options_.config->string()});
        if (options_.all) words.insert(words.end(), {"--all", "--hook", name(*options_.all)});
        if (options_.rxvlan_off) words.emplace_back("--rxvlan-off");
        if (options_.background) words.emplace_back("--background");
        std::vector<char*> arguments;
        arguments.reserve(words.size() + 1);
        for (std::string& word : words) arguments.push_back(word.data());
        arguments.push_back(nullptr);
        spdlog::info("executing {} anew", own_file_.string());
        sd_notify(0, "RELOADING=1");
        execv(own_file_.c_str(), arguments.data());
        spdlog::error("cannot execute {}: {}; this daemon goes on", own_file_.string(),
                      std::generic_category().message(errno));
        sd_notify(0, "READY=1");
    }

    Json answer(const Json& request) {
        const auto operation = request.at("operation").get<std::string>();
        if (operation == "status") return status(request.value("vlans", false));
        if (operation == "up") {
            try {
                return up(request);
            } catch (const std::exception& error) {
                if (!engine_ && options_.background) ending_ = true;  // it was started for nothing
                return {{"error", error.what()}, {"ends", ending_}, {"pid", getpid()}};
            }
        }
        if (operation == "down") return down(request);
        if (operation == "sync") return sync();
        throw std::runtime_error("unknown operation '" + operation +
                                 "': the command and the daemon are of different "
                                 "versions; reload the daemon (SIGHUP)");
    }

    Json status(bool vlans) const {
        Json json = engine_ ? status_json(*engine_, vlans) : Json{{"bridges", Json::array()}};
        json["daemon"] = {{"pid", getpid()},
                          {"version", options_.version},
                          {"background", options_.background},
                          {"log", options_.background ? Json(run_.log().string()) : Json()}};
        if (engine_) json["daemon"]["all"] = engine_->selection().all ? Json(name(*engine_->selection().all)) : Json();
        return json;
    }

    // Everything that had happened when this was asked is in the maps when it is answered.
    Json sync() {
        if (!engine_) return {{"ok", true}};
        engine_->on_events();
        engine_->flush(Engine::Clock::now() + std::chrono::hours(1));
        engine_->on_tick(Engine::Clock::now());
        return {{"ok", true}, {"fdb_entries", engine_->reconciler().fdb_entries()}};
    }

    Json up(const Json& request) {
        const auto bridges = request.at("bridges").get<std::vector<std::string>>();
        const auto choice = parse_hook_choice(request.at("hook").get<std::string>()).value();
        const bool started = !engine_;
        if (started) start_engine({});
        try {
            const Selection before = engine_->selection();
            Selection selection = before;
            if (request.at("all").get<bool>()) {
                selection.all = choice;
                selection.except.clear();
            }
            selection.rxvlan_off = selection.rxvlan_off || request.value("rxvlan_off", false) || options_.rxvlan_off ||
                                   config_.selection.rxvlan_off;
            engine_->on_events();
            for (const std::string& bridge : bridges) {
                selection.bridges[bridge] = choice;
                selection.except.erase(bridge);
            }
            for (const std::string& bridge : bridges) refuse_unusable(bridge, choice, selection);
            select(std::move(selection));
            try {
                for (const std::string& bridge : bridges) refuse_unattached(bridge, choice);
            } catch (...) {
                select(before);
                throw;
            }
        } catch (...) {
            if (started) take_down();
            throw;
        }
        Json answer = {{"ok", true}, {"bridges", Json::array()}};
        if (!engine_) return answer;
        for (const auto& [index, plan] : engine_->plan())
            if (bridges.empty() || std::ranges::count(bridges, plan.name) != 0)
                answer["bridges"].push_back(plan_json(engine_->host(), plan));
        return answer;
    }

    // A bridge that was named and cannot go fast now is an error, and nothing changes.
    void refuse_unusable(const std::string& bridge, HookChoice choice, const Selection& selection) {
        const Ifindex device = require_bridge(engine_->host(), bridge).index;
        BridgePlan plan = engine_->consider(device, choice);
        // Whether a device can be told to leave the tags where they are is not known before it is.
        const auto may_change = [&selection](const PortPlan& port) { return selection.rxvlan_off && port.strips_tags; };
        if (std::ranges::any_of(plan.ports, may_change))
            plan = engine_->consider(device, HookChoice::automatic);
        else
            refuse_without_xdp(plan, choice);
        if (plan.refusal.empty() || engine_->would_carry(device, selection)) return;
        throw std::runtime_error(
            plan.is_bridge
                ? fmt::format("{} has to be left to the kernel: {}", bridge, plan.refusal)
                : fmt::format("{} is not a bridge, and packets cannot be routed fast by it: {}", bridge, plan.refusal));
    }

    // The same once it was tried: a driver says no only then.
    void refuse_unattached(const std::string& bridge, HookChoice choice) const {
        if (!engine_) return;
        for (const auto& [index, plan] : engine_->plan())
            if (plan.name == bridge) refuse_without_xdp(plan, choice);
    }

    static void refuse_without_xdp(const BridgePlan& plan, HookChoice choice) {
        if (choice != HookChoice::xdp) return;
        for (const PortPlan& port : plan.ports)
            if (!port.refusal.empty())
                throw std::runtime_error(
                    fmt::format("{}: XDP cannot take the port {}, since {}; use --hook auto or --hook tc", plan.name,
                                port.name, port.xdp_refusal.empty() ? port.refusal : port.xdp_refusal));
    }

    Json down(const Json& request) {
        const auto bridges = request.at("bridges").get<std::vector<std::string>>();
        for (const std::string& bridge : bridges) {
            if (!engine_)
                require_device(bridge);
            else if (!engine_->selection().bridges.contains(bridge))
                require_bridge(engine_->host(), bridge);
        }
        Json taken = Json::array(), gone = Json::array();  // the latter: deleted since then, and waited for until now
        if (engine_) {
            Selection selection = engine_->selection();
            for (const auto& [index, plan] : engine_->plan())
                if (bridges.empty() || std::ranges::count(bridges, plan.name) != 0) taken.push_back(plan.name);
            for (const auto& [bridge, hook] : selection.bridges)
                if ((bridges.empty() || std::ranges::count(bridges, bridge) != 0) &&
                    std::ranges::count(taken, Json(bridge)) == 0)
                    gone.push_back(bridge);
            if (bridges.empty()) selection = {};
            for (const std::string& bridge : bridges) {
                selection.bridges.erase(bridge);
                if (selection.all) selection.except.insert(bridge);
            }
            select(std::move(selection));
        }
        if (!engine_ && options_.background) ending_ = true;
        return {{"ok", true}, {"bridges", taken}, {"gone", gone}, {"ends", ending_}, {"pid", getpid()}};
    }

    DaemonOptions options_;
    std::filesystem::path own_file_;
    PinDirectory pins_;
    RunDirectory run_;
    Config config_;
    Fd lock_;
    Fd signals_;
    Fd ticks_;
    Fd epoll_;
    std::optional<Engine> engine_;
    std::optional<ControlServer> server_;
    std::map<int, std::uint32_t> watched_;
    std::map<std::string, std::string> told_;
    bool ending_ = false;
};

}  // namespace

void run_daemon(const DaemonOptions& options) {
    try {
        Daemon(options).run();
    } catch (const Locked&) {
        announce(options.ready_fd, kLocked);
        throw;
    } catch (const std::exception& error) {
        announce(options.ready_fd, error.what());
        throw;
    }
}

}  // namespace underpass
