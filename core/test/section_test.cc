// SPDX-License-Identifier: GPL-2.0
// A store with a section for each CPU: what one CPU has must serve the others, and a
// refusal must end when its reason does.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <semaphore>
#include <thread>
#include <vector>

#include "../../kunit/scenarios/scenarios.h"
#include "host_ops.h"
#include "seeds.h"

namespace {

using tmem_test::cpus;
using tmem_test::lock_hook;
using tmem_test::move_to_cpu;

constexpr tmem_oid kOid = {{1, 0, 0}};

class SectionTest : public testing::Test {
 protected:
  ~SectionTest() override { EXPECT_EQ(host_, nullptr) << "not stopped"; }

  // Every CPU has a section, however small the machine (TMEM_DEBUG).
  void start(unsigned long long memory_frames) {
    ops_ = *tmem_test::host_ops();
    ops_.memory_frames = memory_frames;
    ASSERT_EQ(tmem_register_host_ops(&ops_, &host_), TMEM_OK);
    ASSERT_EQ(tmem_register_pam_ops(host_, tmem_compressed_pam()), TMEM_OK);
  }
  void stop() {
    lock_hook = nullptr;
    move_to_cpu(0);
    EXPECT_EQ(tmem_validate(host_), 0);
    for (tmem_client *client : clients_) tmem_client_destroy(client);
    clients_.clear();
    EXPECT_EQ(tmem_unregister_host(host_), TMEM_OK);
    host_ = nullptr;
  }
  tmem_client *new_client(unsigned long long limit = TMEM_NO_LIMIT) {
    tmem_client *client = nullptr;
    EXPECT_EQ(tmem_client_create(host_, "section", TMEM_WEIGHT_DEFAULT, limit, &client), TMEM_OK);
    clients_.push_back(client);
    return client;
  }
  // A page of a size that all such pages have, about 2700 bytes.
  static int put(tmem_client *client, int pool, unsigned long long index) {
    alignas(8) unsigned char page[TMEM_PAGE_BYTES];
    content_fill_mixed(page, 317, index + 1);
    return tmem_put(client, pool, &kOid, index, page);
  }
  static int put_of(tmem_client *client, int pool, unsigned long long index, unsigned int kind) {
    alignas(8) unsigned char page[TMEM_PAGE_BYTES];
    content_fill(page, kind, index + 1);
    return tmem_put(client, pool, &kOid, index, page);
  }
  unsigned int stored_of(unsigned int count, tmem_client *client, int pool, unsigned long long first) {
    unsigned int stored = 0;
    for (unsigned int i = 0; i < count; ++i) stored += put(client, pool, first + i) == TMEM_OK;
    return stored;
  }
  tmem_usage usage() {
    struct tmem_host_stats stats;
    tmem_host_stats(host_, &stats);
    return stats.usage;
  }

  tmem_host_ops ops_;
  tmem_host *host_ = nullptr;
  std::vector<tmem_client *> clients_;
};

// A client at its limit was refused; it gives everything back, while others' ephemeral pages fill the budget.
TEST_F(SectionTest, RefusalAtALimitEndsWhenTheLimitHasRoom) {
  start(8192);
  tmem_client *files_owner = new_client(), *limited = new_client(800);
  const int files = tmem_new_pool(files_owner, 0, nullptr);
  const int swap = tmem_new_pool(limited, TMEM_POOL_PERSISTENT, nullptr);
  unsigned long long index = 0;
  for (unsigned int refused = 0; refused < 30; ++index) refused += put(limited, swap, index) != TMEM_OK;
  EXPECT_GT(usage().puts_refused_unseen, 0u);
  EXPECT_EQ(stored_of(6000, files_owner, files, 0), 6000u);
  for (unsigned long long i = 0; i < index; ++i) static_cast<void>(tmem_flush_page(limited, swap, &kOid, i));
  EXPECT_EQ(stored_of(2000, files_owner, files, 6000), 2000u);
  EXPECT_GT(usage().frames_ephemeral + 64, usage().frames_limit);
  EXPECT_EQ(stored_of(500, limited, swap, index), 500u);
  EXPECT_EQ(tmem_client_configure(limited, TMEM_WEIGHT_DEFAULT, TMEM_NO_LIMIT), TMEM_OK);
  EXPECT_EQ(stored_of(1000, limited, swap, index + 500), 1000u);
  stop();
}

// A put has found no room; before that is noted, another CPU flushes all there is. At each lock of the put in turn.
TEST_F(SectionTest, RefusalNotedAfterAllWasFreedEnds) {
  unsigned long long fits = 0;
  bool under_way = true;
  unsigned int refused = 0;
  for (unsigned int at = 0; under_way; ++at) {
    start(1024);
    tmem_client *client = new_client();
    const int pool = tmem_new_pool(client, TMEM_POOL_PERSISTENT, nullptr);
    if (at == 0)
      while (put(client, pool, fits) == TMEM_OK) ++fits;
    else
      ASSERT_EQ(stored_of(static_cast<unsigned int>(fits), client, pool, 0), fits);
    unsigned int acquired = 0;
    bool flushed = at == 0;
    lock_hook = [&](unsigned int rank, bool acquire) {
      if (!acquire || rank < TMEM_RANK_STORE || tmem_test::locks_held() || flushed || ++acquired != at) return;
      flushed = true;
      static_cast<void>(tmem_flush_object(client, pool, &kOid));
    };
    refused += put(client, pool, fits) != TMEM_OK;
    lock_hook = nullptr;
    under_way = flushed;
    if (flushed && at) {
      EXPECT_EQ(stored_of(100, client, pool, fits + 1), 100u) << "flushed at lock " << at;
    }
    stop();
  }
  EXPECT_GT(refused, 2u) << "nothing was noted";
}

// When a put has compressed its page, room comes, and another CPU begins to compact the run in which it is: it goes on when
// the put has asked for it so many times.
TEST_F(SectionTest, RoomThatComesBackIsWaitedFor) {
  constexpr unsigned int kSmall = 90, kGone = 60;
  for (const unsigned int asks : {1u, 2u, 8u}) {
    start(5 * 16);
    tmem_client *client = new_client();
    const int pool = tmem_new_pool(client, TMEM_POOL_PERSISTENT, nullptr);
    for (unsigned int i = 0; i < kSmall; ++i) ASSERT_EQ(put_of(client, pool, i, CONTENT_NEAR_SAME), TMEM_OK);
    unsigned int large = 0;
    while (put_of(client, pool, 1000 + large, CONTENT_RANDOM) == TMEM_OK) ++large;
    // Somebody was refused: what comes free must end that too.
    for (unsigned int i = 0; i + 7 < large; ++i) static_cast<void>(tmem_flush_page(client, pool, &kOid, 1000 + i));
    ASSERT_EQ(put_of(client, pool, 1000, CONTENT_RANDOM), TMEM_OK);
    while (put_of(client, pool, 1000 + large, CONTENT_RANDOM) == TMEM_OK) ++large;
    std::binary_semaphore under_way(0), goes_on(0);
    std::thread mover;
    unsigned int asked = 0;
    bool moving = false;
    tmem_test::interleave(tmem_test::Moment::kChecksum, 0, [&] {
      mover = std::thread([&] {
        move_to_cpu(0);
        // All large ones of the first run go, and so many small ones that the other has room for the rest.
        for (unsigned int i = 0; i + 7 < large; ++i) static_cast<void>(tmem_flush_page(client, pool, &kOid, 1000 + i));
        for (unsigned int i = 0; i < kGone; ++i) static_cast<void>(tmem_flush_page(client, pool, &kOid, i));
        lock_hook = [&](unsigned int its_rank, bool its_acquire) {
          if (!its_acquire || its_rank != TMEM_RANK_LEAF_BUCKET || moving) return;
          moving = true;
          under_way.release();
          goes_on.acquire();
        };
        static_cast<void>(tmem_compact(host_, ~0ULL));
        lock_hook = nullptr;
        if (!moving) under_way.release();
      });
      under_way.acquire();
      lock_hook = [&](unsigned int rank, bool acquire) {
        if (acquire || rank != TMEM_RANK_STORE || ++asked != asks) return;
        goes_on.release();
        mover.join();
      };
    });
    const int result = put_of(client, pool, 5000, CONTENT_RANDOM);
    lock_hook = nullptr;
    EXPECT_TRUE(tmem_test::interleaved());
    EXPECT_TRUE(moving);
    EXPECT_EQ(result, TMEM_OK) << "after " << asked << " looks";
    if (mover.joinable()) {
      goes_on.release();
      mover.join();
    }
    EXPECT_EQ(put_of(client, pool, 5001, CONTENT_RANDOM), TMEM_OK) << "and the next one";
    stop();
  }
}

// Few runs, many CPUs: what another CPU has just put does not go for want of a look at its holes.
TEST_F(SectionTest, LittleMemoryServesAllCpus) {
  start(16384);
  for (const unsigned long long limit : {8, 16, 32, 64}) {
    unsigned int kept[2] = {};
    for (const unsigned int used : {1u, cpus()}) {
      tmem_client *client = nullptr;
      ASSERT_EQ(tmem_client_create(host_, "little", TMEM_WEIGHT_DEFAULT, limit, &client), TMEM_OK);
      const int pool = tmem_new_pool(client, 0, nullptr);
      for (unsigned int i = 0; i < 2000; ++i) {
        move_to_cpu(i % used);
        EXPECT_EQ(put(client, pool, i), TMEM_OK);
      }
      alignas(8) unsigned char page[TMEM_PAGE_BYTES];
      for (unsigned int i = 0; i < 2000; ++i) kept[used != 1] += tmem_get(client, pool, &kOid, i, page) == TMEM_OK;
      tmem_client_destroy(client);
    }
    EXPECT_GE(kept[1] * 10, kept[0] * 7) << "limit " << limit << ": " << kept[1] << " pages with many CPUs, " << kept[0] << " with one";
  }
  stop();
}

// What can be had by compaction, over all sections, is had, and then no more is promised: the shrinker asks again and again.
TEST_F(SectionTest, CompactableEnds) {
  unsigned long long compacted = 0;
  for (unsigned int i = 0; i < tmem_test::seed_count(40); ++i) {
    unsigned long long random = scenario_hash(tmem_test::first_seed() + i);
    start(4096);
    tmem_client *client = new_client();
    const int pools[2] = {tmem_new_pool(client, 0, nullptr), tmem_new_pool(client, TMEM_POOL_PERSISTENT, nullptr)};
    const unsigned int count = 20 + scenario_below(&random, 1500), kept_of_ten = 1 + scenario_below(&random, 9);
    for (unsigned int k = 0; k < count; ++k) {
      move_to_cpu(scenario_below(&random, cpus()));
      static_cast<void>(put_of(client, pools[scenario_below(&random, 2)], k, content_kind_of(scenario_below(&random, 1000))));
    }
    for (unsigned int k = 0; k < count; ++k)
      if (scenario_below(&random, 10) >= kept_of_ten)
        for (const int pool : pools) static_cast<void>(tmem_flush_page(client, pool, &kOid, k));
    unsigned int calls = 0;
    while (const unsigned long long promised = tmem_compactable(host_)) {
      compacted += tmem_compact(host_, promised);
      ASSERT_LT(++calls, 200u) << promised << " page frames are promised for ever; seed " << tmem_test::first_seed() + i;
    }
    stop();
  }
  EXPECT_GT(compacted, 0u);
}

// Once a refusal has ended, puts go their usual way: nobody asks the budget whether it still stands.
TEST_F(SectionTest, RefusalThatHasEndedIsNotAskedFor) {
  start(1024);
  tmem_client *client = new_client();
  const int pool = tmem_new_pool(client, TMEM_POOL_PERSISTENT, nullptr);
  for (unsigned long long index = 0; usage().puts_refused_unseen < 10; ++index) static_cast<void>(put(client, pool, index));
  ASSERT_EQ(tmem_flush_object(client, pool, &kOid), TMEM_OK);
  ASSERT_EQ(stored_of(2, client, pool, 5000), 2u);
  unsigned int asked = 0;
  lock_hook = [&](unsigned int rank, bool acquire) { asked += acquire && rank == TMEM_RANK_BUDGET; };
  EXPECT_EQ(stored_of(40, client, pool, 5002), 40u);
  lock_hook = nullptr;
  EXPECT_LT(asked, 20u);
  stop();
}

// A put that found no memory says nothing of the next one's: only want of room stands.
TEST_F(SectionTest, WantOfMemoryDoesNotStand) {
  static bool no_memory;
  no_memory = false;
  start(8192);
  ops_.frame_alloc = [](unsigned int flags) { return no_memory ? nullptr : tmem_test::host_ops()->frame_alloc(flags); };
  tmem_client *client = new_client();
  const int pool = tmem_new_pool(client, TMEM_POOL_PERSISTENT, nullptr);
  // One more run may be had, which is less than what ends a refusal.
  unsigned long long index = 0;
  const unsigned long long limit = usage().frames_limit;
  while (usage().frames + 16 <= limit) ASSERT_EQ(put(client, pool, index++), TMEM_OK);
  no_memory = true;
  while (put(client, pool, index) == TMEM_OK) ++index;
  EXPECT_EQ(put(client, pool, index), TMEM_NO_MEMORY);
  no_memory = false;
  EXPECT_EQ(stored_of(8, client, pool, index), 8u);
  stop();
}

// Two set the budget at once: the store has what the tunable says.
TEST_F(SectionTest, BudgetIsWhatWasSetLast) {
  unsigned int met = 0;
  for (const unsigned int at : {1u, 2u, 9u}) {
    start(4000);
    tmem_client *client = new_client();
    EXPECT_EQ(stored_of(600, client, tmem_new_pool(client, 0, nullptr), 0), 600u);  // some of it must go
    unsigned int acquired = 0;
    lock_hook = [&](unsigned int, bool acquire) {
      if (!acquire || ++acquired != at) return;
      met++;
      std::thread([&] { EXPECT_EQ(tmem_tunable_set(host_, TMEM_TUNABLE_MAX_POOL_PERCENT, 50), TMEM_OK); }).join();
    };
    EXPECT_EQ(tmem_tunable_set(host_, TMEM_TUNABLE_MAX_POOL_PERCENT, 5), TMEM_OK);
    lock_hook = nullptr;
    EXPECT_EQ(usage().frames_limit, 40 * tmem_tunable_get(host_, TMEM_TUNABLE_MAX_POOL_PERCENT)) << "at lock " << at;
    stop();
  }
  EXPECT_GT(met, 0u);
}

// A shared pool that its maker has left is bound by no limit and no weight of his any more.
TEST_F(SectionTest, LimitAndWeightEndWithTheirClient) {
  constexpr unsigned long long kUuid[] = {1, 2, 3};
  // The limit: of a pool that keeps its pages.
  start(4096);
  tmem_client *maker = nullptr, *other = new_client();
  ASSERT_EQ(tmem_client_create(host_, "maker", TMEM_WEIGHT_DEFAULT, 16, &maker), TMEM_OK);
  ASSERT_GE(tmem_new_pool(maker, TMEM_POOL_SHARED | TMEM_POOL_PERSISTENT, kUuid), 0);
  const int joined = tmem_new_pool(other, TMEM_POOL_SHARED | TMEM_POOL_PERSISTENT, kUuid);
  EXPECT_LT(stored_of(100, other, joined, 0), 100u);
  EXPECT_GT(usage().frames, 8u);
  tmem_client_destroy(maker);
  EXPECT_EQ(stored_of(100, other, joined, 200), 100u);
  stop();
  // The weight: of 1 the maker's would always pay, though the other holds far more.
  start(4096);
  other = new_client();
  ASSERT_EQ(tmem_client_create(host_, "maker", 1, TMEM_NO_LIMIT, &maker), TMEM_OK);
  ASSERT_GE(tmem_new_pool(maker, TMEM_POOL_SHARED, kUuid), 0);
  const int shared = tmem_new_pool(other, TMEM_POOL_SHARED, kUuid), own = tmem_new_pool(other, TMEM_POOL_SHARED, kUuid + 1);
  ASSERT_EQ(stored_of(100, other, shared, 0), 100u);
  ASSERT_EQ(stored_of(600, other, own, 0), 600u);
  tmem_client_destroy(maker);
  EXPECT_GE(tmem_shrink(host_, 80), 80u);
  alignas(8) unsigned char page[TMEM_PAGE_BYTES];
  for (unsigned int i = 0; i < 100; ++i) EXPECT_EQ(tmem_get(other, shared, &kOid, i, page), TMEM_OK) << i;
  stop();
}

// Two set one client's limit at once: what the engine and the store believe is one of the two, and the same.
TEST_F(SectionTest, LimitIsOneOfThoseThatWereSet) {
  for (unsigned int at = 1; at < 5; ++at) {
    start(4096);
    tmem_client *client = new_client();
    const int pool = tmem_new_pool(client, TMEM_POOL_PERSISTENT, nullptr);
    unsigned int acquired = 0;
    lock_hook = [&](unsigned int, bool acquire) {
      if (!acquire || ++acquired != at) return;
      std::thread([&] { EXPECT_EQ(tmem_client_configure(client, TMEM_WEIGHT_DEFAULT, TMEM_NO_LIMIT), TMEM_OK); }).join();
    };
    EXPECT_EQ(tmem_client_configure(client, TMEM_WEIGHT_DEFAULT, 0), TMEM_OK);
    lock_hook = nullptr;
    const bool limited = put(client, pool, 0) == TMEM_REFUSED_LIMIT;
    for (unsigned int i = 0; i < 200; ++i)
      EXPECT_EQ(put_of(client, pool, 1 + i, CONTENT_ZERO), limited && i >= 64 ? TMEM_REFUSED_LIMIT : TMEM_OK) << "at lock " << at;
    struct tmem_host_stats stats;
    tmem_host_stats(host_, &stats);
    EXPECT_EQ(stats.pages.pages_same_filled, limited ? 64u : 200u) << "at lock " << at;
    stop();
  }
}

}  // namespace
