// SPDX-License-Identifier: GPL-2.0
// Leaves, links and buckets by themselves, each beside a plain model of it.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <random>
#include <vector>

#include "engine/leaf.h"
#include "host_ops.h"
#include "seeds.h"

namespace {

using tmem::kLeafCapacity;
using tmem::kLeafClasses;
using tmem::Leaf;
using tmem::Link;
using tmem::Spot;
using tmem::u32;
using tmem::u64;
using tmem::Word;

// ---- Leaf

// A leaf in memory of exactly its size, so that a step beyond it is seen.
class OwnedLeaf {
 public:
  explicit OwnedLeaf(u32 size_class, u64 base = 5)
      : memory_(::operator new(Leaf::bytes_of(size_class), kAlignment)),
        leaf_(new (tmem::Placement{memory_}) Leaf(base, size_class)) {}
  ~OwnedLeaf() {
    leaf_->~Leaf();
    ::operator delete(memory_, kAlignment);
  }
  OwnedLeaf(const OwnedLeaf &) = delete;
  OwnedLeaf &operator=(const OwnedLeaf &) = delete;
  Leaf &operator*() const { return *leaf_; }
  Leaf *operator->() const { return leaf_; }

 private:
  static constexpr std::align_val_t kAlignment{64};
  void *memory_;
  Leaf *leaf_;
};

using Pages = std::map<u32, Word>;

void expect_same(const Leaf &leaf, const Pages &pages) {
  ASSERT_EQ(leaf.pages(), pages.size());
  ASSERT_EQ(leaf.empty(), pages.empty());
  for (u32 slot = 0; slot < Leaf::kSlots; ++slot) {
    const auto page = pages.find(slot);
    ASSERT_EQ(leaf.has(slot), page != pages.end()) << slot;
    if (page == pages.end()) continue;
    ASSERT_EQ(leaf.at(slot).value, page->second.value) << slot;
    ASSERT_EQ(leaf.at(slot).same_filled, page->second.same_filled) << slot;
  }
}

void insert(Leaf &leaf, Pages &pages, u32 slot, Word word) {
  static_cast<void>(leaf.insert(slot, word));
  pages[slot] = word;
}

// The class to shrink to, or the one it has.
u32 class_of(tmem::Maybe<u32> smaller, const Leaf &leaf) {
  return smaller ? *smaller : static_cast<u32>(leaf.size_class);
}

class LeafTest : public testing::TestWithParam<u32> {
 protected:
  u32 below(u32 bound) { return static_cast<u32>(random_() % bound); }
  Word any_word() { return {random_(), below(4) == 0}; }
  // So many slots, near each other or anywhere.
  std::vector<u32> any_slots(u32 count) {
    std::vector<u32> slots(Leaf::kSlots);
    for (u32 i = 0; i < Leaf::kSlots; ++i) slots[i] = i;
    if (below(2)) {
      std::shuffle(slots.begin(), slots.end(), random_);
    } else {
      std::rotate(slots.begin(), slots.begin() + below(Leaf::kSlots), slots.end());
    }
    slots.resize(count);
    return slots;
  }
  std::mt19937_64 random_{tmem_test::first_seed()};
};

TEST_P(LeafTest, AgreesWithAMap) {
  const u32 size_class = GetParam();
  for (u32 round = 0; round < 20; ++round) {
    OwnedLeaf leaf(size_class);
    Pages pages;
    for (u32 step = 0; step < 400; ++step) {
      const u32 slot = below(Leaf::kSlots);
      // It grows in one half of the rounds' steps and drains in the other.
      const bool grows = below(8) < (step / 50 % 2 ? 2u : 6u);
      if (pages.contains(slot) && !grows) {
        leaf->clear(slot);
        pages.erase(slot);
      } else if (pages.contains(slot)) {
        const Word word = any_word();
        leaf->replace(slot, word);
        pages[slot] = word;
      } else if (grows && !leaf->full()) {
        insert(*leaf, pages, slot, any_word());
      }
      ASSERT_EQ(leaf->full(), pages.size() == kLeafCapacity[size_class] && size_class != Leaf::kDirectClass);
      expect_same(*leaf, pages);
      if (HasFatalFailure()) return;
    }
  }
}

// To each other class that has room, from each fill.
TEST_P(LeafTest, CopyKeepsEveryWord) {
  const u32 from = GetParam();
  for (u32 to = 0; to < kLeafClasses; ++to) {
    if (to == from) continue;
    for (u32 count = 0; count <= std::min(kLeafCapacity[from], kLeafCapacity[to]); ++count) {
      OwnedLeaf old(from), leaf(to);
      Pages pages;
      for (const u32 slot : any_slots(count)) insert(*old, pages, slot, any_word());
      leaf->copy_pages(*old);
      expect_same(*leaf, pages);
      expect_same(*old, pages);
      // The copy is a leaf like any other.
      if (count) {
        leaf->clear(pages.begin()->first);
        pages.erase(pages.begin());
        expect_same(*leaf, pages);
      }
      for (u32 slot = 0; slot < Leaf::kSlots && !leaf->full(); ++slot)
        if (!leaf->has(slot)) insert(*leaf, pages, slot, any_word());
      expect_same(*leaf, pages);
      ASSERT_FALSE(HasFatalFailure()) << from << " to " << to << ", " << count << " pages";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(each_class, LeafTest, testing::Range(0u, kLeafClasses));

class LeafLifeTest : public LeafTest {};

// From the smallest to the largest and back, as the index does it.
TEST_P(LeafLifeTest, GrowsAndShrinks) {
  for (u32 round = 0; round < 30; ++round) {
    auto leaf = std::make_unique<OwnedLeaf>(0u);
    Pages pages;
    const auto change_class = [&](u32 size_class) {
      auto other = std::make_unique<OwnedLeaf>(size_class);
      (*other)->copy_pages(**leaf);
      leaf = std::move(other);
      expect_same(**leaf, pages);
    };
    u32 largest = 0, shrunk = 0;
    for (const u32 slot : any_slots(Leaf::kSlots)) {
      if ((*leaf)->full()) {
        const u32 larger = (*leaf)->class_when_full();
        ASSERT_GT(larger, (*leaf)->size_class);
        ASSERT_LT(larger, kLeafClasses);
        change_class(larger);
      }
      insert(**leaf, pages, slot, any_word());
      largest = std::max(largest, static_cast<u32>((*leaf)->size_class));
    }
    EXPECT_EQ(largest, Leaf::kDirectClass);
    std::vector<u32> order(Leaf::kSlots);
    for (u32 i = 0; i < Leaf::kSlots; ++i) order[i] = i;
    // Odd rounds drain from front to back.
    if (round % 2 == 0) std::shuffle(order.begin(), order.end(), random_);
    for (const u32 slot : order) {
      (*leaf)->clear(slot);
      pages.erase(slot);
      const u32 smaller = class_of((*leaf)->class_when_cleared(slot), **leaf);
      ASSERT_LE(smaller, (*leaf)->size_class);
      if (smaller == (*leaf)->size_class || pages.empty()) continue;
      ++shrunk;
      // Room for as much again: the next page does not make it grow.
      ASSERT_GE(kLeafCapacity[smaller], 2 * pages.size());
      change_class(smaller);
    }
    if (round % 2 == 0) {
      EXPECT_GT(shrunk, 0u);
    } else {
      EXPECT_EQ(shrunk, 0u) << "it will be gone soon";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(once, LeafLifeTest, testing::Values(0u));

TEST(LeafShapeTest, OneStretch) {
  OwnedLeaf leaf(Leaf::kDirectClass);
  const Word word{1, false};
  for (u32 first = 0; first < Leaf::kSlots; ++first)
    for (u32 end = first + 1; end <= Leaf::kSlots; ++end) {
      for (u32 slot = first; slot < end; ++slot) static_cast<void>(leaf->insert(slot, word));
      EXPECT_TRUE(leaf->is_one_stretch()) << first << " to " << end;
      if (end - first > 2) {
        const u32 middle = (first + end) / 2;
        leaf->clear(middle);
        EXPECT_FALSE(leaf->is_one_stretch()) << first << " to " << end << " without " << middle;
        static_cast<void>(leaf->insert(middle, word));
      }
      for (u32 slot = first; slot < end; ++slot) leaf->clear(slot);
    }
}

// ---- Link

struct Item {
  explicit Item(u64 its_key = 0) : key(its_key) {}
  Link<Item> next;
  u64 key;
};

TEST(LinkTest, SaysItsItemTagAndPlace) {
  Item item, other;
  constexpr u32 kTags = 1u << Spot::kTagBits;
  EXPECT_FALSE(Link<Item>());
  for (u32 tag = 0; tag < kTags; ++tag)
    for (const bool last : {false, true}) {
      Link<Item> link(item, tag, last);
      ASSERT_TRUE(link);
      ASSERT_EQ(link.item(), &item);
      ASSERT_EQ(link.last(), last);
      ASSERT_TRUE(link.has_tag(tag));
      for (u32 bit = 1; bit < kTags; bit <<= 1) ASSERT_FALSE(link.has_tag(tag ^ bit));
      link.set_last(!last);
      ASSERT_EQ(link.last(), !last);
      ASSERT_EQ(link.item(), &item);
      ASSERT_TRUE(link.has_tag(tag));
      const Link<Item> to = link.to(other);
      ASSERT_EQ(to.item(), &other);
      ASSERT_EQ(to.last(), !last);
      ASSERT_TRUE(to.has_tag(tag));
    }
}

// Wherever a kernel or a process may have it, with four and with five levels of page tables.
TEST(LinkTest, ReachesEveryAddress) {
  for (const u64 address : {u64{8}, u64{0x00007ffffffffff8}, u64{0x00fffffffffffff8}, u64{0xff00000000000000},
                            u64{0xff11000000000008}, u64{0xffff888000000000}, u64{0xfffffffffffffff8}}) {
    Item *item = reinterpret_cast<Item *>(static_cast<tmem::uptr>(address));
    for (const u32 tag : {0u, (1u << Spot::kTagBits) - 1})
      EXPECT_EQ((Link<Item>(*item, tag, true).item()), item) << std::hex << address;
  }
}

TEST(SpotTest, IsInRange) {
  std::mt19937_64 random(1);
  std::vector<u32> heads(Spot::kHeads), tags(1u << Spot::kTagBits);
  for (u32 i = 0; i < 100000; ++i) {
    const Spot spot(random(), 63);
    ASSERT_LT(spot.number, 64u);
    ASSERT_LT(spot.head, Spot::kHeads);
    ASSERT_LT(spot.tag, 1u << Spot::kTagBits);
    heads[spot.head]++;
    tags[spot.tag]++;
  }
  // All of them are used alike: within half of the mean for heads, and never not.
  for (const u32 count : heads) EXPECT_NEAR(count, 100000.0 / Spot::kHeads, 50000.0 / Spot::kHeads);
  for (const u32 count : tags) EXPECT_GT(count, 0u);
}

// ---- Bucket

class BucketTest : public testing::Test {
 protected:
  using ItemBucket = tmem::Bucket<Item, tmem::Rank::kLeafBucket>;

  BucketTest() { bucket_.lock.init(); }
  ~BucketTest() override { bucket_.lock.destroy(); }

  // A key says its hash: the head, and its tag.
  static Spot spot_of(u64 key) {
    Spot spot(0, 0);
    spot.head = static_cast<u32>(key % Spot::kHeads);
    spot.tag = static_cast<u32>(key / Spot::kHeads % 4);
    return spot;
  }
  Item *find(u64 key, u32 *looked_at) {
    *looked_at = 0;
    tmem::Guard guard(bucket_.lock);
    return bucket_.find(spot_of(key), [&](const Item &item) {
      ++*looked_at;
      return item.key == key;
    });
  }
  void insert(Item &item) {
    tmem::Guard guard(bucket_.lock);
    bucket_.insert(spot_of(item.key), item);
  }
  void remove(Item &item) {
    tmem::Guard guard(bucket_.lock);
    bucket_.remove(spot_of(item.key).head, item);
  }
  void replace(Item &old, Item &item) {
    tmem::Guard guard(bucket_.lock);
    bucket_.replace(spot_of(old.key).head, old, item);
  }
  // Every link of every chain is right, and no item is missing; how many there are.
  size_t expect_sound() {
    tmem::Guard guard(bucket_.lock);
    size_t items = 0;
    for (u32 head = 0; head < Spot::kHeads; ++head)
      for (Link<Item> link = bucket_.heads[head]; link; link = link.item()->next) {
        const Item &item = *link.item();
        EXPECT_EQ(spot_of(item.key).head, head);
        EXPECT_TRUE(link.has_tag(spot_of(item.key).tag));
        EXPECT_EQ(link.last(), !item.next) << "key " << item.key;
        items++;
      }
    EXPECT_EQ(bucket_.empty(), items == 0);
    return items;
  }

  ItemBucket bucket_ = {};
};

TEST_F(BucketTest, AgreesWithAMap) {
  std::mt19937_64 random(tmem_test::first_seed());
  std::map<u64, std::unique_ptr<Item>> items;
  for (u32 step = 0; step < 4000; ++step) {
    const u64 key = random() % 84;  // three for each head and tag
    const auto at = items.find(key);
    if (at == items.end()) {
      if (random() % 4 == 0) continue;
      auto item = std::make_unique<Item>(key);
      insert(*item);
      items[key] = std::move(item);
    } else if (random() % 3 == 0) {
      auto item = std::make_unique<Item>(key);
      replace(*at->second, *item);
      at->second = std::move(item);
    } else {
      remove(*at->second);
      items.erase(at);
    }
    ASSERT_EQ(expect_sound(), items.size());
    for (u64 wanted = 0; wanted < 84; ++wanted) {
      u32 looked_at;
      const auto expected = items.find(wanted);
      ASSERT_EQ(find(wanted, &looked_at), expected == items.end() ? nullptr : expected->second.get());
    }
    ASSERT_FALSE(HasFailure());
  }
  for (const auto &[key, item] : items) remove(*item);
  EXPECT_EQ(expect_sound(), 0u);
}

// What has another tag is not looked at: that is what the tag is for.
TEST_F(BucketTest, LooksAtNoItemOfAnotherTag) {
  std::vector<std::unique_ptr<Item>> items;
  for (u64 tag = 0; tag < 3; ++tag) {
    items.push_back(std::make_unique<Item>(tag * Spot::kHeads));
    insert(*items.back());
  }
  u32 looked_at;
  for (u64 tag = 0; tag < 3; ++tag) {
    EXPECT_EQ(find(tag * Spot::kHeads, &looked_at), items[tag].get());
    EXPECT_EQ(looked_at, 1u);
  }
  EXPECT_EQ(find(3 * Spot::kHeads, &looked_at), nullptr);
  EXPECT_EQ(looked_at, 0u);
  for (const auto &item : items) remove(*item);
}

}  // namespace
