// SPDX-License-Identifier: GPL-2.0
// Counters: a row of the host's, whose cells each CPU adds to for itself, and
// sums that are exact as soon as nothing is under way. Levels (objects now,
// bytes of leaves now) are cells too, from which is subtracted as well; only
// their sum over the CPUs has a meaning.
#ifndef TMEM_CORE_BASE_COUNTERS_H
#define TMEM_CORE_BASE_COUNTERS_H

#include "types.h"

namespace tmem {

enum class Counter : u32 {
#define TMEM_COUNTER_ENUMERATOR(name, meaning) name,
  TMEM_COUNTERS(TMEM_COUNTER_ENUMERATOR)
#undef TMEM_COUNTER_ENUMERATOR
  level_same_filled,
  level_objects,
  level_leaf_bytes,
  gate_entered,  // the pool's gate counts in these two
  gate_left,
  count_,
};

class Counters {
 public:
  static constexpr u32 kCells = static_cast<u32>(Counter::count_);

  // @row has kCells cells.
  explicit Counters(tmem_counters *row) : row_(row) {}
  tmem_counters *row() const { return row_; }

  void add(Counter counter, u64 delta = 1) const {
    tmem_counters_add(row_, static_cast<u32>(counter), delta);
  }
  u64 sum(Counter counter) const { return tmem_counters_sum(row_, static_cast<u32>(counter)); }

 private:
  tmem_counters *const row_;
};

}  // namespace tmem

#endif
