// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "lab/trial.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <exception>
#include <future>
#include <map>
#include <mutex>
#include <optional>
#include <thread>

#include "lab/interrupt.h"
#include "lab/stream.h"

namespace underpass::lab {

namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

// An emulated machine is twenty times slower, and only a broken promise costs as much as this.
constexpr milliseconds kReachTime = 10s;
// Each isolation costs this.
constexpr milliseconds kIsolateTime = 1s;
constexpr std::size_t kStreamBytes = 1U << 20U;
constexpr std::size_t kGuestStreamBytes = 1U << 14U;      // a guest's server is a shell's
constexpr std::string_view kSame = "the same came back";  // what the guest says then
constexpr std::uint16_t kEchoPort = 7;
// They wait more than they work: a promise that holds moves a megabyte, one that is broken takes seconds.
constexpr std::size_t kThreads = 16;

bool leaves_a_node(const IpAddress& address) {
    const auto bytes = address.bytes();
    if (!address.v6) return bytes[0] != 127 && bytes[0] != 0 && bytes[0] < 224;
    const bool link_local = bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80;
    const bool loopback_or_none =
        std::ranges::all_of(bytes.first(15), [](auto byte) { return byte == 0; }) && bytes[15] <= 1;
    return !link_local && !loopback_or_none && bytes[0] != 0xff;
}

std::string text(std::chrono::nanoseconds time) {
    const double ms = std::chrono::duration<double, std::milli>(time).count();
    return ms < 1000 ? fmt::format("{:.{}f} ms", ms, ms < 1 ? 2 : ms < 10 ? 1 : 0) : fmt::format("{:.1f} s", ms / 1000);
}

std::string size_text(std::size_t bytes) {
    if (bytes < 1024) return fmt::format("{} bytes", bytes);
    const double kib = static_cast<double>(bytes) / 1024;
    return kib < 1024 ? fmt::format("{:.0f} KiB", kib) : fmt::format("{:.1f} MiB", kib / 1024);
}

std::string last_line(std::string_view output) {
    const auto end = output.find_last_not_of(" \t\r\n");
    if (end == std::string_view::npos) return {};
    output = output.substr(0, end + 1);
    return std::string(output.substr(output.find_last_of('\n') + 1));
}

// The number that follows `key`.
template <class Number>
std::optional<Number> number_after(std::string_view text, std::string_view key) {
    const auto at = text.find(key);
    if (at == std::string_view::npos) return std::nullopt;
    Number number{};
    const auto parsed = std::from_chars(text.data() + at + key.size(), text.data() + text.size(), number);
    return parsed.ec == std::errc{} ? std::optional(number) : std::nullopt;
}

class Trial {
public:
    Trial(const Spec& spec, const TrialWorld& world) : spec_(spec), world_(world) {
        for (const Node& node : spec.nodes) {
            for (const IpAddress& address : addresses_of(node)) owners_[address].push_back(&node);
            if (node.kind == NodeKind::guest) guests_[node.name];
        }
    }

    Outcome run(const Try& what) {
        try {
            return what.reach ? reach(what) : isolate(what);
        } catch (const Interrupted&) {
            throw;
        } catch (const std::exception& error) {
            return {what, false, error.what()};
        }
    }

private:
    // Where a connection to a try's address has to end; absent: nobody can tell, or nobody is there to take one.
    struct Target {
        const Node* node = nullptr;
        bool shared = false;  // others have the address too

        explicit operator bool() const { return node != nullptr; }
    };

    Target target_of(const Try& what) const {
        const auto found = owners_.find(what.address);
        if (found == owners_.end()) return {};
        const bool shared = found->second.size() > 1;
        const Node* node = shared ? spec_.find(what.to) : found->second.front();
        const bool serves =
            node != nullptr && node->kind != NodeKind::tap && (!shared || node->kind == NodeKind::space);
        return serves ? Target{node, shared} : Target{};
    }

    Outcome reach(const Try& what) {
        const PingResult echoes = ping(what, kReachTime);
        if (!echoes.all_answered()) return {what, false, echoes.reason};
        std::string told = text(echoes.best().value_or(0ns));
        const Target target = target_of(what);
        if (!target) return {what, true, told};
        const StreamResult data = stream(what, *target.node, kReachTime);
        if (!data.ok()) return {what, false, "answers echoes, but TCP fails: " + data.reason};
        return {what, true, fmt::format("{}, {} both ways in {}", told, size_text(data.bytes), text(data.time))};
    }

    Outcome isolate(const Try& what) {
        const Target target = target_of(what);
        // Whoever else has the address may well answer: then the server in the node that is meant knows best.
        if (target.shared) {
            const StreamResult data = stream(what, *target.node, kIsolateTime);
            return {what, !data.accepted, data.accepted ? "a TCP connection came about" : "no TCP connection"};
        }
        auto echoes = std::async(std::launch::async, [&] { return ping(what, kIsolateTime); });
        std::optional<StreamResult> data;
        if (target) data = stream(what, *target.node, kIsolateTime);
        const PingResult answers = echoes.get();
        std::string broken;
        if (answers.answered() != 0) broken = fmt::format("answers echoes ({})", text(answers.best().value_or(0ns)));
        if (data && (data->connected || data->accepted))
            broken += broken.empty() ? "a TCP connection came about" : ", and TCP connects";
        return {what, broken.empty(), broken.empty() ? answers.reason : broken};
    }

    const Node& source_of(const Try& what) const {
        const Node* node = spec_.find(what.from);
        if (node == nullptr) throw std::runtime_error("there is no node " + what.from);
        if (node->kind == NodeKind::tap)
            throw std::runtime_error(what.from + " is a tap: nothing can be tried from it");
        return *node;
    }

    PingResult ping(const Try& what, milliseconds time) {
        const Node& source = source_of(what);
        const PingOptions options{.timeout = time};
        if (source.kind == NodeKind::space)
            return world_.space(source.name).run([&] { return lab::ping(what.address, options); });
        const GuestAnswer answer = in_guest(
            source, fmt::format("ping -c {} -i 0.2 -W {} {} 2>&1", options.count, time / 1s, what.address.text()));
        return read_guest_ping(answer.output, options.count);
    }

    StreamResult stream(const Try& what, const Node& target, milliseconds time) {
        const Node& source = source_of(what);
        if (source.kind == NodeKind::guest) return stream_of_guest(source, target, what.address, time);
        const Namespace& from = world_.space(source.name);
        if (target.kind == NodeKind::guest)
            return from.run([&] { return lab::stream(what.address, kEchoPort, kGuestStreamBytes, time); });
        return transfer(from, world_.space(target.name), what.address, kStreamBytes, time);
    }

    StreamResult stream_of_guest(const Node& source, const Node& target, const IpAddress& address, milliseconds time) {
        std::optional<EchoServer> server;
        if (target.kind == NodeKind::space) server.emplace(world_.space(target.name), address);
        const auto begin = std::chrono::steady_clock::now();
        // nc's own limit is for connecting only; with the other one it ends in a shell's word for a signal.
        constexpr int kCut = 128 + 15;
        const GuestAnswer answer =
            in_guest(source, fmt::format("cd $(mktemp -d) && head -c {} /dev/urandom > sent; "
                                         "timeout {} nc -w {} {} {} < sent > back 2> said; status=$?; "
                                         "cmp -s sent back && echo {}; cat said; rm -r $PWD; exit $status",
                                         kGuestStreamBytes, time / 1s + 2, time / 1s, address.text(),
                                         server ? server->port() : kEchoPort, kSame));
        const bool came_back = answer.output.starts_with(kSame);
        StreamResult result;
        result.time = std::chrono::steady_clock::now() - begin;
        result.accepted = server && server->touched();
        result.connected = came_back || answer.status == 0 || answer.status == kCut;
        if (came_back)
            result.bytes = kGuestStreamBytes;
        else
            result.reason = answer.output.empty() ? "nothing came back" : last_line(answer.output);
        return result;
    }

    GuestAnswer in_guest(const Node& guest, const std::string& command) {
        const std::lock_guard one_at_a_time(guests_.at(guest.name));
        throw_if_interrupted();
        return world_.run_in_guest(guest.name, command);
    }

    const Spec& spec_;
    const TrialWorld& world_;
    std::map<IpAddress, std::vector<const Node*>> owners_;
    std::map<std::string, std::mutex> guests_;
};

// Calls work(item) for each of `items` by several threads. The first exception ends it, and is thrown.
template <class Work>
void side_by_side(const std::vector<std::size_t>& items, const Work& work) {
    std::atomic<std::size_t> next = 0;
    std::exception_ptr failure;
    std::mutex failing;
    const auto take_turns = [&] {
        try {
            for (std::size_t i = next++; i < items.size(); i = next++) {
                throw_if_interrupted();
                work(items[i]);
            }
        } catch (...) {
            next = items.size();
            const std::lock_guard lock(failing);
            if (!failure) failure = std::current_exception();
        }
    };
    {
        std::vector<std::jthread> pool;
        for (std::size_t i = 0; i < std::min(kThreads, items.size()); i++) pool.emplace_back(take_turns);
    }
    if (failure) std::rethrow_exception(failure);
}

}  // namespace

std::vector<Try> tries(const Spec& spec) {
    std::vector<Try> all;
    for (const Expectation& each : spec.expectations) {
        const auto literal = IpAddress::parse(each.to);
        const Node* from = spec.find(each.from);
        const Node* to = spec.find(each.to);
        if (from == nullptr || from == to || (to == nullptr && !literal)) continue;
        const auto own = addresses_of(*from);
        auto targets = literal ? std::vector{*literal} : addresses_of(*to);
        std::erase_if(targets, [&](const IpAddress& address) {
            return !leaves_a_node(address) || std::ranges::find(own, address) != own.end();
        });
        const auto has_family = [&](const IpAddress& address) {
            return std::ranges::find(own, address.v6, &IpAddress::v6) != own.end();
        };
        const bool any_has = std::ranges::any_of(targets, has_family);
        for (const IpAddress& address : targets)
            if (!each.reach || !any_has || has_family(address))
                all.push_back({each.reach, each.from, each.to, address});
    }
    return all;
}

std::vector<Outcome> run_tries(const Spec& spec, const std::vector<Try>& what, const TrialWorld& world,
                               const std::function<void(const Outcome&)>& done) {
    Trial trial(spec, world);
    std::vector<Outcome> outcomes(what.size());
    std::mutex telling;
    const auto try_one = [&](std::size_t i) {
        outcomes[i] = trial.run(what[i]);
        const std::lock_guard lock(telling);
        if (done) done(outcomes[i]);
    };
    std::vector<std::size_t> reaches, isolations;
    for (std::size_t i = 0; i < what.size(); i++) (what[i].reach ? reaches : isolations).push_back(i);
    side_by_side(reaches, try_one);
    side_by_side(isolations, try_one);
    return outcomes;
}

PingResult read_guest_ping(std::string_view output, std::size_t count) {
    PingResult result;
    result.echoes.resize(count);
    for (std::string_view rest = output; !rest.empty();) {
        const auto end = std::min(rest.find('\n'), rest.size());
        const std::string_view line = rest.substr(0, end);
        rest.remove_prefix(std::min(end + 1, rest.size()));
        const auto sequence = number_after<std::size_t>(line, " seq=");
        const auto time = number_after<double>(line, " time=");
        if (sequence && time && *sequence < count && !result.echoes[*sequence])
            result.echoes[*sequence] =
                std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double, std::milli>(*time));
    }
    if (result.all_answered()) return result;
    const std::string said = last_line(output);
    // Its summary, or why it did not even begin.
    result.reason = said.empty() ? "ping printed nothing" : said;
    if (result.answered() == 0 && said.find("packet loss") != std::string::npos) result.reason = "no answer";
    return result;
}

}  // namespace underpass::lab
