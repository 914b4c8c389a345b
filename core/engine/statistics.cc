// SPDX-License-Identifier: GPL-2.0
#include "engine.h"

namespace tmem {

// What follows from other counters is not counted by itself: an operation is
// counted once, when it ends, by how it ended.
static void derive(tmem_stats &s) {
  s.puts = s.puts_stored + s.puts_refused_poor + s.puts_refused_budget + s.puts_refused_limit +
           s.puts_refused_nested + s.puts_refused_frozen + s.puts_no_memory;
  s.gets = s.gets_hit + s.gets_missed + s.gets_corrupt;
  s.flushes = s.flushes_found + s.flushes_missed;
  s.object_flushes = s.object_flushes_found + s.object_flushes_missed;
}

// While others put and flush, a sum may have seen a page go that it has not seen come.
static u64 at_least_none(u64 level) { return level >> 63 ? 0 : level; }

static u64 pages_now(const tmem_stats &s) {
  return at_least_none(s.puts_stored - s.puts_replaced - s.puts_dropped - s.pages_taken -
                       s.pages_flushed - s.pages_evicted - s.pages_corrupt);
}

void Engine::sum_pool(const Pool &pool, tmem_stats &stats) {
#define TMEM_READ_COUNTER(name, meaning) stats.name = pool.counted(Counter::name);
  TMEM_COUNTERS(TMEM_READ_COUNTER)
#undef TMEM_READ_COUNTER
  stats.pages_same_filled = at_least_none(pool.counted(Counter::level_same_filled));
  stats.objects = at_least_none(pool.counted(Counter::level_objects));
  derive(stats);
  stats.pages = pages_now(stats);
}

void Engine::usage(tmem_usage &usage) const {
  usage = {};
  if (pam_ops_) pam_ops_->usage(pam_, &usage);
}

void Engine::sum_all(HostStats &stats) {
  stats = {};
  stats.table_bytes = sizeof(tmem_host) + index_.table_bytes();
  for (const Pool *pool = all_pools_.load_acquire(); pool; pool = pool->next_pool) {
    const Counters &counters = pool->counters;  // former pools in this memory included
#define TMEM_ADD_COUNTER(name, meaning) stats.pages.name += counters.sum(Counter::name);
    TMEM_COUNTERS(TMEM_ADD_COUNTER)
#undef TMEM_ADD_COUNTER
    stats.pages.pages_same_filled += counters.sum(Counter::level_same_filled);
    stats.pages.objects += counters.sum(Counter::level_objects);
    stats.leaf_bytes += counters.sum(Counter::level_leaf_bytes);
    stats.table_bytes += u64{host_.cpu_count} * Counters::kCells * sizeof(u64) + sizeof(Pool);
    stats.pools += !pool->closed();
  }
  derive(stats.pages);
  stats.pages.pages_same_filled = at_least_none(stats.pages.pages_same_filled);
  stats.pages.objects = at_least_none(stats.pages.objects);
  stats.pages.pages = pages_now(stats.pages);
  stats.leaf_bytes = at_least_none(stats.leaf_bytes);
  stats.object_bytes = stats.pages.objects * sizeof(Object);
  stats.index_bytes = stats.leaf_bytes + stats.object_bytes;
  stats.bad_arguments = bad_arguments_.load_relaxed();
  stats.going_away = going_away_.load_relaxed();
  usage(stats.usage);
  {
    Guard guard(control_lock_);
    for (const Client *client : clients_) stats.clients += client != nullptr;
  }
  stats.table_bytes += stats.clients * sizeof(tmem_client) + stats.usage.store_bytes;
}

Outcome Engine::next_client(u32 *cursor, tmem_client_info &info) {
  u64 former_frames, former_pages;
  info = {};
  {
    Guard guard(control_lock_);
    while (*cursor < TMEM_CLIENTS_MAX && !clients_[*cursor]) ++*cursor;
    if (*cursor >= TMEM_CLIENTS_MAX) return Outcome::kNotFound;
    const Client &client = *clients_[(*cursor)++];
    __builtin_memcpy(info.name, client.name(), sizeof(info.name));
    info.number = client.number();
    former_frames = client.former_frames_evicted;
    former_pages = client.former_pages_evicted;
  }
  pam_ops_->client_usage(pam_, info.number, &info.usage);
  info.usage.frames_evicted -= former_frames;
  info.usage.pages_evicted -= former_pages;
  return Outcome::kDone;
}

Outcome Engine::next_pool(u32 *cursor, tmem_pool_info &info) {
  for (; *cursor < TMEM_CLIENTS_MAX * TMEM_POOLS_MAX; ++*cursor) {
    Pool *pool;
    {
      Guard guard(control_lock_);  // for one slot at a time
      const Client *client = clients_[*cursor / TMEM_POOLS_MAX];
      if (!client) continue;
      const int id = client->id_at(*cursor % TMEM_POOLS_MAX);
      if (id < 0) continue;
      pool = client->pool_of(id);
      if (!pool->try_enter()) continue;  // it is being destroyed
      info = {};
      __builtin_memcpy(info.client_name, client->name(), sizeof(info.client_name));
      info.pool = id;
      info.flags = pool->flags();
      info.sharers = pool->sharers;
      info.uuid[0] = pool->uuid()[0];
      info.uuid[1] = pool->uuid()[1];
    }
    const EnteredPool entered(pool);
    sum_pool(*pool, info.stats);
    ++*cursor;
    return Outcome::kDone;
  }
  return Outcome::kNotFound;
}

}  // namespace tmem
