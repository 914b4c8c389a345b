// SPDX-License-Identifier: GPL-2.0
// What other CPUs may do between two steps of a compaction, step by step.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <semaphore>
#include <thread>
#include <vector>

#include "../../kunit/scenarios/scenarios.h"
#include "host_ops.h"
#include "schedule.h"

namespace {

constexpr tmem_oid kOid = {{1, 0, 0}};

class CompactionRaceTest : public testing::Test {
 protected:
  void SetUp() override { start(4096); }
  void start(unsigned long long memory_frames) {
    ops_ = *tmem_test::host_ops();
    ops_.memory_frames = memory_frames;
    ops_.frame_alloc = [](unsigned int flags) { return frames_.emplace_back(tmem_test::host_ops()->frame_alloc(flags)); };
    frames_.clear();
    ASSERT_EQ(tmem_register_host_ops(&ops_, &host_), 0);
    ASSERT_EQ(tmem_register_pam_ops(host_, tmem_compressed_pam()), 0);
    ASSERT_EQ(tmem_client_create(host_, "c", 100, TMEM_NO_LIMIT, &client_), 0);
  }
  void TearDown() override {
    tmem_client_destroy(client_);
    EXPECT_EQ(tmem_unregister_host(host_), 0);
  }
  int put(int pool, unsigned long long index) {
    alignas(8) unsigned char page[4096];
    content_fill_mixed(page, 317, index);
    return tmem_put(client_, pool, &kOid, index, page);
  }
  int get(int pool, unsigned long long index) {
    alignas(8) unsigned char page[4096], want[4096];
    const int result = tmem_get(client_, pool, &kOid, index, page);
    content_fill_mixed(want, 317, index);
    if (result == 0) { EXPECT_EQ(std::memcmp(page, want, 4096), 0) << "wrong data"; }
    return result;
  }
  unsigned long long frames() {
    struct tmem_host_stats stats;
    tmem_host_stats(host_, &stats);
    return stats.usage.frames;
  }
  // Puts until @runs runs are there; returns the index of the first page of the last one.
  unsigned long long fill(int pool, unsigned int runs) {
    while (frames() < runs * 8) EXPECT_EQ(put(pool, next_++), 0);
    return next_ - 1;
  }

  // The directory entry of a slot of the run that was the @number-th to get frames: units from the end of its highest frame.
  static unsigned long long &directory_entry(unsigned int number, unsigned int slot) {
    void *last = *std::max_element(frames_.begin() + number * 8, frames_.begin() + number * 8 + 8);
    return static_cast<unsigned long long *>(last)[511 - slot];
  }

  static inline std::vector<void *> frames_;
  tmem_host_ops ops_;
  tmem_host *host_ = nullptr;
  tmem_client *client_ = nullptr;
  unsigned long long next_ = 0;
};

TEST_F(CompactionRaceTest, SourceFreedBeforeTheCopy) {
  const int pool = tmem_new_pool(client_, TMEM_POOL_PERSISTENT, nullptr);
  const unsigned long long first = fill(pool, 2);
  ASSERT_EQ(put(pool, next_++), 0);
  for (int i = 0; i < 6; ++i) ASSERT_EQ(tmem_flush_page(client_, pool, &kOid, i), 0);
  int releases = 0;
  tmem_test::lock_hook = [&](unsigned int rank, bool acquire) {
    if (acquire || rank != TMEM_RANK_STORE || ++releases != 2) return;
    EXPECT_EQ(tmem_flush_page(client_, pool, &kOid, first), 0);  // another CPU
  };
  tmem_compact(host_, 8);
  tmem_test::lock_hook = nullptr;
  EXPECT_GE(releases, 2) << "nothing was moved";
  EXPECT_EQ(tmem_validate(host_), 0);
}

TEST_F(CompactionRaceTest, PutPublishedAfterItsPlaceWasCopied) {
  const int pool = tmem_new_pool(client_, TMEM_POOL_PERSISTENT, nullptr);
  fill(pool, 2);
  std::binary_semaphore copied(0), published(0);
  std::thread mover;
  bool done = false;
  tmem_test::lock_hook = [&](unsigned int rank, bool acquire) {
    if (acquire || rank != TMEM_RANK_STORE || done) return;
    done = true;
    // The put has its place and has not written. Another CPU makes holes and compacts.
    mover = std::thread([&] {
      for (int i = 0; i < 6; ++i) EXPECT_EQ(tmem_flush_page(client_, pool, &kOid, i), 0);
      int acquires = 0;
      bool waited = false;
      tmem_test::lock_hook = [&](unsigned int its_rank, bool its_acquire) {
        if (!its_acquire || its_rank != TMEM_RANK_LEAF_BUCKET || ++acquires != 2) return;
        waited = true;
        copied.release();
        published.acquire();
      };
      tmem_compact(host_, 8);
      tmem_test::lock_hook = nullptr;
      if (!waited) copied.release();
    });
    copied.acquire();
  };
  const unsigned long long index = next_++;
  EXPECT_EQ(put(pool, index), 0);
  tmem_test::lock_hook = nullptr;
  ASSERT_TRUE(done);
  published.release();
  mover.join();
  EXPECT_EQ(get(pool, index), 0) << "an accepted persistent page is lost";
  EXPECT_EQ(tmem_validate(host_), 0);
}

// A compaction that finds no room must not make the newest pages the first to go.
TEST_F(CompactionRaceTest, FailedCompactionKeepsTheOrderOfEviction) {
  const int pool = tmem_new_pool(client_, 0, nullptr);
  const unsigned long long second = fill(pool, 2), newest = fill(pool, 6);
  EXPECT_EQ(tmem_compact(host_, 8), 0u);
  EXPECT_EQ(tmem_shrink(host_, 8), 8u);
  // What was not moved from the oldest run goes, and nothing younger.
  EXPECT_EQ(get(pool, newest), 0) << "the newest page went first";
  for (unsigned long long i = second; i < newest; ++i) EXPECT_EQ(get(pool, i), 0) << i;
}

// Old pages that were moved stay old.
TEST_F(CompactionRaceTest, CompactionKeepsTheOrderOfEviction) {
  const int pool = tmem_new_pool(client_, 0, nullptr);
  const unsigned long long second = fill(pool, 2), third = fill(pool, 3);
  fill(pool, 4);  // the third is full, the fourth has one page
  while (frames() < 40) EXPECT_EQ(put(pool, next_++), 0);
  // One page is left in the first run, one is missing in the second.
  for (unsigned long long i = 1; i < second; ++i) ASSERT_EQ(tmem_flush_page(client_, pool, &kOid, i), 0);
  for (int i = 0; i < 2; ++i) ASSERT_EQ(tmem_flush_page(client_, pool, &kOid, second + i), 0);
  tmem_compact(host_, 8);
  EXPECT_EQ(tmem_shrink(host_, 8), 8u);
  EXPECT_EQ(get(pool, third), 0) << "younger pages went";
  EXPECT_EQ(get(pool, second + 3), TMEM_NOT_FOUND) << "older ones stayed";
}

TEST_F(CompactionRaceTest, CompactableCanBeHad) {
  const int pool = tmem_new_pool(client_, TMEM_POOL_PERSISTENT, nullptr);
  ASSERT_EQ(put(pool, 0), 0);
  const unsigned long long promised = tmem_compactable(host_);
  EXPECT_EQ(promised, tmem_compact(host_, ~0ULL));
}

// A page whose directory entry is damaged stays where it is, and keeps its run; the others are compacted all the same.
TEST_F(CompactionRaceTest, DamagedEntryDoesNotStopCompaction) {
  for (const int bit : {0, 3, 17, 33, 40, 50, 63}) {
    const int pool = tmem_new_pool(client_, TMEM_POOL_PERSISTENT, nullptr);
    frames_.clear();
    const unsigned long long begin = next_;
    while (frames_.size() < 6 * 8) ASSERT_EQ(put(pool, next_++), 0);
    // Of the first run one page is left, of the others every third.
    const unsigned long long second = begin + (next_ - begin) / 5;
    for (unsigned long long i = begin + 1; i < next_; ++i)
      if (i < second - 1 || i % 3) { ASSERT_EQ(tmem_flush_page(client_, pool, &kOid, i), 0); }
    directory_entry(0, 0) ^= 1ull << bit;
    EXPECT_GE(tmem_compactable(host_), 8u) << bit;
    EXPECT_GE(tmem_compact(host_, ~0ULL), 16u) << bit;
    for (unsigned long long i = second; i < next_; ++i)
      if (i % 3 == 0) { EXPECT_EQ(get(pool, i), 0) << i; }
    // What is promised from now on can be had.
    EXPECT_EQ(tmem_compactable(host_), 0u) << bit;
    directory_entry(0, 0) ^= 1ull << bit;
    EXPECT_EQ(get(pool, begin), 0) << "it is where it was";
    EXPECT_EQ(tmem_validate(host_), 0);
    EXPECT_EQ(tmem_destroy_pool(client_, pool), 0);
  }
}

// Nor is such an entry read: any one wrong bit of where and how it lies is an error, whether there are checksums or not, and
// the page is there again once the bit is right.
TEST_F(CompactionRaceTest, DamagedEntryIsNotRead) {
  const int pool = tmem_new_pool(client_, TMEM_POOL_PERSISTENT, nullptr);
  for (const unsigned long long checksums : {0, 1}) {
    ASSERT_EQ(tmem_tunable_set(host_, TMEM_TUNABLE_CHECKSUM, checksums), 0);
    ASSERT_EQ(tmem_flush_object(client_, pool, &kOid), checksums ? TMEM_OK : TMEM_NOT_FOUND);
    frames_.clear();
    for (unsigned long long index : {0, 1}) ASSERT_EQ(put(pool, index), 0);
    for (int bit = 32; bit < 64; ++bit) {
      directory_entry(0, 1) ^= 1ull << bit;
      EXPECT_EQ(get(pool, 1), TMEM_CORRUPT) << "bit " << bit << (checksums ? ", checksum" : "");
      directory_entry(0, 1) ^= 1ull << bit;
    }
    EXPECT_EQ(get(pool, 1), 0);
  }
  struct tmem_host_stats stats;
  tmem_host_stats(host_, &stats);
  EXPECT_EQ(stats.usage.decoder_errors, 64u);
  EXPECT_EQ(stats.pages.gets_corrupt, 64u);
}

// The oldest run cannot be emptied while somebody reads in it; the next ones can.
TEST_F(CompactionRaceTest, ShrinkingPassesOverARunThatIsRead) {
  constexpr unsigned long long kUuid[2] = {1, 2};
  const int pool = tmem_new_pool(client_, TMEM_POOL_SHARED, kUuid);
  ASSERT_GE(pool, 0);
  fill(pool, 4);
  unsigned long long freed = 0;
  tmem_test::interleave(tmem_test::Moment::kDecompress, 0, [&] { freed = tmem_shrink(host_, 16); });
  EXPECT_EQ(get(pool, 0), 0);
  ASSERT_TRUE(tmem_test::interleaved());
  EXPECT_GE(freed, 16u);
  EXPECT_EQ(tmem_validate(host_), 0);
}

// ---- A put that needs the room of the run that another CPU is compacting

class FullBudgetTest : public CompactionRaceTest {
 protected:
  static constexpr unsigned int kSmall = 50, kLarge = 14;

  void SetUp() override { start(5 * 16); }  // the budget is a fifth: two runs

  int put_of(int pool, unsigned long long index, unsigned int kind) {
    alignas(8) unsigned char page[4096];
    content_fill(page, kind, index + 1);
    return tmem_put(client_, pool, &kOid, index, page);
  }
  int get_of(int pool, unsigned long long index, unsigned int kind) {
    alignas(8) unsigned char page[4096] = {};
    const int result = tmem_get(client_, pool, &kOid, index, page);
    EXPECT_TRUE(result != TMEM_OK || content_matches(page, kind, index + 1)) << index;
    return result;
  }

  // Two runs: one with small pages only, whose room is the only one for a page that does not compress; the other
  // with the large ones, and holes that take all the small ones and no large one.
  int sparse_and_full() {
    const int pool = tmem_new_pool(client_, TMEM_POOL_PERSISTENT, nullptr);
    for (unsigned int i = 0; i < kSmall; ++i) EXPECT_EQ(put_of(pool, i, CONTENT_NEAR_SAME), TMEM_OK);
    for (unsigned int i = 0; i < kLarge; ++i) EXPECT_EQ(put_of(pool, kSmall + i, CONTENT_RANDOM), TMEM_OK);
    EXPECT_EQ(frames(), 16u);
    for (unsigned int i = 0; i < kLarge / 2; ++i)
      EXPECT_EQ(tmem_flush_page(client_, pool, &kOid, kSmall + i), TMEM_OK);
    return pool;
  }
  void expect_all(int pool, bool with_new) {
    for (unsigned int i = 0; i < kSmall; ++i) EXPECT_EQ(get_of(pool, i, CONTENT_NEAR_SAME), TMEM_OK) << i;
    for (unsigned int i = kLarge / 2; i < kLarge; ++i)
      EXPECT_EQ(get_of(pool, kSmall + i, CONTENT_RANDOM), TMEM_OK) << i;
    if (with_new) { EXPECT_EQ(get_of(pool, kNew, CONTENT_RANDOM), TMEM_OK); }
    EXPECT_EQ(tmem_validate(host_), 0);
  }
  static constexpr unsigned long long kNew = 1000;
};

// The first thread takes so many steps alone, then the two take turns.
class Turns final : public tmem_test::Chooser {
 public:
  explicit Turns(unsigned int lead) : lead_(lead) {}
  unsigned int choose(unsigned int decision, const tmem_test::Options &options) override {
    const unsigned int wanted = decision < lead_ ? 0 : decision % 2;
    return options.runnable >> wanted & 1 ? wanted : options.usual;
  }

 private:
  const unsigned int lead_;
};

// Whenever the put comes: if both CPUs get on equally well, it is not refused.
TEST_F(FullBudgetTest, PutComesWhileTheOnlySparseRunIsCompacted) {
  tmem_test::Scheduler scheduler;
  unsigned long long freed = 0;
  unsigned int gave_way = 0;
  for (unsigned int lead = 0; !freed; lead += 3) {
    ASSERT_LT(lead, 4000u) << "compacting never ends";
    const int pool = sparse_and_full();
    Turns turns(lead);
    int result = -1;
    ASSERT_TRUE(scheduler.run({[&] { freed = tmem_compact(host_, ~0ULL); },
                               [&] { result = put_of(pool, kNew, CONTENT_RANDOM); }},
                              turns))
        << scheduler.trouble();
    ASSERT_EQ(result, TMEM_OK) << "with a lead of " << lead << " steps";
    gave_way += !freed;
    expect_all(pool, true);
    EXPECT_EQ(tmem_destroy_pool(client_, pool), TMEM_OK);
  }
  EXPECT_GT(gave_way, 10u);
}

// Nothing but compacting makes room for the page, and another CPU begins with that, or does it all, between
// two looks of the put.
TEST_F(FullBudgetTest, CompactionComesBetweenTwoLooksOfAPut) {
  constexpr unsigned int kAll = ~0u, kPatterns = 150, kLarge = 56;
  TearDown();
  start(5 * 9 * 8);
  for (const unsigned int steps : {0u, 1u, 40u, kAll})
    for (unsigned int begin = 1; begin < 16; ++begin) {
      const int pool = tmem_new_pool(client_, TMEM_POOL_PERSISTENT, nullptr);
      // Less than a page is free in each run, together enough for all of the first.
      for (unsigned int i = 0; i < kPatterns; ++i) ASSERT_EQ(put_of(pool, i, CONTENT_PATTERN), TMEM_OK);
      for (unsigned int i = 0; i < kLarge; ++i) ASSERT_EQ(put_of(pool, kPatterns + i, CONTENT_RANDOM), TMEM_OK);
      ASSERT_EQ(frames(), 9 * 8u);
      std::binary_semaphore under_way(0), goes_on(0);
      std::thread mover;
      unsigned int looks = 0;
      const auto finish = [&] {
        goes_on.release();
        mover.join();
      };
      tmem_test::lock_hook = [&](unsigned int rank, bool acquire) {
        if (acquire || rank != TMEM_RANK_STORE) return;
        if (++looks == begin) {
          mover = std::thread([&] {
            unsigned int entries = 0;
            bool waited = false;
            tmem_test::lock_hook = [&](unsigned int its_rank, bool its_acquire) {
              if (!its_acquire || its_rank != TMEM_RANK_LEAF_BUCKET || entries++ != steps) return;
              waited = true;
              under_way.release();
              goes_on.acquire();
            };
            tmem_compact(host_, ~0ULL);
            tmem_test::lock_hook = nullptr;
            if (!waited) under_way.release();
          });
          under_way.acquire();
        }
        if (looks == begin + 9 && mover.joinable()) finish();
      };
      const int result = put_of(pool, kNew, CONTENT_RANDOM);
      tmem_test::lock_hook = nullptr;
      if (mover.joinable()) finish();
      EXPECT_EQ(result, TMEM_OK) << "after look " << begin << " and " << steps << " pages";
      for (unsigned int i = 0; i < kPatterns; ++i) ASSERT_EQ(get_of(pool, i, CONTENT_PATTERN), TMEM_OK) << i;
      for (unsigned int i = 0; i < kLarge; ++i) ASSERT_EQ(get_of(pool, kPatterns + i, CONTENT_RANDOM), TMEM_OK) << i;
      if (result == TMEM_OK) { EXPECT_EQ(get_of(pool, kNew, CONTENT_RANDOM), TMEM_OK); }
      EXPECT_EQ(tmem_validate(host_), 0);
      ASSERT_EQ(tmem_destroy_pool(client_, pool), TMEM_OK);
    }
}

}  // namespace
