// SPDX-License-Identifier: GPL-2.0
// Small concurrent programs on a fresh host: two to four threads, a few
// operations each, on a handful of handles. A program is a line of text, so
// that a schedule that fails can be told and run again whole:
//
//   shared:p0g1/o0s !3 @17:1 23:0
//   │      │  │    │   └ deviations of the schedule (schedule.h)
//   │      │  │    └ the third allocation from the start of the threads on fails
//   │      │  └ thread 1: flush object of handle 0, shrink
//   │      └ thread 0: put handle 0, get handle 1
//   └ kind of pool, "ephemeral", "persistent", "shared" or "persistent-shared"; before it "tight-" for a
//     host whose budget is full of ephemeral pages, or "holed-" for a store with holes enough to compact it;
//     then "apart-" for a store with a section for each thread, not one for all; then the name of a stage, which the first object has (stages.h); then "joined-" for a pool of two clients
//
//   p put   z put of a same-filled page   b put of noise, which an ephemeral pool refuses
//   g get   f flush page   r flush range of the handle and its neighbour   o flush object
//   w flush range from the handle to the end of its leaf
//   s shrink by all there is   t shrink by one frame   c compact   d destroy the pool
//   j join the pool, if the thread's client is not in it; d is then its leaving
//   k the same as d, and the client's end
//   n a new pool, a page put into it, and its end: what a pool leaves behind is used again
//
// Handles 0, 1, 4 and 5 are neighbours, 2, 6 and 7 lie elsewhere in the same object, 7 where the
// stage says, 3 in another one; 0, 2 and 4 have a page when the threads start, or
// those of which the stage says so.
//
// In a joined pool threads 0 and 2 are those of one client, 1 and 3 of the other. Thread 0 and
// thread 1 join and leave; their clients are in the pool from the start unless they begin with j.
//
// After a run: no trouble, every invariant, each handle's history and the
// pool's life explained (history.h, membership.h), with a last get of each handle; then all
// is taken apart and nothing may be left.
#ifndef TMEM_CORE_TEST_PROGRAMS_H
#define TMEM_CORE_TEST_PROGRAMS_H

#include <string>
#include <vector>

#include "schedule.h"
#include "stages.h"

namespace tmem_test {

inline constexpr unsigned int kHandles = 8;

struct Operation {
  char what;  // a letter of the list above
  unsigned int handle;
};

struct Program {
  unsigned int flags = 0;  // of the pool
  bool tight = false;
  bool holed = false;
  bool apart = false;
  const Stage *stage = nullptr;
  bool joined = false;
  std::vector<std::vector<Operation>> threads;
  long long failing = 0;  // the number of the allocation that fails; 0: none

  std::string text() const;
};

// False if @text is no program; @deviations is what stands behind the @.
bool parse(const std::string &text, Program &program, std::vector<Deviation> &deviations);

// Letters that take a handle, and those that do not.
extern const char *const kHandleOperations;
extern const char *const kOtherOperations;

struct Verdict {
  std::string wrong;        // empty: nothing
  long long failures = 0;   // allocations that were made to fail
  // What happened, over all runs, must not be nothing: tests look at it.
  unsigned int hits = 0, misses = 0, refusals = 0, evicted = 0, compacted = 0, turned_away = 0;
  LeafWatch leaves;
};

// Runs @program once, as @chooser says, on a host of its own.
Verdict run(Scheduler &scheduler, const Program &program, Chooser &chooser);

// Runs it in threads of the system, as they come.
Verdict run_threads(const Program &program);

}  // namespace tmem_test

#endif
