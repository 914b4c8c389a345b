// SPDX-License-Identifier: GPL-2.0
#include "page_operations.h"

namespace tmem {

static Counter counter_of_failed_put(Outcome outcome) {
  switch (outcome) {
    case Outcome::kRefusedPoor: return Counter::puts_refused_poor;
    case Outcome::kRefusedBudget: return Counter::puts_refused_budget;
    case Outcome::kRefusedLimit: return Counter::puts_refused_limit;
    case Outcome::kRefusedNested: return Counter::puts_refused_nested;
    case Outcome::kRefusedFrozen: return Counter::puts_refused_frozen;
    default: return Counter::puts_no_memory;
  }
}

void Engine::free_words(const TakenPages &taken, Pool &pool) {
  for (u32 i = 0; i < taken.count; ++i) free_word(taken.word(i), pool);
}

// Of a leaf that was taken out; how many there were. Each may be the last of a run, whose frames then go.
u64 Engine::free_leaf_with_words(Leaf *leaf, Pool &pool, Breathe breathe) {
  constexpr u32 kPagesBetweenBreaths = 32;
  const u64 pages = leaf->pages();
  u32 freed = 0;
  leaf->each([&](u32, const Word &word) {
    free_word(word, pool);
    if (breathe == Breathe::kBetweenLeaves && ++freed % kPagesBetweenBreaths == 0) host_.breathe();
  });
  index_.free_leaf(leaf);
  return pages;
}

// A page that is one repeated word, and has been counted so: the word is kept in the index.
Outcome Engine::put_same_filled(Pool &pool, const Oid &oid, Index index, u64 value) {
  // In the index it is charged to no budget and cannot be evicted. The swap
  // area bounds how many there are; of file pages there is no end, and a limit is a
  // limit, so those go to the PAM (the compressed store keeps eight bytes of them).
  const Word word{value, true};
  Word old{};
  const PageIndex::Inserted inserted = index_.insert(index_.locate(pool, oid, index), word, &old);
  if (inserted == PageIndex::Inserted::kNoMemory) return fail_put_of(word, pool, oid, index);
  pool.count(Counter::puts_stored);
  pool.count(Counter::puts_same_filled);
  if (inserted == PageIndex::Inserted::kReplaced) {
    pool.count(Counter::puts_replaced);
    free_word(old, pool);
  }
  return Outcome::kDone;
}

// There was no memory to keep @word, which is given back.
Outcome Engine::fail_put_of(Word word, Pool &pool, const Oid &oid, Index index) {
  free_word(word, pool);
  return fail_put(pool, oid, index, Outcome::kNoMemory);
}

// A page of a slab is a page frame; a few more, since others want memory too.
bool Engine::make_room(bool persistent) {
  constexpr u64 kFrames = 4;
  return shrink(kFrames, TMEM_ANY_NODE) != 0 || (persistent && compact(kFrames, TMEM_ANY_NODE) != 0);
}

// It leaves nothing: the older page would be stale (clause 1).
Outcome Engine::fail_put(Pool &pool, const Oid &oid, Index index, Outcome outcome) {
  Word old;
  if (index_.take(index_.locate(pool, oid, index), &old)) {
    pool.count(Counter::puts_dropped);
    free_word(old, pool);
  }
  pool.count(counter_of_failed_put(outcome));
  return outcome;
}

Outcome Engine::put_nothing(Pool &pool, const Oid &oid, Index index) {
  Word old;
  if (index_.take(index_.locate(pool, oid, index), &old)) {
    pool.count(Counter::puts_dropped);
    free_word(old, pool);
  }
  count_bad_argument();
  return Outcome::kBadArgument;
}

// A page that was found, and is ours if the pool is an exclusive one, is a repeated word.
Outcome Engine::serve_same_filled(Pool &pool, u64 value, void *page) {
  fill(page, value);
  pool.count(Counter::gets_hit);
  if (pool.exclusive()) {
    pool.count(Counter::pages_taken);
    free_word({value, true}, pool);
  }
  return Outcome::kDone;
}

// Of a page that was found; it is still held, or ours.
Outcome Engine::drop_corrupt(Pool &pool, const Oid &oid, Index index, Pampd pampd) {
  pool.count(Counter::gets_corrupt);
  if (pool.exclusive()) {
    pool.count(Counter::pages_corrupt);
    pam_ops_->free(pam_, pampd.value);
    return Outcome::kCorrupt;
  }
  if (!pool.persistent() && index_.take_if(index_.locate(pool, oid, index).back(), pampd, Counter::pages_corrupt))
    pam_ops_->free(pam_, pampd.value);
  pam_ops_->release(pam_, pampd.value);
  return Outcome::kCorrupt;
}

// The leaves of an object are in no order, so a range is walked leaf by leaf
// whether they are there or not, and one that is much wider than the object
// cannot be: ephemeral pages may go at any time, so there the whole object
// goes; persistent ones may not, so there it is refused.
static constexpr u64 kIndicesWalked = 1ull << 20;  // a few ms
static constexpr u64 kLeavesWalkedPerLeaf = 16;

Outcome Engine::flush_range(Pool &pool, const Oid &oid, Index first, Index last, Breathe breathe) {
  u64 pages = 0;
  if (first.value == 0 && last.value == ~0ull) {
    pages = flush_object_counted(pool, oid, breathe);
  } else if (first.value <= last.value) {
    if (pool.persistent() && last.value - first.value >= kIndicesWalked) {
      count_bad_argument();
      return Outcome::kBadArgument;
    }
    pages = flush_range_counted(pool, oid, first, last, breathe);
  }
  pool.count(pages ? Counter::flushes_found : Counter::flushes_missed);
  return pages ? Outcome::kDone : Outcome::kNotFound;
}

// Looks now and then what there is of the object. Gives up once it is gone.
// The first look decides how far this goes at most: what is left of the range is
// then walked, or not much wider than the object was.
u64 Engine::flush_range_counted(Pool &pool, const Oid &oid, Index first, Index last,
                                Breathe breathe) {
  constexpr u64 kLeavesBetweenLooks = 64;
  const u64 first_base = first.value >> Leaf::kSlotBits;
  const u64 last_base = last.value >> Leaf::kSlotBits;
  const u32 slot_mask = Leaf::kSlots - 1;
  const ObjectKey key = index_.key(pool, oid);
  const bool wide = last.value - first.value >= kIndicesWalked;
  u64 pages = 0;
  for (u64 base = first_base;; ++base) {
    if ((base - first_base) % kLeavesBetweenLooks == 0 && last_base - first_base > 1) {
      u64 leaves, oldest;
      if (!index_.has_object(key, &leaves, &oldest)) break;
      if (wide && last_base - base > leaves * kLeavesWalkedPerLeaf &&
          last_base - base > kIndicesWalked >> Leaf::kSlotBits) {
        pool.count(Counter::pages_flushed, pages);
        pool.count(Counter::flushes_widened);
        return pages + flush_object_counted(pool, oid, breathe);
      }
      if (breathe == Breathe::kBetweenLeaves) host_.breathe();
    }
    const u64 pages_before = pages;
    bool gone = false;
    const u32 last_slot = base == last_base ? static_cast<u32>(last.value) & slot_mask : slot_mask;
    u32 slot = base == first_base ? static_cast<u32>(first.value) & slot_mask : 0;
    if (slot == 0 && last_slot == slot_mask) {
      if (Leaf *leaf = index_.take_leaf(key, base, &gone)) pages += free_leaf_with_words(leaf, pool, breathe);
      slot = Leaf::kSlots;
    }
    while (slot <= last_slot) {
      TakenPages taken;
      slot = index_.take_slots(key, base, slot, last_slot, taken, &gone);
      free_words(taken, pool);
      pages += taken.count;
      if (taken.count && breathe == Breathe::kBetweenLeaves) host_.breathe();
    }
    if (gone || base == last_base) break;
    if (breathe == Breathe::kBetweenLeaves && pages != pages_before) host_.breathe();
  }
  pool.count(Counter::pages_flushed, pages);
  return pages;
}

// Takes the object out leaf by leaf, oldest first, as many as it had at the
// start: whoever keeps putting meanwhile cannot keep us here.
u64 Engine::flush_object_counted(Pool &pool, const Oid &oid, Breathe breathe) {
  u64 leaves, base, quota = 0, pages = 0;
  const ObjectKey key = index_.key(pool, oid);
  bool gone = false;
  for (u64 done = 0; !gone && index_.has_object(key, &leaves, &base); ++done) {
    if (done == 0) quota = leaves;
    if (done == quota) break;
    if (Leaf *leaf = index_.take_leaf(key, base, &gone)) pages += free_leaf_with_words(leaf, pool, breathe);
    if (breathe == Breathe::kBetweenLeaves) host_.breathe();
  }
  pool.count(Counter::pages_flushed, pages);
  return pages;
}

Outcome Engine::flush_object(Pool &pool, const Oid &oid, Breathe breathe) {
  const bool found = flush_object_counted(pool, oid, breathe) != 0;
  pool.count(found ? Counter::object_flushes_found : Counter::object_flushes_missed);
  return found ? Outcome::kDone : Outcome::kNotFound;
}

}  // namespace tmem
