// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The state file: what is written is read, and a damaged one is told in one sentence that names it.
#include "sync/state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>

#include "temporary_directory.h"

namespace underpass {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class StateFile : public testing::Test {
protected:
    void write(const std::string& text) const { std::ofstream(directory_.state(), std::ios::binary) << text; }
    std::string text() const {
        std::ostringstream text;
        text << std::ifstream(directory_.state()).rdbuf();
        return text.str();
    }

    TemporaryDirectory temporary_;
    RunDirectory directory_{temporary_.path()};
};

State full_state() {
    State state;
    state.selection.all = HookChoice::tc;
    state.selection.bridges = {{"br0", HookChoice::automatic}, {"br-\"é\"", HookChoice::xdp}};
    state.selection.except = {"docker0", "virbr0"};
    state.selection.rxvlan_off = true;
    state.attached[Ifindex{7}] = {.tc = TcMethod::clsact,
                                  .xdp = XdpMethod::dispatcher,
                                  .features_off = {"rx-vlan-hw-parse", "rx-vlan-stag-hw-parse"}};
    state.attached[Ifindex{8}] = {.tc = TcMethod::tcx, .xdp = XdpMethod::single};
    state.attached[Ifindex{6}] = {.features_off = {"rx-vlan-hw-parse"}};  // told before anything is attached
    state.attached[Ifindex{9}] = {.tc = std::nullopt, .witness = TcMethod::clsact};
    state.attached[Ifindex{0xffffffff}] = {.tc = TcMethod::tcx, .xdp = std::nullopt};
    return state;
}

TEST_F(StateFile, RoundTrip) {
    EXPECT_EQ(read_state(directory_), std::nullopt) << "no file";
    write_state(directory_, {});
    EXPECT_EQ(read_state(directory_), State{});
    write_state(directory_, full_state());
    EXPECT_EQ(read_state(directory_), full_state());
    State without_all = full_state();
    without_all.selection.all.reset();
    write_state(directory_, without_all);
    EXPECT_EQ(read_state(directory_), without_all);
    // Written in one step: nothing else is left there.
    std::size_t files = 0;
    for ([[maybe_unused]] const auto& file : std::filesystem::directory_iterator(directory_.path)) files++;
    EXPECT_EQ(files, 1U);
}

// As a daemon of an earlier version wrote it.
TEST_F(StateFile, WithoutWhatCameLater) {
    write(R"({"bridges":{"br0":"auto"},"except":[],"attached":[{"ifindex":7,"tc":"tcx"}]})");
    State state;
    state.selection.bridges = {{"br0", HookChoice::automatic}};
    state.attached[Ifindex{7}] = {.tc = TcMethod::tcx};
    EXPECT_EQ(read_state(directory_), state);
}

TEST_F(StateFile, CannotBeWritten) {
    const RunDirectory nowhere{temporary_.path() / "nothing"};
    EXPECT_THROW(write_state(nowhere, {}), std::system_error);
}

// Cut off anywhere, it is not taken for another state.
TEST_F(StateFile, Truncated) {
    write_state(directory_, full_state());
    const std::string whole = text();
    ASSERT_GT(whole.size(), 100U);
    for (std::size_t length = 0; length + 2 < whole.size(); length++) {
        write(whole.substr(0, length));
        try {
            read_state(directory_);
            ADD_FAILURE() << "taken with " << length << " of " << whole.size() << " bytes";
        } catch (const std::runtime_error& error) {
            EXPECT_THAT(error.what(), StartsWith("cannot understand " + directory_.state().string() + ": "));
            EXPECT_THAT(error.what(), Not(HasSubstr("\n")));
        }
    }
}

TEST_F(StateFile, Damaged) {
    const std::string good = R"("bridges":{},"except":[],"attached":[])";
    write("{" + good + "}");
    EXPECT_EQ(read_state(directory_), State{}) << "or the rows below show nothing";
    for (const std::string& text : {
             std::string("null"),
             std::string("[]"),
             std::string("\xff\xfe\n\n\n"),
             std::string(R"({"bridges":{},"except":[]})"),
             std::string(R"({"bridges":{},"attached":[]})"),
             std::string(R"({"except":[],"attached":[]})"),
             std::string(R"({"bridges":{"br0":"ebpf"},"except":[],"attached":[]})"),
             std::string(R"({"bridges":{"br0":1},"except":[],"attached":[]})"),
             std::string(R"({"bridges":["tc"],"except":[],"attached":[]})"),
             std::string(R"({"bridges":"tc","except":[],"attached":[]})"),
             std::string(R"({"bridges":{},"all":true,"except":[],"attached":[]})"),
             std::string(R"({"bridges":{},"except":[],"rxvlan_off":"yes","attached":[]})"),
             std::string(R"({"bridges":{},"except":[],"attached":[{"ifindex":7,"tc":"tcx","features_off":"rx"}]})"),
             std::string(R"({"bridges":{},"except":"br0","attached":[]})"),
             std::string(R"({"bridges":{},"except":[],"attached":[{"ifindex":"7","tc":"tcx"}]})"),
             std::string(R"({"bridges":{},"except":[],"attached":[{"tc":"tcx"}]})"),
             std::string(R"({"bridges":{},"except":[],"attached":[{"ifindex":7,"tc":"frob"}]})"),
             std::string(R"({"bridges":{},"except":[],"attached":[{"ifindex":7,"witness":1}]})"),
         }) {
        SCOPED_TRACE(text);
        write(text);
        try {
            read_state(directory_);
            ADD_FAILURE() << "was taken";
        } catch (const std::runtime_error& error) {
            EXPECT_THAT(error.what(), StartsWith("cannot understand " + directory_.state().string() + ": "));
            EXPECT_THAT(error.what(), Not(HasSubstr("\n")));
        }
    }
}

}  // namespace
}  // namespace underpass
