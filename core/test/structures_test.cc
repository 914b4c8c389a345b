// SPDX-License-Identifier: GPL-2.0
// The building blocks by themselves: list, hash, counters, budget, same-filled.
#include <gtest/gtest.h>

#include <algorithm>
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

TEST(CountersTest, AddSubtractSum) {
  tmem_counters *row = tmem_test::host_ops()->counters_alloc(tmem::Counters::kCells);
  tmem::Counters counters(row);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int n = 0; n < 1000; ++n) {
        counters.add(tmem::Counter::puts);
        counters.add(tmem::Counter::level_objects, 2);
        counters.subtract(tmem::Counter::level_objects);
      }
    });
  for (std::thread &thread : threads) thread.join();
  EXPECT_EQ(counters.sum(tmem::Counter::puts), 4000u);
  EXPECT_EQ(counters.sum(tmem::Counter::level_objects), 4000u);
  EXPECT_EQ(counters.sum(tmem::Counter::gets), 0u);
  tmem_test::host_ops()->counters_free(row, tmem::Counters::kCells);
}

struct Block {
  bool busy() const { return is_busy; }
  bool forget_read() {
    const bool was = is_read;
    is_read = false;
    return was;
  }
  bool is_busy = false;
  bool is_read = false;
  tmem::ListNode node;
};
using BlockBudget = tmem::Budget<Block, &Block::node, 4>;

TEST(BudgetTest, ChargesUpToTheLimits) {
  BlockBudget budget;
  budget.limit = 11;
  EXPECT_EQ(budget.charge(0), Outcome::kDone);
  EXPECT_EQ(budget.charge(1), Outcome::kDone);
  EXPECT_EQ(budget.charge(1), Outcome::kRefusedBudget);  // 12 frames would be too many
  budget.accounts[0].limit = 7;
  EXPECT_EQ(budget.charge(0), Outcome::kRefusedLimit);
  budget.uncharge(1);
  EXPECT_EQ(budget.charge(0), Outcome::kRefusedLimit);
  EXPECT_EQ(budget.charge(1), Outcome::kDone);
  budget.uncharge(0);
  budget.uncharge(1);
  EXPECT_EQ(budget.frames, 0u);
}

TEST(BudgetTest, WhatWasReadHasAnotherTurn) {
  BlockBudget budget;
  budget.limit = 1000;
  Block block[3], many[40];
  for (Block &each : block) budget.enlist(each, 0, false);
  block[0].is_read = true;
  EXPECT_EQ(budget.victim(Outcome::kRefusedBudget, 0), &block[1]);
  EXPECT_EQ(budget.victim(Outcome::kRefusedLimit, 0), &block[1]) << "the other one is the youngest now";
  for (Block &each : block) each.is_read = true;
  EXPECT_EQ(budget.victim(Outcome::kRefusedBudget, 0), &block[1]) << "once only";
  for (Block &each : block) budget.delist(each, 0, false);

  // One look at the list has an end.
  for (Block &each : many) budget.enlist(each, 0, false);
  for (Block &each : many) each.is_read = true;
  EXPECT_EQ(budget.victim(Outcome::kRefusedBudget, 0), &many[16]);
  for (Block &each : many) budget.delist(each, 0, false);
}

// A refusal stands until there is more room than there was, by a 64th; not while anything can be evicted.
TEST(BudgetTest, RefusalStandsUntilThereIsRoom) {
  constexpr unsigned long long kPage = TMEM_PAGE_BYTES;
  BlockBudget budget;
  budget.limit = 640;
  budget.frames = budget.accounts[1].frames = 640;
  EXPECT_EQ(budget.refusal(1, true, 0), Outcome::kDone);
  budget.refuse(Outcome::kRefusedBudget, 1, true, 5 * kPage);
  EXPECT_EQ(budget.refusal(1, true, 15 * kPage - 1), Outcome::kRefusedBudget);
  EXPECT_EQ(budget.refusal(1, false, 0), Outcome::kDone) << "the other kind";
  EXPECT_EQ(budget.refusal(2, true, 0), Outcome::kDone) << "another client";
  // Holes, and what nobody has, count together; and once there is room it is over.
  budget.frames = budget.accounts[1].frames = 632;
  EXPECT_EQ(budget.refusal(1, true, 7 * kPage), Outcome::kDone);
  EXPECT_EQ(budget.refusal(1, true, 0), Outcome::kDone);
  // With less room than there was, it takes no more than that and a 64th.
  budget.frames = budget.accounts[1].frames = 640;
  budget.refuse(Outcome::kRefusedBudget, 1, true, 100 * kPage);
  EXPECT_EQ(budget.refusal(1, true, 20 * kPage), Outcome::kRefusedBudget);
  EXPECT_EQ(budget.refusal(1, true, 30 * kPage), Outcome::kDone);
  // What can be evicted goes first, of anybody; at a limit, of its own.
  Block block;
  budget.refuse(Outcome::kRefusedBudget, 1, true, 0);
  budget.enlist(block, 2, false);
  EXPECT_EQ(budget.refusal(1, true, 0), Outcome::kDone);
  budget.refuse(Outcome::kRefusedLimit, 1, true, 0);
  EXPECT_EQ(budget.refusal(1, true, 0), Outcome::kRefusedLimit);
  budget.delist(block, 2, false);
  // A part of the client's own limit, if that is less.
  budget.accounts[1].limit = 64;
  budget.accounts[1].frames = 64;
  budget.refuse(Outcome::kRefusedLimit, 1, true, 0);
  EXPECT_EQ(budget.refusal(1, true, kPage - 1), Outcome::kRefusedLimit);
  EXPECT_EQ(budget.refusal(1, true, kPage), Outcome::kDone);
}

TEST(BudgetTest, HeaviestForItsWeightPays) {
  BlockBudget budget;
  budget.limit = 1000;
  Block block[3][3], persistent;
  const unsigned int count[3] = {1, 2, 3};
  for (unsigned int client = 0; client < 3; ++client)
    for (unsigned int i = 0; i < count[client]; ++i) {
      ASSERT_EQ(budget.charge(client), Outcome::kDone);
      budget.enlist(block[client][i], client, false);
    }
  EXPECT_EQ(budget.ephemeral_frames(), 24u);
  EXPECT_EQ(budget.victim(Outcome::kRefusedBudget, 0), &block[2][0]);
  budget.accounts[2].weight = 10000;
  EXPECT_EQ(budget.victim(Outcome::kRefusedBudget, 0), &block[1][0]);
  budget.accounts[0].weight = 1;
  EXPECT_EQ(budget.victim(Outcome::kNoMemory, 2), &block[0][0]);
  // At a client's own limit it pays itself, whoever is heavier.
  EXPECT_EQ(budget.victim(Outcome::kRefusedLimit, 2), &block[2][0]);
  // What was filled last goes last.
  budget.touch(block[2][0], 2);
  EXPECT_EQ(budget.victim(Outcome::kRefusedLimit, 2), &block[2][1]);
  // Persistent frames weigh, but cannot be had.
  ASSERT_EQ(budget.charge(0), Outcome::kDone);
  budget.enlist(persistent, 0, true);
  budget.delist(block[0][0], 0, false);
  EXPECT_EQ(budget.victim(Outcome::kRefusedLimit, 0), nullptr);
  EXPECT_EQ(budget.victim(Outcome::kRefusedBudget, 0), &block[1][0]);
  budget.delist(persistent, 0, true);
  for (unsigned int client = 1; client < 3; ++client)
    for (unsigned int i = 0; i < count[client]; ++i) budget.delist(block[client][i], client, false);
  EXPECT_EQ(budget.victim(Outcome::kRefusedBudget, 0), nullptr);
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
