// SPDX-License-Identifier: GPL-2.0
// Memory is used up, by the store itself: what the index and the store need for one page more is had from what eviction and
// compaction give back, and from the reclaim reserves only when nothing else is left, for a persistent page.
#include <gtest/gtest.h>

#include <algorithm>

#include "../../kunit/scenarios/scenarios.h"
#include "host_ops.h"

namespace {

constexpr tmem_oid kOid = {{1, 0, 0}};

class ReservesTest : public testing::Test {
 protected:
  void SetUp() override {
    free_frames_ = kFrames;
    with_reserves_ = 0;
    ops_ = *tmem_test::host_ops();
    ops_.cpu_count = 1;
    ops_.frame_alloc = [](unsigned int flags) -> void * {
      if (!may(flags)) return nullptr;
      free_frames_--;
      return tmem_test::host_ops()->frame_alloc(flags);
    };
    ops_.frame_free = [](void *frame) {
      free_frames_++;
      tmem_test::host_ops()->frame_free(frame);
    };
    // As a slab cache without a free object: it needs a page.
    ops_.object_alloc = [](unsigned int kind, unsigned int flags) -> void * {
      return may(flags) ? tmem_test::host_ops()->object_alloc(kind, flags) : nullptr;
    };
    ASSERT_EQ(tmem_register_host_ops(&ops_, &host_), TMEM_OK);
  }
  void register_pam(const tmem_pam_ops *pam) {
    ASSERT_EQ(tmem_register_pam_ops(host_, pam), TMEM_OK);
    ASSERT_EQ(tmem_client_create(host_, "c", TMEM_WEIGHT_DEFAULT, TMEM_NO_LIMIT, &client_), TMEM_OK);
    files_ = tmem_new_pool(client_, 0, nullptr);
    swap_ = tmem_new_pool(client_, TMEM_POOL_PERSISTENT, nullptr);
  }
  void TearDown() override {
    EXPECT_EQ(tmem_validate(host_), 0);
    tmem_client_destroy(client_);
    EXPECT_EQ(tmem_unregister_host(host_), TMEM_OK);
  }

  static bool may(unsigned int flags) {
    const bool reserves = flags & TMEM_ALLOC_RESERVES;
    with_reserves_ += reserves;
    return free_frames_ > 0 || (reserves && reserves_);
  }
  int put(int pool, unsigned long long object, unsigned long long index, unsigned int kind = CONTENT_TEXT) {
    alignas(8) unsigned char page[TMEM_PAGE_BYTES];
    const tmem_oid oid = {{object, 0, 0}};
    content_fill(page, kind, index + 1);
    return tmem_put(client_, pool, &oid, index, page);
  }
  int get(int pool, unsigned long long object, unsigned long long index, unsigned int kind = CONTENT_TEXT) {
    alignas(8) unsigned char page[TMEM_PAGE_BYTES];
    const tmem_oid oid = {{object, 0, 0}};
    const int result = tmem_get(client_, pool, &oid, index, page);
    EXPECT_TRUE(result != TMEM_OK || content_matches(page, kind, index + 1)) << index;
    return result;
  }
  tmem_usage usage() {
    struct tmem_host_stats stats;
    tmem_host_stats(host_, &stats);
    return stats.usage;
  }
  void fill_with_files() {
    for (unsigned long long i = 0; i < 60000 && usage().frames_evicted < 80; ++i)
      ASSERT_EQ(put(files_, 1, i), TMEM_OK) << "an ephemeral page is refused while older ones are there: " << i;
    ASSERT_LE(free_frames_, 8);
  }

  static constexpr long kFrames = 1600;
  static inline long free_frames_, with_reserves_;
  static inline bool reserves_ = false;
  tmem_host_ops ops_;
  tmem_host *host_ = nullptr;
  tmem_client *client_ = nullptr;
  int files_ = 0, swap_ = 0;
};

// Each is alone in its object, so each needs a leaf and an object; then leaves that grow.
TEST_F(ReservesTest, EphemeralPagesGoForWhatTheIndexNeeds) {
  reserves_ = false;
  register_pam(tmem_compressed_pam());
  ASSERT_EQ(put(swap_, 1, 0), TMEM_OK);
  fill_with_files();
  for (unsigned int i = 0; i < 15; ++i) EXPECT_EQ(put(swap_, 50 + i, i), TMEM_OK) << i;
  for (unsigned int i = 0; i < 200; ++i) EXPECT_EQ(put(swap_, 7, i), TMEM_OK) << i;
  for (unsigned int i = 0; i < 15; ++i) EXPECT_EQ(put(files_, 90 + i, i), TMEM_OK) << i;
  for (unsigned int i = 0; i < 15; ++i) EXPECT_EQ(get(swap_, 50 + i, i), TMEM_OK) << i;
  for (unsigned int i = 0; i < 200; ++i) EXPECT_EQ(get(swap_, 7, i), TMEM_OK) << i;
  EXPECT_EQ(with_reserves_, 0);
}

TEST_F(ReservesTest, PlainStoreDoesTheSame) {
  reserves_ = false;
  register_pam(tmem_plain_pam());
  ASSERT_EQ(put(swap_, 1, 0), TMEM_OK);
  fill_with_files();
  for (unsigned int i = 0; i < 15; ++i) EXPECT_EQ(put(swap_, 50 + i, i), TMEM_OK) << i;
  for (unsigned int i = 0; i < 15; ++i) EXPECT_EQ(get(swap_, 50 + i, i), TMEM_OK) << i;
  EXPECT_EQ(with_reserves_, 0);
}

// Nothing is ephemeral, and the store is full of holes.
TEST_F(ReservesTest, HolesGoForWhatTheIndexNeeds) {
  reserves_ = false;
  register_pam(tmem_compressed_pam());
  unsigned int pages = 0;
  while (free_frames_ > 0) ASSERT_EQ(put(swap_, 1, pages++), TMEM_OK);
  for (unsigned int i = 0; i < pages; ++i)
    if (i % 2) static_cast<void>(tmem_flush_page(client_, swap_, &kOid, i));
  for (unsigned int i = 0; i < 15; ++i) EXPECT_EQ(put(swap_, 50 + i, i), TMEM_OK) << i;
  for (unsigned int i = 0; i < pages; i += 2) EXPECT_EQ(get(swap_, 1, i), TMEM_OK) << i;
  EXPECT_EQ(with_reserves_, 0);
}

// The reserves come last, and never for an ephemeral page.
TEST_F(ReservesTest, ReservesComeLast) {
  reserves_ = true;
  register_pam(tmem_compressed_pam());
  ASSERT_EQ(put(swap_, 1, 0), TMEM_OK);
  ASSERT_EQ(put(swap_, 2, 0, CONTENT_RANDOM), TMEM_OK);
  ASSERT_EQ(put(files_, 1, 0), TMEM_OK);
  EXPECT_EQ(with_reserves_, 0) << "nothing is short";
  const long free_before = free_frames_;
  free_frames_ = 0;
  // The run of the file page goes first.
  ASSERT_EQ(put(swap_, 50, 0), TMEM_OK);
  EXPECT_EQ(get(files_, 1, 0), TMEM_NOT_FOUND);
  EXPECT_EQ(with_reserves_, 0);
  free_frames_ = 0;
  EXPECT_EQ(put(files_, 60, 0), TMEM_NO_MEMORY);
  EXPECT_EQ(with_reserves_, 0);
  EXPECT_EQ(put(swap_, 60, 0), TMEM_OK);
  EXPECT_GT(with_reserves_, 0);
  free_frames_ = free_before;
}

}  // namespace
