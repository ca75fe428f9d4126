// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// `underpass lab` as a person uses it: labs with names of the test's own, and what may be left of them.
//
// Whatever a test does, its labs are gone afterwards, and what a killed run of it left is gone before.
#pragma once

#include <cstdint>
#include <filesystem>
#include <list>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "harness/process.h"
#include "harness/test_net.h"

namespace underpass::test {

using Words = std::vector<std::string>;

class LabCommandTest : public TestNet {
protected:
    void SetUp() override;
    void TearDown() override;

    // A name for a lab, of this test's own.
    std::string lab_name(const std::string& part = "");
    // A file with that text; it is gone with the test.
    std::string file_of(const std::string& text, const std::string& part = "");

    // `underpass lab WORDS...`
    Finished lab(const Words& words) const;
    Child start_lab(const Words& words) const;
    static Words lab_command(const Words& words);
    // It ends with 0 and says nothing wrong; what it printed.
    std::string lab_ok(const Words& words) const;
    nlohmann::json lab_json(Words words) const;

    // Fails with this status and one line on stderr that has all of `parts` in it.
    void expect_refused(const Words& words, int status, const std::vector<std::string>& parts) const;

    // Its namespaces that are there, by name, with the numbers that processes, pins and run-time files know them by.
    static std::map<std::string, std::uint64_t> spaces_of(const std::string& lab);
    // No namespace of the lab, no record, no process in `spaces`, no pins and no run-time files for them, no empty
    // directory that was not there before the test.
    void expect_nothing_left(const std::string& lab, const std::map<std::string, std::uint64_t>& spaces) const;

    // Where the commands are started.
    const lab::Namespace& here() const { return *here_; }

    static constexpr int kFailed = 1, kWrongUse = 2, kInterrupted = 130;

private:
    void take_away(const std::string& lab) const;

    const lab::Namespace* here_ = nullptr;
    bool run_directory_before_ = false;
    std::list<std::string> labs_;
    std::list<std::filesystem::path> files_;
};

// For a command; where the machine is emulated, that is much.
milliseconds lab_patience();

// A file: so many hosts h1, h2, ... at the bridge of a machine called `host`. `more`: further keys of the file.
std::string star(std::size_t hosts, const std::string& more = "");

}  // namespace underpass::test
