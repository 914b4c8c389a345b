// SPDX-License-Identifier: GPL-2.0
// One operation in the middle of another, step by step: the first is stopped at a
// moment of the host's (host_ops.h), a second does its own, and then the
// first goes on. What threads by themselves meet once in a million times is met
// each time here.
#include <gtest/gtest.h>

#include <vector>

#include "../../kunit/scenarios/scenarios.h"
#include "host_ops.h"

namespace {

using tmem_test::interleave;
using tmem_test::interleaved;
using tmem_test::Moment;

class InterleavingTest : public testing::Test {
 protected:
  // The budget is a fifth of the memory; a run has eight frames.
  static constexpr unsigned long long kFramesOfRuns = 5 * 8;

  void start(unsigned int runs) {
    injector_reset();
    ASSERT_TRUE(engine_start(&env_, nullptr, runs * kFramesOfRuns));
    env_.page = static_cast<unsigned char *>(platform_allocate(TMEM_PAGE_BYTES));
    env_.page_back = static_cast<unsigned char *>(platform_allocate(TMEM_PAGE_BYTES));
  }
  void TearDown() override {
    if (env_.host) engine_stop(&env_);
    platform_release(env_.page);
    platform_release(env_.page_back);
    EXPECT_EQ(env_.failures, 0u);
    EXPECT_EQ(injector.live_frames, 0);
  }

  // By whichever thread, with pages of its own.
  int put(int pool, unsigned long long index, unsigned int kind, unsigned long long tag) {
    alignas(8) unsigned char page[TMEM_PAGE_BYTES];
    const tmem_oid oid = oid_of(1);
    content_fill(page, kind, tag);
    return tmem_put(env_.client, pool, &oid, index, page);
  }
  int get(int pool, unsigned long long index, unsigned int kind, unsigned long long tag) {
    alignas(8) unsigned char page[TMEM_PAGE_BYTES] = {};
    const tmem_oid oid = oid_of(1);
    const int result = tmem_get(env_.client, pool, &oid, index, page);
    if (result == TMEM_OK) {
      EXPECT_TRUE(content_matches(page, kind, tag)) << "index " << index;
    }
    return result;
  }
  int flush(int pool, unsigned long long index) {
    const tmem_oid oid = oid_of(1);
    return tmem_flush_page(env_.client, pool, &oid, index);
  }
  int flush_all(int pool) {
    const tmem_oid oid = oid_of(1);
    return tmem_flush_object(env_.client, pool, &oid);
  }
  tmem_usage usage() {
    struct tmem_host_stats stats;
    tmem_host_stats(env_.host, &stats);
    return stats.usage;
  }

  scenario_env env_ = {};
};

// ---- A flush that has taken a leaf out and not yet freed its pages

TEST_F(InterleavingTest, RoomIsFoundWhileALeafIsFreed) {
  start(100);
  ASSERT_EQ(tmem_tunable_set(env_.host, TMEM_TUNABLE_ADMIT_EPHEMERAL_PERCENT, 100), TMEM_OK);
  const int files = new_pool(&env_, 0), swap = new_pool(&env_, TMEM_POOL_PERSISTENT);
  alignas(8) unsigned char page[TMEM_PAGE_BYTES];
  const tmem_oid old_file = oid_of(1), young_file = oid_of(2), area = oid_of(3);
  unsigned long long next = 0;
  // The oldest pages, more than one leaf's, are one file's; the budget is full of ephemeral ones.
  const auto put_to = [&](int pool, const tmem_oid &oid, unsigned long long index) {
    content_fill_mixed(page, 300, index);
    return tmem_put(env_.client, pool, &oid, index, page);
  };
  for (; next < 600; ++next) ASSERT_EQ(put_to(files, old_file, next), TMEM_OK);
  while (usage().frames_evicted == 0) ASSERT_EQ(put_to(files, young_file, next++), TMEM_OK);
  interleave(Moment::kAfterLeafBucket, 0, [&] {
    EXPECT_EQ(put_to(swap, area, 1), TMEM_OK) << "a persistent page is refused while ephemeral ones are there";
    EXPECT_GE(tmem_shrink(env_.host, 64), 64u);
  });
  EXPECT_EQ(tmem_flush_object(env_.client, files, &old_file), TMEM_OK);
  ASSERT_TRUE(interleaved());
  ENGINE_CHECK(&env_);
}

// ---- A get, and what happens to its page meanwhile

constexpr Moment kWithinAGet[] = {Moment::kAfterLeafBucket, Moment::kChecksum, Moment::kDecompress};

TEST_F(InterleavingTest, PageIsFlushedWhileItIsRead) {
  start(4);
  for (const unsigned int flags : {TMEM_POOL_PERSISTENT, TMEM_POOL_SHARED})
    for (const Moment moment : kWithinAGet) {
      const int pool = new_pool(&env_, flags);
      ASSERT_EQ(put(pool, 1, CONTENT_TEXT, 1), TMEM_OK);
      interleave(moment, 0, [&] {
        EXPECT_EQ(flush(pool, 1), TMEM_OK);
        EXPECT_EQ(get(pool, 1, CONTENT_TEXT, 1), TMEM_NOT_FOUND);
      });
      EXPECT_EQ(get(pool, 1, CONTENT_TEXT, 1), TMEM_OK);
      ASSERT_TRUE(interleaved());
      // It was the last of its run, which went with the reader.
      EXPECT_EQ(injector.live_frames, 0);
      EXPECT_EQ(tmem_destroy_pool(env_.client, pool), TMEM_OK);
    }
}

TEST_F(InterleavingTest, PageIsReplacedWhileItIsRead) {
  start(4);
  const int pool = new_pool(&env_, TMEM_POOL_PERSISTENT);
  unsigned long long tag = 1;
  ASSERT_EQ(put(pool, 1, CONTENT_TEXT, tag), TMEM_OK);
  for (const Moment moment : kWithinAGet) {
    interleave(moment, 0, [&] { EXPECT_EQ(put(pool, 1, CONTENT_TEXT, tag + 1), TMEM_OK); });
    EXPECT_EQ(get(pool, 1, CONTENT_TEXT, tag), TMEM_OK);
    ASSERT_TRUE(interleaved());
    EXPECT_EQ(get(pool, 1, CONTENT_TEXT, ++tag), TMEM_OK);
    ENGINE_CHECK(&env_);
  }
  EXPECT_EQ(usage().entries, 1u);
}

TEST_F(InterleavingTest, PageIsEvictedWhileItIsRead) {
  start(4);
  for (const Moment moment : kWithinAGet) {
    const int pool = new_pool(&env_, TMEM_POOL_SHARED);
    for (unsigned int i = 0; i < 5; ++i) ASSERT_EQ(put(pool, i, CONTENT_TEXT, i), TMEM_OK);
    interleave(moment, 0, [&] { tmem_shrink(env_.host, 8); });
    EXPECT_EQ(get(pool, 3, CONTENT_TEXT, 3), TMEM_OK);
    ASSERT_TRUE(interleaved());
    ENGINE_CHECK(&env_);
    for (unsigned int i = 0; i < 5; ++i) EXPECT_EQ(get(pool, i, CONTENT_TEXT, i), TMEM_NOT_FOUND);
    EXPECT_EQ(tmem_destroy_pool(env_.client, pool), TMEM_OK);
  }
}

// The one run has holes that only packing could join, and its last page is being read.
TEST_F(InterleavingTest, NothingIsPackedUnderAReader) {
  start(1);
  const int pool = new_pool(&env_, TMEM_POOL_PERSISTENT);
  unsigned int pages = 0;
  while (put(pool, pages, CONTENT_HALF, pages) == TMEM_OK) pages++;
  ASSERT_GT(pages, 6u);
  for (unsigned int i = 0; i + 1 < pages; i += 2) ASSERT_EQ(flush(pool, i), TMEM_OK);
  for (const Moment moment : kWithinAGet) {
    interleave(moment, 0, [&] { EXPECT_EQ(put(pool, 100, CONTENT_RANDOM, 1), TMEM_REFUSED_BUDGET); });
    EXPECT_EQ(get(pool, pages - 1, CONTENT_HALF, pages - 1), TMEM_OK);
    ASSERT_TRUE(interleaved());
  }
  EXPECT_EQ(usage().packings, 0u);
  // Nobody reads: now there is room.
  EXPECT_EQ(put(pool, 100, CONTENT_RANDOM, 1), TMEM_OK);
  EXPECT_EQ(usage().packings, 1u);
  EXPECT_EQ(get(pool, 100, CONTENT_RANDOM, 1), TMEM_OK);
  for (unsigned int i = 1; i < pages; i += 2) EXPECT_EQ(get(pool, i, CONTENT_HALF, i), TMEM_OK);
}

// ---- Compaction

class CompactionTest : public InterleavingTest {
 protected:
  static constexpr unsigned int kPages = 90;  // three runs or so of text

  // Three of four are gone: the pages of several runs fit into one.
  int pool_with_holes(unsigned int flags) {
    const int pool = new_pool(&env_, flags);
    for (unsigned int i = 0; i < kPages; ++i) EXPECT_EQ(put(pool, i, CONTENT_TEXT, i), TMEM_OK);
    for (unsigned int i = 0; i < kPages; ++i)
      if (i % 4) {
        EXPECT_EQ(flush(pool, i), TMEM_OK);
      }
    return pool;
  }
  void expect_pages(int pool) {
    for (unsigned int i = 0; i < kPages; i += 4) EXPECT_EQ(get(pool, i, CONTENT_TEXT, i), TMEM_OK) << i;
  }
};

TEST_F(CompactionTest, PageIsReadWhileItMoves) {
  start(8);
  for (const Moment moment : kWithinAGet) {
    const int pool = pool_with_holes(TMEM_POOL_PERSISTENT);
    for (unsigned int i = 0; i < kPages; i += 4) {
      interleave(moment, 0, [&] { tmem_compact(env_.host, ~0ULL); });
      EXPECT_EQ(get(pool, i, CONTENT_TEXT, i), TMEM_OK);
      ASSERT_TRUE(interleaved());
      ENGINE_CHECK(&env_);
    }
    EXPECT_GT(usage().entries_moved, 0u);
    expect_pages(pool);
    EXPECT_EQ(tmem_destroy_pool(env_.client, pool), TMEM_OK);
    EXPECT_EQ(injector.live_frames, 0);
  }
}

// When the index says where the page is now, it is there.
TEST_F(CompactionTest, PageIsWholeWhenItsMoveIsPublished) {
  start(8);
  const int pool = pool_with_holes(TMEM_POOL_PERSISTENT);
  unsigned int met = 0;
  for (unsigned int moves = 0;; ++moves) {
    interleave(Moment::kAfterLeafBucket, 0, [&] { expect_pages(pool); });
    const unsigned long long freed = tmem_compact(env_.host, 1);
    met += interleaved();
    if (!freed) break;
  }
  EXPECT_GT(met, 0u);
  expect_pages(pool);
}

// Between the copy and its publication the page goes, in each way that it can.
TEST_F(CompactionTest, PageGoesWhileItMoves) {
  start(8);
  for (unsigned int number = 0; number < 12; ++number) {
    const int pool = pool_with_holes(TMEM_POOL_PERSISTENT);
    interleave(Moment::kBeforeLeafBucket, number, [&] {
      // Whichever is on its way: one of these.
      EXPECT_EQ(flush_all(pool), TMEM_OK);
    });
    tmem_compact(env_.host, ~0ULL);
    ASSERT_TRUE(interleaved());
    ENGINE_CHECK(&env_);
    for (unsigned int i = 0; i < kPages; ++i) EXPECT_EQ(get(pool, i, CONTENT_TEXT, i), TMEM_NOT_FOUND);
    EXPECT_EQ(usage().entries, 0u);
    EXPECT_EQ(injector.live_frames, 0);
    EXPECT_EQ(tmem_destroy_pool(env_.client, pool), TMEM_OK);
  }
}

TEST_F(CompactionTest, PageIsReplacedWhileItMoves) {
  start(8);
  for (unsigned int number = 0; number < 12; ++number) {
    const int pool = pool_with_holes(TMEM_POOL_PERSISTENT);
    interleave(Moment::kBeforeLeafBucket, number, [&] {
      for (unsigned int i = 0; i < kPages; i += 4) EXPECT_EQ(put(pool, i, CONTENT_TEXT, 1000 + i), TMEM_OK);
    });
    tmem_compact(env_.host, ~0ULL);
    ASSERT_TRUE(interleaved());
    ENGINE_CHECK(&env_);
    for (unsigned int i = 0; i < kPages; i += 4) EXPECT_EQ(get(pool, i, CONTENT_TEXT, 1000 + i), TMEM_OK);
    EXPECT_EQ(usage().entries, (kPages + 3) / 4);
    EXPECT_EQ(tmem_destroy_pool(env_.client, pool), TMEM_OK);
  }
}

// Holes that are large enough together and too small each: the page stays where it is.
TEST_F(CompactionTest, PageStaysWhereThereIsNoRoom) {
  start(16);
  const int pool = new_pool(&env_, TMEM_POOL_PERSISTENT);
  // Seven raw pages fill a run but for most of a page; the eighth begins the next.
  unsigned int pages = 0;
  while (usage().frames < 8 * 8 || usage().entries % 7 != 1) {
    ASSERT_EQ(put(pool, pages, CONTENT_RANDOM, pages), TMEM_OK);
    pages++;
  }
  const tmem_usage before = usage();
  ASSERT_EQ(before.entries, 7 * 7 + 1u);
  EXPECT_EQ(tmem_compact(env_.host, ~0ULL), 0u);
  ENGINE_CHECK(&env_);
  EXPECT_EQ(usage().entries, before.entries);
  EXPECT_EQ(usage().frames, before.frames);
  EXPECT_EQ(usage().entries_moved, 0u);
  for (unsigned int i = 0; i < pages; ++i) EXPECT_EQ(get(pool, i, CONTENT_RANDOM, i), TMEM_OK);
  // The run is as good as before: it takes the next page.
  EXPECT_EQ(put(pool, pages, CONTENT_RANDOM, pages), TMEM_OK);
  EXPECT_EQ(usage().frames, before.frames);
}

// ---- Leaves: what is seen under the lock may be otherwise when memory has been had

class LeafRaceTest : public InterleavingTest {
 protected:
  void expect_range(int pool, unsigned int first, unsigned int last) {
    for (unsigned int i = 0; i < 64; ++i)
      EXPECT_EQ(get(pool, i, CONTENT_SAME_FILLED, i + 1), i >= first && i <= last ? TMEM_OK : TMEM_NOT_FOUND) << i;
  }
};

// While there is memory to be had for a smaller leaf, the leaf is filled again.
TEST_F(LeafRaceTest, LeafGrowsWhileItIsToShrink) {
  start(8);
  const int pool = new_pool(&env_, TMEM_POOL_PERSISTENT);
  bool met = false;
  for (unsigned int i = 0; i < 64; ++i) ASSERT_EQ(put(pool, i, CONTENT_SAME_FILLED, i + 1), TMEM_OK);
  for (unsigned int i = 1; i < 64 && !met; ++i) {
    // The first and the last stay, so that what is left is no stretch.
    interleave(Moment::kObjectAlloc, 0, [&] {
      for (unsigned int again = 0; again < 64; ++again)
        EXPECT_EQ(put(pool, again, CONTENT_SAME_FILLED, again + 1), TMEM_OK);
    });
    ASSERT_EQ(flush(pool, i), TMEM_OK);
    met = interleaved();
  }
  ASSERT_TRUE(met);
  ENGINE_CHECK(&env_);
  expect_range(pool, 0, 63);
}

// While there is memory to be had for a larger one, it is filled, or it is gone.
TEST_F(LeafRaceTest, LeafFillsWhileItIsToGrow) {
  start(8);
  unsigned int times = 0;
  for (unsigned int pages = 0; pages < 64; ++pages) {
    const int pool = new_pool(&env_, TMEM_POOL_PERSISTENT);
    for (unsigned int i = 0; i < pages; ++i) ASSERT_EQ(put(pool, i, CONTENT_SAME_FILLED, i + 1), TMEM_OK);
    interleave(Moment::kObjectAlloc, 0, [&] {
      for (unsigned int i = pages + 1; i < 64; ++i) EXPECT_EQ(put(pool, i, CONTENT_SAME_FILLED, i + 1), TMEM_OK);
    });
    ASSERT_EQ(put(pool, pages, CONTENT_SAME_FILLED, pages + 1), TMEM_OK);
    const bool met = interleaved();
    ENGINE_CHECK(&env_);
    expect_range(pool, 0, met ? 63 : pages);
    EXPECT_EQ(tmem_destroy_pool(env_.client, pool), TMEM_OK);
    times += met;
  }
  EXPECT_GE(times, 4u);  // to 1, 8, 32 and 64 words
}

TEST_F(LeafRaceTest, LeafGoesWhileItIsToGrow) {
  start(8);
  unsigned int times = 0;
  for (unsigned int pages = 0; pages < 64; ++pages) {
    const int pool = new_pool(&env_, TMEM_POOL_PERSISTENT);
    for (unsigned int i = 0; i < pages; ++i) ASSERT_EQ(put(pool, i, CONTENT_SAME_FILLED, i + 1), TMEM_OK);
    interleave(Moment::kObjectAlloc, 0, [&] { EXPECT_EQ(flush_all(pool), pages ? TMEM_OK : TMEM_NOT_FOUND); });
    ASSERT_EQ(put(pool, pages, CONTENT_SAME_FILLED, pages + 1), TMEM_OK);
    const bool met = interleaved();
    ENGINE_CHECK(&env_);
    expect_range(pool, met ? pages : 0, pages);
    EXPECT_EQ(tmem_destroy_pool(env_.client, pool), TMEM_OK);
    times += met;
  }
  EXPECT_GE(times, 4u);
}

}  // namespace
