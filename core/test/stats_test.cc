// SPDX-License-Identifier: GPL-2.0
// Counters: exact when nothing is under way, whichever thread and CPU counted,
// and never going back when pools come and go.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <iterator>
#include <cstring>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "../../kunit/scenarios/scenarios.h"
#include "host_ops.h"
#include "seeds.h"

namespace {

class StatsTest : public testing::Test {
 protected:
  void SetUp() override {
    injector_reset();
    ASSERT_TRUE(engine_start(&env_, nullptr, 4096));
    env_.page = static_cast<unsigned char *>(platform_allocate(TMEM_PAGE_BYTES));
    env_.page_back = static_cast<unsigned char *>(platform_allocate(TMEM_PAGE_BYTES));
  }
  void TearDown() override {
    if (env_.host) engine_stop(&env_);
    platform_release(env_.page);
    platform_release(env_.page_back);
    EXPECT_EQ(env_.failures, 0u);
  }
  struct tmem_host_stats host_stats() {
    struct tmem_host_stats stats;
    tmem_host_stats(env_.host, &stats);
    return stats;
  }
  scenario_env env_ = {};
};

// What is evicted is counted by the reason that the host is told.
TEST_F(StatsTest, EvictedFramesSayWhy) {
  static unsigned long long told[3];  // for memory, for a limit, for the budget
  std::fill(std::begin(told), std::end(told), 0);
  tmem_host_ops ops = *tmem_test::host_ops();
  ops.memory_frames = 4000;
  ops.evicted = [](unsigned int, int reason, unsigned int frames) {
    told[reason == TMEM_NO_MEMORY ? 0 : reason == TMEM_REFUSED_LIMIT ? 1 : 2] += frames;
  };
  tmem_host *host = nullptr;
  ASSERT_EQ(tmem_register_host_ops(&ops, &host), TMEM_OK);
  ASSERT_EQ(tmem_register_pam_ops(host, tmem_compressed_pam()), TMEM_OK);
  tmem_client *free_one = nullptr, *limited = nullptr;
  ASSERT_EQ(tmem_client_create(host, "free", 1, TMEM_NO_LIMIT, &free_one), TMEM_OK);
  ASSERT_EQ(tmem_client_create(host, "limited", 1, 40, &limited), TMEM_OK);
  const tmem_oid oid = {{1, 0, 0}};
  for (tmem_client *client : {limited, free_one}) {
    const int pool = tmem_new_pool(client, 0, nullptr);
    for (unsigned long long i = 0; i < 2000; ++i) {
      content_fill_mixed(env_.page, 317, i);
      EXPECT_EQ(tmem_put(client, pool, &oid, i, env_.page), TMEM_OK);
    }
  }
  EXPECT_EQ(tmem_shrink(host, 80), 80u);
  struct tmem_host_stats stats;
  tmem_host_stats(host, &stats);
  EXPECT_EQ(told[0], 80u);
  EXPECT_EQ(stats.usage.frames_evicted_for_memory, told[0]);
  EXPECT_GT(told[1], 0u);
  EXPECT_EQ(stats.usage.frames_evicted_for_limit, told[1]);
  EXPECT_GT(told[2], 0u);
  EXPECT_EQ(stats.usage.frames_evicted, told[0] + told[1] + told[2]);
  for (tmem_client *client : {limited, free_one}) tmem_client_destroy(client);
  EXPECT_EQ(tmem_unregister_host(host), TMEM_OK);
}

// A counter is a sum over CPUs, some of them named by mistake: nothing may be lost.
TEST_F(StatsTest, CountFromManyThreadsIsExact) {
  constexpr unsigned int kThreads = 4, kRounds = 3000;
  const int pool = new_pool(&env_, TMEM_POOL_PERSISTENT);
  std::vector<std::thread> threads;
  for (unsigned int number = 0; number < kThreads; ++number)
    threads.emplace_back([&, number] {
      alignas(8) unsigned char page[TMEM_PAGE_BYTES];
      const tmem_oid oid = oid_of(number);
      for (unsigned int i = 0; i < kRounds; ++i) {
        content_fill(page, CONTENT_SAME_FILLED, i);
        tmem_put(env_.client, pool, &oid, i % 16, page);
        tmem_get(env_.client, pool, &oid, i % 32, page);
        if (i % 3 == 0) tmem_flush_page(env_.client, pool, &oid, i % 16);
        if (i % 100 == 0) tmem_flush_object(env_.client, pool, &oid);
        if (i % 10 == 0) tmem_get(env_.client, -1, &oid, 0, page);
      }
    });
  for (std::thread &thread : threads) thread.join();
  tmem_stats stats;
  ASSERT_EQ(tmem_pool_stats(env_.client, pool, &stats), TMEM_OK);
  EXPECT_EQ(stats.puts, kThreads * kRounds);
  EXPECT_EQ(stats.puts_stored, kThreads * kRounds);
  EXPECT_EQ(stats.puts_same_filled, kThreads * kRounds);
  EXPECT_EQ(stats.gets, kThreads * kRounds);
  EXPECT_EQ(stats.flushes, kThreads * kRounds / 3);
  EXPECT_EQ(stats.object_flushes, kThreads * kRounds / 100);
  EXPECT_EQ(stats.pages_same_filled, stats.pages);
  EXPECT_EQ(host_stats().bad_arguments, kThreads * kRounds / 10);
  EXPECT_STREQ(stats_broken_identity(&stats), nullptr);
}

// While pools come and go in one thread, another never sees a total fall.
TEST_F(StatsTest, TotalsAreMonotonic) {
  std::atomic<bool> stop{false};
  std::atomic<unsigned int> looks{0};
  unsigned int rounds = 0;
  std::thread coming_and_going([&] {
    alignas(8) unsigned char page[TMEM_PAGE_BYTES];
    // At least so often that it is seen.
    for (; rounds < 300 || looks < 20; ++rounds) {
      const int pool = tmem_new_pool(env_.client, rounds & 1, nullptr);
      for (unsigned int i = 0; i < 10; ++i) {
        const tmem_oid oid = oid_of(i % 3);
        content_fill(page, CONTENT_PATTERN, i);
        tmem_put(env_.client, pool, &oid, i, page);
        tmem_get(env_.client, pool, &oid, i / 2, page);
      }
      tmem_destroy_pool(env_.client, pool);
    }
    stop = true;
  });
  std::set<std::string> fallen;
  struct tmem_host_stats before = host_stats();
  while (!stop) {
    const struct tmem_host_stats after = host_stats();
    looks++;
    {
      const tmem_stats &before_pages = before.pages, &after_pages = after.pages;
#define EXPECT_COUNTER_NOT_LESS(name, meaning) \
  if (after_pages.name < before_pages.name) fallen.insert(#name);
      TMEM_COUNTERS(EXPECT_COUNTER_NOT_LESS)
#undef EXPECT_COUNTER_NOT_LESS
    }
    before = after;
  }
  coming_and_going.join();
  EXPECT_EQ(fallen, std::set<std::string>{});
  const struct tmem_host_stats at_rest = host_stats();
  EXPECT_EQ(at_rest.pages.puts, 10u * rounds);
  EXPECT_EQ(at_rest.pages.gets, 10u * rounds);
  EXPECT_EQ(at_rest.pages.pages, 0u);
  EXPECT_EQ(at_rest.pools, 0u);
}

TEST_F(StatsTest, TablesAreAccounted) {
  const struct tmem_host_stats before = host_stats();
  EXPECT_GT(before.table_bytes, 0u);
  EXPECT_LE(before.table_bytes, static_cast<unsigned long long>(injector.live_table_bytes));
  const long long bytes_before = injector.live_table_bytes;
  for (unsigned int i = 0; i < 50; ++i) new_pool(&env_, 0);
  const struct tmem_host_stats after = host_stats();
  EXPECT_EQ(after.table_bytes - before.table_bytes, static_cast<unsigned long long>(injector.live_table_bytes - bytes_before));
  EXPECT_GT(after.table_bytes, before.table_bytes);
  EXPECT_EQ(after.pools, 50u);
  EXPECT_EQ(after.index_bytes, 0u);
}

// The metadata of a page, index and store together. What the goal is, and how far
// from it, is measured in core/bench; this is to notice a sudden step.
TEST_F(StatsTest, MetadataIsSmall) {
  const int pool = new_pool(&env_, TMEM_POOL_PERSISTENT);
  unsigned int pages = 0;
  while (put_data(&env_, pool, pages / 512, pages % 512, CONTENT_TEXT, pages) == TMEM_OK) ++pages;
  ASSERT_GT(pages, 1000u);
  const struct tmem_host_stats stats = host_stats();
  EXPECT_LE((stats.index_bytes + stats.usage.metadata_bytes) / pages, 48u);
}

}  // namespace
