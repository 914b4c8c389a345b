// SPDX-License-Identifier: GPL-2.0
// The building blocks by themselves: list, hash, counters, budget, same-filled.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <set>
#include <thread>
#include <vector>

#include "base/counters.h"
#include "base/hash.h"
#include "base/list.h"
#include "engine/same_filled.h"
#include "host_ops.h"
#include "store/budget.h"

namespace {

using tmem::Outcome;

struct Item {
  int value = 0;
  tmem::ListNode node;
  tmem::ListNode other_node;
};
using Items = tmem::List<Item, &Item::node>;

std::vector<int> values(const Items &items) {
  std::vector<int> result;
  for (const Item *item = items.front(); item; item = items.after(*item)) result.push_back(item->value);
  return result;
}

TEST(ListTest, KeepsOrder) {
  Items items;
  Item item[4];
  EXPECT_TRUE(items.empty());
  EXPECT_EQ(items.front(), nullptr);
  for (int i = 0; i < 4; ++i) {
    item[i].value = i;
    items.push_back(item[i]);
  }
  EXPECT_EQ(values(items), (std::vector<int>{0, 1, 2, 3}));
  items.remove(item[1]);
  EXPECT_FALSE(item[1].node.linked());
  EXPECT_EQ(values(items), (std::vector<int>{0, 2, 3}));
  items.remove(item[0]);
  items.push_back(item[0]);
  EXPECT_EQ(values(items), (std::vector<int>{2, 3, 0}));
  for (const int i : {2, 3, 0}) items.remove(item[i]);
  EXPECT_TRUE(items.empty());
}

TEST(ListTest, OneElementOnTwoLists) {
  Items items;
  tmem::List<Item, &Item::other_node> others;
  Item item;
  items.push_back(item);
  others.push_back(item);
  EXPECT_EQ(items.front(), &item);
  EXPECT_EQ(others.front(), &item);
  items.remove(item);
  EXPECT_FALSE(others.empty());
  others.remove(item);
}

tmem::u64 hash_of(const tmem::Oid &oid, tmem::u64 index, tmem::u64 seed = 1) {
  const tmem::HandleHash hash(seed);
  return hash.of_leaf(hash.halves(1, oid), index);
}

// The words of an id may not be interchangeable, as they were when they were xored (seed fault 20).
TEST(HashTest, OrderOfWordsMatters) {
  const tmem::u64 a = 0x1234, b = 0xfedc;
  std::set<tmem::u64> seen;
  for (const tmem::Oid &oid : {tmem::Oid{{a, b, 0}}, {{b, a, 0}}, {{a ^ b, 0, 0}}, {{a + b, 0, 0}},
                               {{0, a, b}}, {{0, b, a}}, {{0, 0, a ^ b}}, {{a, 0, b}}, {{0, 0, 0}}})
    seen.insert(hash_of(oid, 0));
  EXPECT_EQ(seen.size(), 9u);
}

// Ids that differ in one bit, as inode numbers do, spread over the buckets.
TEST(HashTest, EachBitReachesTheBuckets) {
  constexpr tmem::u64 kBuckets = 256;
  for (const tmem::u64 index : {tmem::u64{0}, tmem::u64{77}}) {
    std::vector<unsigned int> load(kBuckets);
    for (unsigned int bit = 0; bit < 192; ++bit) {
      tmem::Oid oid = {};
      oid.word[bit / 64] = tmem::u64{1} << bit % 64;
      load[hash_of(oid, index) % kBuckets]++;
    }
    EXPECT_LE(*std::max_element(load.begin(), load.end()), 6u);
    EXPECT_LE(std::count(load.begin(), load.end(), 0u), 160);
  }
}

TEST(HashTest, ConsecutiveNumbersSpread) {
  constexpr unsigned int kBuckets = 1024, kKeys = 8192, kSeeds = 64;
  long empty_by_index = 0, empty_by_object = 0;
  for (tmem::u64 seed = 1; seed <= kSeeds; ++seed) {
    std::vector<unsigned int> by_index(kBuckets), by_object(kBuckets);
    for (unsigned int i = 0; i < kKeys; ++i) {
      by_index[hash_of({{42, 0, 0}}, i, seed) % kBuckets]++;
      by_object[hash_of({{i, 0, 0}}, 0, seed) % kBuckets]++;
    }
    for (const auto &load : {by_index, by_object})
      EXPECT_LE(*std::max_element(load.begin(), load.end()), 32u);  // 8 on average
    empty_by_index += std::count(by_index.begin(), by_index.end(), 0u);
    empty_by_object += std::count(by_object.begin(), by_object.end(), 0u);
  }
  // Of numbers drawn at random, 1024 / e^8 buckets stay empty for each seed, 22 in all.
  EXPECT_LE(empty_by_index, 50);
  EXPECT_LE(empty_by_object, 50);
}

TEST(HashTest, SeedDecides) {
  unsigned int same = 0;
  for (tmem::u64 i = 0; i < 1000; ++i)
    same += hash_of({{i, 0, 0}}, 0, 1) % 256 == hash_of({{i, 0, 0}}, 0, 2) % 256;
  EXPECT_LE(same, 20u);
}

TEST(CountersTest, AddAndSum) {
  tmem_counters *row = tmem_test::host_ops()->counters_alloc(tmem::Counters::kCells);
  tmem::Counters counters(row);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int n = 0; n < 1000; ++n) {
        counters.add(tmem::Counter::puts);
        counters.add(tmem::Counter::level_objects, 2);
        counters.add(tmem::Counter::level_objects, -tmem::u64{1});
      }
    });
  for (std::thread &thread : threads) thread.join();
  EXPECT_EQ(counters.sum(tmem::Counter::puts), 4000u);
  EXPECT_EQ(counters.sum(tmem::Counter::level_objects), 4000u);
  EXPECT_EQ(counters.sum(tmem::Counter::gets), 0u);
  tmem_test::host_ops()->counters_free(row, tmem::Counters::kCells);
}

using BlockBudget = tmem::Budget<4>;

TEST(BudgetTest, ChargesUpToTheLimits) {
  BlockBudget budget;
  EXPECT_EQ(budget.set_limit(11), 0u);
  EXPECT_EQ(budget.charge(0), Outcome::kDone);
  EXPECT_EQ(budget.charge(1), Outcome::kDone);
  EXPECT_EQ(budget.charge(1), Outcome::kRefusedBudget);  // 12 frames would be too many
  EXPECT_EQ(budget.set_limit_of(0, 7), 0u);
  EXPECT_EQ(budget.charge(0), Outcome::kRefusedLimit);
  budget.uncharge(1);
  EXPECT_EQ(budget.charge(0), Outcome::kRefusedLimit);
  EXPECT_EQ(budget.charge(1), Outcome::kDone);
  EXPECT_EQ(budget.set_limit_of(0, 1), 3u) << "so much too much is held";
  EXPECT_EQ(budget.set_limit(5), 3u);
  budget.uncharge(0);
  budget.uncharge(1);
  EXPECT_EQ(budget.frames.load_relaxed(), 0u);
}

// Many charge and uncharge at once while limits go up and down: nobody ends with more than the limit that was set last.
TEST(BudgetTest, NobodyIsChargedBeyondALimitThatWasSet) {
  for (unsigned int round = 0; round < 200; ++round) {
    BlockBudget budget;
    static_cast<void>(budget.set_limit(4000));
    std::vector<std::thread> threads;
    std::atomic<unsigned int> go{0}, charged{0};
    for (unsigned int client = 0; client < 3; ++client)
      threads.emplace_back([&, client] {
        go++;
        while (go < 4) {}
        for (unsigned int i = 0; i < 200; ++i) charged += budget.charge(client) == Outcome::kDone;
      });
    go++;
    while (go < 4) {}
    const unsigned long long excess = budget.set_limit(400);
    for (std::thread &thread : threads) thread.join();
    EXPECT_EQ(budget.frames.load_relaxed(), charged * 4u);
    EXPECT_LE(budget.frames.load_relaxed(), 400 + excess) << "charged after the limit was lowered";
  }
}

// A refusal stands until there is more room than there was, by a 64th; not while anything can be evicted.
TEST(BudgetTest, RefusalStandsUntilThereIsRoom) {
  constexpr unsigned long long kPage = TMEM_PAGE_BYTES;
  BlockBudget budget;
  const auto hold = [&](unsigned long long frames) {
    budget.frames.store_relaxed(frames);
    budget.accounts[1].frames.store_relaxed(frames);
  };
  // What is seen without the lock is the same, or that somebody must look under it.
  const auto refusal = [&](unsigned int client, bool persistent, unsigned long long bytes) {
    const Outcome seen = budget.standing_refusal(client, persistent, bytes);
    const Outcome found = budget.refusal(client, persistent, bytes);
    EXPECT_TRUE(seen == found || seen == Outcome::kDone);
    EXPECT_EQ(budget.standing_refusal(client, persistent, bytes), found);
    return found;
  };
  static_cast<void>(budget.set_limit(640));
  hold(640);
  EXPECT_EQ(refusal(1, true, 0), Outcome::kDone);
  budget.refuse(Outcome::kRefusedBudget, 1, true, 5 * kPage);
  EXPECT_EQ(refusal(1, true, 15 * kPage - 1), Outcome::kRefusedBudget);
  EXPECT_EQ(refusal(1, false, 0), Outcome::kDone) << "the other kind";
  EXPECT_EQ(refusal(2, true, 0), Outcome::kDone) << "another client";
  // Holes, and what nobody has, count together; and once there is room it is over.
  hold(632);
  EXPECT_EQ(refusal(1, true, 7 * kPage), Outcome::kDone);
  EXPECT_EQ(refusal(1, true, 0), Outcome::kDone);
  // With less room than there was, it takes no more than that and a 64th.
  hold(640);
  budget.refuse(Outcome::kRefusedBudget, 1, true, 100 * kPage);
  EXPECT_EQ(refusal(1, true, 20 * kPage), Outcome::kRefusedBudget);
  EXPECT_EQ(refusal(1, true, 30 * kPage), Outcome::kDone);
  // What can be evicted goes first, of anybody; at a limit, of its own.
  budget.refuse(Outcome::kRefusedBudget, 1, true, 0);
  budget.add_ephemeral(2);
  EXPECT_EQ(refusal(1, true, 0), Outcome::kDone);
  budget.refuse(Outcome::kRefusedLimit, 1, true, 0);
  EXPECT_EQ(refusal(1, true, 0), Outcome::kRefusedLimit);
  budget.remove_ephemeral(2);
  // A part of the client's own limit, if that is less.
  static_cast<void>(budget.set_limit_of(1, 64));
  budget.accounts[1].frames.store_relaxed(64);
  budget.refuse(Outcome::kRefusedLimit, 1, true, 0);
  EXPECT_EQ(refusal(1, true, kPage - 1), Outcome::kRefusedLimit);
  EXPECT_EQ(refusal(1, true, kPage), Outcome::kDone);
}

TEST(BudgetTest, HeaviestForItsWeightPays) {
  BlockBudget budget;
  static_cast<void>(budget.set_limit(1000));
  for (unsigned int client = 0; client < 3; ++client)
    for (unsigned int i = 0; i <= client; ++i) {
      ASSERT_EQ(budget.charge(client), Outcome::kDone);
      budget.add_ephemeral(client);
    }
  EXPECT_EQ(budget.ephemeral_frames(), 24u);
  EXPECT_EQ(budget.payer(Outcome::kRefusedBudget, 0), 2u);
  EXPECT_EQ(budget.payer(Outcome::kRefusedBudget, 0, 1u << 2), 1u) << "without the heaviest";
  budget.accounts[2].weight.store_relaxed(10000);
  EXPECT_EQ(budget.payer(Outcome::kRefusedBudget, 0), 1u);
  budget.accounts[0].weight.store_relaxed(1);
  EXPECT_EQ(budget.payer(Outcome::kNoMemory, 2), 0u);
  // At a client's own limit it pays itself, whoever is heavier.
  EXPECT_EQ(budget.payer(Outcome::kRefusedLimit, 2), 2u);
  // Persistent frames weigh, but cannot be had.
  ASSERT_EQ(budget.charge(0), Outcome::kDone);
  budget.remove_ephemeral(0);
  EXPECT_EQ(budget.payer(Outcome::kRefusedLimit, 0), unsigned{TMEM_CLIENTS_MAX});
  EXPECT_EQ(budget.payer(Outcome::kRefusedBudget, 0), 1u);
  for (unsigned int client = 1; client < 3; ++client)
    for (unsigned int i = 0; i <= client; ++i) budget.remove_ephemeral(client);
  EXPECT_EQ(budget.payer(Outcome::kRefusedBudget, 0), unsigned{TMEM_CLIENTS_MAX});
}

TEST(SameFilledTest, EveryWordOfThePageCounts) {
  alignas(8) tmem::u64 page[tmem::kWordsPerPage];
  for (const tmem::u64 word : {tmem::u64{0}, ~tmem::u64{0}, tmem::u64{0x4141414141414141}, tmem::u64{0x4141414141414142},
                               tmem::u64{0x4241414141414141}, tmem::u64{0x0123456789abcdef}}) {
    for (tmem::u64 &each : page) each = word;
    tmem::u64 found = 1;
    EXPECT_TRUE(tmem::is_same_filled(page, &found));
    EXPECT_EQ(found, word);
    for (unsigned int i = 0; i < tmem::kWordsPerPage; ++i) {
      page[i] ^= tmem::u64{1} << i % 64;
      EXPECT_FALSE(tmem::is_same_filled(page, &found)) << i;
      page[i] = word;
    }
    tmem::u64 filled[tmem::kWordsPerPage + 1];
    for (tmem::u64 &each : filled) each = ~word;
    tmem::fill(filled, word);
    EXPECT_EQ(filled[tmem::kWordsPerPage], ~word);
    EXPECT_EQ(std::memcmp(filled, page, sizeof(page)), 0);
  }
}

}  // namespace
