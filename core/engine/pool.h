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
//
// A pool's objects hang on its lists, so that destroying it looks at no other's. There
// is a list for each CPU, or for several, each with a lock: an object is linked into that
// of the CPU that makes it, so CPUs that make objects in one pool do not meet. Taking an
// object off its list is the last that anybody but the destroyer does to a pool.
#ifndef TMEM_CORE_ENGINE_POOL_H
#define TMEM_CORE_ENGINE_POOL_H

#include "../base/counters.h"
#include "../base/list.h"
#include "../base/lock.h"
#include "leaf.h"
#include "uncharged.h"

namespace tmem {

class Client;

class alignas(64) Pool {
 public:
  // A pool that is not open yet; @row is a row of counters for it alone, @all of all pools together.
  // @lists: a power of two, as many as lie in memory behind this.
  Pool(tmem_counters *row, tmem_counters *all, u32 lists)
      : counters(row), all_(all), list_mask_(static_cast<u16>(lists - 1)) {
    tmem_gate_init(&gate_, row, static_cast<u32>(Counter::gate_entered));
    for (u32 i = 0; i < lists; ++i) (new (Placement{this->lists() + i}) ObjectList)->lock.init();
  }
  ~Pool() {
    for (u32 i = 0; i <= list_mask_; ++i) {
      lists()[i].lock.destroy();
      lists()[i].~ObjectList();
    }
    tmem_gate_destroy(&gate_);
  }
  // How many lists there are to be; and what it all takes.
  static u32 lists_for(u32 cpus) {
    return static_cast<u32>(round_up_to_power_of_two(min(cpus, 1u << Leaves::kShardBits)));
  }
  static u64 bytes_with(u32 lists) { return sizeof(Pool) + lists * sizeof(ObjectList); }

  void open(u32 serial, u32 flags, const u64 uuid[2], u32 client) {
    serial_ = serial;
    flags_ = flags;
    uuid_[0] = uuid[0];
    uuid_[1] = uuid[1];
    client_ = client;
    persistent_ = persistent();
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
  u32 number() const { return number_; }
  // What a PAM is told of a page.
  [[gnu::always_inline]] tmem_pam_page request(const void *page, BackReference back) const {
    return {page, back.value, client_, persistent_};
  }

  // An object of this pool comes, or goes. Its bucket's lock is held.
  void link(Object &object) {
    const u32 shard = tmem_this_cpu() & list_mask_;
    object.leaves.set_shard(shard);
    ObjectList &list = lists()[shard];
    Guard guard(list.lock);
    list.objects.push_back(object);
  }
  void unlink(Object &object) {
    ObjectList &list = lists()[object.leaves.shard()];
    Guard guard(list.lock);
    list.objects.remove(object);
  }
  // Calls take(oid) of an object until there is none; nobody links one. When it returns, nobody
  // else has to do with this pool any more: who has just unlinked has let go of the lock.
  template <typename Take>
  void empty_lists(Take take) {
    for (u32 i = 0; i <= list_mask_; ++i)
      while (const Maybe<Oid> oid = first_in(lists()[i])) take(*oid);
  }
  // Calls visit(object, list) for each object; nothing else runs.
  template <typename Visit>
  void each_object(Visit visit) const TMEM_UNCHECKED {
    for (u32 i = 0; i <= list_mask_; ++i)
      for (const Object *object = lists()[i].objects.front(); object; object = lists()[i].objects.after(*object))
        visit(*object, i);
  }

  // In its own row, and in that of all pools, so that a sum over them looks at one row.
  void count(Counter counter, u64 delta = 1) {
    counters.add(counter, delta);
    all_.add(counter, delta);
  }
  void uncount(Counter counter, u64 delta = 1) { count(counter, u64{0} - delta); }
  // What has been counted since the pool was opened.
  u64 counted(Counter counter) const {
    return counters.sum(counter) - earlier_[static_cast<u32>(counter)];
  }
  // After its end: what is counted from now on is another pool's. Others run in between: a sum is a
  // cache line of each CPU's.
  void forget(const tmem_host_ops &host) {
    for (u32 i = 0; i < static_cast<u32>(Counter::count_); ++i) {
      earlier_[i] = counters.sum(static_cast<Counter>(i));
      if (i % kSumsBetweenBreaths == 0) host.breathe();
    }
  }

  Counters counters;
  Uncharged uncharged;

  // The engine's bookkeeping, guarded by its control lock.
  Pool *next_pool = nullptr;  // all pools ever made; set once, then constant
  Pool *next_idle = nullptr;
  ListNode in_shared;  // open shared pools, to be joined by uuid
  u32 sharers = 0;
  bool going_away = false;  // somebody is destroying it

 private:
  struct alignas(64) ObjectList {
    Lock<Rank::kPoolObjects> lock;
    List<Object, &Object::in_pool> objects TMEM_GUARDED_BY(lock);
  };
  static constexpr u32 kSumsBetweenBreaths = 8;

  ObjectList *lists() { return reinterpret_cast<ObjectList *>(this + 1); }
  const ObjectList *lists() const { return reinterpret_cast<const ObjectList *>(this + 1); }
  static Maybe<Oid> first_in(ObjectList &list) {
    Guard guard(list.lock);
    const Object *object = list.objects.front();
    return object ? Maybe<Oid>(object->oid) : Maybe<Oid>();
  }

  Counters all_;
  tmem_gate gate_;
  u64 earlier_[static_cast<u32>(Counter::count_)] = {};  // counted by former pools in this memory
  u64 uuid_[2] = {};
  u32 serial_ = 0;  // never reused; part of the hash of every handle
  u32 flags_ = 0;
  u32 client_ = 0;  // whom its pages are accounted to
  u32 persistent_ = 0;  // what flags_ says; beside client_, as in a tmem_pam_page, so that both are copied at once
  friend class PoolTable;
  u16 number_ = 0;  // in it
  const u16 list_mask_;
};

// All pools ever made, by their numbers: an object has room for a number, not for a pointer.
// In two steps, since there may be as many as clients and pools of each, and most often are few.
class PoolTable {
 public:
  static constexpr u32 kPerChunk = 128;
  // Some more than can be open: whoever makes one may find only then that he may not.
  static constexpr u32 kMost = TMEM_CLIENTS_MAX * TMEM_POOLS_MAX + 2 * kPerChunk;
  static_assert(kMost <= 1u << 16);
  struct Chunk {
    Pool *pools[kPerChunk];
  };

  // Who has a number has it from an object, which was made after the pool: no lock is needed.
  Pool &at(u32 number) const { return *chunks_[number / kPerChunk]->pools[number % kPerChunk]; }

  // The rest is for the engine, under its control lock.
  // These two may be read without it.
  u32 count() const { return count_.load_relaxed(); }
  u32 chunks() const { return (count() + kPerChunk - 1) / kPerChunk; }
  Chunk *chunk(u32 i) const { return chunks_[i]; }
  bool full() const { return count() == kMost; }
  // Where the next pool is to have its place, which needs memory: @spare, which is then nullptr.
  bool has_place(Chunk *&spare) {
    Chunk *&chunk = chunks_[count() / kPerChunk];
    if (!chunk && spare) {
      chunk = spare;
      spare = nullptr;
    }
    return chunk;
  }
  void add(Pool &pool) {
    pool.number_ = static_cast<u16>(count());
    chunks_[count() / kPerChunk]->pools[count() % kPerChunk] = &pool;
    count_.fetch_add_relaxed(1);
  }

 private:
  Chunk *chunks_[kMost / kPerChunk] = {};
  Atomic<u32> count_;
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
