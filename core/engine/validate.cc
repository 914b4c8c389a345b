// SPDX-License-Identifier: GPL-2.0
// Every invariant of the index, checked from the outside while nothing runs.
// The number returned names the line that failed; store/ has the 100s and 200s.
#include "../store/stores.h"
#include "engine.h"

namespace tmem {

bool PageIndex::resolves(BackReference back, Pampd pampd) const {
  const u64 number = back.value >> Leaf::kSlotBits;
  const u32 slot = static_cast<u32>(back.value) & (Leaf::kSlots - 1);
  if (number > leaf_bucket_mask_) return false;
  // Read without the bucket's lock, which ranks below the store's: nothing else runs.
  const auto leaves = [&]() TMEM_UNCHECKED { return leaf_buckets_[number].leaves; };
  for (const Leaf *leaf = leaves(); leaf; leaf = leaf->next)
    if (leaf->has(slot) && !leaf->at(slot).same_filled && leaf->words[slot] == pampd.value)
      return true;
  return false;
}

int PageIndex::validate(u64 *pages_found) const {
  u64 leaves = 0, pages = 0, leaves_of_objects = 0;
  for (u64 i = 0; i <= leaf_bucket_mask_; ++i) {
    Guard guard(leaf_buckets_[i].lock);
    for (const Leaf *leaf = leaf_buckets_[i].leaves; leaf; leaf = leaf->next) {
      leaves++;
      if (leaf->empty()) return 1;  // a leaf without a page
      if (leaf->same_filled & ~leaf->present) return 2;
      if (!leaf->object || leaf->object->pool->closed()) return 3;
      if (!leaf->in_object.linked()) return 4;
      u64 number;
      static_cast<void>(leaf_bucket(*leaf->object->pool, leaf->object->oid, leaf->base, &number));
      if (number != i) return 5;  // in a bucket where nobody looks for it
      for (const Leaf *other = leaf->next; other; other = other->next)
        if (other->object == leaf->object && other->base == leaf->base) return 6;
      for (u32 left = leaf->present; left; left &= left - 1) pages++;
    }
  }
  for (u64 i = 0; i <= object_bucket_mask_; ++i) {
    Guard guard(object_buckets_[i].lock);
    for (const Object *object = object_buckets_[i].objects; object; object = object->next) {
      if (object->leaves.empty()) return 7;  // an object without a leaf
      if (&object_bucket(*object->pool, object->oid) != &object_buckets_[i]) return 8;
      if (!object->in_pool.linked()) return 9;
      u64 count = 0;
      for (const Leaf *leaf = object->leaves.front(); leaf; leaf = object->leaves.after(*leaf)) {
        if (leaf->object != object) return 10;
        count++;
      }
      if (count != object->leaf_count) return 11;
      leaves_of_objects += count;
    }
  }
  *pages_found = pages;
  return leaves == leaves_of_objects ? 0 : 12;
}

int Engine::validate() {
  u64 pages = 0;
  if (const int broken = index_.validate(&pages)) return broken;
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
  u64 objects = 0;
  for (Pool *pool = all_pools_.load_acquire(); pool; pool = pool->next_pool) {
    Guard guard(pool->objects_lock);
    u64 in_pool = 0;
    for (const Object *object = pool->objects.front(); object; object = pool->objects.after(*object))
      in_pool++;
    if (in_pool != pool->counted(Counter::level_objects)) return 26;
    objects += in_pool;
  }
  if (objects != s.objects) return 27;
  if (!pam_ops_) return 0;
  if (keeps_in_compressed_store()) return validate_compressed_store(pam_);
  if (pam_ops_->start == tmem_plain_pam()->start) return validate_plain_store(pam_);
  return 0;
}

}  // namespace tmem
