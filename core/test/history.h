// SPDX-License-Identifier: GPL-2.0
// Whether a concurrent history can be explained: is there an order of its
// operations, each at one moment between its call and its return, in which each
// answer is what the contract says (linearizability: Herlihy and Wing; the
// search is Wing and Gong's, with a memory of configurations seen).
//
// Each handle is checked by itself, as linearizability allows. An operation on
// many handles (flush range, flush object, destroy pool) is a flush of each,
// somewhere between call and return, each at its own moment: the contract
// promises no more. It may come by more than once: the core takes an object out
// leaf by leaf, oldest first, and meets a leaf again that was taken out and put
// anew meanwhile. What an ephemeral page does by itself, go, needs no event
// of its own: a miss is always explained there, and from then on the page is gone.
//
// A thread has one operation under way at a time, so what has been explained so
// far is, for each thread, a first part of what it did: a configuration is one
// number for each thread, and what is stored.
#ifndef TMEM_CORE_TEST_HISTORY_H
#define TMEM_CORE_TEST_HISTORY_H

#include <string>
#include <vector>

namespace tmem_test {

// What one operation did to one handle, or to its pool's life, as far as its answer says.
enum class Deed {
  kStored,         // put: the page is there, with this tag
  kRefused,        // put, not stored: nothing is there
  kHit,            // get: what was there had this tag
  kMissed,         // get or flush: nothing was there
  kFlushed,        // flush: something was there, and is no more
  kFlushedUnseen,  // flush of many: nothing is there, and nobody says whether something was
  kEntered,        // any operation that the pool let in
  kClosed,         // destroy: nobody is let in from here on ...
  kGone,           // ... and from here on there is no such pool
  kGoingAway,      // answered between these two
  kUnknown,        // answered after both: a bad argument
};

struct Event {
  Deed deed;
  unsigned int thread;
  unsigned long long called, returned;  // moments, of one clock for all threads
  unsigned long long tag = 0;
};

struct HandleRules {
  bool ephemeral;  // pages go by themselves
  bool exclusive;  // a hit takes the page away
};

// Whether @deed, of the tag @tag, is explained where @stored is stored (0: nothing), which it changes.
bool apply(const HandleRules &rules, Deed deed, unsigned long long tag, unsigned long long &stored);
const char *name_of(Deed deed);

// The empty string, or why no order explains @events (in each thread's order)
// on one handle that is empty in the beginning, or of one pool that is open.
std::string explain(const HandleRules &rules, const std::vector<Event> &events);

}  // namespace tmem_test

#endif
