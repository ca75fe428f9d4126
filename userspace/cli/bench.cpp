// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/command.h"
#include "bench/scenarios.h"
#include "cli/commands.h"
#include "lab/interrupt.h"

namespace underpass {

namespace {

constexpr double kQuickSeconds = 0.2;
constexpr int kQuickRepeat = 3;
constexpr double kProfileSeconds = 0.1;
constexpr int kProfileRepeat = 11;
constexpr int kSearchRepeat = 3;

// Words of `--from DEV --to DEV`.
struct DeviceWords {
    std::string destination_mac, source = "198.18.0.1", destination = "198.18.0.2";
};
constexpr const char* kOfDevices[] = {"--sides", "--size", "--destination-mac", "--source", "--destination", "--flows"};

IpAddress ipv4(const std::string& option, const std::string& word) {
    const auto address = IpAddress::parse(word);
    if (!address || address->v6)
        throw CLI::ValidationError(fmt::format("{} {}: that is not an IPv4 address", option, word));
    return *address;
}

// Which options go with which: a kept report, two devices, or scenarios.
void require_one_use(const CLI::App& command, const bench::DeviceOptions& devices) {
    const auto given = [&](const char* option) { return command.count(option) > 0; };
    if (given("--show"))
        for (const char* other : {"SCENARIO", "--seconds", "--repeat", "--hook", "--case", "--quick", "--profile",
                                  "--generator", "--ndr", "--loss", "--from", "--to", "--sides", "--size",
                                  "--destination-mac", "--source", "--destination", "--flows"})
            if (given(other))
                throw CLI::ValidationError(fmt::format("{} says how to measure, and --show not to", other));
    if (given("--profile"))
        for (const char* other : {"--against", "--generator", "--ndr", "--from", "--to"})
            if (given(other))
                throw CLI::ValidationError(
                    fmt::format("{} is about rates, of which --profile measures none: one of them", other));
    if (given("--loss") && !given("--ndr"))
        throw CLI::ValidationError("--loss is of the rate that --ndr searches: both, or none");
    if (given("--from") != given("--to")) {
        if (given("--from") && ::access(devices.from.c_str(), F_OK) == 0)
            throw CLI::ValidationError(
                fmt::format("--from is a device; to show the report in {}: --show", devices.from));
        throw CLI::ValidationError(
            "--from and --to go together: the device that frames leave by, and the one where they arrive");
    }
    if (!given("--from"))
        for (const char* other : kOfDevices)
            if (given(other))
                throw CLI::ValidationError(fmt::format("{} goes with --from and --to: it is about devices", other));
    if (given("--from"))
        for (const char* other : {"SCENARIO", "--hook"})
            if (given(other))
                throw CLI::ValidationError(
                    fmt::format("{} is about the bench's own networks, and --from about your devices", other));
}

std::string footer() {
    std::string text = "Scenarios:\n";
    for (const bench::Scenario& each : bench::all_scenarios())
        text += fmt::format("  {:<24}{}\n", each.name, each.description);
    return text +
           "\nExamples:\n"
           "  underpass bench --quick                     all of it in a quarter of an hour, as a first look\n"
           "  underpass bench l2 nat --json today.json --html today.html\n"
           "  underpass bench l2 --against last-week.json exit status 1 if something is slower than it was\n"
           "  underpass bench l2 nat --profile            what each stage of the programs takes, in ns\n"
           "  underpass bench --show today.json --markdown today.md\n"
           "  underpass bench l2 --generator pktgen --ndr\n"
           "  underpass bench container-to-container --generator sockperf\n"
           "  underpass bench --from eth0 --to eth1 --sides 'ssh dut side' --ndr\n"
           "\n"
           "--ndr: the no-drop rate, RFC 2544's throughput. Where something is lost at full speed, the middle between "
           "a\n"
           "rate that holds and one that does not is tried until they are 1 % apart, and the lower one has to hold "
           "once\n"
           "more: some ten trials of --seconds for each run and side, a minute for two sides of a case. Between wires\n"
           "one CPU sends and forwards, so that nothing is lost there, and full speed is what is found.\n"
           "\n"
           "--sides: before each run COMMAND, by the shell, gets `kernel` or `underpass` as its last word, and in\n"
           "UNDERPASS_SIDE; in the end it is left as `kernel`. Both devices get an XDP program meanwhile, to count "
           "by.\n"
           "\n"
           "Builds networks in namespaces of its own and takes them away. Let nothing else run meanwhile.";
}

}  // namespace

void add_bench(CLI::App& app) {
    struct Options {
        bench::Request request;
        bench::DeviceOptions devices;
        DeviceWords words;
        std::string generator = "frames";
        double seconds = 0.5, loss = 0;
    };
    auto options = std::make_shared<Options>();
    options->request.version = UNDERPASS_VERSION;
    bench::Request& request = options->request;
    CLI::App* command =
        app.add_subcommand("bench", "Measure forwarding on this machine: the kernel, Underpass and the limit");
    command->add_option("SCENARIO", request.scenarios, "Only these; else all")->type_name("");
    CLI::Option* seconds = command->add_option("--seconds", options->seconds, "Length of each run")
                               ->check(CLI::Range(0.1, 60.0))
                               ->capture_default_str();
    CLI::Option* repeat = command->add_option("--repeat", request.options.repeat, "Runs of each side")
                              ->check(CLI::Range(1, 100))
                              ->capture_default_str();
    command->add_option("--hook", request.options.hooks, "Only this hook")
        ->check(CLI::IsMember({"tc", "xdp"}))
        ->allow_extra_args(false);
    command->add_option("--case", request.options.cases, "Only this case of the scenarios; may be repeated")
        ->type_name("CASE")
        ->allow_extra_args(false);
    command->add_flag("--quick", request.options.quick,
                      fmt::format("{} runs of {} s, without what takes minutes", kQuickRepeat, kQuickSeconds));
    command->add_flag(
        "--profile", request.profile,
        fmt::format("What Underpass's own programs take: stage by stage, of one frame again and again, so "
                    "without cache misses; and in traffic, with them; {} runs unless told",
                    kProfileRepeat));
    command->add_option("--json", request.json, "Write every sample to FILE")->type_name("FILE");
    command->add_option("--html", request.html, "Write a page with charts to FILE")->type_name("FILE");
    command->add_option("--markdown", request.markdown, "Write tables to FILE, as Markdown")->type_name("FILE");
    command
        ->add_option("--against", request.against,
                     "Compare with what `--json` has kept in FILE; exit status 1 if something is slower")
        ->type_name("FILE");
    command->add_option("--show", request.show, "Measure nothing: show what `--json` has kept in FILE")
        ->type_name("FILE");
    command
        ->add_option("--generator", options->generator,
                     "Frames between wires by live frames, or by pktgen; or only what iperf3 or sockperf says between "
                     "two stacks")
        ->check(CLI::IsMember(std::vector<std::string>(bench::kGeneratorNames.begin(), bench::kGeneratorNames.end())))
        ->capture_default_str();
    command->add_flag("--ndr", request.options.no_drop_rate,
                      fmt::format("Search the no-drop rate, too; {} runs unless told", kSearchRepeat));
    command->add_option("--loss", options->loss, "Of --ndr: percent of the frames that may be lost")
        ->check(CLI::Range(0.0, 50.0))
        ->capture_default_str();
    bench::DeviceOptions& devices = options->devices;
    command->add_option("--from", devices.from, "No scenario: frames out of this device, with --to")
        ->type_name("DEVICE");
    command->add_option("--to", devices.to, "And counted where they arrive at this one")->type_name("DEVICE");
    command->add_option("--sides", devices.sides, "A command that makes what is between them `kernel` or `underpass`")
        ->type_name("COMMAND");
    command->add_option("--size", devices.sizes, "Bytes of a frame, without its FCS; may be repeated (60 and 1500)")
        ->check(CLI::Range(60, 1514))
        ->type_name("BYTES")
        ->allow_extra_args(false);
    command->add_option("--destination-mac", options->words.destination_mac, "Of a router; else that of --to")
        ->type_name("MAC");
    command->add_option("--source", options->words.source, "From this IPv4 address")
        ->type_name("ADDRESS")
        ->capture_default_str();
    command->add_option("--destination", options->words.destination, "To this IPv4 address")
        ->type_name("ADDRESS")
        ->capture_default_str();
    command->add_option("--flows", devices.flows, "So many UDP flows, one after another")
        ->check(CLI::Range(1, 60000))
        ->capture_default_str();
    command->footer(footer());
    command->callback([options, command, seconds, repeat] {
        bench::DeviceOptions& chosen = options->devices;
        require_one_use(*command, chosen);
        bench::RunOptions& run = options->request.options;
        const bool profile = options->request.profile;
        if (profile && seconds->count() == 0) options->seconds = kProfileSeconds;
        if (profile && repeat->count() == 0) run.repeat = run.quick ? kQuickRepeat : kProfileRepeat;
        if (run.quick && !profile && seconds->count() == 0) options->seconds = kQuickSeconds;
        if (run.no_drop_rate && repeat->count() == 0) run.repeat = kSearchRepeat;
        if (run.quick && repeat->count() == 0) run.repeat = kQuickRepeat;
        run.time = std::chrono::milliseconds(static_cast<long>(options->seconds * 1000));
        run.most_loss = options->loss / 100;
        const auto generator = std::ranges::find(bench::kGeneratorNames, options->generator);
        run.generator = static_cast<bench::GeneratorKind>(generator - bench::kGeneratorNames.begin());
        if (!chosen.from.empty()) {
            if (!options->words.destination_mac.empty()) {
                chosen.destination_mac = MacAddr::parse(options->words.destination_mac);
                if (!chosen.destination_mac || !chosen.destination_mac->is_unicast())
                    throw CLI::ValidationError(fmt::format("--destination-mac {}: that is not a device's MAC address",
                                                           options->words.destination_mac));
            }
            chosen.source = ipv4("--source", options->words.source);
            chosen.destination = ipv4("--destination", options->words.destination);
            options->request.devices = chosen;
        }
        lab::watch_for_interrupts();
        try {
            bench::perform(options->request);
        } catch (const std::invalid_argument& error) {
            throw CLI::ValidationError(error.what());
        }
    });
}

}  // namespace underpass
