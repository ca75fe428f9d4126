// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/facts.h"

#include <bpf/libbpf.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/utsname.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <thread>

#include "bench/cpu_time.h"
#include "bench/place.h"
#include "bench/process.h"

namespace underpass::bench {

namespace {

constexpr const char* kVulnerabilities = "/sys/devices/system/cpu/vulnerabilities";

std::string cpu_model() {
    std::ifstream file("/proc/cpuinfo");
    for (std::string line; std::getline(file, line);)
        if (line.starts_with("model name"))
            if (const auto colon = line.find(": "); colon != std::string::npos) return line.substr(colon + 2);
    return "unknown CPU";
}

// As a shell would take it.
std::string shell_word(const std::string& word) {
    constexpr const char* kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./=:,+@%";
    if (!word.empty() && word.find_first_not_of(kPlain) == std::string::npos) return word;
    std::string text = "'";
    for (const char letter : word) text += letter == '\'' ? "'\\''" : std::string(1, letter);
    return text + '\'';
}

std::string command_line() {
    std::ifstream file("/proc/self/cmdline", std::ios::binary);
    std::string text;
    for (std::string word; std::getline(file, word, '\0');) text += (text.empty() ? "" : " ") + shell_word(word);
    return text;
}

std::string first_line(const std::filesystem::path& path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

Facts::Named mitigations() {
    Facts::Named all;
    std::error_code none;  // a kernel without them
    for (const auto& entry : std::filesystem::directory_iterator(kVulnerabilities, none))
        all.emplace_back(entry.path().filename(), first_line(entry.path()));
    std::ranges::sort(all);
    return all;
}

Facts::Named versions(const std::string& version) {
    Facts::Named all = {{"underpass", version}, {"libbpf", libbpf_version_string()}};
    for (const char* program : {"iperf3", "sockperf"}) {
        if (!is_installed(program)) continue;
        const std::string told = run_program({program, "--version"}).output;
        all.emplace_back(program, told.substr(0, told.find('\n')));
    }
    return all;
}

}  // namespace

Facts facts_of_this_run(const std::string& version) {
    constexpr std::chrono::milliseconds kLook(300);
    Facts facts;
    const CpuTime cpu;
    std::this_thread::sleep_for(kLook);
    facts.busy =
        std::clamp(cpu.busy_seconds() / std::chrono::duration<double>(kLook).count() / usable_cpus(), 0.0, 1.0);
    facts.command = command_line();
    facts.version = version;
    utsname kernel = {};
    ::uname(&kernel);
    facts.kernel = fmt::format("{} {}", kernel.release, kernel.version);
    facts.cpu = fmt::format("{}, {} CPUs", cpu_model(), usable_cpus());
    facts.time = fmt::format("{:%FT%TZ}",
                             fmt::gmtime(std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now())));
    facts.versions = versions(version);
    facts.mitigations = mitigations();
    return facts;
}

std::string device_text(const Place& there, const std::string& device) {
    std::string driver, on;
    const auto ask = [&](const char* what) { return run_program({"ethtool", what, device}, there).output; };
    std::istringstream answer(ask("-i"));
    for (std::string line; std::getline(answer, line);)
        if (line.starts_with("driver: ")) driver = line.substr(8);
    std::istringstream features(ask("-k"));
    for (std::string line; std::getline(features, line);) {
        const auto colon = line.find(": on");
        if (colon == std::string::npos) continue;
        const std::string name = line.substr(line.find_first_not_of(" \t"), colon - line.find_first_not_of(" \t"));
        on += (on.empty() ? "" : ", ") + name;
    }
    return fmt::format("driver {}; on: {}", driver.empty() ? "unknown" : driver, on.empty() ? "nothing" : on);
}

}  // namespace underpass::bench
