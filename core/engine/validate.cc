// SPDX-License-Identifier: GPL-2.0
// Every invariant of the index, checked from the outside while nothing runs.
// The number returned names the line that failed; store/ has the 100s and 200s.
#include "../store/stores.h"
#include "engine.h"

namespace tmem {

bool PageIndex::resolves(BackReference back, Pampd pampd) const TMEM_UNCHECKED {
  // Without the bucket's lock, which ranks below the store's: nothing else runs.
  const Chain chain(back);
  if (!is_chain(chain)) return false;
  return find_holder(leaf_buckets_[chain.number], chain.head, chain.slot, pampd) != nullptr;
}

// 0 if every link of the chain says the truth of its item.
template <typename T, typename SpotOf>
static int validate_chain(Link<T> link, u64 number, u32 head, SpotOf spot_of) {
  for (; link; link = link.item()->next) {
    const Spot spot = spot_of(*link.item());
    if (spot.number != number || spot.head != head) return 5;  // where nobody looks for it
    if (!link.has_tag(spot.tag) || link.last() != !link.item()->next) return 8;
  }
  return 0;
}

int PageIndex::validate_leaf(const Leaf &leaf) const {
  if (leaf.empty()) return 1;  // a leaf without a page
  if (!leaf.object || pool_of(*leaf.object).closed()) return 3;
  if (!leaf.neighbours.older || !leaf.neighbours.younger) return 4;
  if (leaf.size_class >= kLeafClasses || leaf.pages() > leaf.capacity()) return 9;
  if (!leaf.is_sound()) return 13;
  for (Link<Leaf> link = leaf.next; link; link = link.item()->next)
    if (link.item()->object == leaf.object && link.item()->base == leaf.base) return 6;
  return 0;
}

int PageIndex::validate(u64 *pages_found, u64 *bytes_found) const {
  u64 leaves = 0, pages = 0, bytes = 0, leaves_of_objects = 0;
  for (u64 i = 0; i <= leaf_bucket_mask_; ++i) {
    Guard guard(leaf_buckets_[i].lock);
    for (u32 head = 0; head < Spot::kHeads; ++head) {
      const Link<Leaf> first = leaf_buckets_[i].heads[head];
      const auto spot_of = [&](const Leaf &leaf) {
        return locate(pool_of(*leaf.object), leaf.object->oid, Index{leaf.base << Leaf::kSlotBits}).spot;
      };
      if (const int broken = validate_chain(first, i, head, spot_of)) return broken;
      for (Link<Leaf> link = first; link; link = link.item()->next) {
        if (const int broken = validate_leaf(*link.item())) return broken;
        leaves++;
        pages += link.item()->pages();
        bytes += Leaf::bytes_of(static_cast<u32>(link.item()->size_class));
      }
    }
  }
  for (u64 i = 0; i <= object_bucket_mask_; ++i) {
    Guard guard(object_buckets_[i].lock);
    for (u32 head = 0; head < Spot::kHeads; ++head) {
      const Link<Object> first = object_buckets_[i].heads[head];
      const auto spot_of = [&](const Object &object) { return object_spot(object); };
      if (const int broken = validate_chain(first, i, head, spot_of)) return broken;
      for (Link<Object> link = first; link; link = link.item()->next) {
        const Object &object = *link.item();
        if (object.leaves.empty()) return 7;  // an object without a leaf
        u64 count = 0;
        if (!object.leaves.says_true_base() || object.leaves.oldest_base() != object.leaves.oldest()->base) return 14;
        if (!object.in_pool.linked()) return 15;  // in the table, and on no list of its pool
        for (const Leaf *leaf = object.leaves.oldest(); leaf; leaf = object.leaves.after(*leaf)) {
          if (leaf->object != &object || leaf->neighbours.younger->neighbours.older != leaf) return 10;
          count++;
        }
        if (count != object.leaves.count()) return 11;
        leaves_of_objects += count;
        bytes += sizeof(Object);
      }
    }
  }
  *pages_found = pages;
  *bytes_found = bytes;
  return leaves == leaves_of_objects ? 0 : 12;
}

int PageIndex::validate_objects_of(const Pool &pool, u64 *objects_found) const {
  int broken = 0;
  u64 objects = 0;
  pool.each_object([&](const Object &object, u32 list) {
    objects++;
    if (object.pool_number != pool.number() || &pool_of(object) != &pool) broken = 16;  // another's
    if (object.leaves.shard() != list) broken = 17;
    const Spot spot = object_spot(object);
    ObjectBucket &bucket = object_buckets_[spot.number];
    Guard guard(bucket.lock);
    if (bucket.find(spot, [&](const Object &other) { return &other == &object; }) != &object) broken = 18;
  });
  *objects_found = objects;
  return broken;
}

int Engine::validate() {
  u64 pages = 0, bytes = 0, objects = 0;
  if (const int broken = index_.validate(&pages, &bytes)) return broken;
  HostStats stats;
  sum_all(stats);
  const tmem_stats &s = stats.pages;
  if (pages != s.pages) return 20;
  if (pages != s.pages_same_filled + stats.usage.entries) return 21;
  if (s.puts != s.puts_stored + s.puts_refused_poor + s.puts_refused_budget +
                    s.puts_refused_limit + s.puts_refused_nested + s.puts_refused_frozen +
                    s.puts_no_memory)
    return 22;
  if (s.gets != s.gets_hit + s.gets_missed + s.gets_corrupt) return 23;
  if (s.flushes != s.flushes_found + s.flushes_missed) return 24;
  if (s.object_flushes != s.object_flushes_found + s.object_flushes_missed) return 25;
  if (bytes != stats.index_bytes) return 26;
  for (u32 i = 0; i < static_cast<u32>(Counter::gate_entered); ++i) {
    u64 sum = 0;
    for (Pool *pool = all_pools_.load_acquire(); pool; pool = pool->next_pool)
      sum += pool->counters.sum(static_cast<Counter>(i));
    if (sum != all_.sum(static_cast<Counter>(i))) return 30;  // all pools together
  }
  u32 open_pools = 0;
  for (Pool *pool = all_pools_.load_acquire(); pool; pool = pool->next_pool) {
    open_pools += !pool->closed();
    if (pool->number() >= pools_.count() || &pools_.at(pool->number()) != pool) return 31;
    if (pool->counters.sum(Counter::gate_entered) != pool->counters.sum(Counter::gate_left)) return 27;
    if (const int broken = index_.validate_objects_of(*pool, &objects)) return broken;
    if (objects != pool->counted(Counter::level_objects)) return 28;
  }
  if (open_pools != stats.pools) return 32;
  {
    Guard guard(control_lock_);
    u32 accounted[TMEM_CLIENTS_MAX] = {};
    for (Pool *pool = all_pools_.load_acquire(); pool; pool = pool->next_pool)
      if (!pool->closed()) accounted[pool->client()]++;
    for (u32 i = 0; i < TMEM_CLIENTS_MAX; ++i)
      if (accounted[i] != accounted_pools_[i]) return 29;
  }
  if (!pam_ops_) return 0;
  if (keeps_in_compressed_store()) return validate_compressed_store(pam_);
  if (pam_ops_->start == tmem_plain_pam()->start) return validate_plain_store(pam_);
  return 0;
}

}  // namespace tmem
