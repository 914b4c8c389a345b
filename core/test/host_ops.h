// SPDX-License-Identifier: GPL-2.0
// The host of the host tests: memory, locks, events and a codec that check
// what the core promises in abi.h, and abort with a message when it does not.
//
//   locks     ranks are checked on every acquisition, per thread; release in
//             reverse order, with the state that acquire returned
//   memory    no allocation, free, compression, decompression, checksum or
//             wait while a lock is held (contract, clause 9); what sleeps is
//             called from process context only; a free names the right kind
//             and size; memory comes filled with rubbish and goes so
//   codec     begin and end pair up; one context does not nest; buffers are
//             used only while lent
//
// The checks are part of the host, not of a test: whatever runs on it is checked.
#ifndef TMEM_CORE_TEST_HOST_OPS_H
#define TMEM_CORE_TEST_HOST_OPS_H

#include <functional>

#include "abi.h"

namespace tmem_test {

inline constexpr unsigned int kCpus = 4;

// The ops; the same table always.
const tmem_host_ops *host_ops();

// Threads that sleep in tmem_gate_close now.
int events_waiting();
// Locks initialised and not destroyed.
long live_locks();
// Locks this thread holds.
int locks_held();

// From here on this thread counts as one that must not sleep; returns what it was.
bool enter_atomic_context();
void leave_atomic_context(bool before);
// This thread runs an interrupt of itself: the codec may be begun once more.
void enter_interrupt();
void leave_interrupt();

// One call in so many of a lock or an allocation yields the processor, so that
// threads interleave in more ways; 0: none. Drawn from a stream per thread.
// Of this thread: called before a lock is acquired (true) and after it was released.
extern thread_local std::function<void(unsigned int rank, bool acquire)> lock_hook;
void set_perturbation(unsigned int one_in);

}  // namespace tmem_test

#endif
