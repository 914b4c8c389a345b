// SPDX-License-Identifier: GPL-2.0
// What the index is made of.
//
//   bucket of leaves              bucket of objects
//     │ next                        │ next
//   ┌─▼──────────────┐  object    ┌─▼────────┐          ┌──────┐
//   │ Leaf           ├───────────►│ Object   ├─────────►│ Pool │
//   │ 64 slots       │◄───────────┤ leaves   │          └──────┘
//   │ 1 to 64 words  │  neighbours└──────────┘
//   └────────────────┘
//
// A leaf stands for 64 consecutive indexes of one object. It exists exactly
// while it holds a page, and an object exactly while it has a leaf: there is no
// empty node anywhere, so nothing can be left behind half built.
//
// A leaf comes in eight classes, with room for 1, 3, 6, 12, 24, 36, 48 or 64
// words, in three layouts:
//
//   direct (64)        header │ word of slot 0 │ word of slot 1 │ ...
//   mapped (36, 48)    header │ used │ a byte for each slot: where its word is │ words
//   packed (1 to 24)   header │ words, in the order of their slots
//
// In a packed leaf a slot's place is the number of pages before it: a popcount
// instead of empty words, as in Bagwell's hash array mapped tries. An insertion or
// a removal moves the words behind it, which is little as long as there are few.
// A mapped leaf moves none: a new word goes to any place that is free. So a lone
// page costs 64 bytes here, a dense file 8.9 a page, a swap area that is two
// thirds full about 12. What it costs: growth is a copy.
#ifndef TMEM_CORE_ENGINE_LEAF_H
#define TMEM_CORE_ENGINE_LEAF_H

#include "../base/outcome.h"
#include "bucket.h"

namespace tmem {

class Pool;
struct Object;

// What the index knows of a page: a pampd, or the 64 bits it consists of.
struct Word {
  u64 value;
  bool same_filled;
};

inline constexpr u32 kLeafClasses = TMEM_LEAF_CLASSES;
inline constexpr u8 kLeafCapacity[kLeafClasses] = {1, 3, 6, 12, 24, 36, 48, 64};

struct Leaf {
  static constexpr u32 kSlots = 64;
  static constexpr u32 kSlotBits = 6;
  static constexpr u32 kDirectClass = kLeafClasses - 1;
  static constexpr u32 kFirstMappedClass = 5;
  static constexpr u32 kMappedAlignment = 64;  // header, map and words begin cache lines
  static_assert(1u << kSlotBits == kSlots && kLeafCapacity[kDirectClass] == kSlots);

  // Where the words of a mapped leaf are.
  struct Map {
    u64 used;          // a bit for each word that some slot has
    u8 place[kSlots];  // of the slots that hold a page
  };

  Link<Leaf> next;           // in its bucket; guarded by the bucket's lock, as is
  Object *object = nullptr;  // all that follows but base and neighbours
  const u64 base : 58;       // index of slot 0, divided by kSlots
  const u64 size_class : 6;
  u64 present = 0;      // a bit for each slot that holds a page
  u64 same_filled = 0;  // of these, the ones whose word is the data itself
  struct {
    Leaf *older = nullptr;
    Leaf *younger = nullptr;
  } neighbours;  // in the object's ring; guarded by the object's bucket
  // The map, if it is a mapped one, and kLeafCapacity[size_class] words follow.

  Leaf(u64 base_of_leaf, u32 its_class) : base(base_of_leaf), size_class(its_class) {
    if (mapped()) map().used = 0;
  }

  static constexpr bool is_mapped(u32 size_class) {
    return size_class >= kFirstMappedClass && size_class < kDirectClass;
  }
  static constexpr unsigned long bytes_of(u32 size_class) {
    return sizeof(Leaf) + (is_mapped(size_class) ? sizeof(Map) : 0) + kLeafCapacity[size_class] * sizeof(u64);
  }

  static constexpr u64 bit(u32 slot) { return u64{1} << slot; }
  bool has(u32 slot) const { return present >> slot & 1; }
  bool empty() const { return present == 0; }
  bool direct() const { return size_class == kDirectClass; }
  bool mapped() const { return is_mapped(static_cast<u32>(size_class)); }
  u32 capacity() const { return kLeafCapacity[size_class]; }
  u32 pages() const { return popcount(present); }
  bool full() const { return !direct() && pages() == capacity(); }

  Word at(u32 slot) const { return {*word(slot), (same_filled >> slot & 1) != 0}; }

  // The slot holds a page already.
  void replace(u32 slot, Word with) {
    *word(slot) = with.value;
    same_filled = (same_filled & ~bit(slot)) | u64{with.same_filled} << slot;
  }
  // It does not. False: the leaf is full, and nothing has changed.
  [[nodiscard]] bool insert(u32 slot, Word added) {
    TMEM_ASSERT(!has(slot));
    if (direct())
      direct_words()[slot] = added.value;
    else if (!insert_indirect(slot, added.value))
      return false;
    present |= bit(slot);
    same_filled |= u64{added.same_filled} << slot;
    return true;
  }
  // It holds one.
  void clear(u32 slot) {
    TMEM_ASSERT(has(slot));
    if (!direct()) close_gap(slot);
    present &= ~bit(slot);
    same_filled &= ~bit(slot);
  }
  // Takes over the pages of @other, which this one, an empty one, has room for.
  void copy_pages(const Leaf &other);

  // The pages are neighbours: a file read from front to back fills and drains a leaf so.
  bool is_one_stretch() const { return (present & (present + (present & -present))) == 0; }

  // The class to grow to when it is full: two further, since each step is a copy;
  // to the largest from a third on if it fills in sequence.
  u32 class_when_full() const {
    const u32 further = static_cast<u32>(size_class) + 2;
    return further > kDirectClass || (size_class >= 4 && is_one_stretch()) ? kDirectClass : further;
  }
  // The class to shrink to after @slot was cleared, or the one it has. A leaf
  // shrinks when three quarters of it are free, to twice what it holds, so that
  // it does not grow again at once; one that drains in sequence will soon be gone
  // and is let be. Looked at only when the slot was the last of its eight.
  u32 class_when_cleared(u32 slot) const {
    const u32 same = static_cast<u32>(size_class);
    if ((present >> (slot & ~7u) & 0xff) != 0 || same < 2) return same;
    const u32 left = pages();
    if (left * 4 > capacity() || is_one_stretch()) return same;
    u32 smaller = same;
    while (smaller > 0 && kLeafCapacity[smaller - 1] >= left * 2) --smaller;
    return smaller;
  }

  // For validate(): each page of a mapped leaf has a word to itself, and no other word is taken.
  bool map_is_right() const;

 private:

  Map &map() { return *reinterpret_cast<Map *>(this + 1); }
  const Map &map() const { return *reinterpret_cast<const Map *>(this + 1); }
  const u64 *words() const {
    const u64 *after_header = reinterpret_cast<const u64 *>(this + 1);
    return mapped() ? after_header + sizeof(Map) / sizeof(u64) : after_header;
  }
  u64 *words() { return const_cast<u64 *>(static_cast<const Leaf *>(this)->words()); }

  u32 packed_place(u32 slot) const { return popcount(present & (bit(slot) - 1)); }
  // Of a slot with a page, or one that room was made for.
  const u64 *word(u32 slot) const {
    return direct() ? direct_words() + slot : indirect_word(slot);
  }
  const u64 *indirect_word(u32 slot) const;
  u64 *word(u32 slot) { return const_cast<u64 *>(static_cast<const Leaf *>(this)->word(slot)); }
  const u64 *direct_words() const { return reinterpret_cast<const u64 *>(this + 1); }
  u64 *direct_words() { return reinterpret_cast<u64 *>(this + 1); }

  void take_place(u32 slot);
  // False: full.
  bool insert_indirect(u32 slot, u64 value);
  // Before the slot's bit is cleared.
  void close_gap(u32 slot);
};
static_assert(sizeof(Leaf) == 56 && Leaf::bytes_of(Leaf::kDirectClass) == 568);
static_assert(Leaf::bytes_of(6) == 512);

// The leaves of an object, oldest first, as a ring: a doubly linked list whose
// ends are neighbours, so that one pointer reaches both.
class Leaves {
 public:
  Leaves() = default;
  ~Leaves() { TMEM_ASSERT(empty()); }
  Leaves(const Leaves &) = delete;
  Leaves &operator=(const Leaves &) = delete;

  bool empty() const { return !oldest_; }
  Leaf *oldest() const { return oldest_; }
  // Its base, without a look at the leaf, which may be far away.
  u64 oldest_base() const { return oldest_base_; }
  // The next younger one; nullptr after the youngest.
  const Leaf *after(const Leaf &leaf) const {
    return leaf.neighbours.younger == oldest_ ? nullptr : leaf.neighbours.younger;
  }

  void push_youngest(Leaf &leaf) {
    if (!oldest_) {
      leaf.neighbours = {&leaf, &leaf};
      set_oldest(leaf);
      return;
    }
    leaf.neighbours = {oldest_->neighbours.older, oldest_};
    link(leaf);
  }
  // Puts @leaf in the place of @old, which has the same base.
  void replace(Leaf &old, Leaf &leaf) {
    if (oldest_ == &old) oldest_ = &leaf;
    if (old.neighbours.younger == &old) {
      leaf.neighbours = {&leaf, &leaf};
    } else {
      leaf.neighbours = old.neighbours;
      link(leaf);
    }
    old.neighbours = {};
  }
  void remove(Leaf &leaf) {
    Leaf *const younger = leaf.neighbours.younger;
    if (younger == &leaf) {
      oldest_ = nullptr;
    } else {
      leaf.neighbours.older->neighbours.younger = younger;
      younger->neighbours.older = leaf.neighbours.older;
      if (oldest_ == &leaf) set_oldest(*younger);
    }
    leaf.neighbours = {};
  }

 private:
  void set_oldest(Leaf &leaf) {
    oldest_ = &leaf;
    oldest_base_ = leaf.base;
  }
  static void link(Leaf &leaf) {
    leaf.neighbours.older->neighbours.younger = &leaf;
    leaf.neighbours.younger->neighbours.older = &leaf;
  }

  Leaf *oldest_ = nullptr;
  u64 oldest_base_ = 0;
};

struct Object {
  Link<Object> next;  // in its bucket; guarded by the bucket's lock, as is the rest
  Pool *const pool;
  const Oid oid;
  u64 leaf_count : 63;
  u64 fills_in_sequence : 1;  // a leaf of it has: one that begins at its first slot is made large at once
  Leaves leaves;

  Object(Pool &of_pool, const Oid &its_oid)
      : pool(&of_pool), oid(its_oid), leaf_count(0), fills_in_sequence(0) {}
};
static_assert(sizeof(Object) == 64);

}  // namespace tmem

#endif
