// SPDX-License-Identifier: GPL-2.0
// How much is done at most: under a lock, between two chances for others to run, and for
// a pool whatever else there is. Work is counted in basic blocks of the core and in locks
// (host_ops.h); that no lock is held over more than kBlocksUnderLockMost is so in every test.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <thread>
#include <vector>

#include "../../kunit/scenarios/scenarios.h"
#include "engine/uncharged.h"
#include "host_ops.h"

namespace {

using namespace tmem_test;

constexpr tmem_oid kOid = {{1, 0, 0}};
// A block is some 2 ns: 10 us, of 50 that it may be.
constexpr unsigned long long kBlocksBetweenBreathsMost = 5000;
// To make and to take down a section of the store, with its 4096 lists.
constexpr unsigned long long kBlocksOfASectionMost = 24000;

class BoundsTest : public testing::Test {
 protected:
  void start(unsigned long long memory_frames, const tmem_pam_ops *pam = tmem_compressed_pam()) {
    ops_ = *host_ops();
    ops_.memory_frames = memory_frames;
    ASSERT_EQ(tmem_register_host_ops(&ops_, &host_), TMEM_OK);
    ASSERT_EQ(tmem_register_pam_ops(host_, pam), TMEM_OK);
    ASSERT_EQ(tmem_client_create(host_, "bounds", TMEM_WEIGHT_DEFAULT, TMEM_NO_LIMIT, &client_), TMEM_OK);
  }
  void stop() {
    lock_hook = nullptr;
    move_to_cpu(0);
    EXPECT_EQ(tmem_validate(host_), 0);
    tmem_client_destroy(client_);
    EXPECT_EQ(tmem_unregister_host(host_), TMEM_OK);
  }
  int put(int pool, const tmem_oid &oid, unsigned long long index, unsigned int kind) {
    alignas(8) unsigned char page[TMEM_PAGE_BYTES];
    content_fill(page, kind, index + 1);
    return tmem_put(client_, pool, &oid, index, page);
  }
  unsigned long long value(unsigned int which) { return tmem_host_value(host_, which); }

  tmem_host_ops ops_;
  tmem_host *host_ = nullptr;
  tmem_client *client_ = nullptr;
};

// ---- Pools

// However large the tables, and whatever others have: the pool's own objects, and nothing else.
TEST_F(BoundsTest, DestroyLooksAtThePoolsOwnObjects) {
  Work work[2][2];
  for (const bool large : {false, true}) {
    start(large ? 1 << 20 : 1 << 14);
    const int other = tmem_new_pool(client_, TMEM_POOL_PERSISTENT, nullptr);
    for (unsigned long long i = 0; i < (large ? 3000 : 10); ++i)
      ASSERT_EQ(put(other, {{i, 1, 1}}, 0, CONTENT_SAME_FILLED), TMEM_OK);
    for (const bool many : {false, true}) {
      const int pool = tmem_new_pool(client_, 0, nullptr);
      for (unsigned long long i = 0; i < (many ? 100 : 1); ++i) ASSERT_EQ(put(pool, {{i, 2, 2}}, 0, CONTENT_SAME_FILLED), TMEM_OK);
      begin_work();
      ASSERT_EQ(tmem_destroy_pool(client_, pool), TMEM_OK);
      work[large][many] = end_work();
    }
    stop();
  }
  for (const bool many : {false, true}) {
    // A lock for each list, and for each object the list, two looks at it, its leaf and itself, the list, the store, and the budget.
    EXPECT_LE(work[true][many].locks, 10 + cpus() + (many ? 100 : 1) * 8u) << many;
    EXPECT_LE(work[true][many].locks, work[false][many].locks + 4) << many;
  }
}

// Objects that one CPU makes and others remove, on any number of CPUs.
TEST_F(BoundsTest, ListsOfAPoolOnAnyNumberOfCpus) {
  const unsigned int before = cpus();
  for (const unsigned int count : {1u, 2u, 3u, 5u, 12u, 64u, 65u, 128u}) {
    set_cpus(count);
    start(1 << 14);
    const int pools[2] = {tmem_new_pool(client_, 0, nullptr), tmem_new_pool(client_, TMEM_POOL_PERSISTENT, nullptr)};
    for (unsigned long long i = 0; i < 300; ++i) {
      move_to_cpu(static_cast<unsigned int>(i));
      ASSERT_EQ(put(pools[i % 2], {{i, 3, 3}}, i % 3 * 1000, CONTENT_NEAR_SAME), TMEM_OK);
    }
    EXPECT_EQ(tmem_validate(host_), 0) << count;
    for (unsigned long long i = 0; i < 300; i += 7) {
      move_to_cpu(static_cast<unsigned int>(i / 7));
      const tmem_oid oid = {{i, 3, 3}};
      EXPECT_EQ(tmem_flush_page(client_, pools[i % 2], &oid, i % 3 * 1000), TMEM_OK);
    }
    EXPECT_EQ(tmem_validate(host_), 0) << count;
    EXPECT_EQ(value(TMEM_VALUE_objects), 300u - 43) << count;
    for (const int pool : pools) EXPECT_EQ(tmem_destroy_pool(client_, pool), TMEM_OK);
    EXPECT_EQ(value(TMEM_VALUE_objects), 0u) << count;
    EXPECT_EQ(value(TMEM_VALUE_pages), 0u) << count;
    stop();
  }
  set_cpus(before);
}

// Eviction takes a pool's last page; the pool is destroyed and its memory is another pool's before it is done.
TEST_F(BoundsTest, EvictionIsDoneWithAPoolWhenItsLastObjectIsOffTheList) {
  start(1 << 14);
  int pool = tmem_new_pool(client_, 0, nullptr);
  ASSERT_EQ(put(pool, kOid, 5, CONTENT_TEXT), TMEM_OK);
  bool met = false;
  lock_hook = [&](unsigned int rank, bool acquire) {
    if (acquire || rank != TMEM_RANK_POOL_OBJECTS || met) return;
    met = true;
    std::thread([&] {
      EXPECT_EQ(tmem_destroy_pool(client_, pool), TMEM_OK);
      pool = tmem_new_pool(client_, TMEM_POOL_PERSISTENT, nullptr);
    }).join();
  };
  EXPECT_EQ(tmem_shrink(host_, 8), 8u);
  lock_hook = nullptr;
  ASSERT_TRUE(met);
  ASSERT_EQ(put(pool, kOid, 6, CONTENT_TEXT), TMEM_OK);
  tmem_stats stats;
  ASSERT_EQ(tmem_pool_stats(client_, pool, &stats), TMEM_OK);
  EXPECT_EQ(stats.objects, 1u);
  EXPECT_EQ(stats.pages, 1u);
  EXPECT_EQ(stats.pages_evicted, 0u) << "what was another pool's";
  stop();
}

// ---- Between two chances for others to run

TEST_F(BoundsTest, LongWorkLetsOthersRun) {
  if (!counts_work()) GTEST_SKIP() << "this build does not count work";
  const auto bounded = [](const char *what, unsigned long long most = kBlocksBetweenBreathsMost) {
    const Work work = end_work();
    std::printf("%-40s %6llu blocks between breaths, %llu locks\n", what, work.between_breaths, work.locks);
    EXPECT_LE(work.between_breaths, most) << what;
    begin_work();
  };
  begin_work();
  start(1 << 20);
  bounded("start", kBlocksOfASectionMost);
  const int large = tmem_new_pool(client_, TMEM_POOL_PERSISTENT, nullptr);
  const int small = tmem_new_pool(client_, 0, nullptr);
  const int dense = tmem_new_pool(client_, 0, nullptr);
  const tmem_oid second = {{2, 0, 0}};
  for (unsigned long long i = 0; i < 3000; ++i) {
    ASSERT_EQ(put(large, kOid, i * 256, CONTENT_SAME_FILLED), TMEM_OK);
    ASSERT_EQ(put(large, second, i, CONTENT_SAME_FILLED), TMEM_OK);
    ASSERT_EQ(put(small, {{i, 4, 4}}, 0, CONTENT_SAME_FILLED), TMEM_OK);
    ASSERT_EQ(put(dense, kOid, i, CONTENT_HALF), TMEM_OK);
  }
  begin_work();
  for (int i = 0; i < 200; ++i) {
    ASSERT_GE(tmem_new_pool(client_, i & TMEM_POOL_PERSISTENT, nullptr), 0);
    ops_.breathe();  // each is a call by itself
  }
  bounded("200 new pools");
  EXPECT_EQ(tmem_flush_object_slowly(client_, large, &kOid), TMEM_OK);
  bounded("flush an object of 3000 leaves");
  EXPECT_EQ(tmem_flush_range_slowly(client_, large, &second, 5, 2990), TMEM_OK);
  bounded("flush a range of dense leaves");
  EXPECT_EQ(tmem_flush_range_slowly(client_, large, &second, 0, (1 << 20) - 1), TMEM_OK);
  bounded("flush a range of a million, mostly empty");
  EXPECT_EQ(tmem_destroy_pool(client_, small), TMEM_OK);
  bounded("destroy a pool of 3000 objects");
  EXPECT_EQ(tmem_destroy_pool(client_, dense), TMEM_OK);
  bounded("destroy a pool of dense leaves");
  unsigned int cursor = 0, pools = 0;
  tmem_pool_info info;
  while (tmem_next_pool(host_, &cursor, &info) == TMEM_OK) {
    pools++;
    ops_.breathe();  // as who shows them does
  }
  EXPECT_EQ(pools, 201u);
  bounded("look at all pools");
  EXPECT_EQ(tmem_tunable_set(host_, TMEM_TUNABLE_MAX_POOL_PERCENT, 1), TMEM_OK);
  bounded("lower the budget");
  EXPECT_EQ(tmem_validate(host_), 0);
  begin_work();
  tmem_client_destroy(client_);
  bounded("destroy a client of 201 pools");
  EXPECT_EQ(tmem_unregister_host(host_), TMEM_OK);
  bounded("stop", kBlocksOfASectionMost);
}

// A value by itself is the one that is among all, and costs the same with many pools.
TEST_F(BoundsTest, AValueLooksAtNoPool) {
  start(1 << 14);
  Work few, many;
  // The store has a run of each kind from here on: what follows adds pools only.
  for (unsigned long long i = 0; i < 2; ++i)
    ASSERT_EQ(put(tmem_new_pool(client_, i & TMEM_POOL_PERSISTENT, nullptr), kOid, i, CONTENT_SAME_FILLED), TMEM_OK);
  begin_work();
  for (unsigned int which = 0; which < TMEM_VALUES_COUNT; ++which) value(which);
  few = end_work();
  for (unsigned long long i = 0; i < 300; ++i) {
    const int pool = tmem_new_pool(client_, i & TMEM_POOL_PERSISTENT, nullptr);
    ASSERT_EQ(put(pool, kOid, i, CONTENT_SAME_FILLED), TMEM_OK);
    if (i % 3 == 0) {
      ASSERT_EQ(tmem_destroy_pool(client_, pool), TMEM_OK);
    }
  }
  begin_work();
  for (unsigned int which = 0; which < TMEM_VALUES_COUNT; ++which) value(which);
  many = end_work();
  // All of them, so that looking at a pool in one would show: there are two hundred.
  EXPECT_LE(many.between_breaths, few.between_breaths + few.between_breaths / 4 + 100);
  EXPECT_EQ(many.locks, few.locks);
  static_cast<void>(tmem_flush_page(client_, -1, &kOid, 0));
  struct tmem_host_stats all;
  tmem_host_stats(host_, &all);
  EXPECT_GT(all.pages.puts, 299u);
  EXPECT_EQ(all.pools, 202u);
  EXPECT_EQ(all.bad_arguments, 1u);
#define TMEM_EXPECT_PAGES(name, meaning) EXPECT_EQ(value(TMEM_VALUE_##name), all.pages.name) << #name;
#define TMEM_EXPECT_USAGE(name, meaning) EXPECT_EQ(value(TMEM_VALUE_##name), all.usage.name) << #name;
#define TMEM_EXPECT_HOST(name, meaning) EXPECT_EQ(value(TMEM_VALUE_##name), all.name) << #name;
  TMEM_COUNTERS(TMEM_EXPECT_PAGES)
  TMEM_LEVELS(TMEM_EXPECT_PAGES)
  TMEM_USAGE(TMEM_EXPECT_USAGE)
  TMEM_HOST_VALUES(TMEM_EXPECT_HOST)
  EXPECT_EQ(value(TMEM_VALUES_COUNT), 0u);
  EXPECT_EQ(value(~0u), 0u);
  EXPECT_EQ(tmem_host_value(nullptr, TMEM_VALUE_puts), 0u);
  stop();
}

// Of a client with a limit, same-filled pages in the index alone: never more than 64 in a pool, and how many
// there are is seldom summed, however many CPUs there are and however they come and go.
TEST(UnchargedTest, FewSumsAndNeverMoreThanSixtyFour) {
  for (const unsigned int cpu_count : {1u, 4u, 31u, 128u, 1024u}) {
    tmem::Uncharged uncharged;
    unsigned long long pages = 0, sums = 0, stayed = 0, random = cpu_count, steps = 0;
    const auto put = [&](unsigned int term) {
      pages++;
      steps++;
      const bool stays = uncharged.may_stay(term, cpu_count, [&] { return sums++, pages; });
      stays ? stayed++ : pages--;
      ASSERT_LE(pages, tmem::Uncharged::kMost);
    };
    for (unsigned int i = 0; i < 64; ++i) put(0);
    EXPECT_EQ(pages, 64u) << "all of them, when nothing goes";
    for (unsigned int i = 0; i < 1000; ++i) put(0);
    EXPECT_LE(sums, 2u) << "none is looked for until some have gone";
    for (unsigned int i = 0; i < 20000; ++i) {
      put(0);
      if (pages && scenario_below(&random, 2)) {
        pages--;
        uncharged.gone();
      }
    }
    // Cells looked at, a put. With 64 pages there is a look in some sixteen puts at least, however many CPUs there are.
    EXPECT_LE(sums * cpu_count, std::max(40u, cpu_count / 16) * steps + 2 * cpu_count) << cpu_count;
    EXPECT_GT(stayed, 500u);
    // Leave that was not used is void when limits were set anew: pages may have come without asking.
    while (pages) pages--, uncharged.gone();
    put(1);
    pages = 64;
    put(2);
    EXPECT_EQ(pages, 64u);
  }
}

// ---- Somebody keeps adding

// Flushing an object takes what was there, and ends though another leaf comes for each that goes.
TEST_F(BoundsTest, FlushingAnObjectEndsThoughLeavesKeepComing) {
  constexpr unsigned int kLeaves = 20, kMost = 500;
  start(1 << 14);
  const int pool = tmem_new_pool(client_, TMEM_POOL_PERSISTENT, nullptr);
  for (unsigned int i = 0; i < kLeaves; ++i) ASSERT_EQ(put(pool, kOid, i * 256, CONTENT_SAME_FILLED), TMEM_OK);
  unsigned int added = 0;
  bool inside = false;
  lock_hook = [&](unsigned int rank, bool acquire) {
    if (acquire || rank != TMEM_RANK_LEAF_BUCKET || locks_held() || inside || added == kMost) return;
    inside = true;
    EXPECT_EQ(put(pool, kOid, (kLeaves + added++) * 256, CONTENT_SAME_FILLED), TMEM_OK);
    inside = false;
  };
  EXPECT_EQ(tmem_flush_object(client_, pool, &kOid), TMEM_OK);
  lock_hook = nullptr;
  EXPECT_GE(added, kLeaves);
  EXPECT_LE(added, 2 * kLeaves) << "who keeps putting keeps the flush from ending";
  alignas(8) unsigned char page[TMEM_PAGE_BYTES];
  for (unsigned int i = 0; i < kLeaves; ++i) EXPECT_EQ(tmem_get(client_, pool, &kOid, i * 256, page), TMEM_NOT_FOUND) << i;
  stop();
}

// ---- What was said last

static tmem_host *limited_host;
static bool overtaken;

TEST_F(BoundsTest, TheLimitThatWasSetLastIsTheStores) {
  tmem_pam_ops pam = *tmem_compressed_pam();
  pam.set_limit = [](void *store, unsigned long long frames) {
    if (limited_host && !overtaken) {
      overtaken = true;  // before this one is in the store, another one is set, tunable and store
      EXPECT_EQ(tmem_tunable_set(limited_host, TMEM_TUNABLE_MAX_POOL_PERCENT, 40), TMEM_OK);
    }
    tmem_compressed_pam()->set_limit(store, frames);
  };
  limited_host = nullptr;
  overtaken = false;
  start(1 << 14, &pam);
  limited_host = host_;
  EXPECT_EQ(tmem_tunable_set(host_, TMEM_TUNABLE_MAX_POOL_PERCENT, 10), TMEM_OK);
  limited_host = nullptr;
  EXPECT_TRUE(overtaken);
  EXPECT_EQ(tmem_tunable_get(host_, TMEM_TUNABLE_MAX_POOL_PERCENT), 40u);
  EXPECT_EQ(value(TMEM_VALUE_frames_limit), (1u << 14) * 40 / 100);
  stop();
}

// What a client was given does not bind the shared pools that outlive it.
TEST_F(BoundsTest, LimitAndWeightGoWithTheirClient) {
  constexpr unsigned long long kUuid[2] = {3, 4};
  start(5 * 8 * 64);
  tmem_client *maker = nullptr;
  ASSERT_EQ(tmem_client_create(host_, "maker", TMEM_WEIGHT_DEFAULT, 0, &maker), TMEM_OK);
  ASSERT_GE(tmem_new_pool(maker, TMEM_POOL_SHARED | TMEM_POOL_PERSISTENT, kUuid), 0);
  const int persistent = tmem_new_pool(client_, TMEM_POOL_SHARED | TMEM_POOL_PERSISTENT, kUuid);
  EXPECT_EQ(put(persistent, kOid, 0, CONTENT_TEXT), TMEM_REFUSED_LIMIT);
  tmem_client_destroy(maker);
  EXPECT_EQ(put(persistent, kOid, 0, CONTENT_TEXT), TMEM_OK) << "a limit outlives its client";

  // Of least weight: his pages would go first.
  constexpr unsigned int kFew = 100;
  ASSERT_EQ(tmem_client_create(host_, "light", 1, TMEM_NO_LIMIT, &maker), TMEM_OK);
  ASSERT_GE(tmem_new_pool(maker, TMEM_POOL_SHARED, kUuid), 0);
  const int shared = tmem_new_pool(client_, TMEM_POOL_SHARED, kUuid), own = tmem_new_pool(client_, 0, nullptr);
  for (unsigned int i = 0; i < kFew; ++i) ASSERT_EQ(put(shared, kOid, i, CONTENT_TEXT), TMEM_OK);
  tmem_client_destroy(maker);
  for (unsigned int i = 0; value(TMEM_VALUE_frames_evicted) < 64 && i < 20000; ++i)
    static_cast<void>(put(own, kOid, i, CONTENT_TEXT));
  EXPECT_GE(value(TMEM_VALUE_frames_evicted), 64u);
  tmem_stats stats;
  ASSERT_EQ(tmem_pool_stats(client_, shared, &stats), TMEM_OK);
  EXPECT_EQ(stats.pages_evicted, 0u) << "a weight outlives its client";
  stop();
}

// ---- Searches

static void *the_store;

// However many runs have room that cannot be used now, a put looks at a few of them under the section's lock.
TEST_F(BoundsTest, APutLooksAtFewRunsThatCannotTakeIt) {
  if (!counts_work()) GTEST_SKIP() << "this build does not count work";
  static std::vector<unsigned long long> made;
  tmem_pam_ops pam = *tmem_compressed_pam();
  pam.create = [](void *store, const tmem_pam_page *page, unsigned long long *pampd) {
    the_store = store;
    const int result = tmem_compressed_pam()->create(store, page, pampd);
    if (result == TMEM_OK) made.push_back(*pampd);
    return result;
  };
  unsigned long long blocks[2];
  for (const bool many : {false, true}) {
    made.clear();
    start(1 << 15, &pam);
    const int pool = tmem_new_pool(client_, TMEM_POOL_PERSISTENT, nullptr);
    const unsigned int runs = many ? 200 : 20;
    unsigned int pages = 0;
    while (value(TMEM_VALUE_frames) < runs * 8) ASSERT_EQ(put(pool, kOid, pages++, CONTENT_RANDOM), TMEM_OK);
    const std::vector<unsigned long long> pages_of_runs = made;
    // A hole in the middle of each run, and somebody reads the page beside it: it cannot be packed.
    for (unsigned int i = 0; i + 6 < pages; i += 7) {
      ASSERT_EQ(tmem_flush_page(client_, pool, &kOid, i + 2), TMEM_OK);
      pam.hold(the_store, pages_of_runs[i + 4]);
    }
    begin_work();
    ASSERT_EQ(put(pool, kOid, 100000, CONTENT_HALF), TMEM_OK);
    ASSERT_EQ(put(pool, kOid, 100001, CONTENT_RANDOM), TMEM_OK);
    blocks[many] = end_work().under_lock[TMEM_RANK_STORE];
    for (unsigned int i = 0; i + 6 < pages; i += 7) pam.release(the_store, pages_of_runs[i + 4]);
    stop();
  }
  std::printf("blocks under the store's lock: %llu with 20 such runs, %llu with 200\n", blocks[0], blocks[1]);
  EXPECT_LE(blocks[1], blocks[0] + blocks[0] / 2);
}

}  // namespace
