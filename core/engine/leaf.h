// SPDX-License-Identifier: GPL-2.0
// What the index is made of.
//
//   bucket of leaves              bucket of objects
//     │ next                        │ next
//   ┌─▼──────────────┐  object    ┌─▼────────┐          ┌──────┐
//   │ Leaf           ├───────────►│ Object   ├─────────►│ Pool │
//   │ 64 slots       │◄───────────┤ leaves   │          └──────┘
//   │ 1 to 64 words  │  in_object └──────────┘
//   └────────────────┘
//
// A leaf stands for 64 consecutive indexes of one object. It exists exactly
// while it holds a page, and an object exactly while it has a leaf: there is no
// empty node anywhere, so nothing can be left behind half built.
//
// A leaf comes in eight classes, with room for 1, 3, 6, 12, 24, 36, 48 or 64
// words. In the largest, slot i is word i. In the others the words lie
// packed in the order of their slots, and a slot's place is the number of pages
// before it: a popcount instead of empty words, as in Bagwell's hash array
// mapped tries. So a lone page costs 64 bytes here, a dense file 8.9 a page,
// a swap area that is two thirds full about 10. What it costs: an insertion
// or a removal in a packed leaf moves up to 47 words, and growth is a copy.
#ifndef TMEM_CORE_ENGINE_LEAF_H
#define TMEM_CORE_ENGINE_LEAF_H

#include "../base/list.h"
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
  static_assert(1u << kSlotBits == kSlots && kLeafCapacity[kDirectClass] == kSlots);

  Link<Leaf> next;           // in its bucket; guarded by the bucket's lock, as is
  Object *object = nullptr;  // all that follows but in_object
  ListNode in_object;        // guarded by the object's bucket
  u64 base : 58;             // index of slot 0, divided by kSlots
  u64 size_class : 6;
  u64 present = 0;      // a bit for each slot that holds a page
  u64 same_filled = 0;  // of these, the ones whose word is the data itself
  // kLeafCapacity[size_class] words follow.

  Leaf(u64 base_of_leaf, u32 its_class) : base(base_of_leaf), size_class(its_class) {}

  static constexpr unsigned long bytes_of(u32 size_class) {
    return sizeof(Leaf) + kLeafCapacity[size_class] * sizeof(u64);
  }

  static constexpr u64 bit(u32 slot) { return u64{1} << slot; }
  bool has(u32 slot) const { return present & bit(slot); }
  bool empty() const { return present == 0; }
  bool direct() const { return size_class == kDirectClass; }
  u32 capacity() const { return kLeafCapacity[size_class]; }
  u32 pages() const { return popcount(present); }
  bool full() const { return !direct() && pages() == capacity(); }

  // Where the slot's word is, or would be.
  u32 place_of(u32 slot) const { return direct() ? slot : popcount(present & (bit(slot) - 1)); }
  Word at(u32 slot) const { return {array()[place_of(slot)], (same_filled & bit(slot)) != 0}; }

  // The slot holds a page already.
  void replace(u32 slot, Word word) {
    array()[place_of(slot)] = word.value;
    same_filled = (same_filled & ~bit(slot)) | u64{word.same_filled} << slot;
  }
  // It does not, and the leaf is not full.
  void insert(u32 slot, Word word) {
    TMEM_ASSERT(!has(slot) && !full());
    const u32 place = place_of(slot);
    if (!direct())
      for (u32 i = pages(); i > place; --i) array()[i] = array()[i - 1];
    array()[place] = word.value;
    present |= bit(slot);
    same_filled |= u64{word.same_filled} << slot;
  }
  // It holds one.
  void clear(u32 slot) {
    TMEM_ASSERT(has(slot));
    present &= ~bit(slot);
    same_filled &= ~bit(slot);
    if (direct()) return;
    const u32 count = pages();
    for (u32 i = place_of(slot); i < count; ++i) array()[i] = array()[i + 1];
  }
  // Takes over the pages of @other, another class, which this one has room for.
  void copy_pages(const Leaf &other) {
    present = other.present;
    same_filled = other.same_filled;
    const u64 *from = other.array();
    if (!direct() && !other.direct()) {
      for (u32 i = 0, count = pages(); i < count; ++i) array()[i] = from[i];
      return;
    }
    u32 packed = 0;
    for (u64 left = present; left; left &= left - 1, ++packed) {
      const u32 slot = lowest_bit(left);
      array()[direct() ? slot : packed] = from[direct() ? packed : slot];
    }
  }

  // The pages are neighbours: a file read from front to back fills and drains a leaf so.
  bool is_one_stretch() const { return (present & (present + (present & -present))) == 0; }

  // The class to grow to when it is full: further at once if it fills in sequence.
  u32 class_when_full() const {
    return min(size_class + (is_one_stretch() ? 2u : 1u), kDirectClass);
  }
  // The class to shrink to after @slot was cleared, if any. A leaf shrinks
  // when three quarters of it are free, to twice what it holds, so that it does
  // not grow again at once; one that drains in sequence will soon be gone and
  // is let be. Looked at only when the slot was the last of its eight.
  Maybe<u32> class_when_cleared(u32 slot) const {
    if ((present >> (slot & ~7u) & 0xff) != 0) return {};
    const u32 left = pages();
    if (size_class < 2 || left * 4 > capacity() || is_one_stretch()) return {};
    u32 smaller = static_cast<u32>(size_class);
    while (smaller > 0 && kLeafCapacity[smaller - 1] >= left * 2) --smaller;
    return smaller;
  }

 private:
  u64 *array() { return reinterpret_cast<u64 *>(this + 1); }
  const u64 *array() const { return reinterpret_cast<const u64 *>(this + 1); }
};
static_assert(sizeof(Leaf) == 56 && Leaf::bytes_of(Leaf::kDirectClass) == 568);

struct Object {
  using Leaves = List<Leaf, &Leaf::in_object>;

  Link<Object> next;  // in its bucket; guarded by the bucket's lock, as is the rest
  Pool *const pool;
  const Oid oid;
  u64 leaf_count = 0;
  Leaves leaves;  // oldest first

  Object(Pool &of_pool, const Oid &its_oid) : pool(&of_pool), oid(its_oid) {}
};
static_assert(sizeof(Object) == 64);

}  // namespace tmem

#endif
