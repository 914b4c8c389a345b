// SPDX-License-Identifier: GPL-2.0
// What the index is made of.
//
//   bucket of leaves            bucket of objects
//     │ next                      │ next
//   ┌─▼────────────┐  object    ┌─▼────────┐  in_pool   ┌──────┐
//   │ Leaf         ├───────────►│ Object   ├───────────►│ Pool │
//   │ 16 words     │◄───────────┤ leaves   │            └──────┘
//   └──────────────┘  in_object └──────────┘
//
// A leaf holds the pages of 16 consecutive indexes of one object. It exists
// exactly while it holds a page, and an object exactly while it has a leaf:
// there is no empty node anywhere, so nothing can be left behind half built.
#ifndef TMEM_CORE_ENGINE_LEAF_H
#define TMEM_CORE_ENGINE_LEAF_H

#include "../base/list.h"
#include "../base/outcome.h"

namespace tmem {

class Pool;
struct Object;

// What the index knows of a page: a pampd, or the 64 bits it consists of.
struct Word {
  u64 value;
  bool same_filled;
};

struct Leaf {
  static constexpr u32 kSlots = 16;
  static constexpr u32 kSlotBits = 4;
  static_assert(1u << kSlotBits == kSlots);

  Leaf *next = nullptr;      // in its bucket; guarded by the bucket's lock, as is
  Object *object = nullptr;  // all that follows but in_object
  ListNode in_object;        // guarded by the object's bucket
  u64 base;                  // index of slot 0, divided by kSlots
  u16 present = 0;           // a bit for each slot that holds a page
  u16 same_filled = 0;       // of these, the ones whose word is the data itself
  u64 words[kSlots];

  explicit Leaf(u64 base_of_leaf) : base(base_of_leaf) {}

  bool has(u32 slot) const { return present >> slot & 1; }
  bool empty() const { return present == 0; }
  Word at(u32 slot) const { return {words[slot], (same_filled >> slot & 1) != 0}; }

  void set(u32 slot, Word word) {
    const u16 bit = static_cast<u16>(1u << slot);
    words[slot] = word.value;
    present |= bit;
    same_filled = static_cast<u16>(word.same_filled ? same_filled | bit : same_filled & ~bit);
  }
  void clear(u32 slot) {
    const u16 bit = static_cast<u16>(~(1u << slot));
    present &= bit;
    same_filled &= bit;
  }
};
static_assert(sizeof(Leaf) == 176);

struct Object {
  using Leaves = List<Leaf, &Leaf::in_object>;

  Object *next = nullptr;  // in its bucket; guarded by the bucket's lock, as is the rest but in_pool
  ListNode in_pool;        // guarded by the pool's objects_lock
  Pool *const pool;
  const Oid oid;
  u64 leaf_count = 0;
  Leaves leaves;  // oldest first

  Object(Pool &of_pool, const Oid &its_oid) : pool(&of_pool), oid(its_oid) {}
};
static_assert(sizeof(Object) == 80);

}  // namespace tmem

#endif
