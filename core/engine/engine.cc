// SPDX-License-Identifier: GPL-2.0
#include "engine.h"

#include "../store/stores.h"

namespace tmem {

static constexpr struct {
  u64 smallest, largest, initial;
} kTunableRanges[] = {
#define TMEM_TUNABLE_RANGE(NAME, name, smallest, largest, initial, meaning) \
  {smallest, largest, initial},
    TMEM_TUNABLES(TMEM_TUNABLE_RANGE)
#undef TMEM_TUNABLE_RANGE
};

Engine::Engine(const tmem_host_ops &host, tmem_counters *all) : host_(host), index_(host, *this, pools_), all_(all) {
  control_lock_.init();
  for (u32 i = 0; i < TMEM_TUNABLES_COUNT; ++i) tunables_[i].store_relaxed(kTunableRanges[i].initial);
}

static bool complete(const tmem_host_ops *host) {
  return host && host->abi_size == sizeof(*host) && host->cpu_count && host->memory_frames &&
         host->object_alloc && host->object_free && host->frame_alloc && host->frame_free &&
         host->table_alloc && host->table_free && host->counters_alloc && host->counters_free &&
         host->breathe && host->codec_begin && host->codec_end && host->compress &&
         host->decompress && host->checksum && host->evicted && host->node_of;
}

Result<Engine *> Engine::create(const tmem_host_ops *host) {
  if (!complete(host)) return Outcome::kBadArgument;
  void *memory = host->table_alloc(sizeof(tmem_host));
  tmem_counters *all = memory ? host->counters_alloc(Counters::kCells) : nullptr;
  if (all) {
    tmem_host *engine = new (Placement{memory}) tmem_host(*host, all);
    if (engine->index_.start() == Outcome::kDone) return engine;
    engine->~tmem_host();
    host->counters_free(all, Counters::kCells);
  }
  if (memory) host->table_free(memory, sizeof(tmem_host));
  return Outcome::kNoMemory;
}

Outcome Engine::destroy() {
  {
    Guard guard(control_lock_);
    for (const Client *client : clients_)
      if (client) return Outcome::kInUse;
  }
  if (pam_ops_) pam_ops_->stop(pam_);
  index_.stop();
  for (Pool *pool = all_pools_.load_relaxed(); pool;) {
    Pool *next = pool->next_pool;
    free_pool(pool);
    pool = next;
  }
  for (u32 i = 0; i < pools_.chunks(); ++i) host_.table_free(pools_.chunk(i), sizeof(PoolTable::Chunk));
  const tmem_host_ops &host = host_;
  tmem_counters *all = all_.row();
  tmem_host *self = static_cast<tmem_host *>(this);
  self->~tmem_host();
  host.counters_free(all, Counters::kCells);
  host.table_free(self, sizeof(tmem_host));
  return Outcome::kDone;
}

int Engine::register_pam(const tmem_pam_ops *ops) {
  if (!ops || ops->abi_size != sizeof(*ops) || ops->reserved || !ops->start || !ops->stop ||
      !ops->create || !ops->hold || !ops->release || !ops->get_data || !ops->free || !ops->shrink ||
      !ops->compact || !ops->set_limit || !ops->set_client || !ops->usage || !ops->client_usage ||
      !ops->offer)
    return TMEM_BAD_ARGUMENT;
  if (pam_ops_) return TMEM_IN_USE;
  const int result = ops->start(static_cast<tmem_host *>(this), &pam_);
  if (result != TMEM_OK) return result;
  pam_ops_ = ops;
  apply_limit();
  return TMEM_OK;
}

u64 Engine::frames_limit() const {
  return host_.memory_frames * tunable(TMEM_TUNABLE_MAX_POOL_PERCENT) / 100;
}

Outcome Engine::set_tunable(u32 which, u64 value) {
  if (which >= TMEM_TUNABLES_COUNT || value < kTunableRanges[which].smallest ||
      value > kTunableRanges[which].largest)
    return Outcome::kBadArgument;
  tunables_[which].store_relaxed(value);
  if (which == TMEM_TUNABLE_MAX_POOL_PERCENT && pam_ops_) apply_limit();
  return Outcome::kDone;
}

// Of two that set the limit at once, the later one in the tunable must win in the PAM too.
void Engine::apply_limit() {
  u64 frames;
  do {
    frames = frames_limit();
    pam_ops_->set_limit(pam_, frames);
  } while (frames != frames_limit());
}

// ---- Clients

static bool weight_is_legal(u32 weight) { return weight >= 1 && weight <= TMEM_WEIGHT_MAX; }

Result<Client *> Engine::create_client(const char *name, u32 weight, u64 limit_frames) {
  if (!pam_ops_ || !name || !weight_is_legal(weight)) return Outcome::kBadArgument;
  void *memory = host_.table_alloc(sizeof(tmem_client));
  if (!memory) return Outcome::kNoMemory;
  tmem_client *client = nullptr;
  {
    Guard guard(control_lock_);
    for (u32 i = 0; i < TMEM_CLIENTS_MAX && !client; ++i)
      if (!clients_[i] && !accounted_pools_[i]) {
        client = new (Placement{memory}) tmem_client(*this, i, name);
        clients_[i] = client;
        live_clients_.fetch_add_relaxed(1);
      }
  }
  if (!client) {
    host_.table_free(memory, sizeof(tmem_client));
    return Outcome::kTooMany;
  }
  configure(client->number(), weight, limit_frames);
  tmem_client_usage former = {};
  pam_ops_->client_usage(pam_, client->number(), &former);
  Guard guard(control_lock_);
  client->former_frames_evicted = former.frames_evicted;
  client->former_pages_evicted = former.pages_evicted;
  return client;
}

// The PAM may take its time; whoever comes second, and whoever is overtaken by him, leave what was said last.
void Engine::configure(u32 client, u32 weight, u64 limit_frames) {
  Share share = {weight, limit_frames};
  {
    Guard guard(control_lock_);
    share.version = shares_[client].version + 1;
    shares_[client] = share;
  }
  for (;;) {
    pam_ops_->set_client(pam_, client, share.weight, share.limit_frames);
    Guard guard(control_lock_);
    if (shares_[client].version == share.version) {
      const u32 bit = 1u << client, limited = limited_clients_.load_relaxed();
      limit_term_.fetch_add_relaxed(1);
      limited_clients_.store_relaxed(share.limit_frames == TMEM_NO_LIMIT ? limited & ~bit : limited | bit);
      return;
    }
    share = shares_[client];
  }
}

Outcome Engine::configure_client(Client &client, u32 weight, u64 limit_frames) {
  if (!weight_is_legal(weight)) return Outcome::kBadArgument;
  configure(client.number(), weight, limit_frames);
  return Outcome::kDone;
}

void Engine::destroy_client(Client &client) {
  for (u32 i = 0; i < TMEM_POOLS_MAX; ++i) {
    const int id = client.id_at(i);
    if (id >= 0) static_cast<void>(destroy_pool(client, id));
  }
  // What others still share of its pools is bound by no will of its own any more.
  configure(client.number(), TMEM_WEIGHT_DEFAULT, TMEM_NO_LIMIT);
  {
    Guard guard(control_lock_);
    clients_[client.number()] = nullptr;
    live_clients_.fetch_add_relaxed(~0u);
  }
  tmem_client *self = static_cast<tmem_client *>(&client);
  self->~tmem_client();
  host_.table_free(self, sizeof(tmem_client));
}

// ---- Pools

// One that nobody has to do with; nullptr if there is no memory.
Pool *Engine::make_pool() {
  const u32 lists = Pool::lists_for(host_.cpu_count);
  void *memory = host_.table_alloc(Pool::bytes_with(lists));
  tmem_counters *row = memory ? host_.counters_alloc(Counters::kCells) : nullptr;
  if (row) return new (Placement{memory}) Pool(row, all_.row(), lists);
  if (memory) host_.table_free(memory, Pool::bytes_with(lists));
  return nullptr;
}

void Engine::free_pool(Pool *pool) {
  tmem_counters *row = pool->counters.row();
  pool->~Pool();
  host_.counters_free(row, Counters::kCells);
  host_.table_free(pool, Pool::bytes_with(Pool::lists_for(host_.cpu_count)));
}

// An idle pool, or a new one; nullptr if there is no memory, or no number.
Pool *Engine::acquire_pool() {
  {
    Guard guard(control_lock_);
    if (Pool *pool = idle_pools_) {
      idle_pools_ = pool->next_idle;
      return pool;
    }
  }
  Pool *pool = make_pool();
  if (!pool) return nullptr;
  PoolTable::Chunk *spare = nullptr;
  bool added = false, fetched = true;
  while (!added && fetched) {
    {
      Guard guard(control_lock_);
      if (pools_.full()) break;
      added = pools_.has_place(spare);
      if (added) {
        pools_.add(*pool);
        pool->next_pool = all_pools_.load_relaxed();
        all_pools_.store_release(pool);
      }
    }
    if (!added) {
      spare = static_cast<PoolTable::Chunk *>(host_.table_alloc(sizeof(PoolTable::Chunk)));
      fetched = spare != nullptr;
    }
  }
  if (spare) host_.table_free(spare, sizeof(PoolTable::Chunk));
  if (added) return pool;
  free_pool(pool);
  return nullptr;
}

void Engine::retire_pool(Pool &pool) {
  pool.forget(host_);  // nobody else's by now: no lock
  pool.going_away = false;
  Guard guard(control_lock_);
  pool.next_idle = idle_pools_;
  idle_pools_ = &pool;
}

// The open pool of this uuid and kind. A pool that is being destroyed is off
// the list: its pages are on their way out.
Pool *Engine::find_shared(u32 flags, const u64 *uuid) {
  auto &list = shared_pools_[list_of(uuid)];
  for (Pool *pool = list.front(); pool; pool = list.after(*pool))
    if (pool->flags() == flags && pool->uuid()[0] == uuid[0] && pool->uuid()[1] == uuid[1])
      return pool;
  return nullptr;
}

Result<int> Engine::new_pool(Client &client, u32 flags, const u64 *uuid) {
  if (flags & ~u32{TMEM_POOL_FLAGS}) return Outcome::kBadArgument;
  const bool shared = flags & TMEM_POOL_SHARED;
  if (shared && !uuid) return Outcome::kBadArgument;
  static constexpr u64 kNoUuid[2] = {};

  Pool *fresh = acquire_pool();
  if (!fresh) return Outcome::kNoMemory;
  Guard guard(control_lock_);
  const Maybe<u32> slot = client.free_slot();
  Pool *pool = slot && shared ? find_shared(flags, uuid) : nullptr;
  if (!slot || pool) {  // the fresh one goes back to the shelf, unopened
    fresh->next_idle = idle_pools_;
    idle_pools_ = fresh;
    if (!slot) return Outcome::kTooMany;
  } else {
    pool = fresh;
    pool->open(++next_serial_, flags, uuid ? uuid : kNoUuid, client.number());
    pool->sharers = 0;
    open_pools_.fetch_add_relaxed(1);
    accounted_pools_[client.number()]++;
    if (shared) shared_pools_[list_of(uuid)].push_back(*pool);
  }
  pool->sharers++;
  return client.publish(*pool, *slot);
}

// Object after object, and others run in between; nobody makes one any more. Eviction may take
// the last page of one: it takes the object off its list when it is done with the pool.
void Engine::flush_pool(Pool &pool) {
  pool.empty_lists([&](const Oid &oid) {
    static_cast<void>(flush_object_counted(pool, oid, Breathe::kBetweenLeaves));
    host_.breathe();
  });
}

Outcome Engine::destroy_pool(Client &client, int id) {
  Pool *pool;
  {
    Guard guard(control_lock_);
    pool = client.pool_of(id);
    if (!pool) return Outcome::kBadArgument;
    if (pool->sharers > 1) {
      pool->sharers--;
      client.withdraw(id);
      return Outcome::kDone;
    }
    if (pool->going_away) return Outcome::kGoingAway;  // somebody else is at it
    pool->going_away = true;
    if (pool->shared()) shared_pools_[list_of(pool->uuid())].remove(*pool);
    open_pools_.fetch_add_relaxed(~0u);
  }
  // From here on nobody enters, and when the last has left nobody inserts.
  pool->close();
  flush_pool(*pool);
  {
    Guard guard(control_lock_);
    client.withdraw(id);
    accounted_pools_[pool->client()]--;
  }
  retire_pool(*pool);
  return Outcome::kDone;
}

void Engine::count_failed_entry(Outcome outcome) {
  if (outcome == Outcome::kGoingAway) going_away_.fetch_add_relaxed(1);
  if (outcome == Outcome::kBadArgument) count_bad_argument();
}

bool Engine::keeps_in_compressed_store() const {
  return pam_ops_ && pam_ops_->start == tmem_compressed_pam()->start;
}

Outcome Engine::corrupt_next(u64 count) {
#ifdef TMEM_DEBUG
  if (!keeps_in_compressed_store()) return Outcome::kBadArgument;
  corrupt_next_in_compressed_store(pam_, count);
  return Outcome::kDone;
#else
  static_cast<void>(count);
  return Outcome::kBadArgument;
#endif
}

}  // namespace tmem
