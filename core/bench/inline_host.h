// SPDX-License-Identifier: GPL-2.0
// What abi.h wants the host to link, as inline functions: a lock that nobody
// else wants costs one atomic exchange and one store, the CPU's number one load.
// A kernel's cost is about that (with interrupts switched off on top), and the
// peer's locks, which are inline too, cost exactly that. Nothing is checked
// here; the host of core/test does that.
//
// Included by tmem.cc in front of the core, so it uses no library.
#ifndef TMEM_CORE_BENCH_INLINE_HOST_H
#define TMEM_CORE_BENCH_INLINE_HOST_H

#include "abi.h"

extern "C" {

// This thread's number, which stands for a CPU's: see ThreadScope in platform.h.
extern __thread unsigned int tmem_bench_thread;
// The way of a lock that is taken.
void tmem_bench_lock_wait(unsigned long *word);

inline void tmem_lock_init(tmem_lock *lock, unsigned int) {
  __atomic_store_n(&lock->words[0], 0, __ATOMIC_RELAXED);
}

inline void tmem_lock_destroy(tmem_lock *) {}

inline unsigned long tmem_lock_acquire(tmem_lock *lock) {
  if (__builtin_expect(__atomic_exchange_n(&lock->words[0], 1, __ATOMIC_ACQUIRE) != 0, 0))
    tmem_bench_lock_wait(&lock->words[0]);
  return 0;
}

inline void tmem_lock_release(tmem_lock *lock, unsigned long) {
  __atomic_store_n(&lock->words[0], 0, __ATOMIC_RELEASE);
}

inline unsigned int tmem_cpu(void) { return tmem_bench_thread; }

}  // extern "C"

#endif
