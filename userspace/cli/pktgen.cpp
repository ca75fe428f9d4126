// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>

#include "cli/commands.h"
#include "cli/output.h"
#include "lab/interrupt.h"
#include "pktgen/generator.h"

namespace underpass {

namespace {

using Json = nlohmann::ordered_json;
using pktgen::Range;
using pktgen::Traffic;

struct Words {
    std::vector<std::string> devices;
    unsigned threads = 1;
    double seconds = 10;
    std::string size = "60", destination_mac, source_mac, vlan, source, destination, source_port = "9",
                destination_port = "9", way = "start_xmit";
    Traffic traffic;
    std::uint64_t rate = 0;
    bool dry_run = false, json = false;
};

[[noreturn]] void wrong(const std::string& option, const std::string& word, const char* wanted) {
    throw CLI::ValidationError(fmt::format("{} {}: that is not {}", option, word, wanted));
}

std::uint32_t number(const std::string& option, const std::string& whole, const std::string& word, std::uint32_t most,
                     const char* wanted) {
    if (word.empty() || word.size() > 9 || word.find_first_not_of("0123456789") != std::string::npos ||
        std::stoul(word) > most)
        wrong(option, whole, wanted);
    return static_cast<std::uint32_t>(std::stoul(word));
}

// "60" or "60-1514"
Range<std::uint16_t> numbers(const std::string& option, const std::string& text, const char* wanted) {
    const std::size_t dash = text.find('-');
    const auto first = number(option, text, text.substr(0, dash), 65535, wanted);
    const auto last = dash == std::string::npos ? first : number(option, text, text.substr(dash + 1), 65535, wanted);
    return {static_cast<std::uint16_t>(first), static_cast<std::uint16_t>(last)};
}

// "10.0.0.1" or "10.0.0.1-10.0.0.9"
Range<IpAddress> addresses(const std::string& option, const std::string& text) {
    const std::size_t dash = text.find('-');
    const auto first = IpAddress::parse(text.substr(0, dash));
    const auto last = dash == std::string::npos ? first : IpAddress::parse(text.substr(dash + 1));
    if (!first || !last) wrong(option, text, "an address, or two joined by a dash");
    return {*first, *last};
}

// "02:00:00:00:00:01" or "02:00:00:00:00:01+15": that one and so many behind it
pktgen::MacRange macs(const std::string& option, const std::string& text) {
    constexpr const char* kWanted = "a MAC address, or one with +N";
    const std::size_t plus = text.find('+');
    const auto first = MacAddr::parse(text.substr(0, plus));
    if (!first) wrong(option, text, kWanted);
    const std::uint32_t more =
        plus == std::string::npos ? 0 : number(option, text, text.substr(plus + 1), 0xfffffe, kWanted);
    return {*first, more + 1};
}

Traffic traffic_of(const Words& words, std::uint32_t threads) {
    Traffic traffic = words.traffic;
    traffic.size = numbers("--size", words.size, "a number of bytes, or two joined by a dash");
    traffic.destination_mac = macs("--destination-mac", words.destination_mac);
    if (!words.source_mac.empty()) traffic.source_mac = macs("--source-mac", words.source_mac);
    if (!words.vlan.empty()) {
        constexpr const char* kWanted = "a VLAN, or VLAN:PRIORITY";
        const std::size_t colon = words.vlan.find(':');
        traffic.vid =
            static_cast<std::uint16_t>(number("--vlan", words.vlan, words.vlan.substr(0, colon), 65535, kWanted));
        if (colon != std::string::npos)
            traffic.priority =
                static_cast<std::uint8_t>(number("--vlan", words.vlan, words.vlan.substr(colon + 1), 255, kWanted));
    }
    const bool v6 = words.source.find(':') != std::string::npos || words.destination.find(':') != std::string::npos;
    traffic.source = addresses("--source", !words.source.empty() ? words.source : v6 ? "2001:2::1" : "198.18.0.1");
    traffic.destination = addresses("--destination", !words.destination.empty() ? words.destination
                                                     : v6                       ? "2001:2::2"
                                                                                : "198.18.0.2");
    constexpr const char* kPort = "a port, or two joined by a dash";
    traffic.source_port = numbers("--source-port", words.source_port, kPort);
    traffic.destination_port = numbers("--destination-port", words.destination_port, kPort);
    if (words.rate > 0) traffic.rate = words.rate;
    traffic.way = words.way == "queue_xmit"      ? Traffic::Way::queue
                  : words.way == "netif_receive" ? Traffic::Way::receive
                                                 : Traffic::Way::transmit;
    const std::string fault = fault_of(traffic, threads);
    if (!fault.empty()) throw CLI::ValidationError(fault);
    return traffic;
}

Json json_of(const pktgen::Result& result, double bits) {
    const double rate = result.seconds > 0 ? static_cast<double>(result.packets) / result.seconds : 0;
    return {{"packets", result.packets},
            {"errors", result.errors},
            {"seconds", result.seconds},
            {"packets_per_s", rate},
            {"bits_per_s", rate * bits}};
}

void print_results(const Json& report) {
    std::vector<std::vector<std::string>> rows = {
        {"device", "CPU", "packets", "errors", "packets/s", "bits/s", "seconds"}};
    const auto add = [&rows](const std::string& device, const std::string& cpu, const Json& result) {
        rows.push_back({device, cpu, count_text(result.at("packets").get<std::uint64_t>()),
                        count_text(result.at("errors").get<std::uint64_t>()),
                        count_text(static_cast<std::uint64_t>(result.at("packets_per_s").get<double>())),
                        count_text(static_cast<std::uint64_t>(result.at("bits_per_s").get<double>())),
                        fmt::format("{:.2f}", result.at("seconds").get<double>())});
    };
    for (const Json& each : report.at("threads"))
        add(each.at("device").get<std::string>(), std::to_string(each.at("cpu").get<unsigned>()), each);
    if (report.at("threads").size() > 1) add("all", "", report.at("total"));
    print_table(rows, "");
}

Json report_of(const std::vector<pktgen::Task>& tasks, const std::vector<pktgen::Result>& results,
               const Traffic& traffic, bool complete) {
    const double bits = (traffic.size.first + traffic.size.last) / 2.0 * 8;
    Json threads = Json::array();
    pktgen::Result total;
    for (std::size_t i = 0; i < tasks.size(); i++) {
        Json each = {{"device", tasks[i].device}, {"cpu", tasks[i].cpu}};
        each.update(json_of(results[i], bits));
        threads.push_back(std::move(each));
        total.packets += results[i].packets;
        total.errors += results[i].errors;
        total.seconds = std::max(total.seconds, results[i].seconds);
    }
    return {{"complete", complete}, {"threads", std::move(threads)}, {"total", json_of(total, bits)}};
}

void generate(const Words& words) {
    std::vector<pktgen::Task> tasks;
    for (const std::string& device : words.devices)
        for (unsigned cpu = 0; cpu < words.threads; cpu++) tasks.push_back({device, cpu});
    const Traffic traffic = traffic_of(words, static_cast<std::uint32_t>(tasks.size()));
    if (words.dry_run) {
        for (std::size_t i = 0; i < tasks.size(); i++)
            for (const std::string& line :
                 device_commands(traffic, static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(tasks.size())))
                fmt::print("{}@{}: {}\n", tasks[i].device, tasks[i].cpu, line);
        return;
    }
    require_root();
    lab::watch_for_interrupts();
    pktgen::Generator generator(tasks, traffic);
    const bool shows = ::isatty(STDERR_FILENO) != 0;
    generator.run(std::chrono::milliseconds(static_cast<long>(words.seconds * 1000)), [shows](std::uint64_t sent) {
        // A terminal that is gone is no reason to fail.
        if (shows) std::fprintf(stderr, "\r%s packets ", count_text(sent).c_str());
        return !lab::is_interrupted();
    });
    if (shows) std::fputs("\r\x1b[K", stderr);
    const Json report = report_of(tasks, generator.results(), traffic, !lab::is_interrupted());
    if (words.json)
        fmt::print("{}\n", report.dump(2));
    else
        print_results(report);
    std::fflush(stdout);
    lab::throw_if_interrupted();
}

}  // namespace

void add_pktgen(CLI::App& app) {
    auto words = std::make_shared<Words>();
    CLI::App* command = app.add_subcommand("pktgen", "Send UDP packets by the kernel's packet generator");
    command->add_option("DEVICE", words->devices, "Out of these")->required()->type_name("");
    command->add_option("--destination-mac", words->destination_mac, "To this address, or, MAC+N, it and N behind it")
        ->type_name("MAC")
        ->required();
    command->add_option("--source-mac", words->source_mac, "From this address, likewise; else the device's own")
        ->type_name("MAC");
    command->add_option("--destination", words->destination, "To this IP address, or FIRST-LAST (198.18.0.2)")
        ->type_name("ADDRESS");
    command->add_option("--source", words->source, "From this IP address, or FIRST-LAST (198.18.0.1)")
        ->type_name("ADDRESS");
    command->add_option("--destination-port", words->destination_port, "To this UDP port, or FIRST-LAST")
        ->type_name("PORT")
        ->capture_default_str();
    command->add_option("--source-port", words->source_port, "From this UDP port, or FIRST-LAST")
        ->type_name("PORT")
        ->capture_default_str();
    command->add_flag("--random", words->traffic.random, "Addresses and ports at random, not in turns");
    command->add_option("--vlan", words->vlan, "In this VLAN, or VLAN:PRIORITY")->type_name("VLAN");
    command
        ->add_option("--size", words->size,
                     "Bytes of a frame, or FIRST-LAST: with its Ethernet header, without its FCS")
        ->type_name("BYTES")
        ->capture_default_str();
    CLI::Option* seconds = command->add_option("--seconds", words->seconds,
                                               "For so long, but with --count until that is sent; 0: until Ctrl-C");
    seconds->check(CLI::Range(0.0, 86400.0))->capture_default_str();
    CLI::Option* count = command->add_option("--count", words->traffic.count, "So many packets in all; 0: any number")
                             ->capture_default_str();
    command->add_option("--rate", words->rate, "So many packets a second in all; 0: as many as can be")
        ->capture_default_str();
    command->add_option("--threads", words->threads, "By so many CPUs, for each device")
        ->check(CLI::Range(1, 4096))
        ->capture_default_str();
    command->add_option("--burst", words->traffic.burst, "Packets that are handed to the driver at once")
        ->check(CLI::Range(1, 65535))
        ->capture_default_str();
    command->add_option("--clone", words->traffic.clone, "Times that each packet is sent again, as it is")
        ->check(CLI::Range(0, 1000000000))
        ->capture_default_str();
    command
        ->add_option("--xmit-mode", words->way,
                     "To the driver, through the queueing discipline, or into the device as if received")
        ->check(CLI::IsMember({"start_xmit", "queue_xmit", "netif_receive"}))
        ->capture_default_str();
    command->add_flag("--dry-run", words->dry_run, "Print what pktgen would be told; change nothing");
    command->add_flag("--json", words->json, "Print JSON");
    command->footer(
        "Examples:\n"
        "  underpass pktgen eth0 --destination-mac 02:00:00:00:00:01 --seconds 5 --burst 32 --clone 1000\n"
        "  underpass pktgen eth0 --destination-mac 02:00:00:00:00:01+1023 --source-port 1000-2023 --threads 4\n"
        "  underpass pktgen eth0 --destination-mac 02:00:00:00:00:01 --vlan 10:5 --size 60-1514 --rate 10000\n"
        "\n"
        "What is configured in pktgen is taken away again at the end.");
    command->callback([words, seconds, count] {
        if (count->count() > 0 && words->traffic.count > 0 && seconds->count() == 0) words->seconds = 0;
        generate(*words);
    });
}

}  // namespace underpass
