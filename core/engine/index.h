// SPDX-License-Identifier: GPL-2.0
// The index: from handle to word, and from a page frame back to the handle.
//
// Two hash tables, sized once from RAM and never resized. Leaves are found by
// (pool, object id, index / 64); objects, by (pool, object id), are needed only
// to find all leaves of one. Each bucket has its own lock, so two CPUs meet only
// in one bucket (bucket.h), and pages of one object lie in many. A hit, a miss or a put
// into a leaf with room takes one lock. The price is a walk over the hash
// buckets' chains, and that a pool's objects are found by walking the table.
//
// All or nothing: what an insertion may need is allocated before the lock is
// taken, so linking it cannot fail, and what it did not need is given back.
// What a removal unlinks is freed after the lock is dropped.
//
// Bottom-up: a back reference is the number of the bucket and of the slot, 32
// bits, no more. The word itself tells which leaf of the bucket is meant, since
// no two pages have the same pampd at one time.
//
// Documentation/index.md has the layout drawn, the numbers, and what was
// tried and rejected.
#ifndef TMEM_CORE_ENGINE_INDEX_H
#define TMEM_CORE_ENGINE_INDEX_H

#include "../base/hash.h"
#include "pool.h"

namespace tmem {

struct Handle {
  Pool &pool;
  const Oid &oid;
  Index index;
};

// Words that a flush took out, for the caller to free.
struct TakenLeaf {
  u64 values[Leaf::kSlots];
  u64 same_filled = 0;  // a bit for each of the values
  u32 count = 0;

  void add(Word word) {
    same_filled |= u64{word.same_filled} << count;
    values[count++] = word.value;
  }
  Word word(u32 i) const { return {values[i], (same_filled >> i & 1) != 0}; }
};

class PageIndex {
 public:
  using LeafBucket = Bucket<Leaf, Rank::kLeafBucket>;
  using ObjectBucket = Bucket<Object, Rank::kObjectBucket>;

  // Where a handle's page is, if it is anywhere. Computed once per operation.
  struct Place {
    LeafBucket &bucket;
    Spot spot;
    u64 object_hash;
    u64 base;
    u32 slot;
    BackReference back;
  };

  explicit PageIndex(const tmem_host_ops &host) : host_(host), hash_(host.hash_seed) {}

  // Allocates the tables; kNoMemory leaves nothing behind. Process context.
  Outcome start();
  // The index is empty by now. Process context.
  void stop();

  Place locate(const Handle &handle) const {
    const u64 base = handle.index.value >> Leaf::kSlotBits;
    const u32 slot = static_cast<u32>(handle.index.value) & (Leaf::kSlots - 1);
    return locate(hash_.of_object(handle.pool.serial(), handle.oid), base, slot);
  }

  // Makes @word the page's word. kReplaced: *@old, the caller's to free, was it
  // before. kNoMemory: nothing has changed.
  enum class [[nodiscard]] Inserted { kNew, kReplaced, kNoMemory };
  Inserted insert(const Handle &handle, const Place &place, Word word, Word *old) {
    {
      Guard guard(place.bucket.lock);
      if (Leaf *leaf = find_locked(place, handle)) {
        if (leaf->has(place.slot)) {
          *old = leaf->at(place.slot);
          leaf->replace(place.slot, word);
          return Inserted::kReplaced;
        }
        if (!leaf->full()) {
          leaf->insert(place.slot, word);
          return Inserted::kNew;
        }
      }
    }
    return insert_with_memory(handle, place, word, old);
  }

  // Takes the page out, if it is there; *@word is then the caller's to free.
  bool take(const Handle &handle, const Place &place, Word *word) {
    Unlinked unlinked;
    Maybe<u32> smaller;
    {
      Guard guard(place.bucket.lock);
      Leaf *leaf = find_locked(place, handle);
      if (!leaf || !leaf->has(place.slot)) return false;
      *word = leaf->at(place.slot);
      leaf->clear(place.slot);
      if (leaf->empty())
        unlink_leaf(place.bucket, place.spot.head, *leaf, unlinked);
      else
        smaller = leaf->class_when_cleared(place.slot);
    }
    if (unlinked.leaf) free_unlinked(unlinked);
    if (smaller) shrink_leaf(handle.pool, handle.oid, place, *smaller);
    return true;
  }

  // The word, after @hold was called with it under the lock that keeps it from going.
  template <typename Hold>
  bool look_up(const Handle &handle, const Place &place, Hold hold, Word *word) {
    Guard guard(place.bucket.lock);
    const Leaf *leaf = find_locked(place, handle);
    if (!leaf || !leaf->has(place.slot)) return false;
    *word = leaf->at(place.slot);
    hold(*word);
    return true;
  }

  // Takes the page out if its slot still holds @pampd, and counts @why in its
  // pool. True: the index's reference is now the caller's.
  bool take_if(BackReference back, Pampd pampd, Counter why);

  // Makes the page's word @to if its slot still holds @from.
  bool move_if(BackReference back, Pampd from, Pampd to);

  // The object's number of leaves, and the base of its oldest.
  bool has_object(const Pool &pool, const Oid &oid, u64 *leaf_count, u64 *oldest_base);
  // Takes out what the leaf of @base has in @first_slot to @last_slot.
  void take_slots(Pool &pool, const Oid &oid, u64 base, u32 first_slot, u32 last_slot,
                  TakenLeaf &taken);

  // Looks for an object of the pool in the bucket of number @bucket.
  Maybe<Oid> object_in_bucket(const Pool &pool, u64 bucket);
  u64 object_buckets() const { return object_bucket_mask_ + 1; }

  u64 table_bytes() const;

  // 0, or the number of the broken invariant; pages, and bytes of leaves and objects. See validate.cc.
  int validate(u64 *pages_found, u64 *bytes_found) const;
  u64 objects_of(const Pool &pool) const;
  // Whether the slot of @back holds @pampd.
  bool resolves(BackReference back, Pampd pampd) const;

 private:
  // What an insertion may need; what is not used is freed when this goes out of scope.
  class Spare;
  // What a removal has taken out of the index, to be freed after the locks.
  struct Unlinked {
    Leaf *leaf = nullptr;
    Object *object = nullptr;
  };

  Place locate(u64 object_hash, u64 base, u32 slot) const {
    const Spot spot(hash_.of_leaf(object_hash, base), leaf_bucket_mask_);
    return {leaf_buckets_[spot.number], spot, object_hash, base, slot, back_reference(spot, slot)};
  }
  Spot object_spot(u64 object_hash) const { return Spot(object_hash, object_bucket_mask_); }
  Spot object_spot(const Object &object) const {
    return object_spot(hash_.of_object(object.pool->serial(), object.oid));
  }

  // Number of the bucket, of the chain in it, and of the slot in the leaf.
  static BackReference back_reference(const Spot &spot, u32 slot) {
    return {(spot.number << Spot::kHeadBits | spot.head) << Leaf::kSlotBits | slot};
  }
  // The leaf whose slot holds @pampd; nullptr if it does no more.
  static Leaf *find_holder(const LeafBucket &bucket, u32 head, u32 slot, Pampd pampd)
      TMEM_REQUIRES(bucket.lock);

  static Leaf *find_locked(const Place &place, const Handle &handle)
      TMEM_REQUIRES(place.bucket.lock) {
    return find_leaf(place, handle.pool, handle.oid);
  }
  static Leaf *find_leaf(const Place &place, const Pool &pool, const Oid &oid)
      TMEM_REQUIRES(place.bucket.lock) {
    return place.bucket.find(place.spot, [&](const Leaf &leaf) {
      return leaf.base == place.base && leaf.object->pool == &pool && leaf.object->oid == oid;
    });
  }
  static Object *find_object(const ObjectBucket &bucket, const Spot &spot, const Pool &pool,
                             const Oid &oid) TMEM_REQUIRES(bucket.lock) {
    return bucket.find(spot, [&](const Object &object) {
      return object.pool == &pool && object.oid == oid;
    });
  }

  int validate_leaf(const Leaf &leaf) const;

  Inserted insert_with_memory(const Handle &handle, const Place &place, Word word, Word *old);
  bool link_leaf(const Handle &handle, const Place &place, Spare &spare)
      TMEM_REQUIRES(place.bucket.lock);
  void unlink_leaf(LeafBucket &bucket, u32 head, Leaf &leaf, Unlinked &unlinked)
      TMEM_REQUIRES(bucket.lock);
  void replace_leaf(LeafBucket &bucket, u32 head, Leaf &old, Spare &spare) TMEM_REQUIRES(bucket.lock);
  void free_leaf(Leaf *leaf) const;
  void free_unlinked(const Unlinked &unlinked) const;
  void shrink_leaf(const Pool &pool, const Oid &oid, const Place &place, u32 size_class);

  const tmem_host_ops &host_;
  const HandleHash hash_;
  LeafBucket *leaf_buckets_ = nullptr;
  ObjectBucket *object_buckets_ = nullptr;
  u64 leaf_bucket_mask_ = 0;
  u64 object_bucket_mask_ = 0;
};

}  // namespace tmem

#endif
