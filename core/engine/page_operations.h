// SPDX-License-Identifier: GPL-2.0
// Put, get and flush of one page, as far as they go well: inline, because a call and
// what it must save are a tenth of what the index takes. What is rare is in operations.cc.
#ifndef TMEM_CORE_ENGINE_PAGE_OPERATIONS_H
#define TMEM_CORE_ENGINE_PAGE_OPERATIONS_H

#include "engine.h"
#include "same_filled.h"

namespace tmem {

// Gives back what the index no longer refers to.
inline void Engine::free_word(Word word, Pool &pool) {
  if (!word.same_filled) return pam_ops_->free(pam_, word.value);
  pool.uncount(Counter::level_same_filled);
  pool.uncharged.gone();
}

[[gnu::always_inline]] inline Outcome Engine::put(Pool &pool, const Oid &oid, Index index, const void *page) {
  if (tunable(TMEM_TUNABLE_FROZEN)) return fail_put(pool, oid, index, Outcome::kRefusedFrozen);
  const PageIndex::Place place = index_.locate(pool, oid, index);

  // The new copy is made first, with no lock held; the old one still answers.
  u64 value = 0;
  if (pool.persistent() && tunable(TMEM_TUNABLE_SAME_FILLED) && is_same_filled(page, &value)) {
    // Raised before the page can be seen, so that whoever takes it at once finds it counted.
    pool.count(Counter::level_same_filled);
    if (may_keep_in_index_alone(pool)) return put_same_filled(pool, oid, index, value);
    pool.uncount(Counter::level_same_filled);
  }
  index_.prefetch(place);
  const tmem_pam_page request = pool.request(page, place.back());
  u64 pampd = 0;
  const int created = pam_ops_->create(pam_, &request, &pampd);
  if (__builtin_expect(created != TMEM_OK, 0)) return fail_put(pool, oid, index, outcome_of_create(created));

  const Word word{pampd, false};
  Word old{};
  const PageIndex::Inserted inserted = index_.insert(place, word, &old);
  if (__builtin_expect(inserted == PageIndex::Inserted::kNoMemory, 0)) return fail_put_of(word, pool, oid, index);
  pool.count(Counter::puts_stored);
  if (inserted == PageIndex::Inserted::kReplaced) {
    pool.count(Counter::puts_replaced);
    free_word(old, pool);
  }
  return Outcome::kDone;
}

[[gnu::always_inline]] inline Outcome Engine::get(Pool &pool, const Oid &oid, Index index, void *page) {
  const PageIndex::Place place = index_.locate(pool, oid, index);
  const bool exclusive = pool.exclusive();

  Word word{};
  const auto hold = [this](const Word &found) {
    if (!found.same_filled) pam_ops_->hold(pam_, found.value);
  };
  if (!(exclusive ? index_.take(place, &word) : index_.look_up(place, hold, &word))) {
    pool.count(Counter::gets_missed);
    return Outcome::kNotFound;
  }
  if (word.same_filled) return serve_same_filled(pool, word.value, page);

  // Ours by ownership or by the reference just taken: no lock is needed.
  if (__builtin_expect(pam_ops_->get_data(pam_, word.value, page) != TMEM_OK, 0))
    return drop_corrupt(pool, oid, index, Pampd{word.value});
  pool.count(Counter::gets_hit);
  if (exclusive) {
    pool.count(Counter::pages_taken);
    pam_ops_->free(pam_, word.value);
  } else {
    pam_ops_->release(pam_, word.value);
  }
  return Outcome::kDone;
}

[[gnu::always_inline]] inline Outcome Engine::flush_page(Pool &pool, const Oid &oid, Index index) {
  Word word{};
  if (!index_.take(index_.locate(pool, oid, index), &word)) {
    pool.count(Counter::flushes_missed);
    return Outcome::kNotFound;
  }
  pool.count(Counter::flushes_found);
  pool.count(Counter::pages_flushed);
  free_word(word, pool);
  return Outcome::kDone;
}

}  // namespace tmem

#endif
