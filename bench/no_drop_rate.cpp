// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/no_drop_rate.h"

#include <algorithm>
#include <vector>

namespace underpass::bench {

namespace {

constexpr double kLowest = 1e-3;    // of the full rate
constexpr double kStepDown = 0.97;  // of a rate that held, and then did not

class Search {
public:
    Search(const TryRate& trial, double most_loss) : trial_(trial), most_loss_(most_loss) {}

    NoDropRate run() {
        const LossTrial full = tried(0);
        bad_ = full.rate;
        if (holds(full)) {
            const LossTrial again = tried(0);
            if (holds(again)) return found(std::min(full.rate, again.rate), again.loss, true);
        } else {
            // What came through of too much is where it mostly ends up.
            try_rate(full.rate * (1 - full.loss));
        }
        while (trials_ < kMostTrials && bad_ > kLowest * full.rate) {
            if (bad_ - good() > kRatePrecision * bad_) {
                try_rate((good() + bad_) / 2);
                continue;
            }
            const LossTrial again = tried(good());
            if (holds(again)) return found(std::min(good(), again.rate), again.loss, false);
            bad_ = good();
            held_.pop_back();
            try_rate(std::max(bad_ * kStepDown, (good() + bad_) / 2));
        }
        return found(0, 0, false);
    }

private:
    bool holds(const LossTrial& trial) const { return trial.rate > 0 && trial.loss <= most_loss_; }

    LossTrial tried(double rate) {
        trials_++;
        return trial_(rate);
    }

    void try_rate(double rate) {
        if (holds(tried(rate)))
            held_.push_back(rate);
        else
            bad_ = rate;
    }

    double good() const { return held_.empty() ? 0 : held_.back(); }

    NoDropRate found(double rate, double loss, bool is_all_that_was_sent) const {
        return {.rate = rate, .loss = loss, .trials = trials_, .is_all_that_was_sent = is_all_that_was_sent};
    }

    const TryRate& trial_;
    double most_loss_;
    int trials_ = 0;
    std::vector<double> held_;  // rising, all below bad_
    double bad_ = 0;
};

}  // namespace

NoDropRate find_no_drop_rate(const TryRate& trial, double most_loss) {
    return Search(trial, most_loss).run();
}

}  // namespace underpass::bench
