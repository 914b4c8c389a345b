// SPDX-License-Identifier: GPL-2.0
// What one thread made and another one meets, with nothing between the two but the core: the
// number of a pool passes as one does in a register. Under TSan, what the core does not order is a race.
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <thread>

#include "../../kunit/scenarios/scenarios.h"
#include "host_ops.h"

namespace {

constexpr tmem_oid kOid = {{1, 0, 0}};

class OrderTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(tmem_register_host_ops(tmem_test::host_ops(), &host_), TMEM_OK);
    ASSERT_EQ(tmem_register_pam_ops(host_, tmem_compressed_pam()), TMEM_OK);
    ASSERT_EQ(tmem_client_create(host_, "order", TMEM_WEIGHT_DEFAULT, TMEM_NO_LIMIT, &client_), TMEM_OK);
  }
  void TearDown() override {
    tmem_client_destroy(client_);
    EXPECT_EQ(tmem_unregister_host(host_), TMEM_OK);
  }
  // @first here, then @second in a thread that was there before; no order between them.
  static void one_then_other(const std::function<int()> &first, const std::function<void(int)> &second) {
    constexpr int kNothing = -1000;
    std::atomic<int> passed{kNothing};
    std::thread other([&] {
      int given;
      while ((given = passed.load(std::memory_order_relaxed)) == kNothing) std::this_thread::yield();
      second(given);
    });
    const int made = first();
    passed.store(made, std::memory_order_relaxed);
    other.join();
  }
  int new_pool() { return tmem_new_pool(client_, TMEM_POOL_PERSISTENT, nullptr); }

  tmem_host *host_ = nullptr;
  tmem_client *client_ = nullptr;
};

TEST_F(OrderTest, PoolIsThereWhenItsIdIs) {
  // In new memory, and in that of a former pool.
  for (int i = 0; i < 2; ++i) {
    int pool = -1;
    one_then_other([&] { return pool = new_pool(); },
                   [&](int id) {
                     alignas(8) unsigned char page[TMEM_PAGE_BYTES];
                     content_fill(page, CONTENT_TEXT, 1);
                     EXPECT_EQ(tmem_put(client_, id, &kOid, 0, page), TMEM_OK);
                   });
    EXPECT_EQ(tmem_destroy_pool(client_, pool), TMEM_OK);
  }
}

TEST_F(OrderTest, PoolIsThereWhenItIsCounted) {
  one_then_other([&] { return new_pool(); },
                 [&](int) {
                   struct tmem_host_stats stats;
                   tmem_host_stats(host_, &stats);
                   EXPECT_EQ(stats.pools, 1u);
                 });
}

TEST_F(OrderTest, PageIsThereWhenItIsFound) {
  const int pool = new_pool();
  alignas(8) unsigned char page[TMEM_PAGE_BYTES], back[TMEM_PAGE_BYTES];
  content_fill(page, CONTENT_TEXT, 7);
  one_then_other([&] { return tmem_put(client_, pool, &kOid, 0, page); },
                 [&](int) {
                   EXPECT_EQ(tmem_get(client_, pool, &kOid, 0, back), TMEM_OK);
                   EXPECT_TRUE(content_matches(back, CONTENT_TEXT, 7));
                 });
}

// An entry goes only after who read it.
TEST_F(OrderTest, PageGoesAfterItWasRead) {
  const int pool = new_pool();
  alignas(8) unsigned char page[TMEM_PAGE_BYTES], back[TMEM_PAGE_BYTES];
  content_fill(page, CONTENT_RANDOM, 7);
  ASSERT_EQ(tmem_put(client_, pool, &kOid, 0, page), TMEM_OK);
  one_then_other([&] { return tmem_get(client_, pool, &kOid, 0, back); },
                 [&](int result) {
                   EXPECT_EQ(result, TMEM_OK);
                   EXPECT_EQ(tmem_flush_page(client_, pool, &kOid, 0), TMEM_OK);
                 });
  EXPECT_TRUE(content_matches(back, CONTENT_RANDOM, 7));
}

// What compaction copies was written by somebody who has no pin any more. All that he did afterwards was to put the page into
// a leaf that nobody else looks at before it is copied.
TEST_F(OrderTest, PageIsWholeWhenItMoves) {
  alignas(8) unsigned char page[TMEM_PAGE_BYTES], back[TMEM_PAGE_BYTES];
  constexpr tmem_oid kOther = {{2, 0, 0}};
  const auto put = [&](int pool, unsigned long long index, const tmem_oid &oid = kOid) {
    content_fill_mixed(page, 317, index);
    return tmem_put(client_, pool, &oid, index, page);
  };
  // How many fill a run: the next one is alone in another.
  unsigned long long fit = 0;
  const int rehearsal = new_pool();
  for (struct tmem_host_stats stats = {}; stats.usage.frames <= 8; ++fit) {
    ASSERT_EQ(put(rehearsal, fit), TMEM_OK);
    tmem_host_stats(host_, &stats);
  }
  --fit;
  ASSERT_EQ(tmem_destroy_pool(client_, rehearsal), TMEM_OK);

  const int pool = new_pool();
  unsigned long long freed = 0;
  for (unsigned long long i = 0; i < fit; ++i) ASSERT_EQ(put(pool, i), TMEM_OK);
  one_then_other([&] { return put(pool, fit, kOther); },
                 [&](int result) {
                   EXPECT_EQ(result, TMEM_OK);
                   for (unsigned long long i = 0; i < 6; ++i)
                     EXPECT_EQ(tmem_flush_page(client_, pool, &kOid, i), TMEM_OK);
                   freed = tmem_compact(host_, ~0ULL);
                 });
  EXPECT_EQ(freed, 8u);
  EXPECT_EQ(tmem_get(client_, pool, &kOther, fit, back), TMEM_OK);
  EXPECT_EQ(std::memcmp(page, back, sizeof(page)), 0);
}

}  // namespace
