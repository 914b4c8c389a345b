// SPDX-License-Identifier: GPL-2.0
// A shared pool that two clients join by its uuid, use, and leave, in every schedule of small programs and in drawn
// ones of larger programs; and the judge of such histories (membership.h) by itself.
#include <gtest/gtest.h>

#include "../../kunit/scenarios/scenarios.h"
#include "exploring.h"
#include "membership.h"

namespace {

using namespace tmem_test;

// ---- The judge: what must be explained, and what must not

constexpr HandleRules kStaying = {false, false};
constexpr HandleRules kVanishing = {true, false};

Membership joined(unsigned int client, unsigned long long called, unsigned long long returned) {
  return {Act::kJoined, client, client, called, returned, {}, 0};
}
Membership left(unsigned int client, unsigned long long called, unsigned long long returned) {
  return {Act::kLeft, client, client, called, returned, {}, 0};
}
Membership used(unsigned int client, unsigned long long called, unsigned long long returned, Deed deed, unsigned long long tag = 0) {
  return {Act::kUsed, client, client, called, returned, deed, tag};
}
Membership turned_away(unsigned int thread, unsigned int client, Act act, unsigned long long called, unsigned long long returned) {
  return {act, thread, client, called, returned, {}, 0};
}

TEST(MembershipTest, APageIsOneOfAllMembers) {
  EXPECT_EQ(explain(kStaying, {joined(0, 1, 2), joined(1, 3, 4), used(0, 5, 6, Deed::kStored, 7), left(0, 7, 8),
                               used(1, 9, 10, Deed::kHit, 7)}), "");
  EXPECT_NE(explain(kStaying, {joined(0, 1, 2), joined(1, 3, 4), used(0, 5, 6, Deed::kStored, 7), left(0, 7, 8),
                               used(1, 9, 10, Deed::kMissed)}), "");
}

TEST(MembershipTest, WithTheLastMemberThePagesGo) {
  EXPECT_EQ(explain(kVanishing, {joined(0, 1, 2), used(0, 3, 4, Deed::kStored, 7), left(0, 5, 6), joined(1, 7, 8),
                                 used(1, 9, 10, Deed::kMissed)}), "");
  EXPECT_NE(explain(kVanishing, {joined(0, 1, 2), used(0, 3, 4, Deed::kStored, 7), left(0, 5, 6), joined(1, 7, 8),
                                 used(1, 9, 10, Deed::kHit, 7)}), "");
  // Who joins meanwhile finds the old one or a new one.
  for (const Membership &found : {used(1, 9, 10, Deed::kMissed), used(1, 9, 10, Deed::kHit, 7)})
    EXPECT_EQ(explain(kStaying, {joined(0, 1, 2), used(0, 3, 4, Deed::kStored, 7), left(0, 5, 8), joined(1, 6, 7), found}), "");
}

TEST(MembershipTest, WhoHasLeftIsOutside) {
  EXPECT_EQ(explain(kStaying, {joined(0, 1, 2), joined(1, 3, 4), left(0, 5, 6), turned_away(0, 0, Act::kOutside, 7, 8)}), "");
  EXPECT_NE(explain(kStaying, {joined(0, 1, 2), joined(1, 3, 4), left(0, 5, 6), used(0, 7, 8, Deed::kMissed)}), "");
  EXPECT_NE(explain(kStaying, {joined(0, 1, 2), joined(1, 3, 4), left(0, 5, 6), turned_away(1, 1, Act::kOutside, 7, 8)}), "");
}

TEST(MembershipTest, OnlyTheLastToLeaveTurnsOthersAway) {
  EXPECT_EQ(explain(kStaying, {joined(0, 1, 2), left(0, 3, 6), turned_away(2, 0, Act::kGoingAway, 4, 5)}), "");
  EXPECT_NE(explain(kStaying, {joined(0, 1, 2), joined(1, 3, 4), left(0, 5, 8), turned_away(2, 0, Act::kGoingAway, 6, 7)}), "");
  EXPECT_NE(explain(kStaying, {joined(0, 1, 2), left(0, 3, 4), turned_away(2, 0, Act::kGoingAway, 5, 6)}), "");
}

TEST(MembershipTest, DestroyWaitsForWhoIsInside) {
  // Entered before, and what it put is in no pool that comes later.
  const Membership inside = {Act::kUsed, 2, 0, 3, 9, Deed::kStored, 7};
  EXPECT_EQ(explain(kStaying, {joined(0, 1, 2), inside, left(0, 4, 10), joined(1, 11, 12), used(1, 13, 14, Deed::kMissed)}), "");
  EXPECT_NE(explain(kStaying, {joined(0, 1, 2), inside, left(0, 4, 10), joined(1, 11, 12), used(1, 13, 14, Deed::kHit, 7)}), "");
}

// ---- The core

class SharingTest : public testing::TestWithParam<unsigned int> {
 protected:
  Program program_of(const std::string &threads) const {
    Program program;
    std::vector<Deviation> none;
    EXPECT_TRUE(parse((GetParam() & TMEM_POOL_PERSISTENT ? "joined-persistent-shared:" : "joined-shared:") + threads, program, none))
        << threads;
    return program;
  }
  Scheduler scheduler_;
  Sum sum_;
};

// Two clients with one thread each.
TEST_P(SharingTest, TwoClients) {
  for (const char *threads : {"d/d", "d/p0", "d/g0", "d/f0", "d/o0", "p0d/g0d", "p0d/p0d", "g0d/o0d", "dj/d", "dj/dj", "j/j", "jp0/jg0",
                              "jp0d/jp0d", "djg0/d", "djp1/dg0", "j/d", "jg0/p0d", "k/p0", "k/k", "p0k/g0d", "dj/k", "ds/p0d", "dnd/g0"})
    if (!enumerate(scheduler_, program_of(threads), preemptions_max(1), sum_)) return;
  sum_.record();
  EXPECT_GT(sum_.hits, 0u);
  EXPECT_GT(sum_.misses, 0u);
  EXPECT_GT(sum_.turned_away, 0u);
}

// The first client has another thread, which uses the pool while the first one leaves or joins.
TEST_P(SharingTest, TwoThreadsOfAClient) {
  for (const char *threads : {"d/d/p0", "d/d/g0", "d/g2/f0", "d/d/o0", "dj/d/p0", "j/d/p1", "dj/p0/g0"})
    if (!enumerate(scheduler_, program_of(threads), preemptions_max(1), sum_)) return;
  sum_.record();
  EXPECT_GT(sum_.turned_away, 0u);
}

// Around the counters too, where an id is looked up without a lock.
TEST_P(SharingTest, IdsAreLookedUpDensely) {
  scheduler_.set_dense(true);
  for (const char *threads : {"d/d/g0", "dj/d/p0"})
    if (!enumerate(scheduler_, program_of(threads), preemptions_max(1), sum_)) return;
  sum_.record();
  EXPECT_GT(sum_.turned_away, 0u);
}

TEST_P(SharingTest, EachAllocationFails) {
  for (const char *threads : {"j/j", "djp1/d", "jp3/jp3"}) {
    Program program = program_of(threads);
    long long failures = 1;
    for (program.failing = 1; failures; ++program.failing) {
      failures = 0;
      if (!enumerate(scheduler_, program, preemptions_max(1) - 1, sum_, &failures)) return;
    }
    EXPECT_GT(program.failing, 2) << "nothing was allocated";
  }
  sum_.record();
}

// Three or four threads, eight operations each, schedules drawn.
TEST_P(SharingTest, ManyOperations) {
  constexpr unsigned int kSchedules = 8, kLength = 8;
  for (unsigned int i = 0; i < seed_count(12); ++i) {
    unsigned long long random = scenario_hash(first_seed() + i);
    std::string threads;
    for (unsigned int thread = 0; thread < 3 + i % 2; ++thread) {
      if (thread) threads += '/';
      unsigned int joins = 0;
      for (unsigned int k = 0; k < kLength; ++k) {
        char what = (thread < 2 ? "ppzgggfordjdjsct" : "pppzbgggggffrosc")[scenario_below(&random, 16)];
        if (what == 'j' && ++joins > 2) what = 'd';
        threads += what;
        if (std::string(kHandleOperations).find(what) != std::string::npos)
          threads += static_cast<char>('0' + scenario_below(&random, 4));
      }
    }
    const Program program = program_of(threads);
    scheduler_.set_dense(i % 4 == 3);
    for (unsigned int k = 0; k < kSchedules; ++k) {
      Random drawn((first_seed() + i) * kSchedules + k);
      const Verdict verdict = run(scheduler_, program, drawn);
      sum_.add(verdict, scheduler_);
      ASSERT_EQ(verdict.wrong, "") << how_to_repeat(program, scheduler_);
    }
  }
  sum_.record();
  EXPECT_GT(sum_.hits, 0u);
  EXPECT_GT(sum_.misses, 0u);
  EXPECT_GT(sum_.turned_away, 0u);
}

INSTANTIATE_TEST_SUITE_P(interleavings, SharingTest,
                         testing::Values(static_cast<unsigned int>(TMEM_POOL_SHARED),
                                         static_cast<unsigned int>(TMEM_POOL_SHARED | TMEM_POOL_PERSISTENT)),
                         [](const testing::TestParamInfo<unsigned int> &info) {
                           return std::string(info.param & TMEM_POOL_PERSISTENT ? "persistent" : "ephemeral");
                         });

}  // namespace
