// SPDX-License-Identifier: GPL-2.0
// Objects of several hundred pages beside a plain map of them: leaves grow through all
// their classes and shrink again, while allocations fail now and then. The model
// (model.h) has many objects of few pages.
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "../../kunit/scenarios/scenarios.h"
#include "host_ops.h"
#include "seeds.h"

namespace {

constexpr unsigned int kIndexes = 700;  // two leaves and the most of a third

struct Dense {
  const char *name;
  unsigned int flags;
  unsigned int indexes;
  unsigned int same_filled_of_16;  // so many of the pages are, from the half of a phase on
};

class DenseTest : public testing::TestWithParam<Dense> {
 protected:
  void SetUp() override {
    injector_reset();
    ASSERT_TRUE(engine_start(&env_, nullptr, 8192));
    env_.page = static_cast<unsigned char *>(platform_allocate(TMEM_PAGE_BYTES));
    env_.page_back = static_cast<unsigned char *>(platform_allocate(TMEM_PAGE_BYTES));
    pool_ = new_pool(&env_, GetParam().flags);
  }
  void TearDown() override {
    engine_stop(&env_);
    platform_release(env_.page);
    platform_release(env_.page_back);
    EXPECT_EQ(env_.failures, 0u);
  }

  unsigned int below(unsigned int bound) { return static_cast<unsigned int>(random_() % bound); }

  void put(unsigned int index, bool same_filled) {
    const unsigned int kind = same_filled ? CONTENT_SAME_FILLED : CONTENT_PATTERN;
    const unsigned long long tag = ++tags_;
    const int result = put_data(&env_, pool_, 7, index, kind, tag);
    if (result == TMEM_OK) {
      pages_[index] = {kind, tag};
    } else {
      ASSERT_EQ(result, TMEM_NO_MEMORY);
      pages_.erase(index);
      failed_++;
    }
  }
  void get(unsigned int index) {
    const auto page = pages_.find(index);
    if (page == pages_.end()) {
      ASSERT_EQ(get_data(&env_, pool_, 7, index, CONTENT_PATTERN, 0), TMEM_NOT_FOUND) << index;
      return;
    }
    ASSERT_EQ(get_data(&env_, pool_, 7, index, page->second.kind, page->second.tag), TMEM_OK) << index;
    if (GetParam().flags == 0) pages_.erase(page);
  }
  void flush(unsigned int index) {
    ASSERT_EQ(flush_page(&env_, pool_, 7, index), pages_.erase(index) ? TMEM_OK : TMEM_NOT_FOUND) << index;
  }
  void flush_some(unsigned int first, unsigned int last) {
    const auto begin = pages_.lower_bound(first), end = pages_.upper_bound(last);
    const tmem_oid oid = oid_of(7);
    ASSERT_EQ(tmem_flush_range(env_.client, pool_, &oid, first, last), begin == end ? TMEM_NOT_FOUND : TMEM_OK);
    pages_.erase(begin, end);
  }
  void expect_all() {
    ENGINE_CHECK(&env_);
    for (unsigned int index = 0; index < kIndexes; ++index) {
      get(index);
      if (HasFatalFailure()) return;
    }
    ENGINE_CHECK(&env_);
  }

  struct Page {
    unsigned int kind;
    unsigned long long tag;
  };
  scenario_env env_ = {};
  int pool_ = -1;
  std::map<unsigned int, Page> pages_;
  unsigned long long tags_ = 0;
  unsigned int failed_ = 0;
  std::mt19937_64 random_{tmem_test::first_seed()};
};

TEST_P(DenseTest, AgreesWithAMap) {
  const Dense &dense = GetParam();
  for (unsigned int phase = 0; phase < 12; ++phase) {
    const bool in_order = phase % 3 == 1;
    // Not of pages that the store may evict when it has no memory for a run.
    const bool fails = phase % 4 == 3 && dense.flags == TMEM_POOL_PERSISTENT;
    // It fills, then it is in use, then it drains.
    for (unsigned int step = 0; step < 3 * dense.indexes; ++step) {
      if (fails && step % 10 == 0) injector_fail(INJECT_OBJECTS, 0, 2);  // with the reserves too
      const unsigned int index = in_order ? step % dense.indexes : below(dense.indexes);
      const unsigned int what = below(16), part = step / dense.indexes;
      const bool same_filled = step > dense.indexes / 2 && below(16) < dense.same_filled_of_16;
      if (what < (part == 0 ? 14u : part == 1 ? 6u : 1u))
        put(index, same_filled);
      else if (what < 15)
        part == 1 ? get(index) : flush(index);
      else if (part == 2 && below(8) == 0)
        flush_some(index, index + below(400));
      if (HasFatalFailure()) return;
      if (step % 200 == 0) ENGINE_CHECK(&env_);
    }
    injector_heal();
    expect_all();
    if (HasFatalFailure()) return;
    if (phase % 2 == 0) {
      EXPECT_EQ(flush_object(&env_, pool_, 7), pages_.empty() ? TMEM_NOT_FOUND : TMEM_OK);
      pages_.clear();
      expect_all();
    }
  }
  EXPECT_EQ(failed_ > 0, dense.flags == TMEM_POOL_PERSISTENT);
}

// The first same-filled page of a leaf that is direct needs a larger one; if that is not to be had, its
// older page goes and the others stay.
TEST_P(DenseTest, FirstSameFilledPageNeedsMemory) {
  for (unsigned int index = 0; index < 256; ++index) put(index, false);
  injector_fail(INJECT_OBJECTS, 0, 2);
  put(7, true);
  const bool needs_memory = GetParam().flags == TMEM_POOL_PERSISTENT;  // others keep it in the store
  EXPECT_EQ(failed_, needs_memory ? 1u : 0u);
  injector_heal();
  put(8, true);
  put(9, true);
  expect_all();
}

constexpr Dense kKinds[] = {
    {"persistent", TMEM_POOL_PERSISTENT, kIndexes, 4},
    {"persistent_without_same_filled", TMEM_POOL_PERSISTENT, kIndexes, 0},
    {"ephemeral", 0, kIndexes, 2},
    {"shared", TMEM_POOL_SHARED, 300, 2},
    {"first_slots", TMEM_POOL_PERSISTENT, 120, 4},
};
INSTANTIATE_TEST_SUITE_P(kinds, DenseTest, testing::ValuesIn(kKinds),
                         [](const testing::TestParamInfo<Dense> &info) { return std::string(info.param.name); });

}  // namespace
