// SPDX-License-Identifier: GPL-2.0
#include "index.h"

namespace tmem {

void PageIndex::free_leaf(Leaf *leaf) const {
  const u32 size_class = static_cast<u32>(leaf->size_class);
  leaf->~Leaf();
  host_.object_free(TMEM_KIND_LEAF + size_class, leaf);
}

void PageIndex::free_unlinked(const Unlinked &unlinked) const {
  if (unlinked.leaf) free_leaf(unlinked.leaf);
  if (unlinked.object) {
    unlinked.object->~Object();
    host_.object_free(TMEM_KIND_OBJECT, unlinked.object);
  }
}

class PageIndex::Spare {
 public:
  explicit Spare(const PageIndex &index) : index_(index) {}
  ~Spare() { index_.free_unlinked({leaf, object}); }
  Spare(const Spare &) = delete;
  Spare &operator=(const Spare &) = delete;

  bool has_leaf_of(u32 size_class) const { return leaf && leaf->size_class >= size_class; }

  // Fetches what was found to be missing: a leaf with as much room as wanted_class
  // says, an object if object_wanted.
  bool fetch(const Handle &handle, u64 base) {
    const u32 flags = handle.pool.persistent() ? TMEM_ALLOC_RESERVES : 0;
    if (!has_leaf_of(wanted_class) && !fetch_leaf(base, flags)) return false;
    if (!object && object_wanted) {
      void *memory = index_.host_.object_alloc(TMEM_KIND_OBJECT, flags);
      if (!memory) return false;
      object = new (Placement{memory}) Object(handle.pool, handle.oid);
    }
    return true;
  }
  bool fetch_leaf(u64 base, u32 flags) {
    if (leaf) index_.free_leaf(leaf);
    void *memory = index_.host_.object_alloc(TMEM_KIND_LEAF + wanted_class, flags);
    leaf = memory ? new (Placement{memory}) Leaf(base, wanted_class) : nullptr;
    return leaf;
  }

  Leaf *leaf = nullptr;
  Object *object = nullptr;
  u32 wanted_class = 0;
  bool object_wanted = false;

 private:
  const PageIndex &index_;
};

// A byte for each frame of RAM, in each of the two tables. When the whole budget
// is dense leaves, most chains are empty; when every page is alone in its
// object, they have about two to four items.
static constexpr u64 kFramesPerBucket = 64;
static constexpr u64 kBucketsMin = 64;
static constexpr u64 kBucketsMax = u64{1} << Spot::kNumberBitsMax;

static u64 bucket_count(u64 memory_frames) {
  const u64 wanted = round_up_to_power_of_two(memory_frames / kFramesPerBucket);
  return max(kBucketsMin, min(wanted, kBucketsMax));
}

Outcome PageIndex::start() {
  const u64 leaf_buckets = bucket_count(host_.memory_frames);
  const u64 object_buckets = bucket_count(host_.memory_frames);
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
    TMEM_ASSERT(leaf_buckets_[i].empty());
    leaf_buckets_[i].lock.destroy();
  }
  for (u64 i = 0; i <= object_bucket_mask_; ++i) {
    TMEM_ASSERT(object_buckets_[i].empty());
    object_buckets_[i].lock.destroy();
  }
  host_.table_free(leaf_buckets_, (leaf_bucket_mask_ + 1) * sizeof(LeafBucket));
  host_.table_free(object_buckets_, (object_bucket_mask_ + 1) * sizeof(ObjectBucket));
}

u64 PageIndex::table_bytes() const {
  return (leaf_bucket_mask_ + 1) * sizeof(LeafBucket) +
         (object_bucket_mask_ + 1) * sizeof(ObjectBucket);
}

Leaf *PageIndex::find_holder(const LeafBucket &bucket, u32 head, u32 slot, Pampd pampd) {
  for (Link<Leaf> link = bucket.heads[head]; link; link = link.item()->next) {
    const Leaf &leaf = *link.item();
    if (!leaf.has(slot)) continue;
    const Word word = leaf.at(slot);
    if (!word.same_filled && word.value == pampd.value) return link.item();
  }
  return nullptr;
}

// Puts the spare leaf into the index, with the spare object if the object is
// new. False: it is new and there is no spare object; nothing has changed.
bool PageIndex::link_leaf(const Handle &handle, const Place &place, Spare &spare) {
  const Spot spot = object_spot(place.object_hash);
  ObjectBucket &bucket = object_buckets_[spot.number];
  Guard guard(bucket.lock);
  Object *object = find_object(bucket, spot, handle.pool, handle.oid);
  if (!object) {
    object = spare.object;
    if (!object) return false;
    spare.object = nullptr;
    bucket.insert(spot, *object);
    handle.pool.count(Counter::level_objects);
  }
  Leaf *leaf = spare.leaf;
  spare.leaf = nullptr;
  object->leaves.push_back(*leaf);
  object->leaf_count++;
  leaf->object = object;
  place.bucket.insert(place.spot, *leaf);
  handle.pool.count(Counter::level_leaf_bytes, Leaf::bytes_of(static_cast<u32>(leaf->size_class)));
  return true;
}

// Takes an empty leaf out of the index, and its object if that was its last.
void PageIndex::unlink_leaf(LeafBucket &bucket, u32 head, Leaf &leaf, Unlinked &unlinked) {
  bucket.remove(head, leaf);
  unlinked.leaf = &leaf;

  Object &object = *leaf.object;
  Pool &pool = *object.pool;
  pool.uncount(Counter::level_leaf_bytes, Leaf::bytes_of(static_cast<u32>(leaf.size_class)));
  const Spot spot = object_spot(object);
  ObjectBucket &objects = object_buckets_[spot.number];
  Guard guard(objects.lock);
  object.leaves.remove(leaf);
  object.leaf_count--;
  if (!object.leaves.empty()) return;

  objects.remove(spot.head, object);
  unlinked.object = &object;
  pool.uncount(Counter::level_objects);
}

// Puts the spare leaf, of another class, in the place of @old, with its pages;
// the old one is then the spare.
void PageIndex::replace_leaf(LeafBucket &bucket, u32 head, Leaf &old, Spare &spare) {
  Leaf &leaf = *spare.leaf;
  leaf.copy_pages(old);
  leaf.object = old.object;
  bucket.replace(head, old, leaf);

  Object &object = *old.object;
  object.pool->count(Counter::level_leaf_bytes,
                     Leaf::bytes_of(static_cast<u32>(leaf.size_class)) -
                         u64{Leaf::bytes_of(static_cast<u32>(old.size_class))});
  Guard guard(object_buckets_[object_spot(object).number].lock);
  object.leaves.replace(old, leaf);
  spare.leaf = &old;
}

// insert() again, from the start, with memory for a leaf that is missing or full.
PageIndex::Inserted PageIndex::insert_with_memory(const Handle &handle, const Place &place,
                                                  Word word, Word *old) {
  Spare spare(*this);
  for (;;) {
    {
      Guard guard(place.bucket.lock);
      Leaf *leaf = find_locked(place, handle);
      if (leaf) {
        if (leaf->has(place.slot)) {
          *old = leaf->at(place.slot);
          leaf->replace(place.slot, word);
          return Inserted::kReplaced;
        }
        if (leaf->full()) {
          spare.wanted_class = leaf->class_when_full();
          if (spare.has_leaf_of(spare.wanted_class)) {
            Leaf *larger = spare.leaf;
            replace_leaf(place.bucket, place.spot.head, *leaf, spare);
            leaf = larger;
          }
        }
        if (!leaf->full()) {
          leaf->insert(place.slot, word);
          return Inserted::kNew;
        }
      } else if (spare.leaf) {
        leaf = spare.leaf;
        if (link_leaf(handle, place, spare)) {
          leaf->insert(place.slot, word);
          return Inserted::kNew;
        }
        spare.object_wanted = true;
      }
    }
    // Once for a leaf, once more for the object if that proved to be new; and
    // again if others have filled or emptied the leaf meanwhile.
    if (!spare.fetch(handle, place.base)) return Inserted::kNoMemory;
  }
}

bool PageIndex::take_if(BackReference back, Pampd pampd, Counter why) {
  const u32 slot = static_cast<u32>(back.value) & (Leaf::kSlots - 1);
  const u64 chain = back.value >> Leaf::kSlotBits;
  const u32 head = static_cast<u32>(chain) & ((1u << Spot::kHeadBits) - 1);
  const u64 number = chain >> Spot::kHeadBits;
  if (number > leaf_bucket_mask_ || head >= Spot::kHeads) return false;
  LeafBucket &bucket = leaf_buckets_[number];
  const Pool *pool = nullptr;
  Oid oid;
  u64 object_hash = 0, base = 0;
  Unlinked unlinked;
  Maybe<u32> smaller;
  {
    Guard guard(bucket.lock);
    Leaf *leaf = find_holder(bucket, head, slot, pampd);
    if (!leaf) return false;
    // Counted under the lock: afterwards the pool may be another one.
    leaf->object->pool->count(why);
    leaf->clear(slot);
    if (leaf->empty()) {
      unlink_leaf(bucket, head, *leaf, unlinked);
    } else if ((smaller = leaf->class_when_cleared(slot))) {
      pool = leaf->object->pool;
      oid = leaf->object->oid;
      object_hash = hash_.of_object(pool->serial(), oid);
      base = leaf->base;
    }
  }
  if (unlinked.leaf) free_unlinked(unlinked);
  if (smaller) shrink_leaf(*pool, oid, locate(object_hash, base, slot), *smaller);
  return true;
}

bool PageIndex::move_if(BackReference back, Pampd from, Pampd to) {
  const u32 slot = static_cast<u32>(back.value) & (Leaf::kSlots - 1);
  const u64 chain = back.value >> Leaf::kSlotBits;
  const u32 head = static_cast<u32>(chain) & ((1u << Spot::kHeadBits) - 1);
  const u64 number = chain >> Spot::kHeadBits;
  if (number > leaf_bucket_mask_ || head >= Spot::kHeads) return false;
  LeafBucket &bucket = leaf_buckets_[number];
  Guard guard(bucket.lock);
  Leaf *leaf = find_holder(bucket, head, slot, from);
  if (!leaf) return false;
  leaf->replace(slot, {to.value, false});
  return true;
}

// Replaces the leaf by one of @size_class, if memory for that can be had and it
// still has so few pages. @pool is compared, not used: it may be another one by now.
void PageIndex::shrink_leaf(const Pool &pool, const Oid &oid, const Place &place, u32 size_class) {
  Spare spare(*this);
  spare.wanted_class = size_class;
  if (!spare.fetch_leaf(place.base, 0)) return;
  Guard guard(place.bucket.lock);
  Leaf *leaf = find_leaf(place, pool, oid);
  if (leaf && leaf->size_class > size_class && leaf->pages() <= spare.leaf->capacity())
    replace_leaf(place.bucket, place.spot.head, *leaf, spare);
}

bool PageIndex::has_object(const Pool &pool, const Oid &oid, u64 *leaf_count, u64 *oldest_base) {
  const Spot spot = object_spot(hash_.of_object(pool.serial(), oid));
  ObjectBucket &bucket = object_buckets_[spot.number];
  Guard guard(bucket.lock);
  const Object *object = find_object(bucket, spot, pool, oid);
  if (!object) return false;
  *leaf_count = object->leaf_count;
  *oldest_base = object->leaves.front()->base;
  return true;
}

void PageIndex::take_slots(Pool &pool, const Oid &oid, u64 base, u32 first_slot, u32 last_slot,
                           TakenLeaf &taken) {
  const Place place = locate(hash_.of_object(pool.serial(), oid), base, 0);
  Unlinked unlinked;
  Maybe<u32> smaller;
  {
    Guard guard(place.bucket.lock);
    Leaf *leaf = find_leaf(place, pool, oid);
    if (!leaf) return;  // somebody emptied it meanwhile
    // From the end, so that no word moves.
    for (u32 slot = last_slot + 1; slot-- > first_slot;)
      if (leaf->has(slot)) {
        taken.add(leaf->at(slot));
        leaf->clear(slot);
      }
    if (leaf->empty())
      unlink_leaf(place.bucket, place.spot.head, *leaf, unlinked);
    else if (taken.count)
      smaller = leaf->class_when_cleared(first_slot);
  }
  if (unlinked.leaf) free_unlinked(unlinked);
  if (smaller) shrink_leaf(pool, oid, place, *smaller);
}

Maybe<Oid> PageIndex::object_in_bucket(const Pool &pool, u64 number) {
  ObjectBucket &bucket = object_buckets_[number];
  Guard guard(bucket.lock);
  for (const Link<Object> &head : bucket.heads)
    for (Link<Object> link = head; link; link = link.item()->next)
      if (link.item()->pool == &pool) return link.item()->oid;
  return {};
}

}  // namespace tmem
