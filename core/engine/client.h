// SPDX-License-Identifier: GPL-2.0
// A client: somebody with pools of its own. It names its pools by ids that
// mean nothing to any other client, so it cannot reach theirs.
//
//   id = generation << 10 | slot          slot ──► Slot { pool, generation }
//
// The generation of a slot grows each time it is given away, so an id that
// outlived its pool is recognised.
#ifndef TMEM_CORE_ENGINE_CLIENT_H
#define TMEM_CORE_ENGINE_CLIENT_H

#include "../base/atomic.h"
#include "pool.h"

namespace tmem {

class Engine;

class Client {
 public:
  Client(Engine &engine, u32 number, const char *name) : engine_(engine), number_(number) {
    u32 i = 0;
    for (; i + 1 < sizeof(name_) && name[i]; ++i) name_[i] = name[i];
    name_[i] = 0;
  }

  // Finds the pool of this id and enters it. Any context, no lock.
  // kBadArgument: no such pool. kGoingAway: it is being destroyed.
  Outcome enter(int id, Pool **entered) const {
    const Slot &slot = slots_[slot_of(id)];
    Pool *pool = slot.pool.load_acquire();
    if (!pool) return Outcome::kBadArgument;
    const bool inside = pool->try_enter();
    // Entered, it stays what it is. It is ours if the slot still says so. No slot has the generation of a negative id.
    const bool ours = slot.pool.load_acquire() == pool && slot.generation.load_acquire() == generation_of(id);
    if (inside && ours) {
      *entered = pool;
      return Outcome::kDone;
    }
    if (inside) pool->leave();
    return ours ? Outcome::kGoingAway : Outcome::kBadArgument;
  }

  // The rest is for the engine, under its control lock.

  // A slot without a pool, or nothing if all are taken.
  Maybe<u32> free_slot() const {
    for (u32 i = 0; i < TMEM_POOLS_MAX; ++i)
      if (!slots_[i].pool.load_relaxed()) return i;
    return {};
  }
  // Gives @pool a free slot; returns the id.
  int publish(Pool &pool, u32 free_slot) {
    Slot &slot = slots_[free_slot];
    const u32 generation = (slot.generation.load_relaxed() + 1) & kGenerationMask;
    slot.generation.store_release(generation);
    slot.pool.store_release(&pool);
    return static_cast<int>(generation << kSlotBits | free_slot);
  }
  Pool *pool_of(int id) const {
    if (id < 0) return nullptr;
    const Slot &slot = slots_[slot_of(id)];
    return slot.generation.load_relaxed() == generation_of(id) ? slot.pool.load_relaxed() : nullptr;
  }
  void withdraw(int id) { slots_[slot_of(id)].pool.store_release(nullptr); }
  // The id in slot number @i, or a negative number if it is free.
  int id_at(u32 i) const {
    if (!slots_[i].pool.load_relaxed()) return -1;
    return static_cast<int>(slots_[i].generation.load_relaxed() << kSlotBits | i);
  }

  Engine &engine() const { return engine_; }
  u32 number() const { return number_; }
  const char *name() const { return name_; }
  // What earlier clients of this number had evicted. Under the engine's control lock.
  u64 former_frames_evicted = 0, former_pages_evicted = 0;

 private:
  static constexpr u32 kSlotBits = 10;
  static_assert(1u << kSlotBits == TMEM_POOLS_MAX);
  static constexpr u32 kGenerationMask = (1u << (31 - kSlotBits)) - 1;

  static constexpr u32 slot_of(int id) { return static_cast<u32>(id) & (TMEM_POOLS_MAX - 1); }
  static constexpr u32 generation_of(int id) { return static_cast<u32>(id) >> kSlotBits; }

  struct Slot {
    Atomic<Pool *> pool;
    Atomic<u32> generation{kGenerationMask};  // so that the first is 0
  };

  Engine &engine_;
  const u32 number_;
  char name_[16] = {};
  Slot slots_[TMEM_POOLS_MAX];
};

}  // namespace tmem

#endif
