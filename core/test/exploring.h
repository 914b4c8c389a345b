// SPDX-License-Identifier: GPL-2.0
// Programs in every schedule, or in drawn ones, and what all of that came to.
#ifndef TMEM_CORE_TEST_EXPLORING_H
#define TMEM_CORE_TEST_EXPLORING_H

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "programs.h"
#include "seeds.h"

namespace tmem_test {

inline std::string how_to_repeat(const Program &program, const Scheduler &scheduler) {
  return "repeat with TMEM_TEST_SCHEDULE='" + program.text() + "@" + text_of(scheduler.deviations()) +
         "'" + (scheduler.dense() ? " TMEM_TEST_DENSE=1" : "") + " scripts/check-host " TMEM_TEST_BUILD " --gtest_filter=ReplayTest.Schedule";
}

// What all runs of a test came to.
struct Sum {
  unsigned long long schedules = 0, hits = 0, misses = 0, refusals = 0, evicted = 0, compacted = 0, turned_away = 0;
  unsigned int longest = 0;
  LeafWatch leaves;
  void add(const Verdict &verdict, const Scheduler &scheduler) {
    schedules++;
    hits += verdict.hits;
    misses += verdict.misses;
    refusals += verdict.refusals;
    evicted += verdict.evicted;
    compacted += verdict.compacted;
    turned_away += verdict.turned_away;
    leaves.add(verdict.leaves);
    longest = std::max(longest, scheduler.decisions());
  }
  void record() const {
    testing::Test::RecordProperty("schedules", std::to_string(schedules));
    testing::Test::RecordProperty("decisions_max", std::to_string(longest));
    testing::Test::RecordProperty("hits", std::to_string(hits));
    testing::Test::RecordProperty("misses", std::to_string(misses));
    testing::Test::RecordProperty("refusals", std::to_string(refusals));
    testing::Test::RecordProperty("evicted", std::to_string(evicted));
    testing::Test::RecordProperty("compacted", std::to_string(compacted));
    testing::Test::RecordProperty("turned_away", std::to_string(turned_away));
    testing::Test::RecordProperty("leaves", leaves.text());
  }
};

inline unsigned int preemptions_max(unsigned int usual) {
  return static_cast<unsigned int>(number_from_environment("TMEM_TEST_PREEMPTIONS", usual));
}

// Every schedule of @program; false after the first that is wrong.
inline bool enumerate(Scheduler &scheduler, const Program &program, unsigned int preemptions, Sum &sum,
               long long *failures = nullptr) {
  Exploration exploration(preemptions);
  do {
    const Verdict verdict = run(scheduler, program, exploration);
    sum.add(verdict, scheduler);
    if (failures) *failures += verdict.failures;
    EXPECT_EQ(verdict.wrong, "") << how_to_repeat(program, scheduler);
    if (!verdict.wrong.empty()) return false;
  } while (exploration.next());
  return true;
}

}  // namespace tmem_test

#endif
