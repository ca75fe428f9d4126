// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "lab_fixture.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <stdexcept>
#include <thread>

#include "lab/record.h"
#include "trial.h"

namespace underpass::test {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kLongestLabName = 32;
constexpr const char* kRunDirectory = "/run/underpass";
constexpr milliseconds kOthersTime{2000};

// "sleep (17)": who is in one of the namespaces.
std::vector<std::string> processes_in(const std::map<std::string, std::uint64_t>& spaces) {
    std::vector<std::string> found;
    std::error_code ignored;
    for (const auto& process : fs::directory_iterator("/proc", ignored)) {
        const std::string net = fs::read_symlink(process.path() / "ns/net", ignored);
        for (const auto& [name, inode] : spaces) {
            if (net != fmt::format("net:[{}]", inode)) continue;
            std::string command;
            std::getline(std::ifstream(process.path() / "comm"), command);
            found.push_back(fmt::format("{} ({}) in {}", command, process.path().filename().string(), name));
        }
    }
    return found;
}

}  // namespace

milliseconds lab_patience() {
    return is_emulated() ? milliseconds(400000) : milliseconds(60000);
}

void LabCommandTest::SetUp() {
    TestNet::SetUp();
    if (IsSkipped()) return;
    run_directory_before_ = fs::exists(kRunDirectory);
    here_ = &make("here");
}

void LabCommandTest::TearDown() {
    for (const std::string& lab : labs_) take_away(lab);
    for (const fs::path& file : files_) fs::remove(file);
}

std::string LabCommandTest::lab_name(const std::string& part) {
    std::string name = name_for_this_test(part, kLongestLabName);
    take_away(name);
    labs_.push_back(name);
    return name;
}

std::string LabCommandTest::file_of(const std::string& text, const std::string& part) {
    const fs::path file = fs::temp_directory_path() / (name_for_this_test(part, kLongestLabName) + ".yaml");
    files_.push_back(file);
    std::ofstream(file, std::ios::trunc) << text;
    return file;
}

Words LabCommandTest::lab_command(const Words& words) {
    Words command = {underpass_path(), "lab"};
    command.insert(command.end(), words.begin(), words.end());
    return command;
}

Finished LabCommandTest::lab(const Words& words) const {
    return run(here(), lab_command(words), lab_patience());
}

Child LabCommandTest::start_lab(const Words& words) const {
    return {here(), lab_command(words)};
}

std::string LabCommandTest::lab_ok(const Words& words) const {
    const Finished finished = lab(words);
    if (!finished.ok())
        throw std::runtime_error(fmt::format("underpass lab {}: {}", fmt::join(words, " "), finished.text()));
    return finished.out;
}

nlohmann::json LabCommandTest::lab_json(Words words) const {
    words.emplace_back("--json");
    return nlohmann::json::parse(lab_ok(words));
}

void LabCommandTest::expect_refused(const Words& words, int status, const std::vector<std::string>& parts) const {
    SCOPED_TRACE(fmt::format("underpass lab {}", fmt::join(words, " ")));
    const Finished finished = lab(words);
    EXPECT_EQ(finished.status, status) << finished.text();
    EXPECT_EQ(finished.out, "");
    EXPECT_THAT(finished.err, ::testing::StartsWith("underpass: "));
    EXPECT_EQ(finished.err.find('\n'), finished.err.size() - 1) << "not one line: " << finished.err;
    for (const std::string& part : parts) EXPECT_THAT(finished.err, ::testing::HasSubstr(part));
}

std::map<std::string, std::uint64_t> LabCommandTest::spaces_of(const std::string& lab) {
    std::map<std::string, std::uint64_t> spaces;
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator("/run/netns", ignored)) {
        const std::string name = entry.path().filename();
        if (!name.starts_with(lab + '.')) continue;
        try {
            spaces[name] = lab::Namespace::open(name).inode();
        } catch (const std::system_error&) {
            // It has just gone.
        }
    }
    return spaces;
}

void LabCommandTest::expect_nothing_left(const std::string& lab,
                                         const std::map<std::string, std::uint64_t>& spaces) const {
    EXPECT_THAT(spaces_of(lab), ::testing::IsEmpty());
    EXPECT_FALSE(fs::exists(lab::directory_of(lab))) << "there is a record";
    EXPECT_THAT(processes_in(spaces), ::testing::IsEmpty());
    for (const auto& [name, inode] : spaces)
        for (const char* above : {kRunDirectory, "/sys/fs/bpf/underpass"})
            EXPECT_FALSE(fs::exists(fs::path(above) / std::to_string(inode))) << name << " has files in " << above;
    if (run_directory_before_) return;
    // Another test may be at work meanwhile: then it is not empty, or is about to be taken away.
    std::error_code ignored;
    const auto is_forgotten = [&] { return fs::exists(kRunDirectory) && fs::is_empty(kRunDirectory, ignored); };
    for (const auto end = std::chrono::steady_clock::now() + kOthersTime; is_forgotten();) {
        if (std::chrono::steady_clock::now() > end) FAIL() << kRunDirectory << " stays, empty";
        std::this_thread::sleep_for(milliseconds(10));
    }
}

void LabCommandTest::take_away(const std::string& lab) const {
    if (fs::exists(lab::directory_of(lab))) this->lab({"down", lab});
    // What a program that does not work left.
    for (const auto& [name, inode] : spaces_of(lab)) {
        clear_out(lab::Namespace::open(name));
        lab::Namespace::remove(name);
    }
    fs::remove_all(lab::directory_of(lab));
}

std::string star(std::size_t hosts, const std::string& more) {
    std::string ports, nodes, links;
    for (std::size_t i = 1; i <= hosts; i++) {
        ports += fmt::format("{}h{}", i == 1 ? "" : ", ", i);
        nodes +=
            fmt::format("  h{}: {{interfaces: {{eth0: {{addresses: [10.60.{}.{}/16]}}}}}}\n", i, i / 250, i % 250 + 1);
        links += fmt::format("  - ends: [host:h{0}, h{0}:eth0]\n", i);
    }
    return fmt::format("name: star\nnodes:\n  host:\n    bridges:\n      br0: {{ports: [{}]}}\n{}links:\n{}{}", ports,
                       nodes, links, more);
}

}  // namespace underpass::test
