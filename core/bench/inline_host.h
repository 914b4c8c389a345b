// SPDX-License-Identifier: GPL-2.0
// What abi.h wants the host to link, as inline functions: a lock that nobody
// else wants costs one atomic exchange and one store, and a counter a plain
// addition to the thread's own part of a row. A kernel's cost is about that
// (with interrupts switched off on top), and the peer's locks, which are inline
// too, cost exactly that. Nothing is checked here; the host of core/test does that.
//
// A gate counts on both sides without an atomic operation, as in glue/counters.c:
// closing makes a barrier in every running thread (membarrier), so whoever
// had seen the gate open is by then counted, and whoever leaves later sees it shut.
//
// Included by tmem.cc in front of the core, so it uses no library.
#ifndef TMEM_CORE_BENCH_INLINE_HOST_H
#define TMEM_CORE_BENCH_INLINE_HOST_H

#include "abi.h"

extern "C" {

// This thread's number, which stands for a CPU's: see ThreadScope in platform.h.
extern __thread unsigned int tmem_bench_thread __attribute__((tls_model("local-exec")));
// Where this thread's part of a row of counters begins, in bytes: what a kernel keeps in a segment register.
extern __thread unsigned long tmem_bench_part __attribute__((tls_model("local-exec")));
// The way of a lock that is taken.
void tmem_bench_lock_wait(unsigned long *word);

inline unsigned int tmem_this_cpu() { return tmem_bench_thread; }

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

// A row: for each thread a part of its own, a few cache lines.
#define TMEM_BENCH_CELLS_MAX 64
#define TMEM_BENCH_THREADS_MAX 64

struct tmem_counters {
  struct {
    unsigned long long cells[TMEM_BENCH_CELLS_MAX];
  } parts[TMEM_BENCH_THREADS_MAX];
};

// Adds to this thread's part of a cell, given the first part's. Nobody else writes to it: one instruction
// without a lock prefix, as this_cpu_add() is; who sees the addition sees what came before (x86-64).
inline void tmem_bench_add(unsigned long long *first, unsigned long long delta) {
  auto *mine = reinterpret_cast<unsigned long long *>(reinterpret_cast<char *>(first) + tmem_bench_part);
  asm volatile("addq %1, %0" : "+m"(*mine) : "er"(delta) : "memory", "cc");
}

inline void tmem_counters_add(tmem_counters *counters, unsigned int cell, unsigned long long delta) {
  tmem_bench_add(&counters->parts[0].cells[cell], delta);
}

inline unsigned long long tmem_counters_sum(const tmem_counters *counters, unsigned int cell) {
  unsigned long long sum = 0;
  for (const auto &part : counters->parts) sum += __atomic_load_n(&part.cells[cell], __ATOMIC_ACQUIRE);
  return sum;
}

// What the words of a tmem_gate are here.
struct tmem_bench_gate {
  tmem_counters *counters;
  unsigned int cell;
  int open;
  unsigned long long *entered;  // the first thread's part of the two cells
  unsigned long long *left;
  unsigned int departures;  // since it was shut; waited for
};
static_assert(sizeof(tmem_bench_gate) <= sizeof(tmem_gate));

inline tmem_bench_gate *tmem_bench_gate_of(const tmem_gate *gate) {
  return reinterpret_cast<tmem_bench_gate *>(const_cast<unsigned long *>(gate->words));
}
// Registers the process for membarrier.
void tmem_gate_init(tmem_gate *gate, tmem_counters *counters, unsigned int cell);
void tmem_gate_close(tmem_gate *gate);
// Wakes who is closing the gate.
void tmem_bench_gate_departure(tmem_bench_gate *gate);

// The threads have ended by then, so nobody is still about to leave.
inline void tmem_gate_destroy(tmem_gate *) {}

inline void tmem_gate_open(tmem_gate *gate) {
  __atomic_store_n(&tmem_bench_gate_of(gate)->open, 1, __ATOMIC_RELEASE);
}

inline int tmem_gate_is_open(const tmem_gate *gate) {
  return __atomic_load_n(&tmem_bench_gate_of(gate)->open, __ATOMIC_ACQUIRE);
}

inline void tmem_gate_leave(tmem_gate *gate) {
  tmem_bench_gate *own = tmem_bench_gate_of(gate);
  tmem_bench_add(own->left, 1);
  __atomic_signal_fence(__ATOMIC_SEQ_CST);  // the closer's membarrier does the rest
  if (__builtin_expect(!__atomic_load_n(&own->open, __ATOMIC_RELAXED), 0)) tmem_bench_gate_departure(own);
}

inline int tmem_gate_enter(tmem_gate *gate) {
  tmem_bench_gate *own = tmem_bench_gate_of(gate);
  // Counted first: a closer that does not see it is one whose shut gate is seen here.
  tmem_bench_add(own->entered, 1);
  __atomic_signal_fence(__ATOMIC_SEQ_CST);
  if (__builtin_expect(__atomic_load_n(&own->open, __ATOMIC_ACQUIRE), 1)) return 1;
  tmem_gate_leave(gate);
  return 0;
}

}  // extern "C"

#endif
