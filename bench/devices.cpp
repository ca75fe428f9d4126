// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/devices.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "bench/device_traffic.h"
#include "bench/facts.h"
#include "bench/process.h"

namespace underpass::bench {

namespace {

using std::chrono::milliseconds;

constexpr const char* kScenario = "devices";
constexpr milliseconds kWarmUp(300);
constexpr milliseconds kToChange(60000);

std::string case_of(std::uint16_t bytes) {
    return fmt::format("frames-{}", bytes);
}

// What is between the devices, as the command makes it. In the end it is the kernel's.
class Between {
public:
    explicit Between(std::string command) : command_(std::move(command)) {}
    Between(Between&&) = delete;
    ~Between() {
        if (left_to_ == "underpass") try {
                make("kernel", false);
            } catch (const std::exception& error) {
                fmt::print(stderr, "bench: {}\n", error.what());
            }
    }

    std::vector<std::string> sides() const {
        if (command_.empty()) return {kDevice};
        return {"kernel", "underpass"};
    }

    void make(const std::string& side, bool stop_on_interrupt = true) {
        if (command_.empty()) return;
        left_to_ = side;
        const std::string script = command_ + R"( "$UNDERPASS_SIDE")";
        auto [status, output] =
            run_program({"env", "UNDERPASS_SIDE=" + side, "sh", "-c", script}, {}, kToChange, stop_on_interrupt);
        if (status == 0) return;
        output.erase(output.find_last_not_of('\n') + 1);
        throw std::runtime_error(
            fmt::format("`{} {}` has failed with exit status {}: {}", command_, side, status, output));
    }

private:
    std::string command_;
    std::string left_to_ = {};
};

void measure(DeviceTraffic& traffic, const RunOptions& options, const Add& add) {
    const auto forward = [&](const Load& load) { return traffic.forward(load); };
    traffic.learn();
    forward({kWarmUp, 0, options.generator});
    const auto passed = forward({options.time, 0, options.generator});
    if (passed.received == 0)
        throw std::runtime_error(fmt::format(
            "{} frames were sent, and none has arrived: are the devices joined, and does what is between "
            "them forward to "
            "that address (--destination-mac, --destination)?{}",
            passed.sent,
            options.generator == GeneratorKind::frames ? " Of a driver without XDP (or a veth whose other end has no "
                                                         "GRO) none leaves: --generator pktgen does without"
                                                       : ""));
    const auto sent = static_cast<double>(passed.sent);
    add("frames", "frames/s", passed.rate());
    add("sent", "frames/s", sent / passed.seconds);
    add("lost", "%", 100 * std::max(0.0, sent - static_cast<double>(passed.received)) / sent);
    add_no_drop_rate(forward, options, add);
}

void run(const DeviceOptions& devices, const RunOptions& options, Report& report) {
    Runner runner(kScenario, options, report);
    const DeviceSinks sinks(devices.from, devices.to);
    for (const std::string& device : {devices.from, devices.to}) report.device(device, device_text({}, device));
    report.note(kScenario, fmt::format("From {} to {}, {} UDP flows from {} to {}. {}", devices.from, devices.to,
                                       devices.flows, devices.source.text(), devices.destination.text(),
                                       devices.sides.empty() ? "Device: what is between them, as it is."
                                                             : fmt::format("Sides by `{}`.", devices.sides)));
    Between between(devices.sides);
    const auto sides = between.sides();
    for (const std::uint16_t bytes : devices.sizes) {
        if (!runner.wants(case_of(bytes))) continue;
        DeviceTraffic traffic(devices, sinks, bytes, usable_cpus() - 1);
        for (int run = 0; run < options.repeat; run++)
            for (std::size_t i = 0; i < sides.size(); i++) {
                const std::string& side = sides[(i + static_cast<std::size_t>(run)) % sides.size()];
                runner.tell(fmt::format("{}: run {} of {}, {}", case_of(bytes), run + 1, options.repeat, side),
                            run == 0 && i == 0);
                between.make(side);
                measure(traffic, options, [&](const char* metric, const char* unit, double value) {
                    report.add(kScenario, case_of(bytes), "", metric, unit, side, value, generator_of(options));
                });
            }
    }
}

}  // namespace

Scenario devices_scenario(const DeviceOptions& options) {
    if (options.from == options.to)
        throw std::invalid_argument(fmt::format("--from {} --to {}: frames leave by one device and arrive at another",
                                                options.from, options.to));
    for (const auto& check : {require_device, require_up})
        for (const std::string& name : {options.from, options.to}) check(name);
    std::vector<std::string> cases;
    for (const std::uint16_t bytes : options.sizes) cases.push_back(case_of(bytes));
    return {.name = kScenario,
            .description = "from one device of this host to another",
            .cases = cases,
            .run = [options](const RunOptions& with, Report& report) { run(options, with, report); }};
}

}  // namespace underpass::bench
