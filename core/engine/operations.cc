// SPDX-License-Identifier: GPL-2.0
#include "engine.h"
#include "same_filled.h"

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

// Gives back what the index no longer refers to.
void Engine::free_word(const Word &word, Pool &pool) {
  if (word.same_filled)
    pool.counters.subtract(Counter::level_same_filled);
  else
    pam_ops_->free(pam_, word.value);
}

void Engine::free_words(const TakenLeaf &taken, Pool &pool) {
  for (u32 i = 0; i < taken.count; ++i) free_word(taken.word(i), pool);
}

Outcome Engine::put(Pool &pool, const Oid &oid, Index index, const void *page) {
  const PageIndex::Place place = index_.locate(pool, oid, index);

  // The new copy is made first, with no lock held; the old one still answers.
  Word word{0, false};
  Outcome outcome = Outcome::kDone;
  if (tunable(TMEM_TUNABLE_FROZEN)) {
    outcome = Outcome::kRefusedFrozen;
  } else if (pool.persistent() && tunable(TMEM_TUNABLE_SAME_FILLED) &&
             is_same_filled(page, &word.value)) {
    // In the index it is charged to no budget and cannot be evicted. The swap
    // area bounds how many there are; of file pages there is no end, so
    // those go to the PAM (the compressed store keeps eight bytes of them).
    word.same_filled = true;
  } else {
    index_.prefetch(place);
    const tmem_pam_page request{page, place.back().value, pool.client(), pool.persistent()};
    outcome = outcome_of_create(pam_ops_->create(pam_, &request, &word.value));
  }

  Word old;
  if (outcome == Outcome::kDone) {
    // Raised before the page can be seen, so that whoever takes it at once finds it counted.
    if (word.same_filled) pool.count(Counter::level_same_filled);
    const PageIndex::Inserted inserted = index_.insert(place, word, &old);
    if (inserted != PageIndex::Inserted::kNoMemory) {
      pool.count(Counter::puts_stored);
      if (word.same_filled) pool.count(Counter::puts_same_filled);
      if (inserted == PageIndex::Inserted::kReplaced) {
        pool.count(Counter::puts_replaced);
        free_word(old, pool);
      }
      return Outcome::kDone;
    }
    free_word(word, pool);
    outcome = Outcome::kNoMemory;
  }

  // A put that fails leaves nothing: the older page would be stale (clause 1).
  if (index_.take(place, &old)) {
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

Outcome Engine::get(Pool &pool, const Oid &oid, Index index, void *page) {
  const PageIndex::Place place = index_.locate(pool, oid, index);
  const bool exclusive = pool.exclusive();

  Word word;
  const auto hold = [this](const Word &found) {
    if (!found.same_filled) pam_ops_->hold(pam_, found.value);
  };
  if (!(exclusive ? index_.take(place, &word) : index_.look_up(place, hold, &word))) {
    pool.count(Counter::gets_missed);
    return Outcome::kNotFound;
  }

  if (word.same_filled) {
    fill(page, word.value);
    pool.count(Counter::gets_hit);
    if (exclusive) {
      pool.count(Counter::pages_taken);
      free_word(word, pool);
    }
    return Outcome::kDone;
  }

  // Ours by ownership or by the reference just taken: no lock is needed.
  const bool served = pam_ops_->get_data(pam_, word.value, page) == TMEM_OK;
  pool.count(served ? Counter::gets_hit : Counter::gets_corrupt);
  if (exclusive)
    pool.count(served ? Counter::pages_taken : Counter::pages_corrupt);
  else if (!served && !pool.persistent() &&
           index_.take_if(place.back(), Pampd{word.value}, Counter::pages_corrupt))
    pam_ops_->free(pam_, word.value);
  if (exclusive)
    pam_ops_->free(pam_, word.value);
  else
    pam_ops_->release(pam_, word.value);
  return served ? Outcome::kDone : Outcome::kCorrupt;
}

Outcome Engine::flush_page(Pool &pool, const Oid &oid, Index index) {
  Word word;
  if (!index_.take(index_.locate(pool, oid, index), &word)) {
    pool.count(Counter::flushes_missed);
    return Outcome::kNotFound;
  }
  pool.count(Counter::flushes_found);
  pool.count(Counter::pages_flushed);
  free_word(word, pool);
  return Outcome::kDone;
}

// Leaf by leaf of the range, whether it is there or not; gives up once the
// object is gone, which is looked at now and then. The leaves of an object are
// in no order, so a range much wider than the object cannot be walked by what
// is there; ephemeral pages may go at any time, and there the whole object goes.
Outcome Engine::flush_range(Pool &pool, const Oid &oid, Index first, Index last) {
  constexpr u64 kLeavesBetweenLooks = 64;
  constexpr u64 kLeavesWalked = 16384;  // a few ms
  constexpr u64 kLeavesWalkedPerLeaf = 16;
  const u64 first_base = first.value >> Leaf::kSlotBits;
  const u64 last_base = last.value >> Leaf::kSlotBits;
  const u32 slot_mask = Leaf::kSlots - 1;
  const ObjectKey key = index_.key(pool, oid);
  u64 pages = 0, leaves, oldest;
  if (first.value <= last.value && last_base - first_base > kLeavesWalked && !pool.persistent() &&
      index_.has_object(key, &leaves, &oldest) &&
      last_base - first_base > leaves * kLeavesWalkedPerLeaf) {
    pages = flush_object_counted(pool, oid, Breathe::kNever);
    pool.count(pages ? Counter::flushes_found : Counter::flushes_missed);
    return pages ? Outcome::kDone : Outcome::kNotFound;
  }
  for (u64 base = first_base; first.value <= last.value; ++base) {
    const u64 done = base - first_base;
    if (done % kLeavesBetweenLooks == 0 && last_base - first_base > 1 &&
        !index_.has_object(key, &leaves, &oldest))
      break;
    TakenLeaf taken;
    const bool gone =
        index_.take_slots(key, base, base == first_base ? static_cast<u32>(first.value) & slot_mask : 0,
                          base == last_base ? static_cast<u32>(last.value) & slot_mask : slot_mask, taken);
    free_words(taken, pool);
    pages += taken.count;
    if (gone || base == last_base) break;
  }
  pool.count(pages ? Counter::flushes_found : Counter::flushes_missed);
  pool.count(Counter::pages_flushed, pages);
  return pages ? Outcome::kDone : Outcome::kNotFound;
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
    TakenLeaf taken;
    gone = index_.take_slots(key, base, 0, Leaf::kSlots - 1, taken);
    free_words(taken, pool);
    pages += taken.count;
    if (breathe == Breathe::kBetweenLeaves) host_.breathe();
  }
  pool.count(Counter::pages_flushed, pages);
  return pages;
}

Outcome Engine::flush_object(Pool &pool, const Oid &oid) {
  const bool found = flush_object_counted(pool, oid, Breathe::kNever) != 0;
  pool.count(found ? Counter::object_flushes_found : Counter::object_flushes_missed);
  return found ? Outcome::kDone : Outcome::kNotFound;
}

}  // namespace tmem
