// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The lock file, and the directories above it that the last of several namespaces' processes removes.
#include "loader/lock.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "temporary_directory.h"

namespace underpass {
namespace {

class Lock : public testing::Test {
protected:
    TemporaryDirectory temporary_;
    std::filesystem::path common_ = temporary_.path() / "run";
};

TEST_F(Lock, IsHeldByOne) {
    const auto file = common_ / "one" / "lock";
    std::optional<Fd> first = try_lock(file);
    ASSERT_TRUE(first);
    EXPECT_FALSE(try_lock(file));
    first.reset();
    EXPECT_TRUE(try_lock(file));
}

TEST_F(Lock, WhoseDirectoryLeadsNowhereIsTold) {
    std::filesystem::create_symlink(temporary_.path() / "nowhere", common_);
    EXPECT_THROW(try_lock(common_ / "one" / "lock"), std::system_error);
}

// Each namespace's process removes its own directory when it ends, and the common one if that is empty.
TEST_F(Lock, IsMadeWhereAnotherRemovesTheCommonDirectory) {
    const auto live = [this](const std::string& name) {
        const auto file = common_ / name / "lock";
        for (int i = 0; i < 1000; i++) {
            ASSERT_TRUE(try_lock(file));
            unlink(file.c_str());
            rmdir(file.parent_path().c_str());
            rmdir(common_.c_str());
        }
    };
    std::vector<std::thread> threads;
    for (const char* name : {"one", "two", "three"})
        threads.emplace_back([live, name] { EXPECT_NO_THROW(live(name)) << name; });
    for (std::thread& each : threads) each.join();
    EXPECT_FALSE(std::filesystem::exists(common_));
}

}  // namespace
}  // namespace underpass
