// SPDX-License-Identifier: GPL-2.0
#include "engine.h"

namespace tmem {

// What follows from other counters is not counted by itself: an operation is
// counted once, when it ends, by how it ended. @of(counter) is what was counted.
template <typename Of>
static u64 all_puts(Of of) {
  return of(Counter::puts_stored) + of(Counter::puts_refused_poor) + of(Counter::puts_refused_budget) +
         of(Counter::puts_refused_limit) + of(Counter::puts_refused_nested) + of(Counter::puts_refused_frozen) +
         of(Counter::puts_no_memory);
}
template <typename Of>
static u64 all_gets(Of of) {
  return of(Counter::gets_hit) + of(Counter::gets_missed) + of(Counter::gets_corrupt);
}
template <typename Of>
static u64 all_flushes(Of of) {
  return of(Counter::flushes_found) + of(Counter::flushes_missed);
}
template <typename Of>
static u64 all_object_flushes(Of of) {
  return of(Counter::object_flushes_found) + of(Counter::object_flushes_missed);
}

// While others put and flush, a sum may have seen a page go that it has not seen come.
static u64 at_least_none(u64 level) { return level >> 63 ? 0 : level; }

template <typename Of>
static u64 pages_of(Of of) {
  return at_least_none(of(Counter::puts_stored) - of(Counter::puts_replaced) - of(Counter::puts_dropped) -
                       of(Counter::pages_taken) - of(Counter::pages_flushed) - of(Counter::pages_evicted) -
                       of(Counter::pages_corrupt));
}

template <typename Of>
static void read(tmem_stats &stats, Of of) {
#define TMEM_READ_COUNTER(name, meaning) stats.name = of(Counter::name);
  TMEM_COUNTERS(TMEM_READ_COUNTER)
#undef TMEM_READ_COUNTER
  stats.puts = all_puts(of);
  stats.gets = all_gets(of);
  stats.flushes = all_flushes(of);
  stats.object_flushes = all_object_flushes(of);
  stats.pages_same_filled = at_least_none(of(Counter::level_same_filled));
  stats.objects = at_least_none(of(Counter::level_objects));
  stats.pages = pages_of(of);
}

// Each cell is read once: what is derived agrees with what it is derived from.
namespace {
struct Snapshot {
  u64 value[static_cast<u32>(Counter::count_)];

  u64 operator()(Counter counter) const { return value[static_cast<u32>(counter)]; }
  template <typename Of>
  explicit Snapshot(Of of) {
    for (u32 i = 0; i < static_cast<u32>(Counter::gate_entered); ++i) value[i] = of(static_cast<Counter>(i));
  }
};
}  // namespace

void Engine::sum_pool(const Pool &pool, tmem_stats &stats) {
  read(stats, Snapshot([&](Counter counter) { return pool.counted(counter); }));
}

void Engine::usage(tmem_usage &usage) const {
  usage = {};
  if (pam_ops_) pam_ops_->usage(pam_, &usage);
}

u64 Engine::table_bytes(u64 store_bytes) const {
  const u64 rows = pools_.count() + 1;
  return sizeof(tmem_host) + index_.table_bytes() + rows * host_.cpu_count * Counters::kCells * sizeof(u64) +
         pools_.count() * Pool::bytes_with(Pool::lists_for(host_.cpu_count)) +
         pools_.chunks() * sizeof(PoolTable::Chunk) + live_clients_.load_relaxed() * sizeof(tmem_client) + store_bytes;
}

void Engine::sum_all(HostStats &stats) {
  stats = {};
  const Snapshot sums([&](Counter counter) { return all_.sum(counter); });
  read(stats.pages, sums);
  usage(stats.usage);
  stats.leaf_bytes = at_least_none(sums(Counter::level_leaf_bytes));
  stats.object_bytes = stats.pages.objects * sizeof(Object);
  stats.index_bytes = stats.leaf_bytes + stats.object_bytes;
  stats.bad_arguments = bad_arguments_.load_relaxed();
  stats.going_away = going_away_.load_relaxed();
  stats.pools = open_pools_.load_relaxed();
  stats.clients = live_clients_.load_relaxed();
  stats.table_bytes = table_bytes(stats.usage.store_bytes);
}

u64 Engine::value(u32 which) {
  const auto sum = [&](Counter counter) { return all_.sum(counter); };
  const auto object_bytes = [&] { return at_least_none(sum(Counter::level_objects)) * sizeof(Object); };
  const auto leaf_bytes = [&] { return at_least_none(sum(Counter::level_leaf_bytes)); };
  tmem_usage used;
  switch (which) {
    case TMEM_VALUE_puts: return all_puts(sum);
    case TMEM_VALUE_gets: return all_gets(sum);
    case TMEM_VALUE_flushes: return all_flushes(sum);
    case TMEM_VALUE_object_flushes: return all_object_flushes(sum);
    case TMEM_VALUE_pages: return pages_of(sum);
    case TMEM_VALUE_pages_same_filled: return at_least_none(sum(Counter::level_same_filled));
    case TMEM_VALUE_objects: return at_least_none(sum(Counter::level_objects));
    case TMEM_VALUE_bad_arguments: return bad_arguments_.load_relaxed();
    case TMEM_VALUE_going_away: return going_away_.load_relaxed();
    case TMEM_VALUE_index_bytes: return leaf_bytes() + object_bytes();
    case TMEM_VALUE_leaf_bytes: return leaf_bytes();
    case TMEM_VALUE_object_bytes: return object_bytes();
    case TMEM_VALUE_pools: return open_pools_.load_relaxed();
    case TMEM_VALUE_clients: return live_clients_.load_relaxed();
    case TMEM_VALUE_table_bytes: usage(used); return table_bytes(used.store_bytes);
#define TMEM_USAGE_VALUE(name, meaning) \
  case TMEM_VALUE_##name: usage(used); return used.name;
    TMEM_USAGE(TMEM_USAGE_VALUE)
#undef TMEM_USAGE_VALUE
    default: break;
  }
  // What is left are counters, in the order of their cells.
  return which < static_cast<u32>(Counter::level_same_filled) ? sum(static_cast<Counter>(which)) : 0;
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
  constexpr u32 kSlotsBetweenBreaths = 128;
  for (; *cursor < TMEM_CLIENTS_MAX * TMEM_POOLS_MAX; ++*cursor) {
    Pool *pool;
    if (*cursor % kSlotsBetweenBreaths == 0) host_.breathe();
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
