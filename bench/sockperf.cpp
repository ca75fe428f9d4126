// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/sockperf.h"

#include <fmt/format.h>

#include <cstdlib>
#include <fstream>
#include <regex>
#include <sstream>
#include <stdexcept>
#include <vector>

#include "bench/cpu_time.h"
#include "bench/process.h"
#include "lab/interrupt.h"

namespace underpass::bench {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

constexpr milliseconds kWarmUp(400);   // that sockperf leaves out of a second
constexpr milliseconds kLeftOut(450);  // and at its end
constexpr milliseconds kPatience(20000);

// What it said last, without its colours.
[[noreturn]] void fail(const std::string& output) {
    const auto end = output.find_last_not_of(" \n");
    const auto begin = output.rfind('\n', end) + 1;
    const std::string last = end == std::string::npos ? "it said nothing" : output.substr(begin, end + 1 - begin);
    throw std::runtime_error(fmt::format("sockperf failed: {} (longer runs, --seconds 2, give it more time)",
                                         std::regex_replace(last, std::regex("\033\\[[0-9;]*m|^sockperf: "), "")));
}

// The number behind the first `label` from `from` on.
double number_after(const std::string& output, const std::string& label, std::size_t from) {
    const auto at = output.find(label, from);
    if (at == std::string::npos) fail(output);
    const char* begin = output.c_str() + at + label.size();
    char* end = nullptr;
    const double number = std::strtod(begin, &end);
    if (end == begin) fail(output);
    return number;
}

// Datagrams that the sockets of the caller's namespace were given.
std::uint64_t datagrams_received() {
    std::ifstream file("/proc/thread-self/net/snmp");
    for (std::string line; std::getline(file, line);) {
        std::istringstream words(line);
        std::string protocol;
        std::uint64_t received = 0;
        if (words >> protocol >> received && protocol == "Udp:") return received;
    }
    throw std::runtime_error("/proc/net/snmp has no count of datagrams");
}

std::uint64_t datagrams_received(const Place& there) {
    std::uint64_t received = 0;
    run_at(there, [&] { received = datagrams_received(); });
    return received;
}

// What was seen of a run between its warm-up and its end.
struct Seen {
    std::string output;
    double seconds = 0;
    double busy_seconds = 0;
    std::uint64_t datagrams = 0;
};

Seen run_sockperf(const std::string& mode, const std::vector<std::string>& options,
                  const std::vector<std::string>& protocol, const Ends& ends, milliseconds time) {
    std::vector<std::string> serve = {"sockperf", "server", "-i", ends.server_address};
    serve.insert(serve.end(), protocol.begin(), protocol.end());
    Process server(serve, ends.server);
    if (!server.wait_for_output("to block on socket", std::chrono::seconds(5)))
        fail(server.wait(milliseconds(0)).output);
    const auto seconds = std::chrono::ceil<std::chrono::seconds>(time + kLeftOut).count();
    std::vector<std::string> ask = {"sockperf", mode, "-i", ends.server_address, "-t", std::to_string(seconds)};
    ask.insert(ask.end(), protocol.begin(), protocol.end());
    ask.insert(ask.end(), options.begin(), options.end());
    Process client(ask, ends.client);
    if (!client.wait_for_output("Starting test", kPatience)) fail(client.wait(milliseconds(0)).output);
    lab::pause_for(kWarmUp);
    Seen seen;
    const std::uint64_t before = datagrams_received(ends.server);
    const CpuTime cpu;
    const auto start = steady_clock::now();
    lab::pause_for(time);
    seen.seconds = std::chrono::duration<double>(steady_clock::now() - start).count();
    seen.busy_seconds = cpu.busy_seconds();
    seen.datagrams = datagrams_received(ends.server) - before;
    seen.output = client.wait(time + kPatience).output;
    return seen;
}

}  // namespace

RequestResponse request_response_of(const std::string& output) {
    const auto valid = output.find("[Valid Duration]");
    // Without --full-rtt it is avg-latency, and everything is halved.
    if (valid == std::string::npos || output.find("avg-rtt=", valid) == std::string::npos) fail(output);
    RequestResponse result;
    result.seconds = number_after(output, "RunTime=", valid);
    result.transactions = static_cast<std::uint64_t>(number_after(output, "ReceivedMessages=", valid));
    result.p50_us = number_after(output, "percentile 50.000 =", valid);
    result.p99_us = number_after(output, "percentile 99.000 =", valid);
    return result;
}

RequestResponse sockperf_request_response(Protocol protocol, const Ends& ends, milliseconds time) {
    const std::vector<std::string> by =
        protocol == Protocol::tcp ? std::vector<std::string>{"--tcp"} : std::vector<std::string>{};
    const Seen seen = run_sockperf("ping-pong", {"--full-rtt"}, by, ends, time);
    RequestResponse result = request_response_of(seen.output);
    result.busy_seconds = seen.busy_seconds / seen.seconds * result.seconds;
    return result;
}

SmallFrames sockperf_small_frames(const Ends& ends, milliseconds time) {
    // What the sender tells is what it has sent; what counts is what came.
    const Seen seen = run_sockperf("throughput", {"-m", std::to_string(kSmallPayload)}, {}, ends, time);
    if (seen.output.find("messages sent") == std::string::npos) fail(seen.output);
    return {.seconds = seen.seconds, .received = seen.datagrams, .busy_seconds = seen.busy_seconds};
}

}  // namespace underpass::bench
