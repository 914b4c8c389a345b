// SPDX-License-Identifier: GPL-2.0
// The judge of histories judged: what the contract allows is explained, what it
// forbids is not. Then real histories of threads of the system.
#include <gtest/gtest.h>

#include "host_ops.h"
#include "history.h"
#include "programs.h"
#include "../../kunit/scenarios/scenarios.h"
#include "seeds.h"

namespace {

using namespace tmem_test;

constexpr HandleRules kPrivate = {.ephemeral = true, .exclusive = true};
constexpr HandleRules kShared = {.ephemeral = true, .exclusive = false};
constexpr HandleRules kPersistent = {.ephemeral = false, .exclusive = false};

using Events = std::vector<Event>;

bool good(const HandleRules &rules, const Events &events) { return explain(rules, events).empty(); }

TEST(HistoryTest, OneAfterTheOther) {
  const Events events = {{Deed::kMissed, 0, 1, 2},
                         {Deed::kStored, 0, 3, 4, 7},
                         {Deed::kHit, 1, 5, 6, 7},
                         {Deed::kHit, 1, 7, 8, 7},
                         {Deed::kFlushed, 0, 9, 10},
                         {Deed::kMissed, 1, 11, 12}};
  EXPECT_TRUE(good(kPersistent, events));
  EXPECT_TRUE(good(kShared, events));
  EXPECT_FALSE(good(kPrivate, events)) << "the first hit takes the page";
}

TEST(HistoryTest, NothingIsAlwaysExplained) { EXPECT_TRUE(good(kPersistent, {})); }

TEST(HistoryTest, OldPageAfterTheNewOne) {
  EXPECT_FALSE(good(kPersistent, {{Deed::kStored, 0, 1, 2, 1}, {Deed::kStored, 0, 3, 4, 2}, {Deed::kHit, 1, 5, 6, 1}}));
  // While the second put is under way either may be had, but not the new one and then the old.
  const Event first = {Deed::kStored, 0, 1, 2, 1}, second = {Deed::kStored, 0, 3, 10, 2};
  EXPECT_TRUE(good(kPersistent, {first, second, {Deed::kHit, 1, 4, 5, 1}, {Deed::kHit, 1, 6, 7, 2}}));
  EXPECT_TRUE(good(kPersistent, {first, second, {Deed::kHit, 1, 4, 5, 2}, {Deed::kHit, 1, 6, 7, 2}}));
  EXPECT_FALSE(good(kPersistent, {first, second, {Deed::kHit, 1, 4, 5, 2}, {Deed::kHit, 1, 6, 7, 1}}));
  EXPECT_FALSE(good(kPersistent, {first, second, {Deed::kHit, 1, 4, 5, 2}, {Deed::kHit, 2, 6, 7, 1}}));
}

TEST(HistoryTest, PageThatNobodyPut) {
  EXPECT_FALSE(good(kShared, {{Deed::kStored, 0, 1, 2, 1}, {Deed::kHit, 1, 3, 4, 9}}));
  EXPECT_FALSE(good(kShared, {{Deed::kHit, 1, 1, 2, 5}, {Deed::kStored, 0, 3, 4, 5}})) << "before it was put";
}

TEST(HistoryTest, RefusedPutLeavesNothing) {
  const Event stored = {Deed::kStored, 0, 1, 2, 1}, refused = {Deed::kRefused, 0, 3, 4};
  EXPECT_TRUE(good(kPersistent, {stored, refused, {Deed::kMissed, 1, 5, 6}}));
  EXPECT_FALSE(good(kPersistent, {stored, refused, {Deed::kHit, 1, 5, 6, 1}}));
  EXPECT_TRUE(good(kPersistent, {stored, {Deed::kRefused, 0, 3, 9}, {Deed::kHit, 1, 5, 6, 1}}));
}

TEST(HistoryTest, MissStaysAMiss) {
  EXPECT_TRUE(good(kShared, {{Deed::kStored, 0, 1, 2, 1}, {Deed::kMissed, 1, 3, 4}, {Deed::kMissed, 1, 5, 6}}));
  EXPECT_FALSE(good(kShared, {{Deed::kStored, 0, 1, 2, 1}, {Deed::kMissed, 1, 3, 4}, {Deed::kHit, 1, 5, 6, 1}}));
}

TEST(HistoryTest, PersistentPageDoesNotGo) {
  EXPECT_FALSE(good(kPersistent, {{Deed::kStored, 0, 1, 2, 1}, {Deed::kMissed, 1, 3, 4}}));
  EXPECT_TRUE(good(kPersistent, {{Deed::kStored, 0, 1, 4, 1}, {Deed::kMissed, 1, 3, 5}}));
  EXPECT_FALSE(good(kPersistent, {{Deed::kStored, 0, 1, 2, 1}, {Deed::kMissed, 0, 3, 4}, {Deed::kMissed, 1, 3, 4}}));
}

TEST(HistoryTest, ExclusivePageIsTakenOnce) {
  const Event stored = {Deed::kStored, 0, 1, 2, 1};
  EXPECT_TRUE(good(kPrivate, {stored, {Deed::kHit, 0, 3, 6, 1}, {Deed::kMissed, 1, 4, 5}}));
  EXPECT_FALSE(good(kPrivate, {stored, {Deed::kHit, 0, 3, 6, 1}, {Deed::kHit, 1, 4, 5, 1}}));
  EXPECT_TRUE(good(kShared, {stored, {Deed::kHit, 0, 3, 6, 1}, {Deed::kHit, 1, 4, 5, 1}}));
}

TEST(HistoryTest, Flushes) {
  const Event stored = {Deed::kStored, 0, 1, 2, 1};
  EXPECT_FALSE(good(kPersistent, {stored, {Deed::kFlushedUnseen, 0, 3, 4}, {Deed::kHit, 1, 5, 6, 1}}));
  EXPECT_TRUE(good(kPersistent, {stored, {Deed::kFlushedUnseen, 0, 3, 6}, {Deed::kHit, 1, 4, 5, 1}, {Deed::kMissed, 1, 7, 8}}));
  EXPECT_FALSE(good(kPersistent, {stored, {Deed::kFlushed, 0, 3, 6}, {Deed::kFlushed, 1, 4, 5}})) << "found twice";
  EXPECT_FALSE(good(kPersistent, {{Deed::kFlushed, 0, 1, 2}})) << "found where nothing was";
  // A put beside a flush of many comes before it or after it.
  const Event flush = {Deed::kFlushedUnseen, 0, 3, 8}, put = {Deed::kStored, 1, 4, 5, 2};
  EXPECT_TRUE(good(kPersistent, {stored, flush, put, {Deed::kHit, 1, 9, 10, 2}}));
  EXPECT_TRUE(good(kPersistent, {stored, flush, put, {Deed::kMissed, 1, 9, 10}}));
  EXPECT_FALSE(good(kPersistent, {stored, flush, put, {Deed::kHit, 1, 9, 10, 1}}));
  // Or between two looks of the flush; but not after its end.
  EXPECT_TRUE(good(kPersistent, {stored, {Deed::kFlushedUnseen, 0, 3, 20}, {Deed::kMissed, 1, 4, 5}, {Deed::kStored, 1, 6, 7, 2},
                                 {Deed::kHit, 1, 8, 9, 2}, {Deed::kMissed, 1, 21, 22}}));
  EXPECT_FALSE(good(kPersistent, {stored, {Deed::kFlushedUnseen, 0, 3, 5}, {Deed::kMissed, 1, 4, 5}, {Deed::kStored, 1, 6, 7, 2},
                                  {Deed::kMissed, 1, 21, 22}}));
}

TEST(HistoryTest, LifeOfAPool) {
  const Event closed = {Deed::kClosed, 0, 3, 8}, gone = {Deed::kGone, 0, 3, 8};
  const auto lives = [&](Event other) { return good(kPersistent, {closed, gone, other}); };
  EXPECT_TRUE(lives({Deed::kEntered, 1, 1, 2}));
  EXPECT_TRUE(lives({Deed::kEntered, 1, 4, 12})) << "it may have been let in before";
  EXPECT_FALSE(lives({Deed::kEntered, 1, 9, 10}));
  EXPECT_TRUE(lives({Deed::kGoingAway, 1, 4, 5}));
  EXPECT_FALSE(lives({Deed::kGoingAway, 1, 9, 10}));
  EXPECT_FALSE(lives({Deed::kUnknown, 1, 1, 2}));
  EXPECT_TRUE(lives({Deed::kUnknown, 1, 9, 10}));
  EXPECT_FALSE(good(kPersistent, {closed, gone, {Deed::kGoingAway, 1, 4, 5}, {Deed::kEntered, 1, 6, 7}}));
  EXPECT_FALSE(good(kPersistent, {closed, gone, {Deed::kClosed, 1, 4, 5}, {Deed::kGone, 1, 4, 5}})) << "destroyed twice";
  EXPECT_FALSE(good(kPersistent, {{Deed::kGoingAway, 1, 4, 5}})) << "and nobody destroyed it";
}

// Many events under way at once, with an answer and without: the search ends.
TEST(HistoryTest, LongAndDense) {
  Events events;
  unsigned long long moment = 0;
  for (unsigned int round = 1; round <= 400; ++round) {
    for (unsigned int thread = 0; thread < 4; ++thread)
      events.push_back({Deed::kStored, thread, moment + 1 + thread, moment + 20, round * 4 + thread});
    for (unsigned int thread = 0; thread < 4; ++thread)
      events.push_back({Deed::kHit, thread, moment + 21, moment + 30, round * 4 + round % 4});
    moment += 30;
  }
  EXPECT_TRUE(good(kPersistent, events));
  events.push_back({Deed::kMissed, 0, moment + 1, moment + 2});
  EXPECT_FALSE(good(kPersistent, events));
}

// ---- Threads of the system

struct Kind {
  const char *name;
  unsigned int flags;
  bool tight;
};

class ConcurrentHistoryTest : public testing::TestWithParam<Kind> {};

// Not destroy: it would end the history; it has tests of its own.
Program random_program(const Kind &kind, unsigned int threads, unsigned int length, unsigned long long seed) {
  Program program;
  program.flags = kind.flags;
  program.tight = kind.tight;
  program.apart = seed % 2 != 0;
  unsigned long long random = scenario_hash(seed);
  for (unsigned int i = 0; i < threads; ++i) {
    program.threads.emplace_back();
    for (unsigned int k = 0; k < length; ++k) {
      const unsigned int drawn = scenario_below(&random, 20);
      // Compacting as often as flushing an object.
      const char what = drawn < 18 ? "ppppzbggggggggffro"[drawn] : kOtherOperations[scenario_below(&random, 64) % (std::string(kOtherOperations).size() - 1)];
      program.threads.back().push_back({what, scenario_below(&random, kHandles)});
    }
  }
  return program;
}

TEST_P(ConcurrentHistoryTest, IsExplained) {
  constexpr unsigned int kThreads = 3, kLength = 250;
  unsigned int hits = 0, misses = 0, refusals = 0;
  for (unsigned int i = 0; i < seed_count(8); ++i) {
    const unsigned long long seed = first_seed() + i;
    set_perturbation(2 + seed % 7 * 5);
    const Verdict verdict = run_threads(random_program(GetParam(), kThreads, kLength, seed));
    set_perturbation(0);
    ASSERT_EQ(verdict.wrong, "") << "repeat, perhaps often, with TMEM_TEST_SEEDS=1 TMEM_TEST_SEED=" << seed
                                 << " scripts/check-host " TMEM_TEST_BUILD
                                 << " --gtest_filter=concurrent/ConcurrentHistoryTest.IsExplained/" << GetParam().name;
    hits += verdict.hits;
    misses += verdict.misses;
    refusals += verdict.refusals;
  }
  EXPECT_GT(hits, 0u);
  EXPECT_GT(misses, 0u);
  if (!(GetParam().flags & TMEM_POOL_PERSISTENT)) {
    EXPECT_GT(refusals, 0u);
  }
}

// The pool is destroyed under way.
TEST_P(ConcurrentHistoryTest, DestroyIsExplained) {
  unsigned int turned_away = 0;
  for (unsigned int i = 0; i < 4 * seed_count(8); ++i) {
    const unsigned long long seed = first_seed() + i;
    Program program = random_program(GetParam(), 3, 40, seed);
    program.threads[i % 3][10 + seed % 20].what = 'd';
    set_perturbation(2 + seed % 5 * 3);
    const Verdict verdict = run_threads(program);
    set_perturbation(0);
    ASSERT_EQ(verdict.wrong, "") << "seed " << seed;
    turned_away += verdict.turned_away;
  }
  EXPECT_GT(turned_away, 0u);
}

constexpr Kind kKinds[] = {
    {"ephemeral", 0, false},
    {"shared", TMEM_POOL_SHARED, false},
    {"persistent", TMEM_POOL_PERSISTENT, false},
    {"ephemeral_tight", 0, true},
    {"shared_tight", TMEM_POOL_SHARED, true},
    {"persistent_tight", TMEM_POOL_PERSISTENT, true},
};

INSTANTIATE_TEST_SUITE_P(concurrent, ConcurrentHistoryTest, testing::ValuesIn(kKinds),
                         [](const testing::TestParamInfo<Kind> &info) { return std::string(info.param.name); });

}  // namespace
