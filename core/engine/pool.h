// SPDX-License-Identifier: GPL-2.0
// A pool: a set of objects that lives and dies together, and its counters.
//
// Lifetime. The memory of a pool is type-stable: it is taken once, reused for
// later pools, and freed with the engine. So whoever reads a stale pointer
// from a client's table finds a pool, perhaps another one, never freed memory;
// it enters, and then checks that the table still says what it said.
//
// An operation enters the pool's gate and leaves it, which writes to no cache
// line of another CPU. Once the gate is closed nobody enters; whoever leaves
// last wakes the destroyer, which sleeps meanwhile.
// Eviction needs no entry: it meets a pool only through one of its leaves,
// under that leaf's lock, and a pool with a leaf is not yet destroyed.
#ifndef TMEM_CORE_ENGINE_POOL_H
#define TMEM_CORE_ENGINE_POOL_H

#include "../base/counters.h"
#include "../base/list.h"
#include "../base/lock.h"
#include "leaf.h"

namespace tmem {

class Client;

class Pool {
 public:
  // A pool that is not open yet; @row is a row of counters for it alone.
  explicit Pool(tmem_counters *row) : counters(row) {
    tmem_gate_init(&gate_, row, static_cast<u32>(Counter::gate_entered));
  }
  ~Pool() { tmem_gate_destroy(&gate_); }

  void open(u32 serial, u32 flags, const u64 uuid[2], u32 client) {
    serial_ = serial;
    flags_ = flags;
    uuid_[0] = uuid[0];
    uuid_[1] = uuid[1];
    client_ = client;
    tmem_gate_open(&gate_);
  }

  // False: the pool is closed. True: leave() must follow. Any context.
  bool try_enter() { return tmem_gate_enter(&gate_); }
  void leave() { tmem_gate_leave(&gate_); }
  // Lets nobody in any more, and sleeps until everybody has left.
  void close() { tmem_gate_close(&gate_); }
  bool closed() const { return !tmem_gate_is_open(&gate_); }

  bool persistent() const { return flags_ & TMEM_POOL_PERSISTENT; }
  bool shared() const { return flags_ & TMEM_POOL_SHARED; }
  // A get takes the page away: private and ephemeral (contract, clause 3).
  bool exclusive() const { return flags_ == 0; }
  u32 flags() const { return flags_; }
  u32 serial() const { return serial_; }
  u32 client() const { return client_; }
  const u64 *uuid() const { return uuid_; }

  void count(Counter counter, u64 delta = 1) { counters.add(counter, delta); }
  void uncount(Counter counter, u64 delta = 1) { counters.subtract(counter, delta); }
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

  // The engine's bookkeeping, guarded by its control lock.
  Pool *next_pool = nullptr;  // all pools ever made; set once, then constant
  Pool *next_idle = nullptr;
  ListNode in_shared;  // open shared pools, to be joined by uuid
  u32 sharers = 0;
  bool going_away = false;  // somebody is destroying it

 private:
  tmem_gate gate_;
  u64 earlier_[static_cast<u32>(Counter::count_)] = {};  // counted by former pools in this memory
  u64 uuid_[2] = {};
  u32 serial_ = 0;  // never reused; part of the hash of every handle
  u32 flags_ = 0;
  u32 client_ = 0;  // whom its pages are accounted to
};

// A pool that has been entered; left when this goes out of scope.
class EnteredPool {
 public:
  explicit EnteredPool(Pool *pool) : pool_(pool) {}
  ~EnteredPool() { pool_->leave(); }
  EnteredPool(const EnteredPool &) = delete;
  EnteredPool &operator=(const EnteredPool &) = delete;

 private:
  Pool *const pool_;
};

}  // namespace tmem

#endif
