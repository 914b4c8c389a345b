// SPDX-License-Identifier: GPL-2.0
// Same-filled pages that a client with a limit may have in the index alone, charged to
// nobody: so many in each of its pools. How many there are is a sum over all CPUs, which
// is not to be had for each put. So a look at it gives leave for as many puts as there is
// room for, and one that finds no room says that none is looked for until some have gone:
//
//   63       32 31            16 15              0
//   ┌──────────┬────────────────┬─────────────────┐
//   │ term     │ puts with leave│ pages to go     │      before the next look
//   └──────────┴────────────────┴─────────────────┘
//
// Leave is good for one term, which ends when any client is given a limit: before that the
// pool may have filled without asking. A page is counted before it asks, so what others
// are about to put is in the sum. There are never more than kMost, and as many as others
// put while one such sum is made; there may be fewer while leave is not used.
#ifndef TMEM_CORE_ENGINE_UNCHARGED_H
#define TMEM_CORE_ENGINE_UNCHARGED_H

#include "../base/atomic.h"
#include "../base/types.h"

namespace tmem {

class Uncharged {
 public:
  static constexpr u64 kMost = 64;

  // Whether a page that has been counted may stay so; @sum() counts them. One look in so many puts
  // or pages gone as there are CPUs for a line of their counters: a put costs the same on any machine.
  template <typename Sum>
  bool may_stay(u32 term, u32 cpus, Sum sum) {
    u64 before = state_.load_relaxed();
    for (;;) {
      const bool current = before >> kTermShift == term;
      if (current && leave_of(before) != 0) {
        if (state_.compare_exchange(before, before - kOneLeave)) return true;
        continue;
      }
      if (current && to_go_of(before) != 0) return false;
      const u64 counted = sum();  // this page among them
      const bool room = counted <= kMost;
      const u64 after = u64{term} << kTermShift |
                        (room ? (kMost - counted) * kOneLeave : min<u64>(max(cpus / kCpusPerPage, 1u), kMost / 2));
      // Somebody else has looked, or a page has gone: look again.
      if (state_.compare_exchange(before, after)) return room;
    }
  }
  // A page that was counted has gone.
  void gone() {
    u64 before = state_.load_relaxed();
    while (to_go_of(before) != 0 && !state_.compare_exchange(before, before - 1)) {
    }
  }

 private:
  static constexpr u32 kTermShift = 32;
  static constexpr u64 kOneLeave = 1u << 16;
  static constexpr u32 kCpusPerPage = 16;

  static constexpr u64 leave_of(u64 state) { return state >> 16 & 0xffff; }
  static constexpr u64 to_go_of(u64 state) { return state & 0xffff; }

  Atomic<u64> state_;
};

}  // namespace tmem

#endif
