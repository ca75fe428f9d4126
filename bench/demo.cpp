// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// underpass_demo: a bridge with two containers and two uplinks, real traffic through it, by the kernel and by Underpass
// side by side. Started by `./dev demo`. Takes everything away at the end, also when it is interrupted.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/daemon.h"
#include "bench/process.h"
#include "bench/report.h"
#include "bench/talk.h"
#include "bench/topology.h"
#include "lab/interrupt.h"

namespace {

using namespace underpass::bench;
namespace lab = underpass::lab;
using std::chrono::milliseconds;

constexpr int kFailed = 1, kWrongUse = 2, kInterrupted = 130;
constexpr milliseconds kTime(1000), kWarmUp(200);
constexpr int kRounds = 3;  // of each side, alternating
constexpr std::uint16_t kPairs = 256, kFlows = 4, kFrameBytes = 60;
constexpr std::size_t kBarWidth = 40;

constexpr const char* kPicture = R"(
  container ubench.cl ---+              +--- container ubench.cr     local stacks: TC,
    10.66.0.1            |              |      10.66.0.2             straight into the container
                       [   ubench-br    ]
  uplink ubench.wl    ---+              +--- uplink ubench.wr        carry frames as wires do: XDP
)";

struct Figure {
    const char* what;
    const char* unit;
    std::vector<double> kernel, underpass;
};

void say(const std::string& text) {
    fmt::print("{}\n", text);
    std::fflush(stdout);
}

Place at(const Topology& topology, Ports kind, Side side, int cpu) {
    return {topology.end(kind, side).there.fd(), cpu};
}

void require_ping(const Topology& topology) {
    const auto ping = run_program({"ping", "-q", "-c", "3", "-i", "0.05", "-W", "1", Topology::address(Side::right)},
                                  at(topology, Ports::containers, Side::left, -1));
    if (ping.status != 0) throw std::runtime_error("the containers cannot ping each other: " + ping.output);
}

void measure(const Topology& topology, const std::string& side, std::vector<Figure>& figures) {
    const auto add = [&](std::size_t figure, double value) {
        (side == "kernel" ? figures[figure].kernel : figures[figure].underpass).push_back(value);
    };
    const int last = usable_cpus() - 1;
    {
        Traffic traffic(topology, kFrameBytes, kPairs, kFlows, last);
        traffic.learn();
        traffic.forward({kWarmUp});
        const auto passed = traffic.forward({kTime});
        add(0, static_cast<double>(passed.received) / passed.seconds);
    }
    const Ends ends = {at(topology, Ports::containers, Side::left, 0),
                       at(topology, Ports::containers, Side::right, last), Topology::address(Side::right)};
    const Bulk bulk = measure_bulk(ends, kTime);
    add(1, static_cast<double>(bulk.bytes) * 8 / bulk.seconds);
    const auto asked = measure_request_response(Protocol::udp, ends, kWarmUp, kTime);
    add(2, static_cast<double>(asked.transactions) / asked.seconds);
}

void print_figures(const std::vector<Figure>& figures) {
    for (const Figure& figure : figures) {
        const double kernel = median(figure.kernel), underpass = median(figure.underpass);
        const auto bar = [&](double value) {
            std::string text;
            const auto full = std::lround(value / std::max(kernel, underpass) * kBarWidth);
            for (long i = 0; i < full; i++) text += "█";
            return text;
        };
        fmt::print("\n  {}, {}\n", figure.what, figure.unit);
        fmt::print("    kernel     {:>8}  {}\n", human(kernel, figure.unit), bar(kernel));
        fmt::print("    Underpass  {:>8}  {}  {:.2f} x\n", human(underpass, figure.unit), bar(underpass),
                   underpass / kernel);
    }
    fmt::print("\n  Medians of {} alternating runs of {} s each; `underpass bench l2` measures with care.\n", kRounds,
               kTime.count() / 1000);
}

void demo() {
    if (geteuid() != 0) throw std::runtime_error("this needs root: sudo ./dev demo");
    say("Building a bridge with two containers and two uplinks, in network namespaces of its own:");
    std::optional<Topology> topology(std::in_place, Ports::both);
    say(kPicture);
    require_ping(*topology);

    std::vector<Figure> figures = {{"60-byte frames from uplink to uplink, one CPU", "frames/s", {}, {}},
                                   {"one TCP stream from container to container", "bit/s", {}, {}},
                                   {"UDP request and response, container to container", "1/s", {}, {}}};
    std::string status;
    for (int round = 0; round < kRounds; round++)
        for (const std::string side : {"kernel", "underpass"}) {
            say(fmt::format("round {} of {}: {}", round + 1, kRounds,
                            side == "kernel" ? "the kernel's bridge alone" : "underpass up ubench-br"));
            const bool fast = side == "underpass";
            if (fast) run_underpass(topology->bridge(), {"up", kBridge});
            try {
                require_ping(*topology);
                measure(*topology, side, figures);
                if (fast) status = run_underpass(topology->bridge(), {"status"});
            } catch (...) {
                if (fast) run_underpass(topology->bridge(), {"down"}, false);
                throw;
            }
            if (fast) run_underpass(topology->bridge(), {"down"});
        }
    require_ping(*topology);
    say("\nunderpass status, at the end of its last round:\n");
    say(status);
    say("What came out:");
    print_figures(figures);
    topology.reset();
    say("\nEverything that was built is taken away. On a bridge of your own: underpass check; underpass up BRIDGE");
}

}  // namespace

// NOLINTNEXTLINE(bugprone-exception-escape): what is thrown where words cannot even be printed ends the program
int main(int argc, char** argv) {
    CLI::App app("Shows the main job on a bridge of its own: the kernel and Underpass, side by side", "./dev demo");
    lab::watch_for_interrupts();
    try {
        app.parse(argc, argv);
        demo();
        return 0;
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : kWrongUse;
    } catch (const lab::Interrupted&) {
        fmt::print(stderr, "demo: interrupted; everything is taken away\n");
        return kInterrupted;
    } catch (const std::exception& error) {
        fmt::print(stderr, "demo: {}\n", error.what());
        return kFailed;
    }
}
