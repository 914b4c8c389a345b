// SPDX-License-Identifier: GPL-2.0
// Interleavings over the larger classes of leaves (stages.h): the first object has just so many pages that a put, a
// get or a flush of one thread changes its leaf's class while another one puts, gets, flushes, evicts, compacts
// or destroys. Each test fails unless the changes that its stage is for have come about.
#include <gtest/gtest.h>

#include <cstring>

#include "../../kunit/scenarios/scenarios.h"
#include "exploring.h"

namespace {

using namespace tmem_test;

struct Setting {
  const Stage *stage;
  unsigned int flags;
};

std::vector<Setting> settings() {
  std::vector<Setting> all;
  for (const Stage &stage : stages())
    for (const unsigned int flags : {0u, static_cast<unsigned int>(TMEM_POOL_PERSISTENT)})
      if (flags || !stage.persistent_only) all.push_back({&stage, flags});
  return all;
}

class StageTest : public testing::TestWithParam<Setting> {
 protected:
  bool persistent() const { return GetParam().flags & TMEM_POOL_PERSISTENT; }
  Program program_of(const std::string &threads) const {
    Program program;
    std::vector<Deviation> none;
    EXPECT_TRUE(parse(std::string(GetParam().stage->name) + (persistent() ? "-persistent:" : "-ephemeral:") + threads, program, none));
    return program;
  }
  // A second leaf comes, and the first is full.
  bool costly() const { return GetParam().stage->next == 256 && GetParam().stage->moves.back().what != 'f'; }
  // What makes the leaf larger, or smaller: the operations of one thread.
  std::vector<std::string> changing() const {
    const bool grows = GetParam().stage->moves.back().what != 'f';
    if (costly()) return persistent() ? std::vector<std::string>{"p7", "z2"} : std::vector<std::string>{"p7"};
    std::vector<std::string> puts = {"p7", "p6"};
    if (grows && GetParam().stage->leaf == kList) puts.push_back("p2");
    if (grows && persistent()) puts.insert(puts.end(), {"z7", "z6"});
    if (grows) return puts;
    // A get takes a page only of an ephemeral pool.
    return {persistent() ? "f0" : "g0", "r4", "f5"};
  }
  void expect_changes() const {
    for (const Change &change : GetParam().stage->changes) expect_change(change);
    for (const Change &change : GetParam().stage->persistent_changes)
      if (persistent()) expect_change(change);
    if (costly()) {
      EXPECT_GT(sum_.leaves.made(kShort), 0u) << "the leaf after a file's first one is direct at once";
    }
  }
  void expect_change(const Change &change) const {
    EXPECT_GT(sum_.leaves.replaced(change), 0u) << "no leaf of " << name_of(change.from) << " became one of "
                                                << name_of(change.to) << "; met: " << sum_.leaves.text();
  }

  Scheduler scheduler_;
  Sum sum_;
};

// Each larger class is some stage's, in both kinds of pool but for the one that only the persistent kind has.
TEST(StagesTest, CoverTheLargerClasses) {
  for (unsigned int leaf_class = kList; leaf_class < kLeafClassCount; ++leaf_class) {
    bool ephemeral = false, persistent = false;
    for (const Setting &setting : settings())
      if (setting.stage->leaf == leaf_class) (setting.flags ? persistent : ephemeral) = true;
    EXPECT_TRUE(persistent) << name_of(LeafClass(leaf_class));
    EXPECT_EQ(ephemeral, leaf_class != kWholeSame) << name_of(LeafClass(leaf_class));
  }
}

// A change of the leaf, and any one operation.
TEST_P(StageTest, ChangeAndOneOperation) {
  const bool all = preemptions_max(1) > 1;
  const std::vector<std::string> changes = changing();
  for (size_t i = 0; i < changes.size(); ++i) {
    for (size_t k = i; k < changes.size(); ++k)
      if (!enumerate(scheduler_, program_of(changes[i] + '/' + changes[k]), preemptions_max(1), sum_)) return;
    // With fewer of the schedules each change meets some of these, and each of these some change.
    std::vector<std::string> others = {"g4", "f0", "w4", "o0", "s", "d", "p0", "r0", "z0"};
    // It is full again, and of what another class has no room for.
    if (GetParam().stage->leaf == kList) others.insert(others.begin(), "f0p6");
    for (size_t k = 0; k < others.size(); ++k)
      if (all || k % changes.size() == i)
        if (!enumerate(scheduler_, program_of(changes[i] + '/' + others[k]), preemptions_max(1), sum_)) return;
  }
  sum_.record();
  expect_changes();
}

// And compaction, which makes the leaf name other places: in a store full of holes, which take all the stage's pages.
class CompactedStageTest : public StageTest {};
constexpr const char *kTooManyPages[] = {"direct128", "direct256", "same256", "sequence"};

TEST_P(CompactedStageTest, ChangeWhileCompacting) {
  // The more pages are moved, the more schedules there are.
  const bool all = preemptions_max(1) > 1;
  const std::vector<std::string> changes = changing();
  for (size_t i = 0; i < (all ? changes.size() : 1); ++i) {
    Program program = program_of(changes[i] + "/c");
    program.holed = true;
    if (!enumerate(scheduler_, program, preemptions_max(1), sum_)) return;
  }
  sum_.record();
  EXPECT_GT(sum_.compacted, sum_.schedules / 2);
  if (all)
    expect_changes();
  else
    expect_change(GetParam().stage->changes.front());
}

// The memory for the other leaf, and all else, cannot be had.
TEST_P(StageTest, EachAllocationFails) {
  unsigned long long failures_seen = 0;
  for (const std::string &change : changing()) {
    Program program = program_of(change + "/g4");
    long long failures = 1;
    for (program.failing = 1; failures; ++program.failing) {
      failures = 0;
      if (!enumerate(scheduler_, program, preemptions_max(1) - 1, sum_, &failures)) return;
      failures_seen += failures;
    }
  }
  sum_.record();
  if (!GetParam().stage->changes.empty()) {
    EXPECT_GT(failures_seen, 0u);
  }
}

// Three threads, eight operations each, schedules drawn.
TEST_P(StageTest, ManyOperations) {
  constexpr unsigned int kSchedules = 4, kThreads = 3, kLength = 8;
  for (unsigned int i = 0; i < seed_count(3); ++i) {
    unsigned long long random = scenario_hash(first_seed() + i);
    std::string threads;
    for (unsigned int thread = 0; thread < kThreads; ++thread) {
      if (thread) threads += '/';
      for (unsigned int k = 0; k < kLength; ++k) {
        const char what = "ppppzgggfffrwocs"[scenario_below(&random, 16)];
        threads += what;
        if (std::strchr(kHandleOperations, what)) threads += static_cast<char>('0' + scenario_below(&random, kHandles));
      }
    }
    const Program program = program_of(threads);
    for (unsigned int k = 0; k < kSchedules; ++k) {
      Random random_schedule((first_seed() + i) * kSchedules + k);
      const Verdict verdict = run(scheduler_, program, random_schedule);
      sum_.add(verdict, scheduler_);
      ASSERT_EQ(verdict.wrong, "") << how_to_repeat(program, scheduler_);
    }
  }
  sum_.record();
  EXPECT_GT(sum_.hits, 0u);
  EXPECT_GT(sum_.misses, 0u);
}

std::string setting_name(const testing::TestParamInfo<Setting> &info) {
  return std::string(info.param.stage->name) + (info.param.flags ? "_persistent" : "_ephemeral");
}

std::vector<Setting> compacted_settings() {
  std::vector<Setting> some;
  for (const Setting &setting : settings())
    if (std::find(std::begin(kTooManyPages), std::end(kTooManyPages), std::string(setting.stage->name)) == std::end(kTooManyPages))
      some.push_back(setting);
  return some;
}

INSTANTIATE_TEST_SUITE_P(interleavings, StageTest, testing::ValuesIn(settings()), setting_name);
INSTANTIATE_TEST_SUITE_P(interleavings, CompactedStageTest, testing::ValuesIn(compacted_settings()), setting_name);

}  // namespace
