// SPDX-License-Identifier: GPL-2.0
// Histories of a shared pool that clients join and leave. The search is that of
// history.h; what is stored under a handle is not enough here, since a pool that
// the last of its clients has left is gone, and who joins afterwards finds a new
// one of the same uuid, perhaps while the old one is still being destroyed:
//
//   client 0   ├─join─┤ ├─put─┤ ├──────leave──────┤ ├─join─┤ ├─get: missed─┤
//   client 1       ├─join─┤ ├─leave─┤
//   pool       [ the first                         ] [ another
//
// So a configuration has the pools there have been, each with what it stores
// under one handle, which of them each client is in, and which each thread has
// entered. An operation is three events at least: entered, done, left; the last
// client's leaving too: nobody can join any more, nobody enters, gone.
#ifndef TMEM_CORE_TEST_MEMBERSHIP_H
#define TMEM_CORE_TEST_MEMBERSHIP_H

#include <optional>
#include <string>
#include <vector>

#include "history.h"

namespace tmem_test {

enum class Act {
  kJoined,
  kLeft,
  kUsed,       // any operation on pages that the pool let in
  kGoingAway,  // or answered so
  kOutside,    // or answered that there is no such pool
};

struct Membership {
  Act act;
  unsigned int thread, client;
  unsigned long long called, returned;
  std::optional<Deed> deed;  // what it did to the handle, of one that was let in
  unsigned long long tag = 0;
};

inline constexpr unsigned int kClientsOfAPool = 3;
inline constexpr unsigned int kThreadsOfAPool = 5;

// The empty string, or why no order explains what was done (in each thread's order) to one handle of the
// pools of one uuid, of which there is none in the beginning.
std::string explain(const HandleRules &rules, const std::vector<Membership> &history);

}  // namespace tmem_test

#endif
