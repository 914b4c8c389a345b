// SPDX-License-Identifier: GPL-2.0
// What CPUs have of one another: room in each other's runs, and locks that more than one of them takes.
#include <gtest/gtest.h>

#include <cstdio>

#include "../../kunit/scenarios/scenarios.h"
#include "host_ops.h"

namespace {

using tmem_test::lock_hook;
using tmem_test::move_to_cpu;

constexpr tmem_oid kOid = {{1, 0, 0}};

class SharingCpusTest : public testing::Test {
 protected:
  void start(unsigned long long frames, unsigned int cpus) {
    ops_ = *tmem_test::host_ops();
    ops_.memory_frames = frames;
    ops_.cpu_count = cpus;
    ASSERT_EQ(tmem_register_host_ops(&ops_, &host_), TMEM_OK);
    ASSERT_EQ(tmem_register_pam_ops(host_, tmem_compressed_pam()), TMEM_OK);
    ASSERT_EQ(tmem_client_create(host_, "c", TMEM_WEIGHT_DEFAULT, TMEM_NO_LIMIT, &client_), TMEM_OK);
  }
  void stop() {
    lock_hook = nullptr;
    move_to_cpu(0);
    EXPECT_EQ(tmem_validate(host_), 0);
    tmem_client_destroy(client_);
    EXPECT_EQ(tmem_unregister_host(host_), TMEM_OK);
  }
  int put_text(int pool, unsigned long long index) {
    content_fill(page_, CONTENT_TEXT, index + 1);
    return tmem_put(client_, pool, &kOid, index, page_);
  }
  tmem_usage usage() {
    struct tmem_host_stats stats;
    tmem_host_stats(host_, &stats);
    return stats.usage;
  }

  alignas(8) unsigned char page_[TMEM_PAGE_BYTES];
  tmem_host_ops ops_;
  tmem_host *host_ = nullptr;
  tmem_client *client_ = nullptr;
};

// The first CPU has swapped out, and half of that has been read and freed: its runs are half empty. The budget is full of
// file pages. Another CPU swaps out as much again, which has room in the holes: nothing goes for it.
TEST_F(SharingCpusTest, HolesOfAnotherCpuAreFilledBeforePagesGo) {
  for (const unsigned int cpus : {1u, 4u}) {
    start(5 * 8 * 400, cpus);
    const int files = tmem_new_pool(client_, 0, nullptr), swap = tmem_new_pool(client_, TMEM_POOL_PERSISTENT, nullptr);
    move_to_cpu(0);
    unsigned int swapped = 0, filed = 0;
    while (usage().frames < 8 * 200) ASSERT_EQ(put_text(swap, swapped++), TMEM_OK);
    for (unsigned int i = 0; i < swapped; i += 2) ASSERT_EQ(tmem_flush_page(client_, swap, &kOid, i), TMEM_OK);
    move_to_cpu(1);
    while (usage().frames_evicted == 0) ASSERT_EQ(put_text(files, filed++), TMEM_OK);
    const tmem_usage before = usage();
    unsigned int stores = 0, puts = 0;
    lock_hook = [&](unsigned int rank, bool acquire) { stores += acquire && rank == TMEM_RANK_STORE; };
    for (unsigned int i = 0; i < swapped; i += 2, ++puts) EXPECT_EQ(put_text(swap, i), TMEM_OK);
    lock_hook = nullptr;
    const unsigned long long evicted = usage().frames_evicted - before.frames_evicted;
    std::printf("%u sections: %llu of %llu ephemeral frames evicted for pages that holes have room for; %.2f store locks a put\n", cpus,
                evicted, before.frames_ephemeral, stores / double(puts));
    EXPECT_LE(evicted, 8u * 8) << cpus;
    EXPECT_LE(stores, puts * 3) << cpus;
    stop();
  }
}

// File pages are put, and may be read back and put again, by any CPU; the budget is full, so each run that comes is one that goes.
TEST_F(SharingCpusTest, PutsHardlyEverTakeALockThatAllShare) {
  for (const bool mixed : {false, true})
    for (const bool read_back : {false, true}) {
      start(5 * 8 * 400, 4);
      const int pool = tmem_new_pool(client_, 0, nullptr);
      unsigned long long random = 7, next = 0;
      unsigned int shared = 0, own = 0, puts = 0;
      const auto put = [&] {
        content_fill_mixed(page_, mixed ? 40 + scenario_below(&random, 330) : 150, next + 1);
        return tmem_put(client_, pool, &kOid, next++, page_);
      };
      const auto step = [&] {
        move_to_cpu(scenario_below(&random, 4));
        if (read_back) {
          const unsigned long long back = scenario_below(&random, 8000);
          static_cast<void>(tmem_get(client_, pool, &kOid, next > back ? next - 1 - back : 0, page_));
        }
        move_to_cpu(scenario_below(&random, 4));
      };
      while (usage().frames_evicted < 800) put();
      for (int i = 0; i < 5000; ++i) step(), put();
      const unsigned long long evicted = usage().frames_evicted;
      for (int i = 0; i < 5000; ++i) {
        step();
        lock_hook = [&](unsigned int rank, bool acquire) {
          shared += acquire && rank > TMEM_RANK_STORE;
          own += acquire && rank == TMEM_RANK_STORE;
        };
        puts += put() == TMEM_OK;
        lock_hook = nullptr;
      }
      std::printf("sizes %s, %s: %.3f shared locks a put, %.2f of sections, %.2f frames evicted\n", mixed ? "mixed" : "alike",
                  read_back ? "read back" : "put only", shared / double(puts), own / double(puts),
                  (usage().frames_evicted - evicted) / double(puts));
      EXPECT_LE(shared, puts * 0.06);
      EXPECT_LE(own, puts * 2.6);
      stop();
    }
}

// A page of the oldest run is being read just now, so that run cannot be emptied: others can.
TEST_F(SharingCpusTest, ShrinkingGoesOnAfterARunThatIsRead) {
  start(5 * 8 * 40, 1);
  const unsigned long long uuid[2] = {1, 2};
  const int pool = tmem_new_pool(client_, TMEM_POOL_SHARED, uuid);
  unsigned int pages = 0;
  while (usage().frames < 8 * 10) ASSERT_EQ(put_text(pool, pages++), TMEM_OK);
  unsigned long long freed = 0;
  tmem_test::interleave(tmem_test::Moment::kDecompress, 0, [&] { freed = tmem_shrink(host_, 16); });
  EXPECT_EQ(tmem_get(client_, pool, &kOid, 0, page_), TMEM_OK);
  ASSERT_TRUE(tmem_test::interleaved());
  EXPECT_TRUE(content_matches(page_, CONTENT_TEXT, 1));
  EXPECT_EQ(freed, 16u);
  stop();
}

// Puts are refused unseen until there is room; afterwards nothing is left of that, and while it stands no lock that all share is taken.
TEST_F(SharingCpusTest, RefusalsCostNoLock) {
  start(5 * 8 * 40, 4);
  const int pool = tmem_new_pool(client_, TMEM_POOL_PERSISTENT, nullptr);
  unsigned int pages = 0, shared = 0;
  while (put_text(pool, pages) == TMEM_OK) ++pages;
  // Not each refusal is noted: a page that is larger than most may have been unlucky.
  for (unsigned int i = 0; usage().puts_refused_unseen == 0 && i < 1000; ++i) static_cast<void>(put_text(pool, pages + i));
  ASSERT_GT(usage().puts_refused_unseen, 0u);
  const auto count = [&](unsigned int rank, bool acquire) { shared += acquire && rank > TMEM_RANK_STORE; };
  lock_hook = count;
  for (unsigned int i = 0; i < 100; ++i) EXPECT_NE(put_text(pool, pages + i), TMEM_OK);
  EXPECT_EQ(shared, 0u) << "while it stands";
  lock_hook = nullptr;
  for (unsigned int i = 0; i < pages / 2; ++i) EXPECT_EQ(tmem_flush_page(client_, pool, &kOid, i), TMEM_OK);
  EXPECT_EQ(put_text(pool, 0), TMEM_OK);
  shared = 0;
  lock_hook = count;
  for (unsigned int i = 1; i < 30; ++i) EXPECT_EQ(put_text(pool, i), TMEM_OK);
  lock_hook = nullptr;
  EXPECT_EQ(shared, 0u) << "when it is over";
  stop();
}

}  // namespace
