// SPDX-License-Identifier: GPL-2.0
// The host's own checks: each must catch what it is there for.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "../../kunit/scenarios/scenarios.h"
#include "host_ops.h"

namespace {

using tmem_test::host_ops;

class HarnessDeathTest : public testing::Test {
 protected:
  void SetUp() override {
    testing::FLAGS_gtest_death_test_style = "threadsafe";
    for (unsigned int rank = 0; rank < TMEM_RANKS; ++rank) tmem_lock_init(&lock_[rank], rank);
  }
  void TearDown() override {
    for (tmem_lock &lock : lock_) tmem_lock_destroy(&lock);
  }
  tmem_lock lock_[TMEM_RANKS];
};

TEST_F(HarnessDeathTest, LocksInOrderAreFine) {
  unsigned long state[TMEM_RANKS];
  for (unsigned int rank = 0; rank < TMEM_RANKS; ++rank) state[rank] = tmem_lock_acquire(&lock_[rank]);
  EXPECT_EQ(tmem_test::locks_held(), TMEM_RANKS);
  for (unsigned int rank = TMEM_RANKS; rank--;) tmem_lock_release(&lock_[rank], state[rank]);
  EXPECT_EQ(tmem_test::locks_held(), 0);
}

TEST_F(HarnessDeathTest, InvertedOrder) {
  const auto invert = [&] {
    tmem_lock_acquire(&lock_[2]);
    tmem_lock_acquire(&lock_[1]);
  };
  EXPECT_DEATH(invert(), "lock order");
}

TEST_F(HarnessDeathTest, TwoOfOneRank) {
  const auto take_two = [&] {
    tmem_lock second;
    tmem_lock_init(&second, 1);
    tmem_lock_acquire(&lock_[1]);
    tmem_lock_acquire(&second);
  };
  EXPECT_DEATH(take_two(), "lock order");
}

TEST_F(HarnessDeathTest, StateOfAnotherLock) {
  const auto mix_up = [&] {
    const unsigned long state = tmem_lock_acquire(&lock_[1]);
    tmem_lock_release(&lock_[1], state + 1);
  };
  EXPECT_DEATH(mix_up(), "interrupt state");
}

TEST_F(HarnessDeathTest, CallsUnderALock) {
  tmem_counters *row = host_ops()->counters_alloc(2);
  tmem_gate gate;
  tmem_gate_init(&gate, row, 0);
  tmem_gate_open(&gate);
  const auto under_a_lock = [&](auto call) {
    tmem_lock_acquire(&lock_[TMEM_RANK_STORE]);
    call();
  };
  EXPECT_DEATH(under_a_lock([] { host_ops()->object_alloc(TMEM_KIND_LEAF, 0); }), "a lock is held");
  EXPECT_DEATH(under_a_lock([] { host_ops()->frame_alloc(0); }), "a lock is held");
  EXPECT_DEATH(under_a_lock([] { host_ops()->table_alloc(64); }), "a lock is held");
  EXPECT_DEATH(under_a_lock([] { host_ops()->breathe(); }), "a lock is held");
  EXPECT_DEATH(under_a_lock([] { host_ops()->checksum("x", 1); }), "a lock is held");
  EXPECT_DEATH(under_a_lock([] { host_ops()->decompress("x", 1, nullptr); }), "a lock is held");
  EXPECT_DEATH(under_a_lock([&] { tmem_gate_close(&gate); }), "a lock is held");
  EXPECT_DEATH(under_a_lock([] {
                 const tmem_codec_buffers buffers = host_ops()->codec_begin();
                 unsigned long bytes;
                 host_ops()->compress(buffers.bounce, buffers.output, &bytes, buffers.workspace);
               }),
               "a lock is held");
  tmem_gate_close(&gate);
  tmem_gate_destroy(&gate);
  host_ops()->counters_free(row, 2);
}

TEST_F(HarnessDeathTest, CodecRules) {
  const auto nest = [] {
    host_ops()->codec_begin();
    host_ops()->codec_begin();
  };
  EXPECT_DEATH(nest(), "nests in one context");
  EXPECT_DEATH(host_ops()->codec_end(), "without codec_begin");
  const auto sleep = [] {
    host_ops()->codec_begin();
    host_ops()->breathe();
  };
  EXPECT_DEATH(sleep(), "codec buffers are held");
  const auto use_after_end = [] {
    const tmem_codec_buffers buffers = host_ops()->codec_begin();
    host_ops()->codec_end();
    unsigned long bytes;
    host_ops()->compress(buffers.bounce, buffers.output, &bytes, buffers.workspace);
  };
  EXPECT_DEATH(use_after_end(), "not lent");
}

TEST_F(HarnessDeathTest, InterruptsGetABouncePageOnly) {
  const tmem_codec_buffers outer = host_ops()->codec_begin();
  tmem_test::enter_interrupt();
  const tmem_codec_buffers inner = host_ops()->codec_begin();
  EXPECT_EQ(inner.workspace, nullptr);
  EXPECT_EQ(inner.output, nullptr);
  EXPECT_NE(inner.bounce, nullptr);
  EXPECT_NE(inner.bounce, outer.bounce);
  host_ops()->codec_end();
  tmem_test::leave_interrupt();
  EXPECT_NE(outer.workspace, nullptr);
  host_ops()->codec_end();
}

TEST_F(HarnessDeathTest, MustNotSleep) {
  const auto sleep = [] {
    tmem_test::enter_atomic_context();
    host_ops()->table_alloc(64);
  };
  EXPECT_DEATH(sleep(), "process context only");
}

TEST_F(HarnessDeathTest, WrongFrees) {
  const auto wrong_kind = [] {
    host_ops()->object_free(TMEM_KIND_OBJECT, host_ops()->object_alloc(TMEM_KIND_LEAF, 0));
  };
  EXPECT_DEATH(wrong_kind(), "freed as something else");
  const auto wrong_size = [] { host_ops()->table_free(host_ops()->table_alloc(64), 128); };
  EXPECT_DEATH(wrong_size(), "freed as something else");
}

// The injector fails what it is told to, and counts what is alive.
TEST(HarnessTest, Injector) {
  injector_reset();
  const tmem_host_ops *ops = injector_ops(100);
  EXPECT_EQ(ops->memory_frames, 100u);
  injector_fail(INJECT_FRAMES, 1, 2);
  void *first = ops->frame_alloc(0);
  EXPECT_NE(first, nullptr);
  EXPECT_EQ(ops->frame_alloc(0), nullptr);
  void *object = ops->object_alloc(TMEM_KIND_RUN, 0);
  EXPECT_NE(object, nullptr);
  EXPECT_EQ(ops->frame_alloc(TMEM_ALLOC_RESERVES), nullptr);
  void *last = ops->frame_alloc(0);
  EXPECT_NE(last, nullptr);
  EXPECT_EQ(injector.failures, 2);
  EXPECT_EQ(injector.live_frames, 2);
  EXPECT_EQ(injector.live_objects[TMEM_KIND_RUN], 1);
  EXPECT_EQ(injector.reserves_used, 1);
  ops->frame_free(first);
  ops->frame_free(last);
  ops->object_free(TMEM_KIND_RUN, object);
  injector_heal();
  scenario_env env = {};
  EXPECT_EQ(injector_leaks(&env, __FILE__, __LINE__), 0);
}

// A gate begins closed; closed, it lets nobody in, and closing waits for the last who is inside.
TEST(HarnessTest, Gate) {
  tmem_counters *row = host_ops()->counters_alloc(2);
  tmem_gate gate;
  tmem_gate_init(&gate, row, 0);
  EXPECT_EQ(tmem_gate_enter(&gate), 0);
  for (unsigned int round = 0; round < 3; ++round) {
    tmem_gate_open(&gate);
    EXPECT_EQ(tmem_gate_enter(&gate), 1);
    EXPECT_EQ(tmem_gate_enter(&gate), 1);
    std::atomic<bool> closed{false};
    std::thread closer([&] {
      tmem_gate_close(&gate);
      closed = true;
    });
    while (tmem_test::events_waiting() == 0) std::this_thread::yield();
    EXPECT_EQ(tmem_gate_enter(&gate), 0);
    EXPECT_EQ(tmem_gate_is_open(&gate), 0);
    tmem_gate_leave(&gate);
    EXPECT_FALSE(closed);
    tmem_gate_leave(&gate);
    closer.join();
    EXPECT_EQ(tmem_counters_sum(row, 0), 2 * (round + 1));
    EXPECT_EQ(tmem_counters_sum(row, 1), 2 * (round + 1));
  }
  tmem_gate_destroy(&gate);
  host_ops()->counters_free(row, 2);
}

// Content is a function of kind and tag, and one byte more or less is noticed.
TEST(HarnessTest, Content) {
  alignas(8) unsigned char page[TMEM_PAGE_BYTES], other[TMEM_PAGE_BYTES];
  for (unsigned int kind = 0; kind < CONTENT_KINDS; ++kind) {
    content_fill(page, kind, 77);
    content_fill(other, kind, 78);
    EXPECT_TRUE(content_matches(page, kind, 77));
    EXPECT_EQ(content_matches(other, kind, 77), kind == CONTENT_ZERO);
    for (const unsigned int at : {0u, 1u, 2047u, 4088u, 4095u}) {
      page[at] ^= 1;
      EXPECT_FALSE(content_matches(page, kind, 77)) << kind << " at " << at;
      page[at] ^= 1;
    }
    if (kind != CONTENT_ZERO) {
      EXPECT_EQ(content_tag(page), 77u);
    }
  }
}

}  // namespace
