// SPDX-License-Identifier: GPL-2.0
// A pool: a set of objects that lives and dies together, and its counters.
//
// Lifetime. The memory of a pool is type-stable: it is taken once, reused for
// later pools, and freed with the engine. So whoever reads a stale pointer
// from a client's table finds a pool, perhaps another one, never freed memory;
// it enters, and then checks that the table still says what it said.
//
// An operation enters the pool and leaves it. Once the pool is closed nobody
// enters; whoever leaves last wakes the destroyer, which sleeps meanwhile.
// Eviction needs no entry: it meets a pool only through one of its leaves,
// under that leaf's lock, and a pool with a leaf is not yet destroyed.
#ifndef TMEM_CORE_ENGINE_POOL_H
#define TMEM_CORE_ENGINE_POOL_H

#include "../base/counters.h"
#include "../base/lock.h"
#include "leaf.h"

namespace tmem {

class Client;

class Pool {
 public:
  using Objects = List<Object, &Object::in_pool>;

  // A pool that is not open yet; @counter_memory is Counters::bytes_for(cpus), zeroed.
  Pool(void *counter_memory, u32 cpus) {
    counters.adopt(counter_memory, cpus);
    objects_lock.init();
  }
  ~Pool() { objects_lock.destroy(); }

  void open(u32 serial, u32 flags, const u64 uuid[2], u32 client) {
    serial_ = serial;
    flags_ = flags;
    uuid_[0] = uuid[0];
    uuid_[1] = uuid[1];
    client_ = client;
    TMEM_ASSERT(users_.load_relaxed() == kClosed);
    tmem_event_init(&drained_);
    users_.store_release(0);
  }

  // False: the pool is closed. True: leave() must follow. Any context.
  bool try_enter() {
    u64 users = users_.load_acquire();
    do {
      if (users & kClosed) return false;
    } while (!users_.compare_exchange(users, users + 1));
    return true;
  }

  void leave() {
    if (users_.fetch_sub_release(1) == (kClosed | 1)) tmem_event_signal(&drained_);
  }

  // Lets nobody in any more. False if it was closed already.
  bool close() {
    const u64 users = users_.fetch_or(kClosed);
    somebody_to_wait_for_ = users != 0;
    return !(users & kClosed);
  }
  // After close(): sleeps until everybody has left.
  void wait_until_left() {
    if (somebody_to_wait_for_) tmem_event_wait(&drained_);
  }
  bool closed() const { return users_.load_acquire() & kClosed; }

  bool persistent() const { return flags_ & TMEM_POOL_PERSISTENT; }
  bool shared() const { return flags_ & TMEM_POOL_SHARED; }
  // A get takes the page away: private and ephemeral (contract, clause 3).
  bool exclusive() const { return flags_ == 0; }
  u32 flags() const { return flags_; }
  u32 serial() const { return serial_; }
  u32 client() const { return client_; }
  const u64 *uuid() const { return uuid_; }

  void count(Counter counter, u64 delta = 1) { counters.add(counter, delta); }
  // What has been counted since the pool was opened.
  u64 counted(Counter counter) const {
    return counters.sum(counter) - earlier_[static_cast<u32>(counter)];
  }
  // After its end: what is counted from now on is another pool's. The cells are
  // never cleared, so that sums over all pools ever made only grow.
  void forget() {
    for (u32 i = 0; i < static_cast<u32>(Counter::count_); ++i)
      earlier_[i] = counters.sum(static_cast<Counter>(i));
  }

  Counters counters;
  Lock<Rank::kPoolObjects> objects_lock;
  Objects objects TMEM_GUARDED_BY(objects_lock);

  // The engine's bookkeeping, guarded by its control lock.
  Pool *next_pool = nullptr;  // all pools ever made; set once, then constant
  Pool *next_idle = nullptr;
  ListNode in_shared;  // open shared pools, to be joined by uuid
  u32 sharers = 0;

 private:
  static constexpr u64 kClosed = u64{1} << 63;

  Atomic<u64> users_{kClosed};
  tmem_event drained_{};
  u64 earlier_[static_cast<u32>(Counter::count_)] = {};  // counted by former pools in this memory
  u64 uuid_[2] = {};
  u32 serial_ = 0;  // never reused; part of the hash of every handle
  u32 flags_ = 0;
  u32 client_ = 0;  // whom its pages are accounted to
  bool somebody_to_wait_for_ = false;
};

// A pool that has been entered; left when this goes out of scope.
class EnteredPool {
 public:
  EnteredPool() = default;
  explicit EnteredPool(Pool *pool) : pool_(pool) {}
  ~EnteredPool() {
    if (pool_) pool_->leave();
  }
  EnteredPool(const EnteredPool &) = delete;
  EnteredPool &operator=(const EnteredPool &) = delete;
  explicit operator bool() const { return pool_ != nullptr; }
  Pool &operator*() const { return *pool_; }
  Pool *operator->() const { return pool_; }

 private:
  Pool *pool_ = nullptr;
};

}  // namespace tmem

#endif
