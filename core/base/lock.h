// SPDX-License-Identifier: GPL-2.0
// Ranked spinlocks. The core declares them and says what each guards; the host
// implements them (a spinlock with interrupts off in the kernel). The rank is
// part of the type, and one lockdep class.
//
// Order, outermost first; a lock is taken only while holding lower ranks:
//
//   kControl        tables of clients and pools; life cycle and statistics only
//   kLeafBucket     one bucket of leaves: every page operation
//   kObjectBucket   one bucket of objects: when a leaf appears or goes
//   kPoolObjects    one of a pool's lists of objects: when an object appears or goes
//   kStore          a PAM's own; hold() is called under kLeafBucket, so it comes after
//   kBudget         what a PAM's pages are charged to; innermost
//
// No lock is held over compression, decompression, an allocation, or a loop
// without a small constant bound. Eviction holds no kStore lock while it takes
// a kLeafBucket lock. The only way to take a lock is a Guard.
//
// The annotations are for clang's -Wthread-safety, an error on the host.
#ifndef TMEM_CORE_BASE_LOCK_H
#define TMEM_CORE_BASE_LOCK_H

#include "types.h"

#if defined(__clang__)
#define TMEM_ANNOTATION(x) __attribute__((x))
#else
#define TMEM_ANNOTATION(x)
#endif
#define TMEM_CAPABILITY(name) TMEM_ANNOTATION(capability(name))
#define TMEM_SCOPED_CAPABILITY TMEM_ANNOTATION(scoped_lockable)
#define TMEM_GUARDED_BY(lock) TMEM_ANNOTATION(guarded_by(lock))
#define TMEM_REQUIRES(...) TMEM_ANNOTATION(requires_capability(__VA_ARGS__))
#define TMEM_ACQUIRE(...) TMEM_ANNOTATION(acquire_capability(__VA_ARGS__))
#define TMEM_RELEASE(...) TMEM_ANNOTATION(release_capability(__VA_ARGS__))
#define TMEM_UNCHECKED TMEM_ANNOTATION(no_thread_safety_analysis)

namespace tmem {

enum class Rank : u32 {
  kControl = TMEM_RANK_CONTROL,
  kLeafBucket = TMEM_RANK_LEAF_BUCKET,
  kObjectBucket = TMEM_RANK_OBJECT_BUCKET,
  kPoolObjects = TMEM_RANK_POOL_OBJECTS,
  kStore = TMEM_RANK_STORE,
  kBudget = TMEM_RANK_BUDGET,
};

template <Rank kRank>
class Guard;

// Lives in zeroed tables as well as in objects, so it has init and destroy
// rather than a constructor and a destructor.
template <Rank kRank>
class TMEM_CAPABILITY("lock") Lock {
 public:
  void init() { tmem_lock_init(&lock_, static_cast<u32>(kRank)); }
  void destroy() { tmem_lock_destroy(&lock_); }

 private:
  friend class Guard<kRank>;
  tmem_lock lock_;
};

template <Rank kRank>
class TMEM_SCOPED_CAPABILITY Guard {
 public:
  explicit Guard(Lock<kRank> &lock) TMEM_ACQUIRE(lock)
      : lock_(lock), interrupt_state_(tmem_lock_acquire(&lock.lock_)) {}
  ~Guard() TMEM_RELEASE() { tmem_lock_release(&lock_.lock_, interrupt_state_); }
  Guard(const Guard &) = delete;
  Guard &operator=(const Guard &) = delete;

 private:
  Lock<kRank> &lock_;
  unsigned long interrupt_state_;
};

}  // namespace tmem

#endif
