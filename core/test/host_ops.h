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
//   work      (TMEM_TEST_WORK builds) no lock is held over more than so many basic
//             blocks of the core, which are counted as they run
//
// The checks are part of the host, not of a test: whatever runs on it is checked.
#ifndef TMEM_CORE_TEST_HOST_OPS_H
#define TMEM_CORE_TEST_HOST_OPS_H

#include <functional>
#include <string>

#include "abi.h"

namespace tmem_test {

// The ops; the same table always.
const tmem_host_ops *host_ops();

// CPUs that the machine has: TMEM_TEST_CPUS of the environment, or 4. What an engine is made with stays so.
inline constexpr unsigned int kCpusMost = 256;
unsigned int cpus();
void set_cpus(unsigned int count);

// From here on this thread runs on that CPU, as far as the core can tell (an engine may have been made with more CPUs than
// cpus()); at first its number decides.
void move_to_cpu(unsigned int cpu);
// Threads that sleep in tmem_gate_close now.
int events_waiting();
// Locks initialised and not destroyed.
long live_locks();
// Locks this thread holds.
int locks_held();

// From here on this thread counts as one that must not sleep; returns what it was.
bool enter_atomic_context();
void leave_atomic_context(bool before);
// How much of the core this thread ran, in basic blocks: since begin_work(), the most while a lock of
// each rank was held, and the most between two chances for others to run (breathe, or the beginning, or the end).
struct Work {
  unsigned long long under_lock[TMEM_RANKS] = {};
  unsigned long long between_breaths = 0;
  unsigned long long locks = 0;  // acquired
};
void begin_work();
Work end_work();
// Whether this build counts.
bool counts_work();
// What a lock may be held over in any test.
inline constexpr unsigned long long kBlocksUnderLockMost = 100000;

// This thread runs an interrupt of itself: the codec may be begun once more.
void enter_interrupt();
void leave_interrupt();

// One call in so many of a lock or an allocation yields the processor, so that
// threads interleave in more ways; 0: none. Drawn from a stream per thread.
// Of this thread: called before a lock is acquired (true) and after it was released.
extern thread_local std::function<void(unsigned int rank, bool acquire)> lock_hook;
void set_perturbation(unsigned int one_in);

// ---- For a scheduler (schedule.h); by default there is none.

// Where a thread may be made to stand still.
enum class Point { kLock, kUnlock, kHostOp, kPamOp, kCounter };

// Whether what a thread waits for has come about.
using Ready = bool (*)(const void *argument);

class Scheduling {
 public:
  // The running thread is at @point; may return much later.
  virtual void reach(Point point) = 0;
  // Returns when @ready says so of @argument, and then nothing has run since it did.
  virtual void wait(Ready ready, const void *argument) = 0;
  // For the message before the process dies.
  virtual std::string describe() const = 0;

 protected:
  ~Scheduling() = default;
};

// In this thread of the system; returns the one before, or nullptr.
Scheduling *set_scheduling(Scheduling *scheduling);
// What all host ops call; PAM ops in front of which a test stands call it too.
void reach(Point point);

// What the host knows of a thread: locks held, buffers lent, its CPU. A logical
// thread has its own, with its number in place of one counted.
struct ThreadState;
ThreadState *make_thread_state(unsigned int number);
void drop_thread_state(ThreadState *state);
// It begins something new, and must hold nothing.
void restart_thread_state(const ThreadState &state);
// From here on this thread of the system runs as that one; nullptr: as itself.
void use_thread_state(ThreadState *state);
// Of the thread that runs.
unsigned int thread_number();
// " holds rank 1, ..." or " holds nothing".
std::string what_it_holds(const ThreadState &state);

// Moments at which a thread of a test can be stopped, holding no lock.
enum class Moment {
  kNone,
  kBeforeLeafBucket,  // a lock of this rank is about to be taken
  kAfterLeafBucket,   // one was just released
  kBeforeStore,
  kAfterStore,
  kObjectAlloc,
  kChecksum,
  kDecompress,
};
// At the next such moment of this thread, after @skip others, @action is run as if by another
// thread on another CPU, while this one waits: one interleaving of the two, the same each time.
void interleave(Moment moment, unsigned int skip, std::function<void()> action);
// Whether the moment came; if not, it is forgotten.
bool interleaved();

}  // namespace tmem_test

#endif
