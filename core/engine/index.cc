// SPDX-License-Identifier: GPL-2.0
#include "engine.h"

namespace tmem {

void PageIndex::free_leaf(Leaf *leaf) const {
  const u32 size_class = static_cast<u32>(leaf->size_class);
  leaf->~Leaf();
  host_.object_free(TMEM_KIND_LEAF + size_class, leaf);
}

void PageIndex::free_object(Object *object) const {
  object->~Object();
  host_.object_free(TMEM_KIND_OBJECT, object);
}

// As a store does for its frames: pages go for it, then it is tried once more, and the reserves come last.
void *PageIndex::allocate(u32 kind, bool persistent) const {
  if (void *memory = host_.object_alloc(kind, 0)) return memory;
  if (engine_.make_room(persistent))
    if (void *memory = host_.object_alloc(kind, 0)) return memory;
  return persistent ? host_.object_alloc(kind, TMEM_ALLOC_RESERVES) : nullptr;
}

void PageIndex::tidy(Pool &pool, const Oid &oid, Index index, const Leftover &leftover) {
  if (leftover.leaf) free_leaf(leftover.leaf);
  if (leftover.object) free_object(leftover.object);
  if (leftover.smaller_class < kLeafClasses) shrink_leaf(locate(pool, oid, index), leftover.smaller_class);
}

void PageIndex::tidy(const Place &place, const Leftover &leftover) {
  if (leftover.leaf) free_leaf(leftover.leaf);
  if (leftover.object) free_object(leftover.object);
  if (leftover.smaller_class < kLeafClasses) shrink_leaf(place, leftover.smaller_class);
}

class PageIndex::Spare {
 public:
  explicit Spare(PageIndex &index) : index_(index) {}
  ~Spare() {
    if (leaf) index_.free_leaf(leaf);
    if (object) index_.free_object(object);
  }
  Spare(const Spare &) = delete;
  Spare &operator=(const Spare &) = delete;

  // One with the first slots only has no room for others.
  bool has_leaf_of(u32 size_class) const {
    return leaf && (leaf->size_class == size_class || leaf->size_class == Leaf::kWholeSame);
  }

  // Says what a new leaf will need, by a look at the object.
  void expect_new_leaf(const Place &place) {
    const Spot spot = index_.object_spot(place.object);
    const ObjectBucket &bucket = index_.object_buckets_[spot.number];
    Guard guard(const_cast<ObjectBucket &>(bucket).lock);
    const Object *found = find_object(bucket, spot, place.object);
    object_wanted = !found;
    wanted_class = found && found->leaves.fills_in_sequence() && place.slot == 0 ? Leaf::kShort : 0;
  }
  // Fetches what was found to be missing: a leaf with as much room as wanted_class
  // says, an object if object_wanted.
  bool fetch(const Place &place) {
    const bool persistent = place.object.pool.persistent();
    if (!has_leaf_of(wanted_class)) {
      drop_leaf();
      if (!have_leaf(place.base, index_.allocate(TMEM_KIND_LEAF + wanted_class, persistent))) return false;
    }
    if (!object && object_wanted) {
      void *memory = index_.allocate(TMEM_KIND_OBJECT, persistent);
      if (!memory) return false;
      object = new (Placement{memory}) Object(place.object.pool.number(), place.object.oid);
    }
    return true;
  }
  // One that would only save memory: nothing is given up for it.
  bool fetch_leaf_if_easy(u64 base) {
    return have_leaf(base, index_.host_.object_alloc(TMEM_KIND_LEAF + wanted_class, 0));
  }

  Leaf *leaf = nullptr;
  Object *object = nullptr;
  u32 wanted_class = 0;
  bool object_wanted = false;

 private:
  bool have_leaf(u64 base, void *memory) {
    leaf = memory ? new (Placement{memory}) Leaf(base, wanted_class) : nullptr;
    return leaf;
  }
  void drop_leaf() {
    if (leaf) index_.free_leaf(leaf);
    leaf = nullptr;
  }

  PageIndex &index_;
};

// Half a byte for each frame of RAM for leaves, a byte for objects. When the whole
// budget is dense leaves, most chains are empty; when every page is alone in its
// object, they have about two to four objects, and twice as many leaves. A larger
// table of leaves is not faster but there: what lies in it is further apart.
static constexpr u64 kFramesPerLeafBucket = 128;
static constexpr u64 kFramesPerObjectBucket = 64;
static constexpr u64 kBucketsMin = 64;
static constexpr u64 kBucketsMax = u64{1} << Spot::kNumberBitsMax;

static u64 bucket_count(u64 memory_frames, u64 frames_per_bucket) {
  const u64 wanted = round_up_to_power_of_two(memory_frames / frames_per_bucket);
  return max(kBucketsMin, min(wanted, kBucketsMax));
}

// There are millions of buckets.
void PageIndex::breathe_at(u64 bucket) const {
  constexpr u64 kBucketsBetweenBreaths = 1024;
  if (bucket % kBucketsBetweenBreaths == 0) host_.breathe();
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
  for (u64 i = 0; i < leaf_buckets; ++i) {
    leaf_buckets_[i].lock.init();
    breathe_at(i);
  }
  for (u64 i = 0; i < object_buckets; ++i) {
    object_buckets_[i].lock.init();
    breathe_at(i);
  }
  return Outcome::kDone;
}

void PageIndex::stop() TMEM_UNCHECKED {  // nobody else is left
  for (u64 i = 0; i <= leaf_bucket_mask_; ++i) {
    TMEM_ASSERT(leaf_buckets_[i].empty());
    leaf_buckets_[i].lock.destroy();
    breathe_at(i);
  }
  for (u64 i = 0; i <= object_bucket_mask_; ++i) {
    TMEM_ASSERT(object_buckets_[i].empty());
    object_buckets_[i].lock.destroy();
    breathe_at(i);
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
    Word word;
    if (leaf.read(slot, &word) && !word.same_filled && word.value == pampd.value) return link.item();
  }
  return nullptr;
}

// Puts the spare leaf into the index, with the spare object if the object is
// new. False: it is new and there is no spare object; nothing has changed.
bool PageIndex::link_leaf(const Place &place, Spare &spare) {
  const Spot spot = object_spot(place.object);
  ObjectBucket &bucket = object_buckets_[spot.number];
  Pool &pool = place.object.pool;
  Guard guard(bucket.lock);
  Object *object = find_object(bucket, spot, place.object);
  if (!object) {
    object = spare.object;
    if (!object) return false;
    spare.object = nullptr;
    bucket.insert(spot, *object);
    pool.count(Counter::level_objects);
    pool.link(*object);
  }
  Leaf *leaf = spare.leaf;
  spare.leaf = nullptr;
  object->leaves.push_youngest(*leaf);
  leaf->object = object;
  place.bucket.insert(place.spot, *leaf);
  pool.count(Counter::level_leaf_bytes, Leaf::bytes_of(static_cast<u32>(leaf->size_class)));
  return true;
}

// Takes an empty leaf out of the index, and its object if that was its last.
PageIndex::Leftover PageIndex::unlink_leaf(LeafBucket &bucket, u32 head, Leaf &leaf) {
  bucket.remove(head, leaf);

  Object &object = *leaf.object;
  Pool &pool = pool_of(object);
  pool.uncount(Counter::level_leaf_bytes, Leaf::bytes_of(static_cast<u32>(leaf.size_class)));
  const Spot spot = object_spot(object);
  ObjectBucket &objects = object_buckets_[spot.number];
  Guard guard(objects.lock);
  object.leaves.remove(leaf);
  if (!object.leaves.empty()) return {&leaf, nullptr, kLeafClasses};

  objects.remove(spot.head, object);
  pool.uncount(Counter::level_objects);
  pool.unlink(object);  // last: whoever finds it gone may end the pool
  return {&leaf, &object, kLeafClasses};
}

PageIndex::Leftover PageIndex::after_taking(LeafBucket &bucket, u32 head, Leaf &leaf,
                                            Leaf::Taken taken) {
  if (leaf.empty()) return unlink_leaf(bucket, head, leaf);
  const u32 size_class = leaf.class_when_cleared(taken);
  return {nullptr, nullptr, size_class == leaf.size_class ? kLeafClasses : size_class};
}

// Puts the spare leaf, of another class, in the place of @old, with its pages;
// the old one is then the spare.
void PageIndex::replace_leaf(LeafBucket &bucket, u32 head, Leaf &old, Spare &spare) {
  Leaf &leaf = *spare.leaf;
  leaf.copy_pages(old);
  leaf.object = old.object;
  bucket.replace(head, old, leaf);

  Object &object = *old.object;
  pool_of(object).count(Counter::level_leaf_bytes,
                        Leaf::bytes_of(static_cast<u32>(leaf.size_class)) -
                            u64{Leaf::bytes_of(static_cast<u32>(old.size_class))});
  Guard guard(object_buckets_[object_spot(object).number].lock);
  object.leaves.replace(old, leaf);
  if (leaf.direct() || leaf.size_class < old.size_class)
    object.leaves.set_fills_in_sequence(leaf.direct() && leaf.is_one_stretch());
  spare.leaf = &old;
}

// insert() again, from the start, with memory for a leaf that is missing or full.
PageIndex::Inserted PageIndex::insert_with_memory(Pool &pool, const Oid &oid, Index index, Word word, Word *old) {
  const Place place = locate(pool, oid, index);
  __builtin_prefetch(&object_buckets_[object_spot(place.object).number], 1);
  Spare spare(*this);
  for (;;) {
    bool missing = false;
    {
      Guard guard(place.bucket.lock);
      Leaf *leaf = find_leaf(place);
      if (leaf) {
        const Leaf::Put put = leaf->put(place.slot, word, old);
        if (put != Leaf::Put::kNoRoom) return inserted_by(put);
        spare.wanted_class = leaf->class_when_full(place.slot, word.same_filled);
        if (spare.has_leaf_of(spare.wanted_class)) {
          Leaf *larger = spare.leaf;
          replace_leaf(place.bucket, place.spot.head, *leaf, spare);
          return inserted_by(larger->put(place.slot, word, old));  // it was made for it
        }
      } else if (spare.leaf) {
        leaf = spare.leaf;
        if (link_leaf(place, spare)) {
          static_cast<void>(leaf->put(place.slot, word, old));  // it is empty
          return Inserted::kNew;
        }
        spare.object_wanted = true;
      } else {
        missing = true;
      }
    }
    if (missing) spare.expect_new_leaf(place);
    // Once, if nobody else changes what was seen: the leaf filled or emptied, the object gone.
    if (!spare.fetch(place)) return Inserted::kNoMemory;
  }
}

bool PageIndex::take_if(BackReference back, Pampd pampd, Counter why) {
  const Chain chain(back);
  if (!is_chain(chain)) return false;
  const auto [number, head, slot] = chain;
  LeafBucket &bucket = leaf_buckets_[number];
  Pool *pool = nullptr;
  Oid oid;
  HandleHash::Halves halves{};
  u64 base = 0;
  Leftover leftover;
  {
    Guard guard(bucket.lock);
    Leaf *leaf = find_holder(bucket, head, slot, pampd);
    Word word;
    if (!leaf || !leaf->take(slot, &word)) return false;
    // Counted under the lock: afterwards the pool may be another one.
    pool = &pool_of(*leaf->object);
    pool->count(why);
    oid = leaf->object->oid;
    base = leaf->base;
    const u32 serial = pool->serial();
    leftover = after_taking(bucket, head, *leaf, Leaf::Taken::kOne);
    if (leftover.smaller_class != kLeafClasses) halves = hash_.halves(serial, oid);
  }
  // In it the pool is only compared.
  tidy(locate({*pool, oid, halves}, base, slot), leftover);
  return true;
}

bool PageIndex::move_if(BackReference back, Pampd from, Pampd to) {
  const Chain chain(back);
  if (!is_chain(chain)) return false;
  const auto [number, head, slot] = chain;
  LeafBucket &bucket = leaf_buckets_[number];
  Guard guard(bucket.lock);
  Leaf *leaf = find_holder(bucket, head, slot, from);
  if (!leaf) return false;
  Word old;
  static_cast<void>(leaf->put(slot, {to.value, false}, &old));
  return true;
}

// Replaces the leaf by one of @size_class, if memory for that can be had and it
// still has so few pages. The pool is compared, not used: it may be another one by now.
void PageIndex::shrink_leaf(const Place &place, u32 size_class) {
  Spare spare(*this);
  spare.wanted_class = size_class;
  if (!spare.fetch_leaf_if_easy(place.base)) return;
  Guard guard(place.bucket.lock);
  Leaf *leaf = find_leaf(place);
  if (leaf && leaf->size_class > size_class && leaf->pages() <= spare.leaf->capacity())
    replace_leaf(place.bucket, place.spot.head, *leaf, spare);
}

bool PageIndex::has_object(const ObjectKey &key, u64 *leaf_count, u64 *oldest_base) {
  const Spot spot = object_spot(key);
  ObjectBucket &bucket = object_buckets_[spot.number];
  Guard guard(bucket.lock);
  const Object *object = find_object(bucket, spot, key);
  if (!object) return false;
  // Who asks will want it next; its bucket is found without it.
  __builtin_prefetch(object->leaves.oldest(), 1);
  *leaf_count = object->leaves.count();
  *oldest_base = object->leaves.oldest_base();
  return true;
}

Leaf *PageIndex::take_leaf(const ObjectKey &key, u64 base, bool *object_gone) {
  const Place place = locate(key, base, 0);
  Leftover leftover;
  {
    Guard guard(place.bucket.lock);
    Leaf *leaf = find_leaf(place);
    if (!leaf) return nullptr;  // somebody emptied it meanwhile
    leftover = unlink_leaf(place.bucket, place.spot.head, *leaf);
  }
  *object_gone = leftover.object != nullptr;
  if (leftover.object) free_object(leftover.object);
  return leftover.leaf;
}

u32 PageIndex::take_slots(const ObjectKey &key, u64 base, u32 first_slot, u32 last_slot, TakenPages &taken,
                          bool *object_gone) {
  const Place place = locate(key, base, first_slot);
  Leftover leftover;
  u32 next;
  {
    Guard guard(place.bucket.lock);
    Leaf *leaf = find_leaf(place);
    if (!leaf) return last_slot + 1;
    next = leaf->take_range(first_slot, last_slot, TakenPages::kMost, [&](Word word) { taken.add(word); });
    if (!taken.count) return next;
    leftover = after_taking(place.bucket, place.spot.head, *leaf, Leaf::Taken::kRange);
  }
  *object_gone = leftover.object != nullptr;
  tidy(place, leftover);
  return next;
}

}  // namespace tmem
