// SPDX-License-Identifier: GPL-2.0
#include "index.h"

namespace tmem {

class PageIndex::Loose {
 public:
  explicit Loose(const tmem_host_ops &host) : host_(host) {}
  ~Loose() {
    if (leaf) {
      leaf->~Leaf();
      host_.object_free(TMEM_KIND_LEAF, leaf);
    }
    if (object) {
      object->~Object();
      host_.object_free(TMEM_KIND_OBJECT, object);
    }
  }
  Loose(const Loose &) = delete;
  Loose &operator=(const Loose &) = delete;

  // Fetches whichever is missing, the object only once it is known to be needed.
  bool fetch(const Handle &handle, u64 base) {
    const u32 flags = handle.pool.persistent() ? TMEM_ALLOC_RESERVES : 0;
    if (!leaf) {
      void *memory = host_.object_alloc(TMEM_KIND_LEAF, flags);
      if (!memory) return false;
      leaf = new (Placement{memory}) Leaf(base);
    }
    if (!object && object_wanted) {
      void *memory = host_.object_alloc(TMEM_KIND_OBJECT, flags);
      if (!memory) return false;
      object = new (Placement{memory}) Object(handle.pool, handle.oid);
    }
    return true;
  }

  Leaf *leaf = nullptr;
  Object *object = nullptr;
  bool object_wanted = false;

 private:
  const tmem_host_ops &host_;
};

// One leaf bucket for four frames: when the whole budget is stored as sixteen
// neighbours to a leaf, chains are far below one; when every page is alone in
// its object, about four to eight.
static constexpr u64 kFramesPerLeafBucket = 4;
static constexpr u64 kFramesPerObjectBucket = 16;
static constexpr u64 kBucketsMin = 256;
static constexpr u64 kBucketsMax = u64{1} << 24;

static u64 bucket_count(u64 memory_frames, u64 frames_per_bucket) {
  const u64 wanted = min(round_up_to_power_of_two(memory_frames / frames_per_bucket), kBucketsMax);
  return max(kBucketsMin, wanted);
}

Outcome PageIndex::start() {
  const u64 leaf_buckets = bucket_count(host_.memory_frames, kFramesPerLeafBucket);
  const u64 object_buckets = bucket_count(host_.memory_frames, kFramesPerObjectBucket);
  leaf_bucket_mask_ = leaf_buckets - 1;
  object_bucket_mask_ = object_buckets - 1;

  leaf_buckets_ = static_cast<LeafBucket *>(host_.table_alloc(leaf_buckets * sizeof(LeafBucket)));
  if (!leaf_buckets_) return Outcome::kNoMemory;
  object_buckets_ =
      static_cast<ObjectBucket *>(host_.table_alloc(object_buckets * sizeof(ObjectBucket)));
  if (!object_buckets_) {
    host_.table_free(leaf_buckets_, leaf_buckets * sizeof(LeafBucket));
    leaf_buckets_ = nullptr;
    return Outcome::kNoMemory;
  }
  for (u64 i = 0; i < leaf_buckets; ++i) leaf_buckets_[i].lock.init();
  for (u64 i = 0; i < object_buckets; ++i) object_buckets_[i].lock.init();
  return Outcome::kDone;
}

void PageIndex::stop() TMEM_UNCHECKED {  // nobody else is left
  for (u64 i = 0; i <= leaf_bucket_mask_; ++i) {
    TMEM_ASSERT(!leaf_buckets_[i].leaves);
    leaf_buckets_[i].lock.destroy();
  }
  for (u64 i = 0; i <= object_bucket_mask_; ++i) {
    TMEM_ASSERT(!object_buckets_[i].objects);
    object_buckets_[i].lock.destroy();
  }
  host_.table_free(leaf_buckets_, (leaf_bucket_mask_ + 1) * sizeof(LeafBucket));
  host_.table_free(object_buckets_, (object_bucket_mask_ + 1) * sizeof(ObjectBucket));
}

u64 PageIndex::table_bytes() const {
  return (leaf_bucket_mask_ + 1) * sizeof(LeafBucket) +
         (object_bucket_mask_ + 1) * sizeof(ObjectBucket);
}

PageIndex::LeafBucket &PageIndex::leaf_bucket(const Pool &pool, const Oid &oid, u64 base,
                                              u64 *number) const {
  *number = Hash(host_.hash_seed).add(oid).add(base).add(pool.serial()).finish() & leaf_bucket_mask_;
  return leaf_buckets_[*number];
}

PageIndex::ObjectBucket &PageIndex::object_bucket(const Pool &pool, const Oid &oid) const {
  const u64 hash = Hash(host_.hash_seed).add(oid).add(pool.serial()).finish();
  return object_buckets_[hash & object_bucket_mask_];
}

PageIndex::Place PageIndex::locate(const Handle &handle) const {
  const u64 base = handle.index.value >> Leaf::kSlotBits;
  const u32 slot = static_cast<u32>(handle.index.value) & (Leaf::kSlots - 1);
  u64 number;
  LeafBucket &bucket = leaf_bucket(handle.pool, handle.oid, base, &number);
  return {bucket, base, slot, BackReference{number << Leaf::kSlotBits | slot}};
}

Leaf *PageIndex::find_leaf(const LeafBucket &bucket, const Pool &pool, const Oid &oid, u64 base) {
  for (Leaf *leaf = bucket.leaves; leaf; leaf = leaf->next)
    if (leaf->base == base && leaf->object->pool == &pool && leaf->object->oid == oid) return leaf;
  return nullptr;
}

Object *PageIndex::find_object(const ObjectBucket &bucket, const Pool &pool, const Oid &oid) {
  for (Object *object = bucket.objects; object; object = object->next)
    if (object->pool == &pool && object->oid == oid) return object;
  return nullptr;
}

// Puts the spare leaf into the index, with the spare object if the object is
// new. False: it is new and there is no spare object; nothing has changed.
bool PageIndex::link_leaf(const Handle &handle, const Place &place, Loose &spare) {
  ObjectBucket &bucket = object_bucket(handle.pool, handle.oid);
  Guard guard(bucket.lock);
  Object *object = find_object(bucket, handle.pool, handle.oid);
  if (!object) {
    object = spare.object;
    if (!object) return false;
    spare.object = nullptr;
    object->next = bucket.objects;
    bucket.objects = object;
    Guard pool_guard(handle.pool.objects_lock);
    handle.pool.objects.push_back(*object);
    handle.pool.count(Counter::level_objects);
  }
  Leaf *leaf = spare.leaf;
  spare.leaf = nullptr;
  object->leaves.push_back(*leaf);
  object->leaf_count++;
  leaf->object = object;
  leaf->next = place.bucket.leaves;
  place.bucket.leaves = leaf;
  handle.pool.count(Counter::level_leaves);
  return true;
}

// Takes an empty leaf out of the index, and its object if that was its last.
void PageIndex::unlink_leaf(LeafBucket &bucket, Leaf &leaf, Loose &loose) {
  TMEM_ASSERT(leaf.empty());
  Leaf **link = &bucket.leaves;
  while (*link != &leaf) link = &(*link)->next;
  *link = leaf.next;
  loose.leaf = &leaf;

  Object &object = *leaf.object;
  Pool &pool = *object.pool;
  pool.counters.subtract(Counter::level_leaves);
  ObjectBucket &objects = object_bucket(pool, object.oid);
  Guard guard(objects.lock);
  object.leaves.remove(leaf);
  object.leaf_count--;
  if (!object.leaves.empty()) return;

  Object **object_link = &objects.objects;
  while (*object_link != &object) object_link = &(*object_link)->next;
  *object_link = object.next;
  loose.object = &object;
  Guard pool_guard(pool.objects_lock);
  pool.objects.remove(object);
  pool.counters.subtract(Counter::level_objects);
}

Result<Maybe<Word>> PageIndex::insert(const Handle &handle, const Place &place, Word word) {
  Loose spare(host_);
  for (;;) {
    {
      Guard guard(place.bucket.lock);
      Leaf *leaf = find_locked(place, handle);
      if (leaf) {
        const Maybe<Word> old = leaf->has(place.slot) ? Maybe<Word>(leaf->at(place.slot)) : Maybe<Word>();
        leaf->set(place.slot, word);
        return old;
      }
      if (spare.leaf) {
        leaf = spare.leaf;
        if (link_leaf(handle, place, spare)) {
          leaf->set(place.slot, word);
          return Maybe<Word>();
        }
        spare.object_wanted = true;
      }
    }
    // At most twice: for the leaf, then for the object if that proved to be new.
    if (!spare.fetch(handle, place.base)) return Outcome::kNoMemory;
  }
}

Maybe<Word> PageIndex::take(const Handle &handle, const Place &place) {
  Loose loose(host_);
  Guard guard(place.bucket.lock);
  Leaf *leaf = find_locked(place, handle);
  if (!leaf || !leaf->has(place.slot)) return {};
  const Word word = leaf->at(place.slot);
  leaf->clear(place.slot);
  if (leaf->empty()) unlink_leaf(place.bucket, *leaf, loose);
  return word;
}

bool PageIndex::take_if(BackReference back, Pampd pampd, Counter why) {
  const u64 number = back.value >> Leaf::kSlotBits;
  const u32 slot = static_cast<u32>(back.value) & (Leaf::kSlots - 1);
  if (number > leaf_bucket_mask_) return false;
  LeafBucket &bucket = leaf_buckets_[number];
  Loose loose(host_);
  Guard guard(bucket.lock);
  for (Leaf *leaf = bucket.leaves; leaf; leaf = leaf->next) {
    if (!leaf->has(slot)) continue;
    const Word word = leaf->at(slot);
    if (word.same_filled || word.value != pampd.value) continue;
    // Counted under the lock: afterwards the pool may be another one.
    leaf->object->pool->count(why);
    leaf->clear(slot);
    if (leaf->empty()) unlink_leaf(bucket, *leaf, loose);
    return true;
  }
  return false;
}

bool PageIndex::has_object(const Pool &pool, const Oid &oid, u64 *leaf_count, u64 *oldest_base) {
  ObjectBucket &bucket = object_bucket(pool, oid);
  Guard guard(bucket.lock);
  const Object *object = find_object(bucket, pool, oid);
  if (!object) return false;
  *leaf_count = object->leaf_count;
  *oldest_base = object->leaves.front()->base;
  return true;
}

void PageIndex::take_slots(Pool &pool, const Oid &oid, u64 base, u32 first_slot, u32 last_slot,
                           TakenLeaf &taken) {
  u64 number;
  LeafBucket &bucket = leaf_bucket(pool, oid, base, &number);
  Loose loose(host_);
  Guard guard(bucket.lock);
  Leaf *leaf = find_leaf(bucket, pool, oid, base);
  if (!leaf) return;  // somebody emptied it meanwhile
  for (u32 slot = first_slot; slot <= last_slot; ++slot)
    if (leaf->has(slot)) {
      taken.words[taken.count++] = leaf->at(slot);
      leaf->clear(slot);
    }
  if (leaf->empty()) unlink_leaf(bucket, *leaf, loose);
}

Maybe<Oid> PageIndex::any_object(Pool &pool) {
  Guard guard(pool.objects_lock);
  const Object *object = pool.objects.front();
  if (!object) return {};
  return object->oid;
}

}  // namespace tmem
