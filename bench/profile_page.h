// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The profiles of a report's pages: a bar for each stage, and tables. Pure.
#pragma once

#include <string>
#include <vector>

#include "bench/profile.h"

namespace underpass::bench {

// Stages by their time, from zero on, and below them all of them together; marks for the lowest and the highest run.
std::string profile_chart(const Profile& profile, const std::string& title);

// Empty without profiles.
std::string html_profiles(const std::vector<Profile>& profiles);
std::string markdown_profiles(const std::vector<Profile>& profiles);

}  // namespace underpass::bench
