// SPDX-License-Identifier: GPL-2.0
// The core under a scheduler that decides who runs at every lock and every call
// of the host or the PAM (schedule.h): small scopes enumerated, larger ones drawn.
//
//   TMEM_TEST_SCHEDULE='shared:p0g1/o0 @17:1 23:0'   the schedule that Replay runs (programs.h)
//   TMEM_TEST_DENSE=1         ... with switches around the counters too
//   TMEM_TEST_PREEMPTIONS=n   the most preemptions in what is enumerated, instead of its own number
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <set>

#include "../../kunit/scenarios/scenarios.h"
#include "exploring.h"
#include "programs.h"
#include "seeds.h"

namespace {

using namespace tmem_test;

// ---- The scheduler itself

unsigned int count_schedules(Scheduler &scheduler, const std::vector<std::function<void()>> &bodies,
                             unsigned int preemptions) {
  Exploration exploration(preemptions);
  unsigned int schedules = 0;
  do {
    EXPECT_TRUE(scheduler.run(bodies, exploration)) << scheduler.trouble();
    schedules++;
  } while (exploration.next());
  return schedules;
}

void reach_three_times() {
  for (int i = 0; i < 3; ++i) reach(Point::kHostOp);
}

TEST(SchedulerTest, EnumeratesEverySchedule) {
  Scheduler scheduler;
  // Four stretches each; without a bound, as many as there are ways to merge them.
  EXPECT_EQ(count_schedules(scheduler, {reach_three_times, reach_three_times}, 100), 70u);
  EXPECT_EQ(count_schedules(scheduler, {reach_three_times, reach_three_times}, 0), 2u);
  // Either first, or one of three places to leave it at.
  EXPECT_EQ(count_schedules(scheduler, {reach_three_times, reach_three_times}, 1), 8u);
  // Three of two stretches: 6! / (2! 2! 2!).
  const auto once = [] { reach(Point::kHostOp); };
  EXPECT_EQ(count_schedules(scheduler, {once, once, once}, 100), 90u);
}

TEST(SchedulerTest, FindsALostUpdate) {
  Scheduler scheduler;
  std::atomic<int> value;
  const auto increment = [&value] {
    const int before = value.load(std::memory_order_relaxed);
    reach(Point::kHostOp);
    value.store(before + 1, std::memory_order_relaxed);
  };
  for (unsigned int preemptions = 0; preemptions < 2; ++preemptions) {
    Exploration exploration(preemptions);
    std::set<int> results;
    do {
      value = 0;
      ASSERT_TRUE(scheduler.run({increment, increment}, exploration));
      results.insert(value);
      // The same again, from its deviations.
      const int first = value;
      Replay replay(scheduler.deviations());
      value = 0;
      ASSERT_TRUE(scheduler.run({increment, increment}, replay));
      EXPECT_TRUE(replay.faithful());
      EXPECT_EQ(value, first);
    } while (exploration.next());
    EXPECT_EQ(results.count(1), preemptions) << "without a preemption none is lost";
    EXPECT_EQ(results.count(2), 1u);
  }
}

TEST(SchedulerTest, LocksExclude) {
  Scheduler scheduler;
  tmem_lock lock;
  tmem_lock_init(&lock, 1);
  int value = 0, inside = 0;
  const auto increment = [&] {
    const unsigned long state = tmem_lock_acquire(&lock);
    EXPECT_EQ(++inside, 1);
    reach(Point::kHostOp);
    value++;
    inside--;
    tmem_lock_release(&lock, state);
  };
  const unsigned int schedules = count_schedules(scheduler, {increment, increment, increment}, 100);
  EXPECT_GT(schedules, 6u);
  EXPECT_EQ(value, static_cast<int>(3 * schedules));
  tmem_lock_destroy(&lock);
}

TEST(SchedulerTest, TellsADeadlock) {
  std::atomic<bool> one = false, other = false;
  const auto is_set = [](const void *flag) { return static_cast<const std::atomic<bool> *>(flag)->load(); };
  Scheduler scheduler;
  const auto await = [&](std::atomic<bool> &sets, std::atomic<bool> &awaits) {
    return [&scheduler, is_set, &sets, &awaits] {
      scheduler.wait(is_set, &awaits);
      sets = true;
    };
  };
  Replay usual({});
  EXPECT_FALSE(scheduler.run({await(one, other), await(other, one)}, usual));
  EXPECT_NE(scheduler.trouble().find("deadlock"), std::string::npos);
}

TEST(SchedulerTest, TellsAThreadThatNeverEnds) {
  Scheduler scheduler;
  Replay usual({});
  EXPECT_FALSE(scheduler.run({[] { for (;;) reach(Point::kHostOp); }}, usual));
  EXPECT_NE(scheduler.trouble().find("no end"), std::string::npos);
}

TEST(SchedulerTest, ASpinningThreadGivesWay) {
  Scheduler scheduler;
  Replay usual({});
  std::atomic<bool> set = false;
  EXPECT_TRUE(scheduler.run({[&] { while (!set) reach(Point::kHostOp); }, [&] { set = true; }}, usual));
}

TEST(SchedulerTest, ProgramsAreText) {
  for (const char *text : {"ephemeral:p0g1/o0s ", "tight-persistent:b3/r2/d !7 ", "holed-shared:z1/t ", "sparse256-ephemeral:w7/g6 ",
                           "joined-shared:jp0d/k ", "holed-apart-shared:c/p0 "}) {
    Program program;
    std::vector<Deviation> deviations;
    ASSERT_TRUE(parse(text + std::string("@17:1 23:0"), program, deviations)) << text;
    EXPECT_EQ(program.text(), text);
    EXPECT_EQ(text_of(deviations), "17:1 23:0");
  }
  Program program;
  std::vector<Deviation> deviations;
  for (const char *text : {"p0", "nonsense:p0", "shared:p9", "shared:x", "shared:p0 @x", "shared:p0/p0/p0/p0/p0",
                           "joined-persistent:p0", "joined-shared:p0/p0/d", "joined-shared:k/p0/p0", "shared:j", "nowhere-shared:p0"})
    EXPECT_FALSE(parse(text, program, deviations)) << text;
}

// ---- The core

TEST(ReplayTest, Schedule) {
  const char *text = std::getenv("TMEM_TEST_SCHEDULE");
  if (!text || !*text) GTEST_SKIP() << "TMEM_TEST_SCHEDULE is not set";
  Program program;
  std::vector<Deviation> deviations;
  ASSERT_TRUE(parse(text, program, deviations)) << "not a schedule: " << text;
  Scheduler scheduler;
  scheduler.set_dense(number_from_environment("TMEM_TEST_DENSE", 0) != 0);
  Replay replay(deviations);
  const Verdict verdict = run(scheduler, program, replay);
  EXPECT_EQ(verdict.wrong, "");
  EXPECT_TRUE(replay.faithful()) << "the core has changed: this schedule cannot be had any more";
}

struct Flavour {
  const char *name;
  unsigned int flags;
  bool tight;
  bool holed;
  bool apart = false;
};

constexpr Flavour kFlavours[] = {
    {"ephemeral", 0, false, false},
    {"persistent", TMEM_POOL_PERSISTENT, false, false},
    {"tight_ephemeral", 0, true, false},
    {"tight_persistent", TMEM_POOL_PERSISTENT, true, false},
    {"holed_persistent", TMEM_POOL_PERSISTENT, false, true},
    {"holed_shared", TMEM_POOL_SHARED, false, true},
    {"apart_shared", TMEM_POOL_SHARED, false, false, true},
    {"tight_apart_ephemeral", 0, true, false, true},
    {"holed_apart_persistent", TMEM_POOL_PERSISTENT, false, true, true},
};

// All operations of one thread in a small scope: on the handle that has a page, on its neighbour and on a new object.
std::vector<Operation> small_operations() {
  std::vector<Operation> all;
  for (const char *what = kHandleOperations; *what; ++what)
    if (*what != 'w') all.push_back({*what, 0});  // of so few pages it is another flush of the object
  all.push_back({'p', 1});
  all.push_back({'p', 3});
  all.push_back({'g', 2});
  for (const char *what = kOtherOperations; *what; ++what) all.push_back({*what, 0});
  return all;
}

// Of these, what has to do with the flavours that cost more to set up.
const std::vector<Operation> kFewOperations = {{'p', 0}, {'p', 3}, {'g', 0}, {'g', 2}, {'f', 0},
                                               {'o', 0}, {'s', 0}, {'t', 0}, {'c', 0}, {'d', 0}};

class InterleavingTest : public testing::TestWithParam<Flavour> {
 protected:
  Program program_of(std::vector<std::vector<Operation>> threads) const {
    Program program;
    program.flags = GetParam().flags;
    program.tight = GetParam().tight;
    program.holed = GetParam().holed;
    program.apart = GetParam().apart;
    program.threads = std::move(threads);
    return program;
  }
  bool costly() const { return GetParam().tight || GetParam().holed || GetParam().apart; }

  // As drawn from @seed.
  Program draw(unsigned long long seed, unsigned int threads, unsigned int length) const {
    const std::vector<Operation> operations = small_operations();
    unsigned long long random = scenario_hash(seed);
    std::vector<std::vector<Operation>> drawn(threads);
    for (std::vector<Operation> &thread : drawn)
      for (unsigned int i = 0; i < length; ++i)
        thread.push_back(operations[scenario_below(&random, static_cast<unsigned int>(operations.size()))]);
    // One end of the pool, late, is enough.
    unsigned int ends = 0;
    for (std::vector<Operation> &thread : drawn)
      for (size_t i = 0; i < thread.size(); ++i)
        if (thread[i].what == 'd' && (ends++ || (length > 2 && i + 2 < length))) thread[i] = {'g', 0};
    return program_of(drawn);
  }

  Scheduler scheduler_;
  Sum sum_;
};

// Two threads, one operation each: every pair, every schedule with at most one preemption.
TEST_P(InterleavingTest, TwoOperations) {
  const bool few = costly() && preemptions_max(1) < 2;
  const std::vector<Operation> operations = few ? kFewOperations : small_operations();
  for (size_t i = 0; i < operations.size(); ++i)
    for (size_t k = i; k < operations.size(); ++k)
      if (!enumerate(scheduler_, program_of({{operations[i]}, {operations[k]}}), preemptions_max(1), sum_)) return;
  sum_.record();
  // What a flavour is for has happened.
  if (GetParam().tight) {
    EXPECT_EQ(sum_.evicted, sum_.schedules);
  }
  if (GetParam().holed) {
    EXPECT_GT(sum_.compacted, 0u);
  }
}

// The pairs that meet at one handle, with one preemption more where that costs little.
TEST_P(InterleavingTest, TwoOperationsOnOneHandle) {
  for (const char *pair : {"p0/p0", "p0/g0", "p0/f0", "p0/o0", "p0/d", "p0/c", "g0/g0", "g0/f0", "g0/s", "g0/c", "g0/d", "f0/c", "p3/o3", "p1/f0", "p1f1/f4", "p1/p3", "p1/g0"}) {
    Program parsed;
    std::vector<Deviation> none;
    ASSERT_TRUE(parse(std::string("shared:") + pair, parsed, none));
    if (!enumerate(scheduler_, program_of(parsed.threads), preemptions_max(1) + !costly(), sum_)) return;
  }
  sum_.record();
}

// Around the counters too, where the core does what it does without a lock.
TEST_P(InterleavingTest, TwoOperationsDensely) {
  scheduler_.set_dense(true);
  for (const char *pair : {"p0/p0", "p0/g0", "p0/f0", "g0/f0", "p0/d", "g0/d", "f0/d", "p3/s", "dn/s", "dn/p0", "dn/g0"}) {
    Program parsed;
    std::vector<Deviation> none;
    ASSERT_TRUE(parse(std::string("shared:") + pair, parsed, none));
    if (!enumerate(scheduler_, program_of(parsed.threads), preemptions_max(1), sum_)) return;
  }
  sum_.record();
}

// Two threads, two operations each, drawn.
TEST_P(InterleavingTest, FourOperations) {
  for (unsigned int i = 0; i < seed_count(costly() ? 4 : 10); ++i)
    if (!enumerate(scheduler_, draw(first_seed() + i, 2, 2), preemptions_max(1), sum_)) return;
  sum_.record();
}

// Three or four threads, ten operations each, schedules drawn.
TEST_P(InterleavingTest, ManyOperations) {
  constexpr unsigned int kSchedules = 8;
  for (unsigned int i = 0; i < seed_count(12); ++i) {
    const Program program = draw(first_seed() + i, 3 + i % 2, 10);
    scheduler_.set_dense(i % 4 == 3);
    for (unsigned int k = 0; k < kSchedules; ++k) {
      Random random((first_seed() + i) * kSchedules + k);
      const Verdict verdict = run(scheduler_, program, random);
      sum_.add(verdict, scheduler_);
      ASSERT_EQ(verdict.wrong, "") << how_to_repeat(program, scheduler_);
    }
  }
  sum_.record();
  EXPECT_GT(sum_.hits, 0u);
  EXPECT_GT(sum_.misses, 0u);
  EXPECT_GT(sum_.turned_away, 0u);
}

// Each allocation that either thread makes fails in turn, in every schedule.
TEST_P(InterleavingTest, EachAllocationFails) {
  long long all_failures = 0;
  for (const char *pair : {"p3/p3", "p3/o3", "p0/p0", "p0/g0", "p3/d", "p3/s", "b1/f0", "p1p3/o0"}) {
    Program parsed;
    std::vector<Deviation> none;
    ASSERT_TRUE(parse(std::string("shared:") + pair, parsed, none));
    Program program = program_of(parsed.threads);
    long long failures = 1;
    for (program.failing = 1; failures; ++program.failing) {
      failures = 0;
      if (!enumerate(scheduler_, program, preemptions_max(1), sum_, &failures)) return;
      all_failures += failures;
    }
  }
  sum_.record();
  EXPECT_GT(all_failures, 0);
}

INSTANTIATE_TEST_SUITE_P(interleavings, InterleavingTest, testing::ValuesIn(kFlavours),
                         [](const testing::TestParamInfo<Flavour> &info) { return std::string(info.param.name); });

}  // namespace
