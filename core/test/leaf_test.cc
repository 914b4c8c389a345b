// SPDX-License-Identifier: GPL-2.0
// Leaves, links and buckets by themselves, each beside a plain model of it.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <random>
#include <set>
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
  ASSERT_TRUE(leaf.is_sound());
  for (u32 slot = 0; slot < Leaf::kSlots; ++slot) {
    const auto page = pages.find(slot);
    Word word{1, true};
    ASSERT_EQ(leaf.read(slot, &word), page != pages.end()) << slot;
    if (page == pages.end()) continue;
    ASSERT_EQ(word.value, page->second.value) << slot;
    ASSERT_EQ(word.same_filled, page->second.same_filled) << slot;
  }
  size_t visited = 0;
  leaf.each([&](u32 slot, const Word &word) {
    visited++;
    const auto page = pages.find(slot);
    ASSERT_NE(page, pages.end()) << slot;
    ASSERT_EQ(word.value, page->second.value) << slot;
    ASSERT_EQ(word.same_filled, page->second.same_filled) << slot;
  });
  ASSERT_EQ(visited, pages.size());
}

// Whether a leaf of this class with such pages has room for the word.
bool has_room(u32 size_class, const Pages &pages, u32 slot, Word word) {
  if (size_class == Leaf::kWhole) return !word.same_filled;
  if (size_class > Leaf::kMapped) return slot < kLeafCapacity[size_class];
  return pages.contains(slot) || pages.size() < kLeafCapacity[size_class];
}

// Puts the word into both, if there is room; what the leaf says of it must be true.
void put(Leaf &leaf, Pages &pages, u32 slot, Word word) {
  const auto page = pages.find(slot);
  Word old{1, true};
  const Leaf::Put put = leaf.put(slot, word, &old);
  if (!has_room(static_cast<u32>(leaf.size_class), pages, slot, word)) {
    ASSERT_EQ(put, Leaf::Put::kNoRoom) << slot;
    return;
  }
  ASSERT_EQ(put, page == pages.end() ? Leaf::Put::kAdded : Leaf::Put::kReplaced) << slot;
  if (page != pages.end()) {
    ASSERT_EQ(old.value, page->second.value) << slot;
    ASSERT_EQ(old.same_filled, page->second.same_filled) << slot;
  }
  pages[slot] = word;
}

void take(Leaf &leaf, Pages &pages, u32 slot) {
  const auto page = pages.find(slot);
  Word word{1, true};
  ASSERT_EQ(leaf.take(slot, &word), page != pages.end()) << slot;
  if (page == pages.end()) return;
  ASSERT_EQ(word.value, page->second.value) << slot;
  ASSERT_EQ(word.same_filled, page->second.same_filled) << slot;
  pages.erase(page);
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
    // Of few slots or of many, so that those that are there are met.
    const u32 slots = round % 2 ? Leaf::kSlots : std::min<u32>(Leaf::kSlots, kLeafCapacity[size_class] + 2u);
    for (u32 step = 0; step < 800; ++step) {
      const u32 slot = below(slots);
      // It grows in one half of the rounds' steps and drains in the other.
      if (below(8) < (step / 200 % 2 ? 2u : 6u)) {
        put(*leaf, pages, slot, any_word());
      } else {
        take(*leaf, pages, slot);
      }
      if (step % 4 == 0) expect_same(*leaf, pages);
      if (HasFatalFailure()) return;
    }
  }
}

// All that a range has, in any number of steps, and nothing else.
TEST_P(LeafTest, RangeIsTakenOut) {
  for (u32 round = 0; round < 60; ++round) {
    OwnedLeaf leaf(GetParam());
    Pages pages;
    for (const u32 slot : any_slots(1 + below(Leaf::kSlots))) put(*leaf, pages, slot, any_word());
    const u32 first = below(Leaf::kSlots), last = first + below(Leaf::kSlots - first);
    const u32 most = leaf->listed() ? Leaf::kSlots : 1 + below(80);
    std::multiset<u64> expected, taken;
    for (auto page = pages.lower_bound(first); page != pages.end() && page->first <= last;) {
      expected.insert(page->second.value);
      page = pages.erase(page);
    }
    for (u32 slot = first; slot <= last;) {
      u32 step = 0;
      slot = leaf->take_range(slot, last, most, [&](Word word) {
        taken.insert(word.value);
        step++;
      });
      ASSERT_LE(step, most);
      ASSERT_TRUE(step > 0 || slot == last + 1);
    }
    ASSERT_EQ(taken, expected);
    expect_same(*leaf, pages);
    if (HasFatalFailure()) return;
  }
}

// To each other class that has room, from each fill.
TEST_P(LeafTest, CopyKeepsEveryWord) {
  const u32 from = GetParam();
  for (u32 to = 0; to < kLeafClasses; ++to) {
    if (to == from) continue;
    for (u32 count = 0; count <= std::min(kLeafCapacity[from], kLeafCapacity[to]); count += 1 + count / 32) {
      OwnedLeaf old(from), leaf(to);
      Pages pages;
      // Of the slots and the words that both can have.
      const bool no_same = from == Leaf::kWhole || to == Leaf::kWhole || below(2);
      for (const u32 slot : any_slots(Leaf::kSlots)) {
        if (pages.size() == count) break;
        Word word = any_word();
        if (no_same) word.same_filled = false;
        if (to > Leaf::kMapped && !has_room(to, pages, slot, word)) continue;
        put(*old, pages, slot, word);
      }
      leaf->copy_pages(*old);
      expect_same(*leaf, pages);
      expect_same(*old, pages);
      // The copy is a leaf like any other.
      if (!pages.empty()) take(*leaf, pages, pages.begin()->first);
      expect_same(*leaf, pages);
      for (u32 slot = 0; slot < Leaf::kSlots; ++slot) put(*leaf, pages, slot, any_word());
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
    // Files have no same-filled pages here, and some begin at the front.
    const bool file = round % 3 == 0, front = round % 4 == 0;
    std::vector<u32> order(Leaf::kSlots);
    for (u32 i = 0; i < Leaf::kSlots; ++i) order[i] = i;
    for (const u32 slot : front ? order : any_slots(Leaf::kSlots)) {
      Word word = any_word();
      if (file) word.same_filled = false;
      if (!has_room(static_cast<u32>((*leaf)->size_class), pages, slot, word)) {
        const u32 larger = (*leaf)->class_when_full(slot, word.same_filled);
        ASSERT_NE(larger, (*leaf)->size_class);
        ASSERT_LT(larger, kLeafClasses);
        change_class(larger);
        ASSERT_TRUE(has_room(larger, pages, slot, word)) << larger << ", " << pages.size() << " pages";
      }
      put(**leaf, pages, slot, word);
      largest = std::max(largest, static_cast<u32>((*leaf)->size_class));
    }
    EXPECT_EQ(largest, file ? Leaf::kWhole : Leaf::kWholeSame);
    // Odd rounds drain from front to back.
    if (round % 2 == 0) std::shuffle(order.begin(), order.end(), random_);
    for (const u32 slot : order) {
      take(**leaf, pages, slot);
      const u32 smaller = (*leaf)->class_when_cleared(Leaf::Taken::kOne);
      ASSERT_LE(smaller, (*leaf)->size_class);
      // What need not be looked at would not become smaller, and is not empty.
      ASSERT_TRUE((*leaf)->worth_a_look() || (smaller == (*leaf)->size_class && !pages.empty())) << pages.size() << " pages";
      if (smaller == (*leaf)->size_class || pages.empty()) continue;
      ASSERT_LT(Leaf::bytes_of(smaller), Leaf::bytes_of(static_cast<u32>((*leaf)->size_class)));
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
  const Word word{1, false};
  for (const u32 size_class : {u32{Leaf::kListedLargest}, u32{Leaf::kMapped}, u32{Leaf::kWhole}}) {
    OwnedLeaf leaf(size_class);
    Pages pages;
    for (u32 first = 0; first < Leaf::kSlots; first += 1 + first % 5)
      for (u32 end = first + 1; end <= std::min(Leaf::kSlots, first + kLeafCapacity[size_class]); end += 1 + end % 7) {
        for (u32 slot = first; slot < end; ++slot) put(*leaf, pages, slot, word);
        EXPECT_TRUE(leaf->is_one_stretch()) << first << " to " << end;
        if (end - first > 2) {
          const u32 middle = (first + end) / 2;
          take(*leaf, pages, middle);
          EXPECT_FALSE(leaf->is_one_stretch()) << first << " to " << end << " without " << middle;
          put(*leaf, pages, middle, word);
        }
        for (u32 slot = first; slot < end; ++slot) take(*leaf, pages, slot);
      }
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
