// SPDX-License-Identifier: GPL-2.0
// Two CPUs compact the runs of one section and a third puts what has room nowhere else: in schedules that are
// drawn. Whatever they do to each other, what one of them believes afterwards must be so: that no room was found
// is believed until an entry goes, and then nobody compacts any more.
#include <gtest/gtest.h>

#include "../../kunit/scenarios/scenarios.h"
#include "host_ops.h"
#include "schedule.h"
#include "seeds.h"

namespace {

using tmem_test::Random;
using tmem_test::Scheduler;

constexpr tmem_oid kOid = {{1, 0, 0}};

class CompactorsTest : public testing::Test {
 protected:
  // One section; the budget is a fifth of the memory.
  void start(unsigned int runs) {
    ops_ = *tmem_test::host_ops();
    ops_.memory_frames = 5 * 8 * runs;
    ops_.cpu_count = 1;
    ASSERT_EQ(tmem_register_host_ops(&ops_, &host_), TMEM_OK);
    ASSERT_EQ(tmem_register_pam_ops(host_, tmem_compressed_pam()), TMEM_OK);
    ASSERT_EQ(tmem_client_create(host_, "c", TMEM_WEIGHT_DEFAULT, TMEM_NO_LIMIT, &client_), TMEM_OK);
    pool_ = tmem_new_pool(client_, TMEM_POOL_PERSISTENT, nullptr);
  }
  void stop() {
    EXPECT_EQ(tmem_validate(host_), 0);
    tmem_client_destroy(client_);
    EXPECT_EQ(tmem_unregister_host(host_), TMEM_OK);
  }
  int put(unsigned long long index, unsigned int kind) {
    alignas(8) unsigned char page[TMEM_PAGE_BYTES];
    content_fill(page, kind, index + 1);
    return tmem_put(client_, pool_, &kOid, index, page);
  }
  void expect(unsigned long long index, unsigned int kind) {
    alignas(8) unsigned char page[TMEM_PAGE_BYTES] = {};
    ASSERT_EQ(tmem_get(client_, pool_, &kOid, index, page), TMEM_OK) << index;
    EXPECT_TRUE(content_matches(page, kind, index + 1)) << index;
  }
  void flush(unsigned long long index) { static_cast<void>(tmem_flush_page(client_, pool_, &kOid, index)); }
  unsigned long long frames() {
    struct tmem_host_stats stats;
    tmem_host_stats(host_, &stats);
    return stats.usage.frames;
  }

  Scheduler scheduler_;
  tmem_host_ops ops_;
  tmem_host *host_ = nullptr;
  tmem_client *client_ = nullptr;
  int pool_ = 0;
};

// Two sparse runs and one full one. Afterwards a page is put and goes, which changes nothing: if compaction frees a run
// then, it could have before.
TEST_F(CompactorsTest, NobodyIsStuckForWhatAnotherDid) {
  unsigned int stored = 0;
  const unsigned int schedules = tmem_test::seed_count(400);
  for (unsigned int i = 0; i < schedules; ++i) {
    start(3);
    unsigned int small = 0, large = 0;
    const auto large_until = [&](unsigned int runs) {
      while (frames() < runs * 8) EXPECT_EQ(put(10000 + large++, CONTENT_RANDOM), TMEM_OK);
    };
    const auto small_ones = [&](unsigned int count) {
      while (count-- > 0) EXPECT_EQ(put(small++, CONTENT_NEAR_SAME), TMEM_OK);
    };
    large_until(1), small_ones(10), large_until(2), small_ones(60), large_until(3);
    const unsigned int in_third = large - 1;
    while (put(10000 + large, CONTENT_RANDOM) == TMEM_OK) ++large;
    for (unsigned int k = 0; k < in_third; ++k) flush(10000 + k);
    for (unsigned int k = 0; k < small; ++k)
      if (k % 5) flush(k);
    ASSERT_EQ(frames(), 24u);

    Random random(tmem_test::first_seed() + i);
    ASSERT_TRUE(scheduler_.run({[&] { tmem_compact(host_, 8); }, [&] { tmem_compact(host_, 8); },
                                [&] { for (int k = 0; k < 3; ++k) stored += put(20000 + k, CONTENT_RANDOM) == TMEM_OK; }},
                               random)) << scheduler_.trouble();
    if (tmem_compact(host_, ~0ULL) == 0 && put(30000, CONTENT_NEAR_SAME) == TMEM_OK) {
      flush(30000);
      ASSERT_EQ(tmem_compact(host_, ~0ULL), 0u)
          << "no room was found though there is some; seed " << tmem_test::first_seed() + i << " @"
          << text_of(scheduler_.deviations());
    }
    for (unsigned int k = 0; k < small; k += 5) expect(k, CONTENT_NEAR_SAME);
    stop();
  }
  // A put tries so often, and a schedule may let it try all that time alone.
  EXPECT_GE(stored, 3 * schedules - schedules / 100 - 1);
}

// Nothing but compacting makes room for the page. If it is refused because it was overtaken, the next one, when nothing is
// under way, is not.
TEST_F(CompactorsTest, PutThatNeedsACompactionHasItAfterOthers) {
  unsigned int refused = 0;
  const unsigned int schedules = tmem_test::seed_count(40);
  for (unsigned int i = 0; i < schedules; ++i) {
    start(20);
    unsigned int patterns = 0, large = 0;
    while (frames() <= 16) ASSERT_EQ(put(patterns++, CONTENT_PATTERN), TMEM_OK);
    flush(--patterns);
    while (frames() < 160) ASSERT_EQ(put(10000 + large++, CONTENT_RANDOM), TMEM_OK);
    for (int k = 0; k < 6; ++k) ASSERT_EQ(put(10000 + large++, CONTENT_RANDOM), TMEM_OK);
    for (unsigned int k = 0; k < patterns; ++k)
      if (k % 170 < 22) flush(k);

    int result = -1;
    Random random(tmem_test::first_seed() + i);
    ASSERT_TRUE(scheduler_.run({[&] { tmem_compact(host_, 8); }, [&] { tmem_compact(host_, 8); },
                                [&] { result = put(20000, CONTENT_RANDOM); }},
                               random)) << scheduler_.trouble();
    refused += result != TMEM_OK;
    EXPECT_EQ(put(20001, CONTENT_RANDOM), TMEM_OK)
        << "with nothing under way; the one before was answered " << result << "; seed " << tmem_test::first_seed() + i << " @"
        << text_of(scheduler_.deviations());
    stop();
  }
  RecordProperty("refused", static_cast<int>(refused));
}

}  // namespace
