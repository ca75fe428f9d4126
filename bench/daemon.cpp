// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/daemon.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cerrno>
#include <chrono>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "loader/error.h"

namespace underpass::bench {

namespace {

std::string program() {
    return std::filesystem::read_symlink("/proc/self/exe").replace_filename("underpass");
}

nlohmann::json status_of(const lab::Namespace& host) {
    return nlohmann::json::parse(run_underpass(host, {"status", "--json"}));
}

// Of "NAME: VALUE ..." in a file of /proc; 0 if it has no such line.
std::uint64_t value_of(const std::filesystem::path& file, const std::string& name) {
    std::ifstream lines(file);
    for (std::string word; lines >> word; std::getline(lines, word))
        if (std::uint64_t value = 0; word == name + ':' && lines >> value) return value;
    return 0;
}

}  // namespace

std::string run_underpass(const lab::Namespace& host, const std::vector<std::string>& words, bool stop_on_interrupt) {
    std::vector<std::string> command = {program()};
    command.insert(command.end(), words.begin(), words.end());
    Finished finished = run_program(command, {host.fd(), -1}, std::chrono::seconds(30), stop_on_interrupt);
    if (finished.status != 0)
        throw std::runtime_error(fmt::format("underpass {} failed: {}", fmt::join(words, " "), finished.output));
    return std::move(finished.output);
}

Process start_daemon(const Topology& topology, std::uint32_t flows) {
    const std::string script = fmt::format("exec \"$0\" run -c /dev/stdin <<END\nflows_size: {}\nEND\n", flows);
    Process daemon({"sh", "-c", script, program()}, {topology.bridge().fd(), -1});
    if (!daemon.wait_for_output(" runs (pid ", std::chrono::seconds(10)))
        throw std::runtime_error("underpass run failed: " + daemon.wait(std::chrono::milliseconds(0)).output);
    return daemon;
}

std::uint64_t FastAndSlow::all() const {
    std::uint64_t sum = fast;
    for (const auto& [reason, count] : slow) sum += count;
    return sum;
}

FastAndSlow counted_by_daemon(const Topology& topology) {
    const nlohmann::json status = status_of(topology.bridge());
    FastAndSlow counted;
    for (const auto& bridge : status.at("bridges"))
        for (const auto& port : bridge.at("ports")) {
            counted.fast += port.at("fast").at("packets").get<std::uint64_t>();
            for (const auto& [reason, counter] : port.at("slow").items())
                counted.slow[reason] += counter.at("packets").get<std::uint64_t>();
        }
    return counted;
}

// A packet that a VXLAN device gets from the kernel was counted at the device below, and what it sends where it came
// in.
FastAndSlow tunnelled_by_daemon(const Topology& topology, Ports ports) {
    FastAndSlow counted;
    const auto packets = [](const nlohmann::json& counter) { return counter.at("packets").get<std::uint64_t>(); };
    for (const Topology::Host& host : topology.hosts(ports))
        for (const nlohmann::json status = status_of(host.there); const auto& bridge : status.at("bridges"))
            for (const auto& port : bridge.at("ports")) {
                const std::uint64_t encapsulated = packets(port.at("encapsulated"));
                counted.fast += packets(port.at("decapsulated")) + encapsulated;
                if (port.contains("vxlan")) continue;
                if (const auto rest = packets(port.at("fast")) - encapsulated; rest > 0)
                    counted.slow["by the VXLAN device"] += rest;
                for (const auto& [reason, counter] : port.at("slow").items()) counted.slow[reason] += packets(counter);
            }
    return counted;
}

int pid_of_daemon(const Topology& topology) {
    return status_of(topology.bridge()).at("daemon").at("pid").get<int>();
}

std::uint64_t cpu_ns_of(int pid) {
    clockid_t clock = 0;
    timespec time = {};
    if (const int code = clock_getcpuclockid(pid, &clock); code != 0) throw_errno(code, "find the daemon's CPU time");
    if (clock_gettime(clock, &time) != 0) throw_errno(errno, "read the daemon's CPU time");
    return static_cast<std::uint64_t>(time.tv_sec) * 1000000000 + static_cast<std::uint64_t>(time.tv_nsec);
}

DaemonMemory memory_of_daemon(const Topology& topology) {
    const int pid = pid_of_daemon(topology);
    const std::filesystem::path process = fmt::format("/proc/{}", pid);
    std::map<std::uint64_t, std::uint64_t> maps;  // by id: a map may be open twice
    for (const auto& entry : std::filesystem::directory_iterator(process / "fdinfo"))
        if (const auto id = value_of(entry.path(), "map_id"); id != 0) maps[id] = value_of(entry.path(), "memlock");
    DaemonMemory memory = {.resident_bytes = value_of(process / "status", "VmRSS") * 1024};
    for (const auto& [id, bytes] : maps) memory.map_bytes += bytes;
    return memory;
}

}  // namespace underpass::bench
