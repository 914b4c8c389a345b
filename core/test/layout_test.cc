// SPDX-License-Identifier: GPL-2.0
// Any number of CPUs and nodes: how sections are laid out, and that a store so made works.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include "../../kunit/scenarios/scenarios.h"
#include "host_ops.h"
#include "store/layout.h"

namespace {

using tmem::Layout;
using tmem_test::move_to_cpu;

constexpr tmem_oid kOid = {{1, 0, 0}};
constexpr unsigned long long kMuch = 1ull << 27;  // page frames: 512 GiB

// Two nodes as Linux numbers their CPUs with two threads to a core.
unsigned int two_nodes(unsigned int cpu) { return cpu / 32 % 2; }

struct Shares {
  std::map<unsigned int, unsigned int> cpus_of_section;
  std::set<unsigned int> nodes;
};

Shares expect_sound(unsigned int cpus, unsigned long long frames, unsigned int (*node_of)(unsigned int)) {
  Layout layout(cpus, frames, node_of);
  Shares shares;
  EXPECT_GE(layout.sections(), 1u);
  EXPECT_LE(layout.sections(), Layout::kSectionsMost);
  EXPECT_LE(layout.sections(), cpus);
  for (unsigned int cpu = 0; cpu < cpus; ++cpu) {
    const unsigned int section = layout.next_section(node_of(cpu));
    EXPECT_LT(section, layout.sections());
    EXPECT_EQ(layout.node_of_section(section), node_of(cpu)) << "CPU " << cpu << " of " << cpus;
    shares.cpus_of_section[section]++;
    shares.nodes.insert(node_of(cpu));
  }
  EXPECT_EQ(shares.cpus_of_section.size(), layout.sections()) << "each is some CPU's";
  return shares;
}

TEST(LayoutTest, EachCpuFillsASectionOfItsNode) {
  for (unsigned int cpus = 1; cpus <= 160; ++cpus)
    for (const unsigned long long frames : {1ull, 7ull, 100ull, 4096ull, 1ull << 18, kMuch}) {
      expect_sound(cpus, frames, [](unsigned int) { return 0u; });
      if (cpus <= 64 || frames > 100) expect_sound(cpus, frames, two_nodes);
      expect_sound(cpus, frames, [](unsigned int cpu) { return cpu % 3 * 2; });
    }
  for (const unsigned int cpus : {1u, 2u, 3u, 5u, 7u, 13u, 64u})
    EXPECT_EQ(expect_sound(cpus, kMuch, [](unsigned int) { return 0u; }).cpus_of_section.size(), cpus);
}

TEST(LayoutTest, LargeMachine) {
  const Shares shares = expect_sound(128, kMuch, two_nodes);
  EXPECT_EQ(shares.nodes.size(), 2u);
  EXPECT_EQ(shares.cpus_of_section.size(), 64u);
  for (const auto &[section, cpus] : shares.cpus_of_section) EXPECT_EQ(cpus, 2u) << section;
}

// A node with one CPU has a section, however many the others have.
TEST(LayoutTest, SmallNodeHasASection) {
  expect_sound(200, kMuch, [](unsigned int cpu) { return cpu == 77 ? 9u : 4u; });
  expect_sound(64, kMuch, [](unsigned int cpu) { return cpu; });
}

class ManyCpusTest : public testing::Test {
 protected:
  void start(unsigned int cpus, unsigned long long frames, unsigned int (*node_of)(unsigned int)) {
    ops_ = *tmem_test::host_ops();
    ops_.cpu_count = cpus;
    ops_.memory_frames = frames;
    ops_.node_of = node_of;
    ops_.frame_alloc = [](unsigned int flags) {
      asked_of_[TMEM_ALLOC_NODE(flags)]++;
      return tmem_test::host_ops()->frame_alloc(flags);
    };
    asked_of_.clear();
    ASSERT_EQ(tmem_register_host_ops(&ops_, &host_), TMEM_OK);
    ASSERT_EQ(tmem_register_pam_ops(host_, tmem_compressed_pam()), TMEM_OK);
    ASSERT_EQ(tmem_client_create(host_, "c", TMEM_WEIGHT_DEFAULT, TMEM_NO_LIMIT, &client_), TMEM_OK);
    files_ = tmem_new_pool(client_, 0, nullptr);
    swap_ = tmem_new_pool(client_, TMEM_POOL_PERSISTENT, nullptr);
  }
  void stop() {
    move_to_cpu(0);
    EXPECT_EQ(tmem_validate(host_), 0);
    tmem_client_destroy(client_);
    EXPECT_EQ(tmem_unregister_host(host_), TMEM_OK);
  }
  int put(int pool, unsigned long long index, unsigned int kind = CONTENT_TEXT) {
    alignas(8) unsigned char page[TMEM_PAGE_BYTES];
    const tmem_oid oid = {{1, 0, 0}};
    content_fill(page, kind, index + 1);
    return tmem_put(client_, pool, &oid, index, page);
  }
  int get(int pool, unsigned long long index, unsigned int kind = CONTENT_TEXT) {
    alignas(8) unsigned char page[TMEM_PAGE_BYTES];
    const tmem_oid oid = {{1, 0, 0}};
    const int result = tmem_get(client_, pool, &oid, index, page);
    EXPECT_TRUE(result != TMEM_OK || content_matches(page, kind, index + 1)) << index;
    return result;
  }
  tmem_offer offer(unsigned int node) {
    tmem_offer offer;
    tmem_offer_of_node(host_, node, &offer);
    return offer;
  }

  static inline std::map<unsigned int, unsigned int> asked_of_;
  tmem_host_ops ops_;
  tmem_host *host_ = nullptr;
  tmem_client *client_ = nullptr;
  int files_ = 0, swap_ = 0;
};

// Pages of both kinds by all CPUs in turn, more than there is room for: the oldest files go, and nothing else.
TEST_F(ManyCpusTest, OldestOfAllCpusGoFirst) {
  for (const unsigned int cpus : {1u, 3u, 9u, 65u, 131u}) {
    start(cpus, 5 * 8 * 400, [](unsigned int) { return 0u; });
    constexpr unsigned int kSwapped = 2000, kFiles = 16000;
    for (unsigned int i = 0; i < kSwapped; ++i) {
      move_to_cpu(i % cpus);
      ASSERT_EQ(put(swap_, i), TMEM_OK);
    }
    for (unsigned int i = 0; i < kFiles; ++i) {
      move_to_cpu(i % cpus);
      ASSERT_EQ(put(files_, i), TMEM_OK);
    }
    for (unsigned int i = 0; i < kSwapped; ++i) ASSERT_EQ(get(swap_, i), TMEM_OK) << i;
    // What is gone is older than what is there, but for what a run of each CPU has.
    unsigned int oldest = kFiles, youngest_gone = 0;
    for (unsigned int i = 0; i < kFiles; ++i) {
      if (get(files_, i) == TMEM_OK)
        oldest = std::min(oldest, i);
      else
        youngest_gone = i;
    }
    EXPECT_GT(oldest, 0u);
    EXPECT_LT(youngest_gone, oldest + 40 * std::min(cpus, Layout::kSectionsMost)) << cpus << " CPUs";
    stop();
  }
}

// Frames are had on the node of the CPU that puts, and what is asked of a node comes from it, the oldest first.
TEST_F(ManyCpusTest, EachNodeHasAndGivesItsOwn) {
  start(8, 5 * 8 * 400, [](unsigned int cpu) { return 10 + cpu % 2; });
  for (unsigned int i = 0; i < 3000; ++i) {
    move_to_cpu(i % 2 + i % 3 * 2);
    ASSERT_EQ(put(files_, i), TMEM_OK);
  }
  EXPECT_EQ(asked_of_.size(), 2u);
  EXPECT_EQ(asked_of_[10] + asked_of_[11], offer(TMEM_ANY_NODE).frames_ephemeral);
  EXPECT_EQ(offer(10).frames_ephemeral, asked_of_[10]);
  EXPECT_EQ(offer(11).frames_ephemeral, asked_of_[11]);
  EXPECT_EQ(offer(12).frames_ephemeral, 0u);
  EXPECT_EQ(tmem_shrink_node(host_, 12, 8), 0u);
  const unsigned long long others = offer(11).frames_ephemeral;
  EXPECT_EQ(tmem_shrink_node(host_, 10, 80), 80u);
  EXPECT_EQ(offer(10).frames_ephemeral, asked_of_[10] - 80);
  EXPECT_EQ(offer(11).frames_ephemeral, others);
  for (unsigned int i = 1; i < 3000; i += 2) EXPECT_EQ(get(files_, i), TMEM_OK) << "of the other node: " << i;
  EXPECT_EQ(tmem_shrink_node(host_, 10, ~0ULL), asked_of_[10] - 80);
  EXPECT_EQ(offer(10).frames_ephemeral, 0u);
  stop();
}

// Holes are promised, and had, by node.
TEST_F(ManyCpusTest, EachNodeIsCompactedByItself) {
  start(4, 5 * 8 * 400, [](unsigned int cpu) { return cpu / 2; });
  for (unsigned int i = 0; i < 2000; ++i) {
    move_to_cpu(i % 4);
    ASSERT_EQ(put(swap_, i), TMEM_OK);
  }
  for (unsigned int i = 0; i < 2000; ++i)
    if (i / 4 % 4) { EXPECT_EQ(tmem_flush_page(client_, swap_, &kOid, i), TMEM_OK); }
  const unsigned long long first = offer(0).frames_compactable, second = offer(1).frames_compactable;
  EXPECT_GT(first, 0u);
  EXPECT_EQ(first + second, tmem_compactable(host_));
  EXPECT_GE(tmem_compact_node(host_, 0, ~0ULL), first / 2);
  EXPECT_EQ(offer(0).frames_compactable, 0u);
  EXPECT_EQ(offer(1).frames_compactable, second);
  for (unsigned int i = 0; i < 2000; ++i) EXPECT_EQ(get(swap_, i), i / 4 % 4 ? TMEM_NOT_FOUND : TMEM_OK) << i;
  stop();
}

// What is asked at each turn of reclaim takes no lock.
TEST_F(ManyCpusTest, OfferAndUsageTakeNoLock) {
  start(64, 5 * 8 * 400, two_nodes);
  for (unsigned int i = 0; i < 2000; ++i) {
    move_to_cpu(i % 64);
    ASSERT_EQ(put(i % 2 ? swap_ : files_, i), TMEM_OK);
  }
  unsigned int locks = 0;
  tmem_test::lock_hook = [&](unsigned int rank, bool acquire) { locks += acquire && rank >= TMEM_RANK_STORE; };
  EXPECT_GT(offer(0).frames_ephemeral, 0u);
  EXPECT_EQ(tmem_shrinkable(host_), offer(0).frames_ephemeral + offer(1).frames_ephemeral);
  static_cast<void>(tmem_compactable(host_));
  struct tmem_host_stats stats;
  tmem_host_stats(host_, &stats);
  tmem_test::lock_hook = nullptr;
  EXPECT_EQ(locks, 0u);
  EXPECT_EQ(stats.usage.frames_ephemeral, tmem_shrinkable(host_));
  stop();
}

}  // namespace
