// SPDX-License-Identifier: GPL-2.0
// Per-CPU counters: a row of cells for each CPU, a cell for each counter. Two
// CPUs never share a cache line, and a cell is changed atomically, so a stale
// CPU number or an interrupt in between loses nothing: sums are exact as soon
// as nothing is under way. Levels (pages now, objects now) are cells too, to
// which both +1 and -1 are added; only their sum over the CPUs has a meaning.
#ifndef TMEM_CORE_BASE_COUNTERS_H
#define TMEM_CORE_BASE_COUNTERS_H

#include "atomic.h"

namespace tmem {

enum class Counter : u32 {
#define TMEM_COUNTER_ENUMERATOR(name, meaning) name,
  TMEM_COUNTERS(TMEM_COUNTER_ENUMERATOR)
#undef TMEM_COUNTER_ENUMERATOR
  level_same_filled,
  level_objects,
  level_leaves,
  count_,
};

class Counters {
 public:
  // The bytes of zeroed memory that @cpus rows need, and taking them into use.
  static u64 bytes_for(u32 cpus) { return u64{cpus} * kRowBytes; }
  void adopt(void *memory, u32 cpus) {
    rows_ = static_cast<Row *>(memory);
    cpus_ = cpus;
  }
  void *memory() const { return rows_; }

  void add(Counter counter, u64 delta = 1) {
    const u32 cpu = tmem_cpu();
    rows_[cpu < cpus_ ? cpu : 0].cell[static_cast<u32>(counter)].fetch_add_relaxed(delta);
  }
  void subtract(Counter counter, u64 delta = 1) { add(counter, u64{0} - delta); }

  u64 sum(Counter counter) const {
    u64 total = 0;
    for (u32 cpu = 0; cpu < cpus_; ++cpu)
      total += rows_[cpu].cell[static_cast<u32>(counter)].load_relaxed();
    return total;
  }

 private:
  static constexpr u32 kCacheLine = 64;
  static constexpr u64 kRowBytes =
      (static_cast<u64>(Counter::count_) * sizeof(u64) + kCacheLine - 1) / kCacheLine * kCacheLine;
  struct Row {
    Atomic<u64> cell[kRowBytes / sizeof(u64)];
  };
  static_assert(sizeof(Row) == kRowBytes);

  Row *rows_ = nullptr;
  u32 cpus_ = 0;
};

}  // namespace tmem

#endif
